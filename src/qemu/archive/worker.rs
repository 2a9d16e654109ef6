//! The unpack worker: gives up its rights, reads the archive on its standard input, and writes its emulators.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use crate::error::{Error, ExitCode, Result};
use crate::qemu::archive;
use crate::qemu::archive::protocol::UnpackMessage;
use crate::qemu::archive::{ArchiveError, ArchiveItem, ArchiveSink};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{Channel, worker_error};
use crate::sanitize::to_one_line;

/// Unpacks the emulators for these targets. `parent` is the process id of the worker's parent.
pub fn run_worker(parent: u32, targets: &[String]) -> Result<ExitCode> {
    run_confined(parent, targets, archive::unpack_archive)
}

/// Unpacks the layers of an image. `lengths` has the length of each layer, separated by commas.
pub fn run_layers_worker(parent: u32, lengths: &str, targets: &[String]) -> Result<ExitCode> {
    let numbers: std::result::Result<Vec<u64>, _> = lengths.split(',').map(str::parse).collect();
    let lengths = numbers.map_err(|e| Error::Usage(format!("{lengths:?}: {e}")))?;
    run_confined(parent, targets, |file, targets, sink| archive::unpack_layers(file, &lengths, targets, sink))
}

fn run_confined(
    parent: u32,
    targets: &[String],
    unpack: impl Fn(&mut File, &[&str], &mut ArchiveSink<'_>) -> std::result::Result<(), ArchiveError>,
) -> Result<ExitCode> {
    let (confined, ()) = session::start_confined(&Profile::READER, || ())?;
    let mut out = confined.report_ready(parent)?;
    let mut archive =
        File::from(io::stdin().as_fd().try_clone_to_owned().map_err(worker_error("read the archive of"))?);
    let mut run = || -> io::Result<()> {
        let targets: Vec<_> = targets.iter().map(String::as_str).collect();
        let last = match unpack(&mut archive, &targets, &mut |item| write_item(&mut out, item)) {
            Ok(()) => UnpackMessage::Done,
            Err(ArchiveError::Refused(why)) => UnpackMessage::Refused(to_one_line(&why)),
            Err(ArchiveError::Sink(error)) => return Err(error),
        };
        out.send(&last)
    };
    run().map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

fn write_item(out: &mut Channel, item: ArchiveItem<'_>) -> io::Result<()> {
    match item {
        ArchiveItem::Manifest(manifest) => out.queue_message(&UnpackMessage::Manifest(manifest)),
        ArchiveItem::Begin { target, size, .. } => {
            out.queue_message(&UnpackMessage::Begin { target: target.to_owned(), size })
        }
        ArchiveItem::Bytes(bytes) => out.queue_bytes(bytes),
        ArchiveItem::End => out.queue_message(&UnpackMessage::End),
    }
}
