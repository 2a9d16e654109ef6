//! Unpacks archives, and the layers of images, in a process of its own, as downloads are.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Worker;
use crate::qemu::archive::supervise::{UnpackSummary, UnpackSupervisor, UnpackWorkerError};
use crate::sandbox::{describe_missing, supervise};

/// The `internal` subcommand that is the child.
pub const UNPACK_COMMAND: &str = "unpack";
/// The same, for layers.
pub const UNPACK_LAYERS_COMMAND: &str = "unpack-layers";

/// The layers of an image, in memory, each as its digest says.
#[derive(Debug)]
pub struct ImageLayers {
    /// One after the other, base first.
    pub file: File,
    /// How long each is.
    pub lengths: Vec<u64>,
}

/// Takes an emulator's bytes as they come: whose programs it runs, and some bytes.
pub type EmulatorSink<'a> = dyn FnMut(&str, &[u8]) -> io::Result<()> + 'a;

/// Takes the emulators of these targets out of an archive, and gives their bytes to `sink`. `path` is for messages.
///
/// Nothing of it is to be trusted. `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what
/// there was, and what the user should know of this kernel.
pub fn unpack_archive(
    archive: File,
    path: &Path,
    targets: &[&str],
    sink: &mut EmulatorSink<'_>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let args = worker_args(None, targets);
    supervise_unpack(Worker::start_with_file(UNPACK_COMMAND, &args, archive), path, targets, sink, go_on)
}

/// The same of an image, as the emulators are in its merged layers. `shown` is the image, for messages.
pub fn unpack_layers(
    layers: ImageLayers,
    shown: &str,
    targets: &[&str],
    sink: &mut EmulatorSink<'_>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let lengths: Vec<_> = layers.lengths.iter().map(u64::to_string).collect();
    let args = worker_args(Some(lengths.join(",")), targets);
    supervise_unpack(
        Worker::start_with_file(UNPACK_LAYERS_COMMAND, &args, layers.file),
        Path::new(shown),
        targets,
        sink,
        go_on,
    )
}

/// Whose child it is, how long the layers are if there are some, and what is wanted.
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
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(UnpackSummary, Option<String>)> {
    let refused = |why: String| Error::Archive { path: path.to_owned(), why };
    let process = |why: String| refused(format!("the process that unpacks it {why}"));
    let mut listener = UnpackSupervisor::new(targets);
    let unpacked = supervise(worker, &process, go_on, &mut |bytes| {
        listener.handle_input(bytes, sink).map_err(|deaf| match deaf {
            UnpackWorkerError::Refused(why) => refused(why),
            UnpackWorkerError::Protocol(garbled) => process(garbled.to_string()),
            UnpackWorkerError::Sink(e) => Error::io("unpack", path, e),
        })
    })?;
    Ok((unpacked, describe_missing(listener.missing_protections(), "unpacks")))
}
