//! What the parent makes of the words of the child that pulls. Pure.
//!
//! As in `receive`, it believes none: it has a [`Chain`] of its own, which compares every byte with the digests that
//! lead from the reference to it. The child has compared them already; that it says so is worth nothing.

use std::io;

use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::protocol::PullMessage;
use crate::qemu::oci::{ChainError, DigestChain, Expected, ImageReference, MAX_DOCUMENT_SIZE, Platform};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Follows one pull.
#[derive(Debug)]
pub struct PullSupervisor {
    chain: DigestChain,
    inbox: Inbox,
    /// The document that is coming, and how long it will be.
    document: Option<(Vec<u8>, usize)>,
}

/// Why nothing more is heard.
#[derive(Debug)]
pub enum PullWorkerError {
    /// The child breaks the rules.
    Protocol(ProtocolError),
    /// This piece could not be had, or is not what it should be.
    Piece(String, Box<RegistryFailure>),
    /// The HTTP client could not be set up.
    NoClient(String),
    /// There is no room for what it gives.
    Sink(io::Error),
}

impl From<ProtocolError> for PullWorkerError {
    fn from(garbled: ProtocolError) -> Self {
        Self::Protocol(garbled)
    }
}

impl PullSupervisor {
    /// Nothing was said yet.
    pub fn new(image: &ImageReference, platform: Platform) -> Self {
        Self { chain: DigestChain::new(image, platform), inbox: Inbox::default(), document: None }
    }

    /// What this kernel could not take from the child.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// How far the pull is.
    pub fn digest_chain(&self) -> &DigestChain {
        &self.chain
    }

    /// Takes what came, and gives the layers' bytes to `sink`, one layer after the other. Done when it returns how many
    /// bytes came over the network, as the child says.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<u64>, PullWorkerError> {
        while let Some(frame) = self.inbox.next_frame::<PullMessage>(&mut input)? {
            match frame {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink)?,
                Frame::Message(word) => {
                    if let Some(moved) = self.handle_message(word)? {
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
        let Some((document, size)) = &mut self.document else {
            let what = self.chain.describe_expected();
            if !matches!(self.chain.expected(), Expected::Layer { .. }) {
                return Err(protocol_error("bytes of nothing"));
            }
            self.chain.add_layer_bytes(bytes).map_err(|bad| Self::chain_error(what, bad))?;
            return sink(bytes).map_err(PullWorkerError::Sink);
        };
        document.extend_from_slice(bytes);
        match document.len().cmp(size) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => {
                let what = self.chain.describe_expected();
                let document = std::mem::take(document);
                self.document = None;
                self.chain.add_document(&document).map_err(|bad| Self::chain_error(what, bad))
            }
            std::cmp::Ordering::Greater => Err(protocol_error("more bytes than a document has")),
        }
    }

    fn handle_message(&mut self, word: PullMessage) -> Result<Option<u64>, PullWorkerError> {
        match word {
            PullMessage::NoClient(why) => Err(PullWorkerError::NoClient(to_one_line(&why))),
            PullMessage::Failed(piece) => {
                Err(PullWorkerError::Piece(self.chain.describe_expected(), Box::new(piece.into_printable())))
            }
            _ if self.document.is_some() => Err(protocol_error("something amidst a document")),
            PullMessage::Document { size } => {
                let Expected::Document { .. } = self.chain.expected() else {
                    return Err(protocol_error("a document too many"));
                };
                if !(1..=MAX_DOCUMENT_SIZE).contains(&size) {
                    return Err(protocol_error("a document of no length, or too large"));
                }
                self.document = Some((Vec::new(), usize::try_from(size).unwrap_or(usize::MAX)));
                Ok(None)
            }
            PullMessage::Done { moved } if self.chain.expected() == Expected::Nothing => Ok(Some(moved)),
            PullMessage::Done { .. } => Err(protocol_error("that all is there, which it is not")),
        }
    }

    fn chain_error(what: String, bad: ChainError) -> PullWorkerError {
        PullWorkerError::Piece(what, Box::new(RegistryFailure::Bad(bad.into_printable())))
    }
}

fn protocol_error(what: &str) -> PullWorkerError {
    PullWorkerError::Protocol(ProtocolError(what.to_owned()))
}
