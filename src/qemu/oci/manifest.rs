//! Parser of indexes and manifests of the OCI (image-spec v1.1) and of docker (schema 2), which have the same shapes.
//!
//! The document itself decides whether it is an index or a manifest. The server's `Content-Type` is ignored, because no
//! digest covers it. A document that could be read as either is refused, as the specification demands since
//! CVE-2021-41190.

use serde::Deserialize;

use super::Platform;
use crate::qemu::archive::MAX_TOTAL;
use crate::sanitize::to_one_line;
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Maximum number of layers, more than docker makes (127, moby `layer/layer_store.go`: `maxLayerDepth` and one).
pub const MAX_LAYERS: usize = 128;

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Media types of tar archives. Their compression is detected from their first bytes.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Media types that are requested from a registry.
pub(super) const ACCEPTED: [&[&str]; 2] = [&INDEXES, &MANIFESTS];

/// Index or manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Manifests of an image, one for each platform, and other entries.
    Index(Vec<ManifestDescriptor>),
    /// Layers of an image, base first.
    Manifest(Vec<LayerDescriptor>),
}

/// Manifest that an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDescriptor {
    /// Digest of the manifest.
    pub digest: Sha256,
    /// Size of the manifest in bytes.
    pub size: u64,
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// Layer that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// Digest of the compressed layer.
    pub digest: Sha256,
    /// Size of the compressed layer in bytes, never 0.
    pub size: u64,
}

/// Document that is not a usable index or manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    /// Text that is not JSON of the expected shape.
    #[error("it cannot be read: {0}")]
    Json(String),
    /// Schema version other than 2.
    #[error("it has the schema version {0}, and only 2 is supported")]
    Schema(u64),
    /// Document with the fields of both kinds (CVE-2021-41190).
    #[error("it could be an index and a manifest")]
    Both,
    /// Document with another media type, or with the fields of neither kind.
    #[error("it is not an image but {0}")]
    Neither(String),
    /// Manifest without layers, or with too many.
    #[error("it has {}, not 1 to {MAX_LAYERS}", count(*.0, "layer"))]
    Layers(usize),
    /// Layers that are too large together.
    #[error("its layers have {}, more than {MAX_TOTAL}", count(*.0, "byte"))]
    Total(u64),
    /// Layer with another media type.
    #[error("it has a layer that is not a tar archive but {0}")]
    LayerType(String),
    /// Digest of a layer that is not a SHA-256.
    #[error("it has a layer with the digest {0}, which is not a SHA-256")]
    LayerDigest(String),
    /// Layer of 0 bytes.
    #[error("it has an empty layer")]
    EmptyLayer,
}

/// Index without a manifest for the platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has no manifest for {platform}{}", describe_others(names))]
pub struct NoPlatformError {
    platform: Platform,
    /// Platforms of the index.
    names: Vec<String>,
}

fn describe_others(names: &[String]) -> String {
    if names.is_empty() { " or any other platform".to_owned() } else { format!(", only for {}", names.join(", ")) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentJson {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<DescriptorJson>>,
    layers: Option<Vec<DescriptorJson>>,
}

/// Descriptor (image-spec v1.1, `descriptor.md`).
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
    /// Parses an index or a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let text: DocumentJson = serde_json::from_slice(bytes).map_err(|e| InvalidDocument::Json(e.to_string()))?;
        if text.schema_version != 2 {
            return Err(InvalidDocument::Schema(text.schema_version));
        }
        let media_type = text.media_type.as_deref();
        match (text.manifests, text.layers) {
            (Some(manifests), None) if media_type.is_none_or(|media_type| INDEXES.contains(&media_type)) => {
                Ok(Self::Index(
                    manifests
                        .into_iter()
                        .filter(|entry| MANIFESTS.contains(&&*entry.media_type))
                        .filter_map(to_manifest)
                        .collect(),
                ))
            }
            (None, Some(layers)) if media_type.is_none_or(|media_type| MANIFESTS.contains(&media_type)) => {
                parse_layers(layers)
            }
            (Some(_), Some(_)) => Err(InvalidDocument::Both),
            _ => Err(InvalidDocument::Neither(to_one_line(media_type.unwrap_or("something else")))),
        }
    }
}

/// Converts an entry of an index, or returns `None` for entries that are not for any supported machine: entries without
/// a platform or with another kind of digest. Attestations have the platform `unknown/unknown` (BuildKit,
/// docs/attestations/attestation-storage.md), which [`Platform`] does not accept.
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
    let to_layer = |layer: DescriptorJson| {
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
    layers.into_iter().map(to_layer).collect::<Result<_, _>>().map(Document::Manifest)
}

fn parse_digest(digest: &str) -> Option<Sha256> {
    digest.strip_prefix("sha256:")?.parse().ok()
}

impl ManifestDescriptor {
    /// Returns the first manifest for this platform. The error names the platforms of the index.
    pub(super) fn choose_manifest(listed: Vec<Self>, platform: &Platform) -> Result<Self, NoPlatformError> {
        let names: Vec<_> =
            listed.iter().filter(|entry| entry.os != "unknown").take(20).map(Self::describe_platform).collect();
        let accepts = |entry: &Self| platform.accepts_image(&entry.os, &entry.architecture, entry.variant.as_deref());
        let chosen = listed.into_iter().find(accepts);
        chosen.ok_or_else(|| NoPlatformError { platform: platform.clone(), names })
    }

    fn describe_platform(&self) -> String {
        let variant = self.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        to_one_line(&format!("{}/{}{variant}", self.os, self.architecture))
    }
}
