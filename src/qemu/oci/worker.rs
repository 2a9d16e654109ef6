//! The pull worker: gives up its rights, reads its job, and writes the documents and layers of the image.

use std::io;
use std::time::Instant;

use crate::error::{ExitCode, Result};
use crate::qemu::download::{DownloadError, HttpClient, RootCertificates};
use crate::qemu::oci::protocol::{PullJob, PullMessage};
use crate::qemu::oci::registry::{ImageChunk, PullStop, pull_image};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{Channel, PROGRESS_INTERVAL, worker_error};

/// Does the job on standard input, in the order that [`crate::sandbox::session`] explains.
pub fn run_worker() -> Result<ExitCode> {
    let (confined, roots) = session::start_confined(&Profile::CLIENT, RootCertificates::load_system)?;
    let job: PullJob = session::read_job()?;
    let client = HttpClient::new(&job.options, roots.with_pem(job.extra_roots.as_bytes()));
    let mut writer = PullMessageWriter { out: confined.report_ready(job.parent)?, last_message: Instant::now() };
    let mut run = || -> io::Result<()> {
        let last = match &client {
            Ok(client) => run_pull(&job, client, &mut writer)?,
            Err(DownloadError::Client(why)) => PullMessage::NoClient(why.clone()),
            Err(error) => PullMessage::NoClient(error.to_string()),
        };
        writer.out.send(&last)
    };
    run().map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

fn run_pull(job: &PullJob, client: &HttpClient, writer: &mut PullMessageWriter) -> io::Result<PullMessage> {
    let mut write_chunk = |chunk: ImageChunk<'_>| writer.write_chunk(chunk);
    match pull_image(client, &job.image, job.platform.clone(), &job.credentials, &mut write_chunk) {
        Ok(moved) => Ok(PullMessage::Done { moved }),
        Err(PullStop::Piece(failure)) => Ok(PullMessage::Failed(failure.into_printable())),
        // The parent has closed the pipe.
        Err(PullStop::Sink(error)) => Err(error),
    }
}

/// Writer of messages and bytes to the parent.
struct PullMessageWriter {
    out: Channel,
    /// Time of the last flush.
    last_message: Instant,
}

impl PullMessageWriter {
    fn write_chunk(&mut self, chunk: ImageChunk<'_>) -> io::Result<()> {
        match chunk {
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
