//! The child that pulls: gives up its rights, reads its job, and gives what the registry has.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use super::child::{AT_ONCE, Output, TICK, read};
use super::confine::{Work, confine, die_with};
use super::pulled::{PullJob, Pulling};
use super::wire;
use crate::download::{Client, DownloadError, Given, Roots, Stopped, pull};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};

/// Does the job that is on standard input. In the order of `child`, and for its reasons.
pub fn run() -> Result<ExitCode> {
    let failed = |what| move |e: io::Error| Error::io(what, Path::new("/proc/self"), e);
    let host = Host::live();
    host::process::close_inherited_fds().map_err(failed("close the files of"))?;
    let roots = Roots::of_this_machine();
    let lacks = confine(&host, Work::Download).map_err(failed("confine"))?;
    let job: PullJob = read().map_err(failed("read the job of"))?;
    die_with(job.parent).map_err(failed("follow the parent of"))?;
    let mut voice = Voice { out: BufWriter::with_capacity(AT_ONCE, Output), heard: Instant::now() };
    let mut talk = || -> io::Result<()> {
        voice.say(&Pulling::Ready { lacks: lacks.clone() })?;
        let last = last_word(&job, roots.clone(), &mut voice)?;
        voice.say(&last)
    };
    talk().map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}

fn last_word(job: &PullJob, roots: Roots, voice: &mut Voice) -> io::Result<Pulling> {
    let client = match Client::new(&job.options, roots.and(job.extra_roots.as_bytes())) {
        Ok(client) => client,
        Err(DownloadError::Client(why)) => return Ok(Pulling::NoClient(why)),
        Err(error) => return Ok(Pulling::NoClient(error.to_string())),
    };
    match pull(&client, &job.image, job.platform.clone(), &job.credentials, &mut |given| voice.give(given)) {
        Ok(moved) => Ok(Pulling::Done { moved }),
        Err(Stopped::Piece(piece)) => Ok(Pulling::Failed(piece.cleaned())),
        // Nobody listens any more.
        Err(Stopped::Sink(error)) => Err(error),
    }
}

/// For the parent's ears.
struct Voice {
    out: BufWriter<Output>,
    /// When it last heard something.
    heard: Instant,
}

impl Voice {
    fn say(&mut self, word: &Pulling) -> io::Result<()> {
        wire::say(&mut self.out, word)?;
        self.out.flush()
    }

    fn give(&mut self, given: Given<'_>) -> io::Result<()> {
        match given {
            Given::Document(bytes) => {
                self.say(&Pulling::Document { size: bytes.len() as u64 })?;
                wire::give(&mut self.out, bytes)
            }
            Given::Layer(bytes) => {
                wire::give(&mut self.out, bytes)?;
                if self.heard.elapsed() < TICK {
                    return Ok(());
                }
                self.heard = Instant::now();
                self.out.flush()
            }
        }
    }
}
