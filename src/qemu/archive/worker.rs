//! The child that unpacks: gives up its rights, reads the archive on its standard input, and says what is in it.

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

/// Unpacks the emulators of these targets for the process `parent`.
pub fn run_worker(parent: u32, targets: &[String]) -> Result<ExitCode> {
    run_confined(parent, targets, archive::unpack_archive)
}

/// The same, of the layers of an image, which are so long: numbers with commas between them.
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
    let mut talk = || -> io::Result<()> {
        let targets: Vec<_> = targets.iter().map(String::as_str).collect();
        let last = match unpack(&mut archive, &targets, &mut |piece| write_item(&mut out, piece)) {
            Ok(()) => UnpackMessage::Done,
            Err(ArchiveError::Refused(why)) => UnpackMessage::Refused(to_one_line(&why)),
            Err(ArchiveError::Sink(error)) => return Err(error),
        };
        out.send(&last)
    };
    talk().map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

fn write_item(out: &mut Channel, piece: ArchiveItem<'_>) -> io::Result<()> {
    match piece {
        ArchiveItem::Manifest(manifest) => out.queue_message(&UnpackMessage::Manifest(manifest)),
        ArchiveItem::Begin { target, size, .. } => {
            out.queue_message(&UnpackMessage::Begin { target: target.to_owned(), size })
        }
        ArchiveItem::Bytes(bytes) => out.queue_bytes(bytes),
        ArchiveItem::End => out.queue_message(&UnpackMessage::End),
    }
}
