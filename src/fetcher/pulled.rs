//! What the parent makes of the words of the child that pulls. Pure.
//!
//! As in `receive`, it believes none: it has a [`Chain`] of its own, which compares every byte with the digests that
//! lead from the reference to it. The child has compared them already; that it says so is worth nothing.

use std::io;

use super::protocol_oci::Pulling;
use super::session::Inbox;
use super::wire::{Garbled, Lack, Piece as Frame};
use crate::download::Piece;
use crate::oci::{Bad, Chain, LARGEST_DOCUMENT, Platform, Reference, Want};
use crate::text::one_line;

/// Follows one pull.
#[derive(Debug)]
pub struct Follower {
    chain: Chain,
    inbox: Inbox,
    /// The document that is coming, and how long it will be.
    document: Option<(Vec<u8>, usize)>,
}

/// Why nothing more is heard.
#[derive(Debug)]
pub enum Lost {
    /// The child breaks the rules.
    Garbled(Garbled),
    /// This piece could not be had, or is not what it should be.
    Piece(String, Box<Piece>),
    /// The HTTP client could not be set up.
    NoClient(String),
    /// There is no room for what it gives.
    Sink(io::Error),
}

impl From<Garbled> for Lost {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled)
    }
}

impl Follower {
    /// Nothing was said yet.
    pub fn new(image: &Reference, platform: Platform) -> Self {
        Self { chain: Chain::new(image, platform), inbox: Inbox::default(), document: None }
    }

    /// What this kernel could not take from the child.
    pub fn lacks(&self) -> &[Lack] {
        self.inbox.lacks()
    }

    /// How far the pull is.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Takes what came, and gives the layers' bytes to `sink`, one layer after the other. Done when it returns how many
    /// bytes came over the network, as the child says.
    pub fn take(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<u64>, Lost> {
        while let Some(frame) = self.inbox.next::<Pulling>(&mut input)? {
            match frame {
                Frame::Bytes(bytes) => self.bytes(bytes, sink)?,
                Frame::Word(word) => {
                    if let Some(moved) = self.word(word)? {
                        return Ok(Some(moved));
                    }
                }
            }
        }
        Ok(None)
    }

    fn bytes(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Lost> {
        let Some((document, size)) = &mut self.document else {
            let what = self.chain.wanted();
            if !matches!(self.chain.want(), Want::Layer { .. }) {
                return Err(garbled("bytes of nothing"));
            }
            self.chain.layer(bytes).map_err(|bad| Self::bad(what, bad))?;
            return sink(bytes).map_err(Lost::Sink);
        };
        document.extend_from_slice(bytes);
        match document.len().cmp(size) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => {
                let what = self.chain.wanted();
                let document = std::mem::take(document);
                self.document = None;
                self.chain.document(&document).map_err(|bad| Self::bad(what, bad))
            }
            std::cmp::Ordering::Greater => Err(garbled("more bytes than a document has")),
        }
    }

    fn word(&mut self, word: Pulling) -> Result<Option<u64>, Lost> {
        match word {
            Pulling::NoClient(why) => Err(Lost::NoClient(one_line(&why))),
            Pulling::Failed(piece) => Err(Lost::Piece(self.chain.wanted(), Box::new(piece.cleaned()))),
            _ if self.document.is_some() => Err(garbled("something amidst a document")),
            Pulling::Document { size } => {
                let Want::Document { .. } = self.chain.want() else { return Err(garbled("a document too many")) };
                if !(1..=LARGEST_DOCUMENT).contains(&size) {
                    return Err(garbled("a document of no length, or too large"));
                }
                self.document = Some((Vec::new(), usize::try_from(size).unwrap_or(usize::MAX)));
                Ok(None)
            }
            Pulling::Done { moved } if self.chain.want() == Want::Nothing => Ok(Some(moved)),
            Pulling::Done { .. } => Err(garbled("that all is there, which it is not")),
        }
    }

    fn bad(what: String, bad: Bad) -> Lost {
        Lost::Piece(what, Box::new(Piece::Bad(bad.cleaned())))
    }
}

fn garbled(what: &str) -> Lost {
    Lost::Garbled(Garbled(what.to_owned()))
}
