//! A small image: an index with an attestation in it, manifests for two machines, two layers each.

use std::collections::BTreeMap;
use std::io::Write as _;

use binfmt_nix::sha256::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::EntryType;

/// Repository of all images.
pub(crate) const NAME: &str = "fox/qemu";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// All blobs of an image by digest, and the digests of its parts.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) index: String,
    pub(crate) manifest: String,
    pub(crate) layers: Vec<String>,
}

/// A member of a layer.
pub(crate) struct Member(pub(crate) &'static str, pub(crate) EntryType, pub(crate) Vec<u8>);

pub(crate) fn file(path: &'static str, content: &[u8]) -> Member {
    Member(path, EntryType::Regular, content.to_vec())
}

/// Contents of the emulator in the good image: 40,000 bytes that begin like an ELF file, and that compression does not
/// make fewer.
pub(crate) fn emulator() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    b"\x7fELF".iter().copied().chain(std::iter::repeat_with(next)).take(40_000).collect()
}

impl Image {
    /// An image whose lower layer has emulators for arm and aarch64. The upper layer hides the one for arm.
    pub(crate) fn good() -> Self {
        let lower = layer(&[file("usr/bin/qemu-arm", b"old"), file("usr/bin/qemu-aarch64", &emulator())]);
        Self::of(&[lower, layer(&[file("usr/bin/.wh.qemu-arm", b""), file("etc/motd", b"hello")])])
    }

    pub(crate) fn of(layers: &[Vec<u8>]) -> Self {
        let layers: Vec<_> = layers.iter().map(|layer| (LAYER, layer.clone())).collect();
        Self::typed(&layers)
    }

    pub(crate) fn typed(layers: &[(&str, Vec<u8>)]) -> Self {
        let descriptors: Vec<_> = layers.iter().map(|(kind, layer)| descriptor(kind, layer)).collect();
        let mut image = Self::listing(&json!(descriptors));
        for (_, layer) in layers {
            let digest = image.keep(layer.clone());
            image.layers.push(digest);
        }
        image
    }

    /// An image whose manifest lists these layers, without their blobs.
    pub(crate) fn listing(layers: &Value) -> Self {
        let config = descriptor("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        Self::with_manifest(&manifest.to_string().into_bytes())
    }

    pub(crate) fn with_manifest(manifest: &[u8]) -> Self {
        let other = |architecture: &str, os: &str| {
            let mut other = descriptor(MANIFEST, architecture.as_bytes());
            other["platform"] = json!({ "architecture": architecture, "os": os });
            other
        };
        let mut ours = descriptor(MANIFEST, manifest);
        ours["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        let mut attestation = other("unknown", "unknown");
        attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        let mut artifact = other("amd64", "linux");
        artifact["mediaType"] = json!("application/vnd.fox.den.v1+json");
        let manifests = [attestation, artifact, other("s390x", "linux"), ours, other("amd64", "windows")];
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let mut image = Self::with_index(&index.to_string().into_bytes());
        image.manifest = image.keep(manifest.to_vec());
        image
    }

    pub(crate) fn with_index(index: &[u8]) -> Self {
        let mut image =
            Self { blobs: BTreeMap::new(), index: String::new(), manifest: String::new(), layers: Vec::new() };
        image.index = image.keep(index.to_vec());
        image
    }

    pub(crate) fn keep(&mut self, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        digest
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::of_bytes(bytes))
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
}

pub(crate) fn layer(members: &[Member]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&tar(members)).unwrap();
    gz.finish().unwrap()
}

pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Member(path, kind, content) in members {
        let mut header = tar::Header::new_ustar();
        // Written directly, because the library refuses some of these paths.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}
