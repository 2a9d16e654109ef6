//! The child that unpacks: gives up its rights, reads the archive on its standard input, and says what is in it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use super::child::{AT_ONCE, Output};
use super::confine::{Work, confine, die_with};
use super::wire::{self, Found};
use crate::archive::{self, ArchiveError, Piece, Sink};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
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
    let failed = |what| move |e: io::Error| Error::io(what, Path::new("/proc/self"), e);
    let host = Host::live();
    host::process::close_inherited_fds().map_err(failed("close the files of"))?;
    let lacks = confine(&host, Work::Unpack).map_err(failed("confine"))?;
    die_with(parent).map_err(failed("follow the parent of"))?;
    let mut archive = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed("read the archive of"))?);
    let mut out = BufWriter::with_capacity(AT_ONCE, Output);
    let mut talk = |out: &mut BufWriter<Output>| -> io::Result<()> {
        wire::say(out, &Found::Ready { lacks: lacks.clone() })?;
        let targets: Vec<_> = targets.iter().map(String::as_str).collect();
        let last = match unpack(&mut archive, &targets, &mut |piece| say(out, piece)) {
            Ok(()) => Found::Done,
            Err(ArchiveError::Refused(why)) => Found::Refused(one_line(&why)),
            Err(ArchiveError::Sink(error)) => return Err(error),
        };
        wire::say(out, &last)?;
        out.flush()
    };
    talk(&mut out).map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}

fn say(out: &mut BufWriter<Output>, piece: Piece<'_>) -> io::Result<()> {
    match piece {
        Piece::Manifest(manifest) => wire::say(out, &Found::Manifest(manifest)),
        Piece::Begin { target, size, .. } => wire::say(out, &Found::Begin { target: target.to_owned(), size }),
        Piece::Bytes(bytes) => wire::give(out, bytes),
        Piece::End => wire::say(out, &Found::End),
    }
}
