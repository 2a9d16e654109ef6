//! Pulls an image from a registry in a process of its own, as downloads are.

use std::io::Write as _;

use crate::error::{Error, Result};
use crate::host::{self, Worker};
use crate::qemu::archive::unpack::ImageLayers;
use crate::qemu::download::ClientOptions;
use crate::qemu::download::confined::client_variables;
use crate::qemu::oci::error::{PullError, PullErrorKind};
use crate::qemu::oci::protocol::PullJob;
use crate::qemu::oci::supervise::{PullSupervisor, PullWorkerError};
use crate::qemu::oci::{ImageReference, Platform, RegistryLogin};
use crate::sandbox::{describe_missing, supervise};
use crate::sha256::Sha256;

/// The `internal` subcommand that is the child.
pub const PULL_COMMAND: &str = "pull";

/// What is to be pulled, and how.
#[derive(Debug)]
pub struct PullRequest<'a> {
    /// Which image.
    pub image: &'a ImageReference,
    /// For which machine.
    pub platform: Platform,
    /// Who we are to the registry.
    pub login: &'a RegistryLogin,
    /// How.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: &'a [u8],
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// How many bytes of layers are there.
    pub bytes: u64,
    /// How many there will be.
    pub of: u64,
}

/// An image.
#[derive(Debug)]
pub struct PulledImage {
    /// Its layers.
    pub layers: ImageLayers,
    /// The reference with the digest of what it meant, which is the one it had if it had one.
    pub pinned: ImageReference,
    /// The digest of the platform's manifest.
    pub manifest: Sha256,
    /// How many bytes of bodies came over the network, tokens and second tries among them.
    pub moved: u64,
}

/// Pulls the image. Each byte that comes back is as the reference's digest says, or, without one, as the tag said now.
///
/// `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what came, and what the user should
/// know of this kernel.
pub fn pull_image(
    order: &PullRequest<'_>,
    tell: &mut dyn FnMut(PullProgress),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(PulledImage, Option<String>)> {
    let failed = |why: PullErrorKind| Error::from(PullError::new(order.image, order.login, why));
    let process = |why: String| failed(PullErrorKind::Process(why));
    let job = serde_json::to_vec(&build_job(order)).map_err(|e| process(format!("cannot be reached: {e}")))?;
    let mut file = host::memfd::create_scratch().map_err(|e| failed(PullErrorKind::Memory(e)))?;
    let mut supervisor = PullSupervisor::new(order.image, order.platform.clone());
    let moved = supervise(Worker::start(PULL_COMMAND, &client_variables(), job), &process, go_on, &mut |bytes| {
        let taken = supervisor.handle_input(bytes, &mut |bytes| file.write_all(bytes));
        if let Some((bytes, of)) = supervisor.digest_chain().progress() {
            tell(PullProgress { bytes, of });
        }
        taken.map_err(|lost| match lost {
            PullWorkerError::Protocol(garbled) => process(garbled.to_string()),
            PullWorkerError::Piece(what, why) => failed(PullErrorKind::Piece { what, why: *why }),
            PullWorkerError::NoClient(why) => failed(PullErrorKind::Client(why)),
            PullWorkerError::Sink(e) => failed(PullErrorKind::Memory(e)),
        })
    })?;
    let chain = supervisor.digest_chain();
    let (Some(lengths), Some(top), Some(manifest)) =
        (chain.layer_lengths(), chain.top_digest(), chain.manifest_digest())
    else {
        return Err(process("ended too early".to_owned()));
    };
    let pulled =
        PulledImage { layers: ImageLayers { file, lengths }, pinned: order.image.with_digest(top), manifest, moved };
    Ok((pulled, describe_missing(supervisor.missing_protections(), "pulls")))
}

fn build_job(order: &PullRequest<'_>) -> PullJob {
    PullJob {
        parent: std::process::id(),
        image: order.image.clone(),
        platform: order.platform.clone(),
        credentials: order.login.credentials.clone(),
        options: order.options.clone(),
        extra_roots: String::from_utf8_lossy(order.extra_roots).into_owned(),
    }
}
