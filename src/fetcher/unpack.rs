//! Unpacks an archive in a process of its own, as downloads are.

use std::fs::File;
use std::io;
use std::path::Path;

use super::listen::{Deaf, Listener, Unpacked};
use super::{LONGEST_SILENCE, TURN, death, note};
use crate::error::{Error, Result};
use crate::host::{Heard, Worker};

/// The hidden command of this program that is the child.
pub const UNPACK: &str = "unpack-confined";

/// Takes the emulators of these targets out of an archive, and gives their bytes to `sink`. `path` is for messages.
///
/// Nothing of it is to be trusted. `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what
/// there was, and what the user should know of this kernel.
pub fn unpack(
    archive: File,
    path: &Path,
    targets: &[&str],
    sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Unpacked, Option<String>)> {
    let refused = |why: String| Error::Archive { path: path.to_owned(), why };
    let process = |why: String| refused(format!("the process that unpacks it {why}"));
    let broken = |e: io::Error| process(format!("cannot be talked with: {e}"));
    let args: Vec<String> =
        [std::process::id().to_string()].into_iter().chain(targets.iter().map(|target| (*target).to_owned())).collect();
    let started = Worker::start_with(UNPACK, &args, archive);
    let mut worker = started.map_err(|e| process(format!("cannot be started: {e}")))?;
    let mut listener = Listener::new(targets);
    let mut buffer = vec![0; 512 << 10];
    let mut silent = 0;
    while silent < LONGEST_SILENCE {
        go_on()?;
        match worker.turn(&mut buffer, TURN).map_err(broken)? {
            Heard::Nothing => silent = silent.saturating_add(1),
            Heard::Bytes(length) => {
                silent = 0;
                match listener.take(buffer.get(..length).unwrap_or_default(), sink) {
                    Ok(None) => {}
                    Ok(Some(unpacked)) => return Ok((unpacked, note(listener.lacks(), "unpacks"))),
                    Err(Deaf::Refused(why)) => return Err(refused(why)),
                    Err(Deaf::Garbled(garbled)) => return Err(process(garbled.to_string())),
                    Err(Deaf::Sink(e)) => return Err(Error::io("unpack", path, e)),
                }
            }
            Heard::End => {
                let (status, complaints) = worker.end().map_err(broken)?;
                return Err(process(death(status, &complaints)));
            }
        }
    }
    Err(process("said nothing for five minutes".to_owned()))
}
