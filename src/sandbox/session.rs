//! The beginning of every worker, on both sides: the worker gives up its rights and reports that by [`Handshake`]; the
//! parent accepts no other message before it ([`Inbox`]).
//!
//! The order of steps in the worker is fixed. First it reads what needs rights: only root may be able to read a
//! company's certificates. Then it gives up its rights, while it has one thread: Landlock holds for the calling thread
//! and the threads that it starts. Then it reads its job, which comes from the parent, and starts the threads that it
//! needs. `Confined::report_ready` restricts the system calls of all of them, and only then does the work begin.

use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::confine::{Profile, check_parent, drop_rights, restrict_calls};
use crate::error::{Error, Result};
use crate::host;
use crate::sandbox::frame;
use crate::sandbox::frame::{Frame, FrameReader, MissingProtection, ProtocolError};

/// Largest job. One with many certificates has some hundred kilobytes.
const MAX_REQUEST: u64 = 64 << 20;
/// Number of bytes that are buffered for one write.
pub(crate) const BUFFER_SIZE: usize = 512 << 10;
/// Time between two reports of progress.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(40);

/// First message of every worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Handshake {
    /// The worker has given up its rights, as far as the kernel supports it
    Ready {
        /// Protections that the kernel does not support
        lacks: Vec<MissingProtection>,
    },
}

/// A worker that has given up its rights, except system calls, and has not reported it yet.
#[derive(Debug)]
pub(crate) struct Confined {
    profile: Profile,
    missing: Vec<MissingProtection>,
}

/// Closes all inherited files except the first three, runs `prepare` while the process still has its rights, and gives
/// the rights up, except system calls.
pub(crate) fn start_confined<T>(profile: &Profile, prepare: impl FnOnce() -> T) -> Result<(Confined, T)> {
    host::process::close_inherited_fds().map_err(worker_error("close the files of"))?;
    let prepared = prepare();
    let missing = drop_rights(profile).map_err(worker_error("confine"))?;
    Ok((Confined { profile: *profile, missing }, prepared))
}

/// Reads the job from standard input, as JSON.
pub(crate) fn read_job<J: DeserializeOwned>() -> Result<J> {
    let read = || -> io::Result<J> {
        let mut text = Vec::new();
        io::stdin().lock().take(MAX_REQUEST).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    };
    read().map_err(worker_error("read the job of"))
}

/// Makes an error of a worker. The parent adds which worker it was.
pub(crate) fn worker_error(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(what, Path::new("/proc/self"), e)
}

impl Confined {
    /// Restricts the system calls of all threads, and reports to the parent that the work begins. Fails if the process
    /// `parent` has ended.
    pub(crate) fn report_ready(mut self, parent: u32) -> Result<Channel> {
        self.missing.extend(restrict_calls(&self.profile).err());
        // If the parent ended before PR_SET_PDEATHSIG was set, this process has another parent now.
        check_parent(parent).map_err(worker_error("follow the parent of"))?;
        let mut channel = Channel { out: BufWriter::with_capacity(BUFFER_SIZE, RawStdout) };
        channel.send(&Handshake::Ready { lacks: self.missing }).map_err(worker_error("write for"))?;
        Ok(channel)
    }
}

/// Output of a worker to its parent.
#[derive(Debug)]
pub(crate) struct Channel {
    out: BufWriter<RawStdout>,
}

impl Channel {
    /// Writes a message and everything in the buffer.
    pub(crate) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.queue_message(message)?;
        self.flush()
    }

    /// Adds a message to the buffer.
    pub(crate) fn queue_message(&mut self, message: &impl Serialize) -> io::Result<()> {
        frame::write_message(&mut self.out, message)
    }

    /// Adds bytes to the buffer.
    pub(crate) fn queue_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        frame::write_bytes(&mut self.out, bytes)
    }

    /// Writes the buffer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Standard output without the line buffer of the standard library.
#[derive(Debug)]
struct RawStdout;

impl Write for RawStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Parent side of a worker's output. Everything before the handshake, and a second handshake, is an error.
#[derive(Debug, Default)]
pub struct Inbox {
    frames: FrameReader,
    /// Protections that the kernel does not support, after the handshake
    missing: Option<Vec<MissingProtection>>,
}

impl Inbox {
    /// Returns the protections that the kernel does not support. Empty before the handshake.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.missing.as_deref().unwrap_or_default()
    }

    /// Returns the next piece after the handshake, which is removed from the front of `input`, or `None` when `input`
    /// is used up.
    pub fn next_frame<'a, M: DeserializeOwned>(
        &mut self,
        input: &mut &'a [u8],
    ) -> std::result::Result<Option<Frame<'a, M>>, ProtocolError> {
        if self.missing.is_none() {
            match self.frames.next_frame(input)? {
                None => return Ok(None),
                Some(Frame::Message(Handshake::Ready { lacks })) => self.missing = Some(lacks),
                Some(Frame::Bytes(_)) => return Err(ProtocolError("bytes before the handshake".to_owned())),
            }
        }
        self.frames.next_frame(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(frames: &[Vec<u8>]) -> std::result::Result<Vec<u64>, ProtocolError> {
        let output = frames.concat();
        let (mut inbox, mut input, mut values) = (Inbox::default(), output.as_slice(), Vec::new());
        while let Some(piece) = inbox.next_frame(&mut input)? {
            match piece {
                Frame::Message(message) => values.push(message),
                Frame::Bytes(bytes) => values.push(bytes.len() as u64),
            }
        }
        Ok(values)
    }

    #[test]
    fn the_handshake_comes_first_and_once() {
        let message = |message: &dyn Fn(&mut Vec<u8>)| {
            let mut output = Vec::new();
            message(&mut output);
            output
        };
        let ready = || {
            message(&|out| drop(frame::write_message(out, &Handshake::Ready { lacks: vec![MissingProtection::User] })))
        };
        let seven = || message(&|out| drop(frame::write_message(out, &7_u64)));
        let bytes = || message(&|out| drop(frame::write_bytes(out, b"xyz")));
        assert_eq!(read_all(&[ready(), seven(), bytes()]), Ok(vec![7, 3]));
        assert_eq!(read_all(&[ready()]), Ok(vec![]));
        for early in [vec![seven()], vec![bytes()], vec![ready(), ready()], vec![seven(), ready()]] {
            assert!(read_all(&early).is_err());
        }
    }
}
