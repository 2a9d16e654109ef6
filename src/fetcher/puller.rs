//! The worker that pulls: gives up its rights, reads its job, and gives what the registry has.

use std::io;
use std::time::Instant;

use super::confine::Profile;
use super::protocol_oci::{PullJob, Pulling};
use super::session::{self, Channel, TICK, failed};
use crate::download::{Client, DownloadError, Given, Roots, Stopped, pull};
use crate::error::{ExitCode, Result};

/// Does the job that is on standard input. In the order of `child`, and for its reasons.
pub fn run() -> Result<ExitCode> {
    let (confined, roots) = session::begin(&Profile::CLIENT, Roots::of_this_machine)?;
    let job: PullJob = session::read_job()?;
    let mut voice = Voice { out: confined.follow(job.parent)?, heard: Instant::now() };
    let mut talk = || -> io::Result<()> {
        let last = last_word(&job, roots.clone(), &mut voice)?;
        voice.out.tell(&last)
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
    out: Channel,
    /// When it last heard something.
    heard: Instant,
}

impl Voice {
    fn give(&mut self, given: Given<'_>) -> io::Result<()> {
        match given {
            Given::Document(bytes) => {
                self.out.tell(&Pulling::Document { size: bytes.len() as u64 })?;
                self.out.give(bytes)
            }
            Given::Layer(bytes) => {
                self.out.give(bytes)?;
                if self.heard.elapsed() < TICK {
                    return Ok(());
                }
                self.heard = Instant::now();
                self.out.flush()
            }
        }
    }
}
