//! The child that unpacks: gives up its rights, reads the archive on its standard input, and says what is in it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use super::confine::Profile;
use super::protocol_archive::Found;
use super::session::{self, Channel, failed};
use crate::archive::{self, ArchiveError, Piece, Sink};
use crate::error::{Error, ExitCode, Result};
use crate::text::one_line;

/// Unpacks the emulators of these targets for the process `parent`.
pub fn run(parent: u32, targets: &[String]) -> Result<ExitCode> {
    confined(parent, targets, archive::unpack)
}

/// The same, of the layers of an image, which are so long: numbers with commas between them.
pub fn run_layers(parent: u32, lengths: &str, targets: &[String]) -> Result<ExitCode> {
    let numbers: std::result::Result<Vec<u64>, _> = lengths.split(',').map(str::parse).collect();
    let lengths = numbers.map_err(|e| Error::Usage(format!("{lengths:?}: {e}")))?;
    confined(parent, targets, |file, targets, sink| archive::unpack_layers(file, &lengths, targets, sink))
}

fn confined(
    parent: u32,
    targets: &[String],
    unpack: impl Fn(&mut File, &[&str], &mut Sink<'_>) -> std::result::Result<(), ArchiveError>,
) -> Result<ExitCode> {
    let (confined, ()) = session::begin(&Profile::READER, || ())?;
    let mut out = confined.follow(parent)?;
    let mut archive = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed("read the archive of"))?);
    let mut talk = || -> io::Result<()> {
        let targets: Vec<_> = targets.iter().map(String::as_str).collect();
        let last = match unpack(&mut archive, &targets, &mut |piece| say(&mut out, piece)) {
            Ok(()) => Found::Done,
            Err(ArchiveError::Refused(why)) => Found::Refused(one_line(&why)),
            Err(ArchiveError::Sink(error)) => return Err(error),
        };
        out.tell(&last)
    };
    talk().map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}

fn say(out: &mut Channel, piece: Piece<'_>) -> io::Result<()> {
    match piece {
        Piece::Manifest(manifest) => out.say(&Found::Manifest(manifest)),
        Piece::Begin { target, size, .. } => out.say(&Found::Begin { target: target.to_owned(), size }),
        Piece::Bytes(bytes) => out.give(bytes),
        Piece::End => out.say(&Found::End),
    }
}
