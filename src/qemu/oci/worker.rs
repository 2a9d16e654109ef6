//! The worker that pulls: gives up its rights, reads its job, and gives what the registry has.

use std::io;
use std::time::Instant;

use crate::error::{ExitCode, Result};
use crate::qemu::download::{DownloadError, HttpClient, RootCertificates};
use crate::qemu::oci::protocol::{PullJob, PullMessage};
use crate::qemu::oci::registry::{ImageChunk, PullStop, pull_image};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{Channel, PROGRESS_INTERVAL, worker_error};

/// Does the job that is on standard input. In the order of `child`, and for its reasons.
pub fn run_worker() -> Result<ExitCode> {
    let (confined, roots) = session::start_confined(&Profile::CLIENT, RootCertificates::load_system)?;
    let job: PullJob = session::read_job()?;
    let mut voice = PullMessageWriter { out: confined.report_ready(job.parent)?, last_message: Instant::now() };
    let mut talk = || -> io::Result<()> {
        let last = run_pull(&job, roots.clone(), &mut voice)?;
        voice.out.send(&last)
    };
    talk().map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

fn run_pull(job: &PullJob, roots: RootCertificates, voice: &mut PullMessageWriter) -> io::Result<PullMessage> {
    let client = match HttpClient::new(&job.options, roots.with_pem(job.extra_roots.as_bytes())) {
        Ok(client) => client,
        Err(DownloadError::Client(why)) => return Ok(PullMessage::NoClient(why)),
        Err(error) => return Ok(PullMessage::NoClient(error.to_string())),
    };
    match pull_image(&client, &job.image, job.platform.clone(), &job.credentials, &mut |given| voice.write_chunk(given))
    {
        Ok(moved) => Ok(PullMessage::Done { moved }),
        Err(PullStop::Piece(piece)) => Ok(PullMessage::Failed(piece.into_printable())),
        // Nobody listens any more.
        Err(PullStop::Sink(error)) => Err(error),
    }
}

/// For the parent's ears.
struct PullMessageWriter {
    out: Channel,
    /// When it last heard something.
    last_message: Instant,
}

impl PullMessageWriter {
    fn write_chunk(&mut self, given: ImageChunk<'_>) -> io::Result<()> {
        match given {
            ImageChunk::Document(bytes) => {
                self.out.send(&PullMessage::Document { size: bytes.len() as u64 })?;
                self.out.queue_bytes(bytes)
            }
            ImageChunk::Layer(bytes) => {
                self.out.queue_bytes(bytes)?;
                if self.last_message.elapsed() < PROGRESS_INTERVAL {
                    return Ok(());
                }
                self.last_message = Instant::now();
                self.out.flush()
            }
        }
    }
}
