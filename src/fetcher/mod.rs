//! Downloads in a process of its own, with as few rights as there can be.
//!
//! What comes from the network is read, decrypted and decoded by a child: this program again, which has
//! given up its user, its capabilities, all files and most of the system calls before the first byte
//! comes (`confine`). It gives back bytes over a pipe. Only the parent has files to write them to, and
//! it trusts the child no more than a mirror: what it says is checked (`receive`), and what it gave is
//! hashed again before it gets a name.
//!
//! Images are pulled from registries the same way (`pull`): what comes is followed by the parent's own chain of digests.
//!
//! Archives that the user names are unpacked the same way (`unpack`), in a process that has no network either; so
//! are the lists that Debian signed read (`verify`).
//!
//! The child dies with its parent, and holds nothing of the parent's: no lock, no file.

mod child;
pub mod confine;
mod course;
mod listen;
mod pull;
mod pulled;
mod puller;
mod receive;
mod receive_file;
mod syscalls;
mod unpack;
mod unpacker;
mod verifier;
mod verify;
pub mod wire;

pub use child::run;
pub use listen::{Deaf, Listener, Unpacked};
pub use pull::{Layers, PULL, Progress, PullOrder, Pulled, pull};
pub use pulled::{Follower, Lost, PullJob, Pulling};
pub use puller::run as run_puller;
pub use receive::{Receiver, Stop};
pub use receive_file::FileReceiver;
pub use unpack::{Sink, UNPACK, UNPACK_LAYERS, unpack, unpack_layers};
pub use unpacker::{run as run_unpacker, run_layers as run_layers_unpacker};
pub use verifier::run as run_verifier;
pub use verify::{VERIFY, latest, read};

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::catalog::{Member, Plan};
use crate::download::{self, ClientOptions, DownloadError, Event, Fetched, FileUrl, Mirror, Part, Wanted};
use crate::error::{Error, Result};
use crate::host::{Heard, Worker};
use crate::text::one_line;
use wire::{Job, Lack, What};

/// The `internal` subcommand that is the child.
pub const COMMAND: &str = "download";

/// What the library asks before it believes `HTTP_PROXY`: a CGI program's could come from a request.
const UNDER_CGI: &str = "REQUEST_METHOD";

/// How soon a signal is heard.
const TURN: Duration = Duration::from_millis(50);
/// So many turns without a word, five minutes, and the child is given up: it would have given up the
/// mirror long before. Counted in turns, so that a process that was stopped for a while is forgiven.
const LONGEST_SILENCE: u32 = 6000;

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
    let variables = [download::VARIABLES, &[UNDER_CGI]].concat();
    hear(Worker::start(COMMAND, &variables, job), &process, go_on, &mut |bytes| {
        take(bytes).map_err(|stop| match stop {
            Stop::Failed(error) => error.into(),
            Stop::Garbled(garbled) => process(garbled.to_string()),
        })
    })
}

/// Gives what a child says to `take` until that has all it wants. What goes wrong with the process is told by `process`.
fn hear<T>(
    started: io::Result<Worker>,
    process: &dyn Fn(String) -> Error,
    go_on: &mut dyn FnMut() -> Result<()>,
    take: &mut dyn FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<T> {
    let broken = |e: io::Error| process(format!("cannot be talked with: {e}"));
    let mut worker = started.map_err(|e| process(format!("cannot be started: {e}")))?;
    let mut buffer = vec![0; 512 << 10];
    let mut silent = 0;
    while silent < LONGEST_SILENCE {
        go_on()?;
        match worker.turn(&mut buffer, TURN).map_err(broken)? {
            Heard::Nothing => silent = silent.saturating_add(1),
            Heard::Bytes(length) => {
                silent = 0;
                if let Some(all) = take(buffer.get(..length).unwrap_or_default())? {
                    return Ok(all);
                }
            }
            Heard::End => {
                let (status, complaints) = worker.end().map_err(broken)?;
                return Err(process(death(status, &complaints)));
            }
        }
    }
    Err(process("said nothing for five minutes".to_owned()))
}

fn process(why: String) -> Error {
    DownloadError::Process(why).into()
}

/// How the child ended before it had done its work, for people.
fn death(status: ExitStatus, complaints: &str) -> String {
    let how = match status.signal() {
        Some(signal) => {
            let name = Signal::try_from(signal).map_or("", Signal::as_str);
            format!("was killed by signal {signal} {name}")
        }
        None => format!("ended too early, with {status}"),
    };
    match complaints.trim() {
        "" => how,
        complaints => format!("{how}: {}", one_line(complaints)),
    }
}

/// What the user should know of this kernel, if there is something.
fn note(lacks: &[Lack], work: &str) -> Option<String> {
    let missing = |lack: Lack, name| lacks.contains(&lack).then_some(name);
    let missing: Vec<_> = [
        missing(Lack::Landlock, "no Landlock"),
        missing(Lack::Seccomp, "no seccomp filters"),
        missing(Lack::User, "no way to become another user"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let missing = missing.join(" and ");
    let note =
        || format!("this kernel or container has {missing}: the process that {work} could not give up all its rights");
    (!missing.is_empty()).then(note)
}
