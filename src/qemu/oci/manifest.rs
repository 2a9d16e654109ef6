//! What is in an index, and what in a manifest: of the OCI (image-spec v1.1) and of docker (schema 2), whose shapes are
//! the same.
//!
//! Which of the two it is, the document itself says, not the server's `Content-Type`, which no digest covers. One that
//! could be read as either is refused, as the specification asks for since CVE-2021-41190.

use serde::Deserialize;

use super::Platform;
use crate::qemu::archive::MAX_TOTAL;
use crate::sanitize::to_one_line;
use crate::sha256::Sha256;

/// More than docker makes (127, moby `layer/layer_store.go`: `maxLayerDepth` and one).
pub const MAX_LAYERS: usize = 128;

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Tar archives, whose packing is told by their first bytes.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// What a registry is asked for.
pub(super) const ACCEPTED: [&[&str]; 2] = [&INDEXES, &MANIFESTS];

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The manifests of an image, one for each platform, and whatever else.
    Index(Vec<ManifestDescriptor>),
    /// The layers of an image, base first.
    Manifest(Vec<LayerDescriptor>),
}

/// A manifest that an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDescriptor {
    /// Its digest.
    pub digest: Sha256,
    /// How long it is.
    pub size: u64,
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A layer that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// Its digest, as it is packed.
    pub digest: Sha256,
    /// How long it is, packed. Never 0.
    pub size: u64,
}

/// A document is not an index or a manifest that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    /// It is not JSON of this shape.
    #[error("it cannot be read: {0}")]
    Json(String),
    /// It is of an older or a newer schema.
    #[error("it has the schema version {0}, and only 2 is known")]
    Schema(u64),
    /// It has the parts of both (CVE-2021-41190).
    #[error("it could be an index and a manifest")]
    Both,
    /// It has another media type, or the parts of neither.
    #[error("it is no image, but {0}")]
    Neither(String),
    /// It has no layer, or too many.
    #[error("it has {0} layers, not 1 to {MAX_LAYERS}")]
    Layers(usize),
    /// Its layers are too large together.
    #[error("its layers have {0} bytes, more than {MAX_TOTAL}")]
    Total(u64),
    /// A layer has another media type.
    #[error("it has a layer that is no tar archive, but {0}")]
    LayerType(String),
    /// The digest of a layer is not a SHA-256.
    #[error("it has a layer with the digest {0}")]
    LayerDigest(String),
    /// A layer is empty.
    #[error("it has an empty layer")]
    EmptyLayer,
}

/// An index has no manifest for the platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has nothing for {platform}, {}", others(names))]
pub struct NoPlatformError {
    platform: Platform,
    /// The platforms that it has.
    names: Vec<String>,
}

fn others(names: &[String]) -> String {
    if names.is_empty() { "nor for any other platform".to_owned() } else { format!("but for {}", names.join(", ")) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentJson {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<DescriptorJson>>,
    layers: Option<Vec<DescriptorJson>>,
}

/// image-spec v1.1, `descriptor.md`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorJson {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<PlatformJson>,
}

#[derive(Deserialize)]
struct PlatformJson {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Document {
    /// Reads it; what is wrong with it, for people.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let text: DocumentJson = serde_json::from_slice(bytes).map_err(|e| InvalidDocument::Json(e.to_string()))?;
        if text.schema_version != 2 {
            return Err(InvalidDocument::Schema(text.schema_version));
        }
        let media_type = text.media_type.as_deref();
        match (text.manifests, text.layers) {
            (Some(manifests), None) if media_type.is_none_or(|is| INDEXES.contains(&is)) => Ok(Self::Index(
                manifests
                    .into_iter()
                    .filter(|entry| MANIFESTS.contains(&&*entry.media_type))
                    .filter_map(to_manifest)
                    .collect(),
            )),
            (None, Some(layers)) if media_type.is_none_or(|is| MANIFESTS.contains(&is)) => parse_layers(layers),
            (Some(_), Some(_)) => Err(InvalidDocument::Both),
            _ => Err(InvalidDocument::Neither(to_one_line(media_type.unwrap_or("something else")))),
        }
    }
}

/// What cannot be for any machine of ours is passed over: attestations, which have the platform `unknown/unknown`
/// (BuildKit, docs/attestations/attestation-storage.md), and those with a digest of another kind.
fn to_manifest(entry: DescriptorJson) -> Option<ManifestDescriptor> {
    let PlatformJson { os, architecture, variant } = entry.platform?;
    Some(ManifestDescriptor { digest: parse_digest(&entry.digest)?, size: entry.size, os, architecture, variant })
}

fn parse_layers(layers: Vec<DescriptorJson>) -> Result<Document, InvalidDocument> {
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        return Err(InvalidDocument::Layers(layers.len()));
    }
    let total = layers.iter().fold(0_u64, |total, layer| total.saturating_add(layer.size));
    if total > MAX_TOTAL {
        return Err(InvalidDocument::Total(total));
    }
    let layer = |layer: DescriptorJson| {
        if !LAYERS.contains(&&*layer.media_type) {
            return Err(InvalidDocument::LayerType(to_one_line(&layer.media_type)));
        }
        let digest = parse_digest(&layer.digest);
        let digest = digest.ok_or_else(|| InvalidDocument::LayerDigest(to_one_line(&layer.digest)))?;
        if layer.size == 0 {
            Err(InvalidDocument::EmptyLayer)
        } else {
            Ok(LayerDescriptor { digest, size: layer.size })
        }
    };
    layers.into_iter().map(layer).collect::<Result<_, _>>().map(Document::Manifest)
}

fn parse_digest(digest: &str) -> Option<Sha256> {
    digest.strip_prefix("sha256:")?.parse().ok()
}

impl ManifestDescriptor {
    /// The first one for this platform; else which ones there are, for people.
    pub(super) fn choose_manifest(listed: Vec<Self>, platform: &Platform) -> Result<Self, NoPlatformError> {
        let known = |one: &Self| one.os != "unknown";
        let names: Vec<_> = listed.iter().filter(|one| known(one)).take(20).map(Self::describe_platform).collect();
        let chosen =
            listed.into_iter().find(|one| platform.accepts_image(&one.os, &one.architecture, one.variant.as_deref()));
        chosen.ok_or_else(|| NoPlatformError { platform: platform.clone(), names })
    }

    fn describe_platform(&self) -> String {
        let variant = self.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        to_one_line(&format!("{}/{}{variant}", self.os, self.architecture))
    }
}
