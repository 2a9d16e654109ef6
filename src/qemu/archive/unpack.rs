//! Unpacking of archives and of the layers of images by a confined worker, in the same way as downloads.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Worker;
use crate::qemu::archive::supervise::{UnpackSummary, UnpackSupervisor, UnpackWorkerError};
use crate::sandbox::pace::PaceLimits;
use crate::sandbox::{WorkerState, describe_missing, supervise};

/// The `internal` subcommand of the worker for archives.
pub const UNPACK_COMMAND: &str = "unpack";
/// The `internal` subcommand of the worker for layers.
pub const UNPACK_LAYERS_COMMAND: &str = "unpack-layers";

/// Verified layers of an image, in memory.
#[derive(Debug)]
pub struct ImageLayers {
    /// File with the layers one after the other, base first.
    pub file: File,
    /// Length of each layer.
    pub lengths: Vec<u64>,
}

/// Receiver of an emulator's target and some of its bytes.
pub type EmulatorSink<'a> = dyn FnMut(&str, &[u8]) -> io::Result<()> + 'a;

/// Extracts the emulators for these targets from an archive and gives their bytes to `sink`. `path` is for messages.
///
/// The bytes are untrusted. `check_interrupt` is called at least every 50 ms; if it fails, the worker is stopped.
/// Returns a note for the user if this kernel lacks protections of the worker.
pub fn unpack_archive(
    archive: File,
    path: &Path,
    targets: &[&str],
    sink: &mut EmulatorSink<'_>,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let args = worker_args(None, targets);
    supervise_unpack(Worker::start_with_file(UNPACK_COMMAND, &args, archive), path, targets, sink, check_interrupt)
}

/// Like [`unpack_archive`], for the merged layers of an image. `image_name` is for messages.
pub fn unpack_layers(
    layers: ImageLayers,
    image_name: &str,
    targets: &[&str],
    sink: &mut EmulatorSink<'_>,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let lengths: Vec<_> = layers.lengths.iter().map(u64::to_string).collect();
    let args = worker_args(Some(lengths.join(",")), targets);
    supervise_unpack(
        Worker::start_with_file(UNPACK_LAYERS_COMMAND, &args, layers.file),
        Path::new(image_name),
        targets,
        sink,
        check_interrupt,
    )
}

/// Returns the arguments of the worker: the process id of its parent, the lengths of the layers if there are layers,
/// and the targets.
fn worker_args(lengths: Option<String>, targets: &[&str]) -> Vec<String> {
    let parent = std::process::id().to_string();
    let targets = targets.iter().map(|target| (*target).to_owned());
    [parent].into_iter().chain(lengths).chain(targets).collect()
}

fn supervise_unpack(
    worker: io::Result<Worker>,
    path: &Path,
    targets: &[&str],
    sink: &mut EmulatorSink<'_>,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let refused = |why: String| Error::Archive { path: path.to_owned(), why };
    let worker_error = |why: String| refused(format!("the unpack worker {why}"));
    let mut supervisor = UnpackSupervisor::new(targets);
    let summary = supervise(worker, PaceLimits::default(), &worker_error, check_interrupt, &mut |bytes| {
        let summary = supervisor.handle_input(bytes, sink).map_err(|error| match error {
            UnpackWorkerError::Refused(why) => refused(why),
            UnpackWorkerError::Protocol(error) => worker_error(error.to_string()),
            UnpackWorkerError::Sink(e) => Error::io("unpack", path, e),
        })?;
        Ok(WorkerState::new(summary, supervisor.progress()))
    })?;
    Ok((summary, describe_missing(supervisor.missing_protections(), "unpack")))
}
