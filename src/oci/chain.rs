//! The chain of digests from a reference to the layers: which bytes come next, and whether they are the ones.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::document::{ACCEPTED, Document, Layer, Listed};
use super::{Platform, Reference};
use crate::digest::{Hashed, Sha256};
use crate::text::one_line;

/// As large as an index or a manifest may be (distribution-spec v1.1: a registry should take manifests of 4 MiB).
pub const LARGEST_DOCUMENT: u64 = 4 << 20;

/// One image on its way.
#[derive(Debug)]
pub struct Chain {
    platform: Platform,
    state: State,
    /// The digest of the document that the reference means.
    top: Option<Sha256>,
    /// The digest of the manifest.
    manifest: Option<Sha256>,
}

#[derive(Debug)]
enum State {
    /// The index or manifest is to come, and has this digest if one was named.
    Top(Option<Sha256>),
    /// The manifest that an index lists is to come.
    Listed(Listed),
    /// Layers are.
    Layers { layers: Vec<Layer>, next: usize, got: u64, hashed: Hashed<io::Sink> },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// An index or manifest.
    Document {
        /// its digest, unless a tag alone was named
        digest: Option<Sha256>,
        /// how long it is; not known of the first one
        size: Option<u64>,
    },
    /// A layer, from this byte on.
    Layer {
        /// its digest
        digest: Sha256,
        /// how long it is
        size: u64,
        /// how much of it is there
        got: u64,
    },
    /// All is there, and is what the reference means.
    Nothing,
}

/// What came is not what should have come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Bad {
    /// Other bytes.
    #[error("it has the SHA-256 {got}, not {wanted}; nothing of it was used")]
    Digest {
        /// what came
        got: Sha256,
        /// what was named
        wanted: Sha256,
    },
    /// Another length.
    #[error("it has {got} bytes, not {wanted}")]
    Size {
        /// what came
        got: u64,
        /// what was said before
        wanted: u64,
    },
    /// A document that is not taken.
    #[error("{0}")]
    Refused(String),
}

impl Chain {
    /// Nothing of the image is there.
    pub fn new(reference: &Reference, platform: Platform) -> Self {
        Self { platform, state: State::Top(reference.digest()), top: None, manifest: None }
    }

    /// The media types of documents, as the value of `Accept`.
    pub fn accepted() -> String {
        ACCEPTED.concat().join(", ")
    }

    /// What comes next.
    pub fn want(&self) -> Want {
        match &self.state {
            State::Top(digest) => Want::Document { digest: *digest, size: None },
            State::Listed(Listed { digest, size, .. }) => Want::Document { digest: Some(*digest), size: Some(*size) },
            State::Layers { layers, next, got, .. } => match layers.get(*next) {
                Some(Layer { digest, size }) => Want::Layer { digest: *digest, size: *size, got: *got },
                None => Want::Nothing,
            },
        }
    }

    /// The same for people.
    pub fn wanted(&self) -> String {
        match &self.state {
            State::Top(_) => "the index or manifest".into(),
            State::Listed(_) => format!("the manifest for {}", self.platform),
            State::Layers { layers, next, .. } => format!("layer {} of {}", next.saturating_add(1), layers.len()),
        }
    }

    /// A whole document came. Its digest is compared before it is read.
    pub fn document(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let Want::Document { digest, size } = self.want() else {
            return Err(Bad::Refused("it is one document too many".into()));
        };
        let got = bytes.len() as u64;
        let wanted = size.unwrap_or(got);
        if got != wanted || got > LARGEST_DOCUMENT {
            return Err(Bad::Size { got, wanted: wanted.min(LARGEST_DOCUMENT) });
        }
        let is = Sha256::of(bytes);
        same(is, digest.unwrap_or(is))?;
        self.top.get_or_insert(is);
        match Document::parse(bytes).map_err(|e| Bad::Refused(e.to_string()))? {
            Document::Index(listed) if size.is_none() => self.choose(listed),
            Document::Index(_) => Err(Bad::Refused("it is an index in an index".into())),
            Document::Manifest(layers) => {
                self.manifest = Some(is);
                self.state = State::Layers { layers, next: 0, got: 0, hashed: Hashed::new(io::sink()) };
                Ok(())
            }
        }
    }

    fn choose(&mut self, listed: Vec<Listed>) -> Result<(), Bad> {
        let chosen = Listed::choose(listed, &self.platform).map_err(|e| Bad::Refused(e.to_string()))?;
        if !(1..=LARGEST_DOCUMENT).contains(&chosen.size) {
            return Err(Bad::Refused(format!("it lists a manifest of {} bytes", chosen.size)));
        }
        self.state = State::Listed(chosen);
        Ok(())
    }

    /// More bytes of the layer came. The last ones of it are only taken if it has its digest.
    pub fn layer(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let none = || Bad::Refused("it is one layer too many".into());
        let State::Layers { layers, next, got, hashed } = &mut self.state else { return Err(none()) };
        let layer = layers.get(*next).ok_or_else(none)?;
        let now = got.saturating_add(bytes.len() as u64);
        if now > layer.size {
            return Err(Bad::Size { got: now, wanted: layer.size });
        }
        *got = now;
        hashed.write_all(bytes).map_err(|e| Bad::Refused(e.to_string()))?;
        if *got == layer.size {
            let is = std::mem::replace(hashed, Hashed::new(io::sink())).sha256();
            same(is, layer.digest)?;
            *next = next.saturating_add(1);
            *got = 0;
        }
        Ok(())
    }

    /// How many bytes the layers have, and how many of them are there; nothing before they are known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let State::Layers { layers, next, got, .. } = &self.state else { return None };
        let sum = |layers: &[Layer]| layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        Some((sum(layers.get(..*next).unwrap_or_default()).saturating_add(*got), sum(layers)))
    }

    /// The lengths of the layers, base first, once all are there.
    pub fn lengths(&self) -> Option<Vec<u64>> {
        let State::Layers { layers, .. } = &self.state else { return None };
        (self.want() == Want::Nothing).then(|| layers.iter().map(|layer| layer.size).collect())
    }

    /// The digest that the reference has, or could have: of the index or manifest.
    pub fn top(&self) -> Option<Sha256> {
        self.top
    }

    /// The digest of the platform's manifest.
    pub fn manifest(&self) -> Option<Sha256> {
        self.manifest
    }
}

fn same(got: Sha256, wanted: Sha256) -> Result<(), Bad> {
    if got == wanted { Ok(()) } else { Err(Bad::Digest { got, wanted }) }
}

impl Bad {
    /// The same, fit for people's eyes whoever says it.
    #[must_use]
    pub fn cleaned(self) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(one_line(&why)),
            bad => bad,
        }
    }
}
