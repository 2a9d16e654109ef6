//! Downloads in a confined worker: starts the worker, and handles its messages.

use std::io;

use crate::error::{Error, Result};
use crate::host::Worker;
use crate::qemu::catalog::{BlockPlan, Member};
use crate::qemu::download;
use crate::qemu::download::protocol::{DownloadRequest, DownloadTask};
use crate::qemu::download::supervise_file::FileSupervisor;
use crate::qemu::download::supervise_package::{DownloadWorkerError, PackageSupervisor};
use crate::qemu::download::{
    ClientOptions, DownloadError, DownloadEvent, DownloadSummary, FileChunk, FileDownload, FileUrl, Mirror,
};
use crate::sandbox::pace::PaceLimits;
use crate::sandbox::{WorkerState, describe_missing, supervise};

/// Name of the internal command that runs as the worker.
pub const DOWNLOAD_COMMAND: &str = "download";

/// Variable that makes the HTTP library ignore `HTTP_PROXY`: in a CGI program the value could come from a request.
const CGI_VARIABLE: &str = "REQUEST_METHOD";

/// Options of a transfer.
#[derive(Debug, Clone, Default)]
pub struct TransferOptions {
    /// Time limits and proxies.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: Vec<u8>,
    /// Limits on the worker.
    pub pace: PaceLimits,
}

/// Downloads the members of a plan, and passes them to `sink`: all bytes of one member, then all of the next, in the order of
/// the plan. The caller must not trust any byte before it has compared the digest.
///
/// `check_interrupt` is called at least every 50 ms, and an error from it ends the worker. Returns a summary, and a note about
/// protections that this kernel lacks.
pub fn download_package(
    plan: &BlockPlan<'_>,
    mirrors: &[Mirror],
    transfer: &TransferOptions,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    report: &mut dyn FnMut(DownloadEvent<'_>),
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(DownloadSummary, Option<String>)> {
    let task = DownloadTask::Members {
        package: plan.package().sha256,
        targets: plan.members().iter().map(|member| member.target.clone()).collect(),
        mirrors: mirrors.to_vec(),
    };
    let mut supervisor = PackageSupervisor::new(plan, mirrors);
    let summary = run_download(task, transfer, check_interrupt, &mut |bytes| {
        let summary = supervisor.handle_input(bytes, sink, report)?;
        Ok(WorkerState::new(summary, supervisor.progress()))
    })?;
    Ok((summary, describe_missing(supervisor.missing_protections(), "download")))
}

/// Downloads a whole file from the first of these URLs that provides it. The caller must not trust any byte before it has
/// compared the digest. Otherwise like [`download_package`].
pub fn download_file(
    wanted: &FileDownload,
    urls: &[FileUrl],
    transfer: &TransferOptions,
    sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    report: &mut dyn FnMut(DownloadEvent<'_>),
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(DownloadSummary, Option<String>)> {
    let task = DownloadTask::File { wanted: wanted.clone(), urls: urls.to_vec() };
    let mut supervisor = FileSupervisor::new(wanted, urls);
    let summary = run_download(task, transfer, check_interrupt, &mut |bytes| {
        let summary = supervisor.handle_input(bytes, sink, report)?;
        Ok(WorkerState::new(summary, supervisor.progress()))
    })?;
    Ok((summary, describe_missing(supervisor.missing_protections(), "download")))
}

/// Handler of the worker's output.
type MessageHandler<'a> =
    dyn FnMut(&[u8]) -> std::result::Result<WorkerState<DownloadSummary>, DownloadWorkerError> + 'a;

fn run_download(
    task: DownloadTask,
    transfer: &TransferOptions,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
    handle: &mut MessageHandler<'_>,
) -> Result<DownloadSummary> {
    let job = DownloadRequest {
        parent: std::process::id(),
        what: task,
        options: transfer.options.clone(),
        extra_roots: String::from_utf8_lossy(&transfer.extra_roots).into_owned(),
    };
    let job = serde_json::to_vec(&job).map_err(|e| worker_error(format!("cannot get its job: {e}")))?;
    let worker = Worker::start(DOWNLOAD_COMMAND, &client_variables(), job);
    supervise(worker, transfer.pace, &worker_error, check_interrupt, &mut |bytes| {
        handle(bytes).map_err(|stop| match stop {
            DownloadWorkerError::Failed(error) => error.into(),
            DownloadWorkerError::Protocol(violation) => worker_error(violation.to_string()),
        })
    })
}

fn worker_error(why: String) -> Error {
    DownloadError::Process(why).into()
}

/// Lists the variables of the caller's environment that the HTTP client uses.
pub(crate) fn client_variables() -> Vec<&'static str> {
    [download::PROXY_VARIABLES, &[CGI_VARIABLE]].concat()
}
