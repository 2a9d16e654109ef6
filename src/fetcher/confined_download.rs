//! Downloads in a worker: starts it, and follows what it reports.

use std::io;

use super::protocol_download::{Job, What};
use super::receive::{Receiver, Stop};
use super::receive_file::FileReceiver;
use super::{hear, note};
use crate::catalog::{Member, Plan};
use crate::download::{self, ClientOptions, DownloadError, Event, Fetched, FileUrl, Mirror, Part, Wanted};
use crate::error::{Error, Result};
use crate::host::Worker;

/// The hidden command of this program that is the child.
pub const COMMAND: &str = "download";

/// What the library asks before it believes `HTTP_PROXY`: a CGI program's could come from a request.
const UNDER_CGI: &str = "REQUEST_METHOD";

/// How something is downloaded.
#[derive(Debug, Clone, Default)]
pub struct Manner {
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
pub fn fetch(
    plan: &Plan<'_>,
    mirrors: &[Mirror],
    manner: &Manner,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    tell: &mut dyn FnMut(Event<'_>),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Fetched, Option<String>)> {
    let what = What::Members {
        package: plan.package().sha256,
        targets: plan.members().iter().map(|member| member.target.clone()).collect(),
        mirrors: mirrors.to_vec(),
    };
    let mut receiver = Receiver::new(plan, mirrors);
    let fetched = download(what, manner, go_on, &mut |bytes| receiver.take(bytes, sink, tell))?;
    Ok((fetched, note(receiver.lacks(), "downloads")))
}

/// Downloads a file whole, from the first of these URLs that gives it. Nothing of it is to be trusted before its digest
/// was compared. For the rest, as [`fetch`].
pub fn file(
    wanted: &Wanted,
    urls: &[FileUrl],
    manner: &Manner,
    sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
    tell: &mut dyn FnMut(Event<'_>),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Fetched, Option<String>)> {
    let what = What::File { wanted: wanted.clone(), urls: urls.to_vec() };
    let mut receiver = FileReceiver::new(wanted, urls);
    let fetched = download(what, manner, go_on, &mut |bytes| receiver.take(bytes, sink, tell))?;
    Ok((fetched, note(receiver.lacks(), "downloads")))
}

/// What is made of the child's words.
type Take<'a> = dyn FnMut(&[u8]) -> std::result::Result<Option<Fetched>, Stop> + 'a;

fn download(
    what: What,
    manner: &Manner,
    go_on: &mut dyn FnMut() -> Result<()>,
    take: &mut Take<'_>,
) -> Result<Fetched> {
    let job = Job {
        parent: std::process::id(),
        what,
        options: manner.options.clone(),
        extra_roots: String::from_utf8_lossy(&manner.extra_roots).into_owned(),
    };
    let job = serde_json::to_vec(&job).map_err(|e| process(format!("cannot be talked with: {e}")))?;
    hear(Worker::start(COMMAND, &variables(), job), &process, go_on, &mut |bytes| {
        take(bytes).map_err(|stop| match stop {
            Stop::Failed(error) => error.into(),
            Stop::Garbled(garbled) => process(garbled.to_string()),
        })
    })
}

fn process(why: String) -> Error {
    DownloadError::Process(why).into()
}

/// The variables of our caller that count for a client.
pub(super) fn variables() -> Vec<&'static str> {
    [download::VARIABLES, &[UNDER_CGI]].concat()
}
