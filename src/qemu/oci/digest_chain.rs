//! The chain of digests from a reference to the layers: which bytes come next, and whether they are the ones.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{ImageReference, Platform};
use crate::qemu::oci::manifest::{ACCEPTED, Document, LayerDescriptor, ManifestDescriptor};
use crate::sanitize::to_one_line;
use crate::sha256::{HashingWriter, Sha256};

/// As large as an index or a manifest may be (distribution-spec v1.1: a registry should take manifests of 4 MiB).
pub const MAX_DOCUMENT_SIZE: u64 = 4 << 20;

/// One image on its way.
#[derive(Debug)]
pub struct DigestChain {
    platform: Platform,
    state: ChainState,
    /// The digest of the document that the reference means.
    top: Option<Sha256>,
    /// The digest of the manifest.
    manifest: Option<Sha256>,
}

#[derive(Debug)]
enum ChainState {
    /// The index or manifest is to come, and has this digest if one was named.
    Top(Option<Sha256>),
    /// The manifest that an index lists is to come.
    Listed(ManifestDescriptor),
    /// Layers are.
    Layers { layers: Vec<LayerDescriptor>, next: usize, got: u64, hashed: HashingWriter<io::Sink> },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
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
pub enum ChainError {
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

impl DigestChain {
    /// Nothing of the image is there.
    pub fn new(reference: &ImageReference, platform: Platform) -> Self {
        Self { platform, state: ChainState::Top(reference.digest()), top: None, manifest: None }
    }

    /// The media types of documents, as the value of `Accept`.
    pub fn accept_header() -> String {
        ACCEPTED.concat().join(", ")
    }

    /// What comes next.
    pub fn expected(&self) -> Expected {
        match &self.state {
            ChainState::Top(digest) => Expected::Document { digest: *digest, size: None },
            ChainState::Listed(ManifestDescriptor { digest, size, .. }) => {
                Expected::Document { digest: Some(*digest), size: Some(*size) }
            }
            ChainState::Layers { layers, next, got, .. } => match layers.get(*next) {
                Some(LayerDescriptor { digest, size }) => Expected::Layer { digest: *digest, size: *size, got: *got },
                None => Expected::Nothing,
            },
        }
    }

    /// The same for people.
    pub fn describe_expected(&self) -> String {
        match &self.state {
            ChainState::Top(_) => "the index or manifest".into(),
            ChainState::Listed(_) => format!("the manifest for {}", self.platform),
            ChainState::Layers { layers, next, .. } => format!("layer {} of {}", next.saturating_add(1), layers.len()),
        }
    }

    /// A whole document came. Its digest is compared before it is read.
    pub fn add_document(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        let Expected::Document { digest, size } = self.expected() else {
            return Err(ChainError::Refused("it is one document too many".into()));
        };
        let got = bytes.len() as u64;
        let wanted = size.unwrap_or(got);
        if got != wanted || got > MAX_DOCUMENT_SIZE {
            return Err(ChainError::Size { got, wanted: wanted.min(MAX_DOCUMENT_SIZE) });
        }
        let is = Sha256::of_bytes(bytes);
        check_digest(is, digest.unwrap_or(is))?;
        self.top.get_or_insert(is);
        match Document::parse(bytes).map_err(|e| ChainError::Refused(e.to_string()))? {
            Document::Index(listed) if size.is_none() => self.choose_manifest(listed),
            Document::Index(_) => Err(ChainError::Refused("it is an index in an index".into())),
            Document::Manifest(layers) => {
                self.manifest = Some(is);
                self.state = ChainState::Layers { layers, next: 0, got: 0, hashed: HashingWriter::new(io::sink()) };
                Ok(())
            }
        }
    }

    fn choose_manifest(&mut self, listed: Vec<ManifestDescriptor>) -> Result<(), ChainError> {
        let chosen = ManifestDescriptor::choose_manifest(listed, &self.platform)
            .map_err(|e| ChainError::Refused(e.to_string()))?;
        if !(1..=MAX_DOCUMENT_SIZE).contains(&chosen.size) {
            return Err(ChainError::Refused(format!("it lists a manifest of {} bytes", chosen.size)));
        }
        self.state = ChainState::Listed(chosen);
        Ok(())
    }

    /// More bytes of the layer came. The last ones of it are only taken if it has its digest.
    pub fn add_layer_bytes(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        let none = || ChainError::Refused("it is one layer too many".into());
        let ChainState::Layers { layers, next, got, hashed } = &mut self.state else { return Err(none()) };
        let layer = layers.get(*next).ok_or_else(none)?;
        let now = got.saturating_add(bytes.len() as u64);
        if now > layer.size {
            return Err(ChainError::Size { got: now, wanted: layer.size });
        }
        *got = now;
        hashed.write_all(bytes).map_err(|e| ChainError::Refused(e.to_string()))?;
        if *got == layer.size {
            let is = std::mem::replace(hashed, HashingWriter::new(io::sink())).finish();
            check_digest(is, layer.digest)?;
            *next = next.saturating_add(1);
            *got = 0;
        }
        Ok(())
    }

    /// How many bytes the layers have, and how many of them are there; nothing before they are known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let ChainState::Layers { layers, next, got, .. } = &self.state else { return None };
        let sum = |layers: &[LayerDescriptor]| layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        Some((sum(layers.get(..*next).unwrap_or_default()).saturating_add(*got), sum(layers)))
    }

    /// The lengths of the layers, base first, once all are there.
    pub fn layer_lengths(&self) -> Option<Vec<u64>> {
        let ChainState::Layers { layers, .. } = &self.state else { return None };
        (self.expected() == Expected::Nothing).then(|| layers.iter().map(|layer| layer.size).collect())
    }

    /// The digest that the reference has, or could have: of the index or manifest.
    pub fn top_digest(&self) -> Option<Sha256> {
        self.top
    }

    /// The digest of the platform's manifest.
    pub fn manifest_digest(&self) -> Option<Sha256> {
        self.manifest
    }
}

fn check_digest(got: Sha256, wanted: Sha256) -> Result<(), ChainError> {
    if got == wanted { Ok(()) } else { Err(ChainError::Digest { got, wanted }) }
}

impl ChainError {
    /// The same, fit for people's eyes whoever says it.
    #[must_use]
    pub fn into_printable(self) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(to_one_line(&why)),
            bad => bad,
        }
    }
}
