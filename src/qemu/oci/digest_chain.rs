//! The chain of digests from a reference to the layers. It decides which bytes come next and verifies them.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{ImageReference, Platform};
use crate::qemu::oci::manifest::{ACCEPTED, Document, LayerDescriptor, ManifestDescriptor};
use crate::sanitize::to_one_line;
use crate::sha256::{HashingWriter, Sha256};
use crate::ui::quantity::count;

/// Maximum size of an index or a manifest (distribution-spec v1.1: a registry should accept manifests of 4 MiB).
pub const MAX_DOCUMENT_SIZE: u64 = 4 << 20;

/// State of one pull: the verified part of the image, and what it leads to.
#[derive(Debug)]
pub struct DigestChain {
    platform: Platform,
    state: ChainState,
    /// Digest of the document that the reference names.
    top: Option<Sha256>,
    /// Digest of the platform's manifest.
    manifest: Option<Sha256>,
}

#[derive(Debug)]
enum ChainState {
    /// The index or manifest comes next. It must have this digest, if the reference has one.
    Top(Option<Sha256>),
    /// The manifest that the index lists for the platform comes next.
    Listed(ManifestDescriptor),
    /// The layers come next, or are complete.
    Layers { layers: Vec<LayerDescriptor>, next: usize, got: u64, hashed: HashingWriter<io::Sink> },
}

/// Part of the image that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Index or manifest.
    Document {
        /// Digest of the document, unless the reference has only a tag.
        digest: Option<Sha256>,
        /// Size in bytes, which is not known for the first document.
        size: Option<u64>,
    },
    /// Rest of a layer.
    Layer {
        /// Digest of the layer.
        digest: Sha256,
        /// Size of the layer in bytes.
        size: u64,
        /// Number of received bytes of the layer.
        got: u64,
    },
    /// Nothing: the image is complete and verified.
    Nothing,
}

/// Mismatch between received and expected bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChainError {
    /// Wrong digest.
    #[error("it has the SHA-256 {got}, not {wanted}; nothing of it was used")]
    Digest {
        /// Digest of the received bytes.
        got: Sha256,
        /// Expected digest.
        wanted: Sha256,
    },
    /// Wrong length.
    #[error("it has {}, not {wanted}", count(*got, "byte"))]
    Size {
        /// Number of received bytes.
        got: u64,
        /// Expected or maximum number of bytes.
        wanted: u64,
    },
    /// Document that cannot be used, with the reason.
    #[error("{0}")]
    Refused(String),
}

impl DigestChain {
    /// Creates the chain before the first document.
    pub fn new(reference: &ImageReference, platform: Platform) -> Self {
        Self { platform, state: ChainState::Top(reference.digest()), top: None, manifest: None }
    }

    /// Returns the media types of documents, as the value of `Accept`.
    pub fn accept_header() -> String {
        ACCEPTED.concat().join(", ")
    }

    /// Returns the part of the image that comes next.
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

    /// Describes the part of the image that comes next, for messages.
    pub fn describe_expected(&self) -> String {
        match &self.state {
            ChainState::Top(_) => "the index or manifest".into(),
            ChainState::Listed(_) => format!("the manifest for {}", self.platform),
            ChainState::Layers { layers, next, .. } => format!("layer {} of {}", next.saturating_add(1), layers.len()),
        }
    }

    /// Adds a whole document. Its digest is compared before it is parsed.
    pub fn add_document(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        let Expected::Document { digest, size } = self.expected() else {
            return Err(ChainError::Refused("unexpected document".into()));
        };
        let got = bytes.len() as u64;
        let wanted = size.unwrap_or(got);
        if got != wanted || got > MAX_DOCUMENT_SIZE {
            return Err(ChainError::Size { got, wanted: wanted.min(MAX_DOCUMENT_SIZE) });
        }
        let actual = Sha256::of_bytes(bytes);
        check_digest(actual, digest.unwrap_or(actual))?;
        self.top.get_or_insert(actual);
        match Document::parse(bytes).map_err(|e| ChainError::Refused(e.to_string()))? {
            Document::Index(listed) if size.is_none() => self.choose_manifest(listed),
            Document::Index(_) => Err(ChainError::Refused("it is an index in an index".into())),
            Document::Manifest(layers) => {
                self.manifest = Some(actual);
                self.state = ChainState::Layers { layers, next: 0, got: 0, hashed: HashingWriter::new(io::sink()) };
                Ok(())
            }
        }
    }

    fn choose_manifest(&mut self, listed: Vec<ManifestDescriptor>) -> Result<(), ChainError> {
        let chosen = ManifestDescriptor::choose_manifest(listed, &self.platform)
            .map_err(|e| ChainError::Refused(e.to_string()))?;
        if !(1..=MAX_DOCUMENT_SIZE).contains(&chosen.size) {
            return Err(ChainError::Refused(format!("it lists a manifest of {}", count(chosen.size, "byte"))));
        }
        self.state = ChainState::Listed(chosen);
        Ok(())
    }

    /// Adds bytes of the current layer. The last ones are accepted only if the whole layer has its digest.
    pub fn add_layer_bytes(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        let unexpected = || ChainError::Refused("unexpected bytes of a layer".into());
        let ChainState::Layers { layers, next, got, hashed } = &mut self.state else { return Err(unexpected()) };
        let layer = layers.get(*next).ok_or_else(unexpected)?;
        let length = got.saturating_add(bytes.len() as u64);
        if length > layer.size {
            return Err(ChainError::Size { got: length, wanted: layer.size });
        }
        *got = length;
        hashed.write_all(bytes).map_err(|e| ChainError::Refused(e.to_string()))?;
        if *got == layer.size {
            let actual = std::mem::replace(hashed, HashingWriter::new(io::sink())).finish();
            check_digest(actual, layer.digest)?;
            *next = next.saturating_add(1);
            *got = 0;
        }
        Ok(())
    }

    /// Returns the number of received bytes of all layers and their total size, or `None` before the manifest is known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let ChainState::Layers { layers, next, got, .. } = &self.state else { return None };
        let sum = |layers: &[LayerDescriptor]| layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        Some((sum(layers.get(..*next).unwrap_or_default()).saturating_add(*got), sum(layers)))
    }

    /// Returns the lengths of the layers, base first, or `None` before all are complete.
    pub fn layer_lengths(&self) -> Option<Vec<u64>> {
        let ChainState::Layers { layers, .. } = &self.state else { return None };
        (self.expected() == Expected::Nothing).then(|| layers.iter().map(|layer| layer.size).collect())
    }

    /// Returns the digest of the index or manifest that the reference names.
    pub fn top_digest(&self) -> Option<Sha256> {
        self.top
    }

    /// Returns the digest of the platform's manifest.
    pub fn manifest_digest(&self) -> Option<Sha256> {
        self.manifest
    }
}

fn check_digest(got: Sha256, wanted: Sha256) -> Result<(), ChainError> {
    if got == wanted { Ok(()) } else { Err(ChainError::Digest { got, wanted }) }
}

impl ChainError {
    /// Makes the texts of another process safe to print.
    #[must_use]
    pub fn into_printable(self) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(to_one_line(&why)),
            mismatch => mismatch,
        }
    }
}
