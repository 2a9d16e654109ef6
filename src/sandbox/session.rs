//! The beginning of every worker, on both sides: the worker gives up its rights and reports it with [`Handshake`]; the
//! parent reads that before anything else ([`Inbox`]).
//!
//! The order in the worker is fixed, for a reason: what needs rights is read first (a company's certificates may be
//! root's alone); rights go while there is one thread (Landlock and seccomp hold for the thread that asks and
//! those it starts); only then the job is looked at, and threads may start.

use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::confine::{Profile, check_parent, drop_rights};
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::sandbox::frame;
use crate::sandbox::frame::{Frame, FrameReader, MissingProtection, ProtocolError};

/// A job with many certificates has some hundred kilobytes.
const MAX_REQUEST: u64 = 64 << 20;
/// How many bytes are kept for one write.
pub(crate) const BUFFER_SIZE: usize = 512 << 10;
/// How often progress is reported.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(40);

/// The first message of every worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Handshake {
    /// It has given up its rights, but for those that this kernel cannot take from it.
    Ready {
        /// What could not be done.
        lacks: Vec<MissingProtection>,
    },
}

/// A worker that has given up its rights, and has not reported it yet.
#[derive(Debug)]
pub(crate) struct Confined {
    lacks: Vec<MissingProtection>,
}

/// Closes all files but the standard ones, runs `prepare` with the rights that there still are, and gives them up.
pub(crate) fn start_confined<T>(profile: &Profile, prepare: impl FnOnce() -> T) -> Result<(Confined, T)> {
    let host = Host::live();
    host::process::close_inherited_fds().map_err(worker_error("close the files of"))?;
    let prepared = prepare();
    let lacks = drop_rights(&host, profile).map_err(worker_error("confine"))?;
    Ok((Confined { lacks }, prepared))
}

/// Reads the job that is on standard input, as JSON.
pub(crate) fn read_job<J: DeserializeOwned>() -> Result<J> {
    let read = || -> io::Result<J> {
        let mut text = Vec::new();
        io::stdin().lock().take(MAX_REQUEST).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    };
    read().map_err(worker_error("read the job of"))
}

/// An error of a worker, which its parent knows better.
pub(crate) fn worker_error(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(what, Path::new("/proc/self"), e)
}

impl Confined {
    /// Ends if the process `parent` is gone; otherwise reports to it that the work begins.
    pub(crate) fn report_ready(self, parent: u32) -> Result<Channel> {
        // If the parent was gone before it could be asked for, there is another one now.
        check_parent(parent).map_err(worker_error("follow the parent of"))?;
        let mut channel = Channel { out: BufWriter::with_capacity(BUFFER_SIZE, RawStdout) };
        channel.send(&Handshake::Ready { lacks: self.lacks }).map_err(worker_error("write for"))?;
        Ok(channel)
    }
}

/// From a worker to its parent.
#[derive(Debug)]
pub(crate) struct Channel {
    out: BufWriter<RawStdout>,
}

impl Channel {
    /// Writes a message, and everything before it.
    pub(crate) fn send(&mut self, word: &impl Serialize) -> io::Result<()> {
        self.queue_message(word)?;
        self.flush()
    }

    /// Writes a message, some time.
    pub(crate) fn queue_message(&mut self, word: &impl Serialize) -> io::Result<()> {
        frame::write_message(&mut self.out, word)
    }

    /// Writes bytes, some time.
    pub(crate) fn queue_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        frame::write_bytes(&mut self.out, bytes)
    }

    /// Writes what is still here.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Standard output as it is: the library's is cut into lines.
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

/// What comes from a worker. It refuses everything before the handshake, and a second one.
#[derive(Debug, Default)]
pub struct Inbox {
    frames: FrameReader,
    /// What the kernel lacks, once the worker said that it is ready.
    lacks: Option<Vec<MissingProtection>>,
}

impl Inbox {
    /// What this kernel could not take from the worker.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.lacks.as_deref().unwrap_or_default()
    }

    /// The next piece behind the handshake, cut from the front of `input`; `None` when all of `input` is used up.
    pub fn next_frame<'a, W: DeserializeOwned>(
        &mut self,
        input: &mut &'a [u8],
    ) -> std::result::Result<Option<Frame<'a, W>>, ProtocolError> {
        if self.lacks.is_none() {
            match self.frames.next_frame(input)? {
                None => return Ok(None),
                Some(Frame::Message(Handshake::Ready { lacks })) => self.lacks = Some(lacks),
                Some(Frame::Bytes(_)) => return Err(ProtocolError("something before it was ready".to_owned())),
            }
        }
        self.frames.next_frame(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frames: &[Vec<u8>]) -> std::result::Result<Vec<u64>, ProtocolError> {
        let said = frames.concat();
        let (mut inbox, mut input, mut words) = (Inbox::default(), said.as_slice(), Vec::new());
        while let Some(piece) = inbox.next_frame(&mut input)? {
            match piece {
                Frame::Message(word) => words.push(word),
                Frame::Bytes(bytes) => words.push(bytes.len() as u64),
            }
        }
        Ok(words)
    }

    #[test]
    fn the_handshake_comes_first_and_once() {
        let word = |word: &dyn Fn(&mut Vec<u8>)| {
            let mut said = Vec::new();
            word(&mut said);
            said
        };
        let ready =
            || word(&|out| drop(frame::write_message(out, &Handshake::Ready { lacks: vec![MissingProtection::User] })));
        let seven = || word(&|out| drop(frame::write_message(out, &7_u64)));
        let bytes = || word(&|out| drop(frame::write_bytes(out, b"xyz")));
        assert_eq!(heard(&[ready(), seven(), bytes()]), Ok(vec![7, 3]));
        assert_eq!(heard(&[ready()]), Ok(vec![]));
        for early in [vec![seven()], vec![bytes()], vec![ready(), ready()], vec![seven(), ready()]] {
            assert!(heard(&early).is_err());
        }
    }
}
