//! Downloads in a worker: starts it, and follows what it reports.

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
use crate::sandbox::{describe_missing, supervise};

/// The hidden command of this program that is the child.
pub const DOWNLOAD_COMMAND: &str = "download";

/// What the library asks before it believes `HTTP_PROXY`: a CGI program's could come from a request.
const CGI_VARIABLE: &str = "REQUEST_METHOD";

/// How something is downloaded.
#[derive(Debug, Clone, Default)]
pub struct TransferOptions {
    /// With which patience, and which proxies.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: Vec<u8>,
}

/// Downloads the members of a plan, and gives them to `sink`: all bytes of one member, then all of the next, in
/// the plan's order. Nothing of it is to be trusted before its digest was compared.
///
/// `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what was fetched, and
/// what the user should know of this kernel.
pub fn download_package(
    plan: &BlockPlan<'_>,
    mirrors: &[Mirror],
    manner: &TransferOptions,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    tell: &mut dyn FnMut(DownloadEvent<'_>),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(DownloadSummary, Option<String>)> {
    let what = DownloadTask::Members {
        package: plan.package().sha256,
        targets: plan.members().iter().map(|member| member.target.clone()).collect(),
        mirrors: mirrors.to_vec(),
    };
    let mut receiver = PackageSupervisor::new(plan, mirrors);
    let fetched = run_download(what, manner, go_on, &mut |bytes| receiver.handle_input(bytes, sink, tell))?;
    Ok((fetched, describe_missing(receiver.missing_protections(), "downloads")))
}

/// Downloads a file whole, from the first of these URLs that gives it. Nothing of it is to be trusted before its digest
/// was compared. For the rest, as [`fetch`].
pub fn download_file(
    wanted: &FileDownload,
    urls: &[FileUrl],
    manner: &TransferOptions,
    sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    tell: &mut dyn FnMut(DownloadEvent<'_>),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(DownloadSummary, Option<String>)> {
    let what = DownloadTask::File { wanted: wanted.clone(), urls: urls.to_vec() };
    let mut receiver = FileSupervisor::new(wanted, urls);
    let fetched = run_download(what, manner, go_on, &mut |bytes| receiver.handle_input(bytes, sink, tell))?;
    Ok((fetched, describe_missing(receiver.missing_protections(), "downloads")))
}

/// What is made of the child's words.
type MessageHandler<'a> = dyn FnMut(&[u8]) -> std::result::Result<Option<DownloadSummary>, DownloadWorkerError> + 'a;

fn run_download(
    what: DownloadTask,
    manner: &TransferOptions,
    go_on: &mut dyn FnMut() -> Result<()>,
    take: &mut MessageHandler<'_>,
) -> Result<DownloadSummary> {
    let job = DownloadRequest {
        parent: std::process::id(),
        what,
        options: manner.options.clone(),
        extra_roots: String::from_utf8_lossy(&manner.extra_roots).into_owned(),
    };
    let job = serde_json::to_vec(&job).map_err(|e| worker_error(format!("cannot be reached: {e}")))?;
    supervise(Worker::start(DOWNLOAD_COMMAND, &client_variables(), job), &worker_error, go_on, &mut |bytes| {
        take(bytes).map_err(|stop| match stop {
            DownloadWorkerError::Failed(error) => error.into(),
            DownloadWorkerError::Protocol(garbled) => worker_error(garbled.to_string()),
        })
    })
}

fn worker_error(why: String) -> Error {
    DownloadError::Process(why).into()
}

/// The variables of our caller that count for a client.
pub(crate) fn client_variables() -> Vec<&'static str> {
    [download::PROXY_VARIABLES, &[CGI_VARIABLE]].concat()
}
