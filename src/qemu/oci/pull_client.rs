//! Pulls of an image by a confined worker, in the same way as downloads.

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
use crate::sandbox::pace::PaceLimits;
use crate::sandbox::{WorkerState, describe_missing, supervise};
use crate::sha256::Sha256;

/// The `internal` subcommand of the worker.
pub const PULL_COMMAND: &str = "pull";

/// Request for one image.
#[derive(Debug)]
pub struct PullRequest<'a> {
    /// Reference of the image.
    pub image: &'a ImageReference,
    /// Platform whose variant of the image is pulled.
    pub platform: Platform,
    /// Login at the registry.
    pub login: &'a RegistryLogin,
    /// Options of the HTTP client.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted in addition to the system's.
    pub extra_roots: &'a [u8],
}

/// Progress of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// Number of received bytes of layers.
    pub bytes: u64,
    /// Number of bytes of all layers.
    pub total: u64,
}

/// Verified image in memory.
#[derive(Debug)]
pub struct PulledImage {
    /// Layers of the image.
    pub layers: ImageLayers,
    /// Reference with the digest of the index or manifest that it named at the time of the pull.
    pub pinned: ImageReference,
    /// Digest of the platform's manifest.
    pub manifest: Sha256,
    /// Number of bytes in all response bodies, including tokens and repeated requests.
    pub moved: u64,
}

/// Pulls the image. Each returned byte is pinned by the reference's digest or, if the reference has none, by the digest
/// that its tag named at the time of the pull.
///
/// `check_interrupt` is called at least every 50 ms; if it fails, the worker is stopped. Returns a note for the user if
/// this kernel lacks protections of the worker.
pub fn pull_image(
    request: &PullRequest<'_>,
    report: &mut dyn FnMut(PullProgress),
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(PulledImage, Option<String>)> {
    let failed = |why: PullErrorKind| Error::from(PullError::new(request.image, request.login, why));
    let worker_error = |why: String| failed(PullErrorKind::Process(why));
    let job =
        serde_json::to_vec(&build_job(request)).map_err(|e| worker_error(format!("cannot be given its job: {e}")))?;
    let mut file = host::memfd::create_scratch().map_err(|e| failed(PullErrorKind::Memory(e)))?;
    let mut supervisor = PullSupervisor::new(request.image, request.platform.clone());
    let worker = Worker::start(PULL_COMMAND, &client_variables(), job);
    let moved = supervise(worker, PaceLimits::default(), &worker_error, check_interrupt, &mut |bytes| {
        let handled = supervisor.handle_input(bytes, &mut |bytes| file.write_all(bytes));
        if let Some((bytes, total)) = supervisor.digest_chain().progress() {
            report(PullProgress { bytes, total });
        }
        let moved = handled.map_err(|error| match error {
            PullWorkerError::Protocol(error) => worker_error(error.to_string()),
            PullWorkerError::Piece(what, why) => failed(PullErrorKind::Piece { what, why: *why }),
            PullWorkerError::NoClient(why) => failed(PullErrorKind::Client(why)),
            PullWorkerError::Sink(e) => failed(PullErrorKind::Memory(e)),
        })?;
        Ok(WorkerState::new(moved, supervisor.progress()))
    })?;
    let chain = supervisor.digest_chain();
    let (Some(lengths), Some(top), Some(manifest)) =
        (chain.layer_lengths(), chain.top_digest(), chain.manifest_digest())
    else {
        return Err(worker_error("ended too early".to_owned()));
    };
    let pulled =
        PulledImage { layers: ImageLayers { file, lengths }, pinned: request.image.with_digest(top), manifest, moved };
    Ok((pulled, describe_missing(supervisor.missing_protections(), "pull")))
}

fn build_job(request: &PullRequest<'_>) -> PullJob {
    PullJob {
        parent: std::process::id(),
        image: request.image.clone(),
        platform: request.platform.clone(),
        credentials: request.login.credentials.clone(),
        options: request.options.clone(),
        extra_roots: String::from_utf8_lossy(request.extra_roots).into_owned(),
    }
}
