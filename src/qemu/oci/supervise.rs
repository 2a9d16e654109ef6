//! The parent's side of the pull worker. Pure.
//!
//! The parent does not trust the worker, which has parsed bytes from the network. The worker has already compared all
//! bytes with their digests, but the parent does not rely on that: its own [`DigestChain`] compares every byte with the
//! digests that lead from the reference to it.

use std::io;

use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::protocol::PullMessage;
use crate::qemu::oci::{ChainError, DigestChain, Expected, ImageReference, MAX_DOCUMENT_SIZE, Platform};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// State of one pull, as the parent has verified it.
#[derive(Debug)]
pub struct PullSupervisor {
    chain: DigestChain,
    inbox: Inbox,
    /// Received bytes of the current document, and its full size.
    document: Option<(Vec<u8>, usize)>,
    /// Number of accepted bytes.
    accepted: u64,
}

/// Reason why a pull ended early.
#[derive(Debug)]
pub enum PullWorkerError {
    /// The worker broke the protocol.
    Protocol(ProtocolError),
    /// A document or layer could not be fetched or verified. The text describes it.
    Piece(String, Box<RegistryFailure>),
    /// The worker could not set up its HTTP client.
    NoClient(String),
    /// The sink failed to write the bytes of a layer.
    Sink(io::Error),
}

impl From<ProtocolError> for PullWorkerError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl PullSupervisor {
    /// Creates the state before the first byte of the worker.
    pub fn new(image: &ImageReference, platform: Platform) -> Self {
        Self { chain: DigestChain::new(image, platform), inbox: Inbox::default(), document: None, accepted: 0 }
    }

    /// Returns the protections that this kernel lacks, as the worker reported them.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Returns the number of accepted bytes of documents and layers.
    pub fn progress(&self) -> u64 {
        self.accepted
    }

    /// Returns the chain of digests, which knows the progress of the pull.
    pub fn digest_chain(&self) -> &DigestChain {
        &self.chain
    }

    /// Handles bytes of the worker's output and gives the bytes of the layers to `sink`, one layer after the other.
    /// Returns `Some` when the pull is complete: the number of bytes that came over the network, as the worker reports
    /// it.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<u64>, PullWorkerError> {
        while let Some(frame) = self.inbox.next_frame::<PullMessage>(&mut input)? {
            match frame {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink)?,
                Frame::Message(message) => {
                    if let Some(moved) = self.handle_message(message)? {
                        return Ok(Some(moved));
                    }
                }
            }
        }
        Ok(None)
    }

    fn handle_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), PullWorkerError> {
        self.accepted = self.accepted.saturating_add(bytes.len() as u64);
        let Some((document, size)) = &mut self.document else {
            let what = self.chain.describe_expected();
            if !matches!(self.chain.expected(), Expected::Layer { .. }) {
                return Err(protocol_error("unexpected bytes"));
            }
            self.chain.add_layer_bytes(bytes).map_err(|error| Self::chain_error(what, error))?;
            return sink(bytes).map_err(PullWorkerError::Sink);
        };
        document.extend_from_slice(bytes);
        match document.len().cmp(size) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => {
                let what = self.chain.describe_expected();
                let document = std::mem::take(document);
                self.document = None;
                self.chain.add_document(&document).map_err(|error| Self::chain_error(what, error))
            }
            std::cmp::Ordering::Greater => Err(protocol_error("more bytes than the size of the document")),
        }
    }

    fn handle_message(&mut self, message: PullMessage) -> Result<Option<u64>, PullWorkerError> {
        match message {
            PullMessage::NoClient(why) => Err(PullWorkerError::NoClient(to_one_line(&why))),
            PullMessage::Failed(failure) => {
                Err(PullWorkerError::Piece(self.chain.describe_expected(), Box::new(failure.into_printable())))
            }
            _ if self.document.is_some() => Err(protocol_error("unexpected message within a document")),
            PullMessage::Document { size } => {
                let Expected::Document { .. } = self.chain.expected() else {
                    return Err(protocol_error("unexpected document"));
                };
                if !(1..=MAX_DOCUMENT_SIZE).contains(&size) {
                    return Err(protocol_error("a document that is empty or too large"));
                }
                self.document = Some((Vec::new(), usize::try_from(size).unwrap_or(usize::MAX)));
                Ok(None)
            }
            PullMessage::Done { moved } if self.chain.expected() == Expected::Nothing => Ok(Some(moved)),
            PullMessage::Done { .. } => Err(protocol_error("the end of the pull before the last layer")),
        }
    }

    fn chain_error(what: String, error: ChainError) -> PullWorkerError {
        PullWorkerError::Piece(what, Box::new(RegistryFailure::Bad(error.into_printable())))
    }
}

fn protocol_error(what: &str) -> PullWorkerError {
    PullWorkerError::Protocol(ProtocolError(what.to_owned()))
}
