//! Frames: the encoding of a worker's messages and bytes on its standard output. Pure.
//!
//! A frame is one byte for the kind, four bytes for the length (little-endian), and the payload. The payload is either
//! bytes, whose meaning is given by the messages before them, or one message as JSON. Each kind of worker defines its
//! own messages.
//!
//! The reader does not trust the worker: a length is checked before memory is allocated for it, and no message is
//! longer than [`MAX_MESSAGE`]. A message that never ends does not count as progress (see [`super::pace`]).

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ui::quantity::count;

/// Largest message: more than a correct worker sends, which cuts reasons to 200 characters.
pub const MAX_MESSAGE: usize = 8 << 10;
/// Largest number of bytes in one frame.
pub const MAX_BYTES: usize = 1 << 20;

const KIND_BYTES: u8 = b'b';
const KIND_MESSAGE: u8 = b'w';

/// Protection that a kernel may not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingProtection {
    /// Denying access to files (Landlock)
    Landlock,
    /// Denying system calls (seccomp)
    Seccomp,
    /// Changing to another user
    User,
}

/// Violation of the protocol by a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broke the protocol: {0}")]
pub struct ProtocolError(pub String);

/// Writes one message.
pub fn write_message(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    write_frame(out, KIND_MESSAGE, &serde_json::to_vec(message)?)
}

/// Writes bytes, in as many frames as they need.
pub fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(MAX_BYTES).try_for_each(|bytes| write_frame(out, KIND_BYTES, bytes))
}

fn write_frame(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let [a, b, c, d] = length.to_le_bytes();
    out.write_all(&[kind, a, b, c, d])?;
    out.write_all(payload)
}

/// Parser of frames that arrive in pieces of any size.
#[derive(Debug, Default)]
pub struct FrameReader {
    state: FrameState,
}

#[derive(Debug)]
enum FrameState {
    /// Between frames: the bytes of the next header so far
    Header(Vec<u8>),
    /// Within bytes: the number of bytes that are missing
    Bytes(usize),
    /// Within a message: its text so far, and the number of bytes that are missing
    Message(Vec<u8>, usize),
}

impl Default for FrameState {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

/// A piece of a worker's output.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a, M> {
    /// Bytes; never empty
    Bytes(&'a [u8]),
    /// A complete message
    Message(M),
}

impl FrameReader {
    /// Returns the next piece, which is removed from the front of `input`, or `None` when `input` is used up.
    pub fn next_frame<'a, M: DeserializeOwned>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a, M>>, ProtocolError> {
        while !input.is_empty() {
            match &mut self.state {
                FrameState::Header(header) => {
                    header.extend_from_slice(take_up_to(input, HEADER_SIZE.saturating_sub(header.len())));
                    if let [kind, length @ ..] = header.as_slice()
                        && let Ok(length) = <[u8; 4]>::try_from(length)
                    {
                        self.state = start_frame(*kind, u32::from_le_bytes(length))?;
                    }
                }
                FrameState::Bytes(remaining) => {
                    let bytes = take_up_to(input, *remaining);
                    *remaining = remaining.saturating_sub(bytes.len());
                    if *remaining == 0 {
                        self.state = FrameState::default();
                    }
                    return Ok(Some(Frame::Bytes(bytes)));
                }
                FrameState::Message(text, remaining) => {
                    let more = take_up_to(input, *remaining);
                    text.extend_from_slice(more);
                    *remaining = remaining.saturating_sub(more.len());
                    if *remaining == 0 {
                        let message =
                            serde_json::from_slice(text).map_err(|_| ProtocolError("an unknown message".into()))?;
                        self.state = FrameState::default();
                        return Ok(Some(Frame::Message(message)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Length of a frame's header.
const HEADER_SIZE: usize = 5;

fn start_frame(kind: u8, length: u32) -> Result<FrameState, ProtocolError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match kind {
        KIND_BYTES if (1..=MAX_BYTES).contains(&length) => Ok(FrameState::Bytes(length)),
        KIND_MESSAGE if (1..=MAX_MESSAGE).contains(&length) => Ok(FrameState::Message(Vec::new(), length)),
        KIND_BYTES | KIND_MESSAGE => Err(ProtocolError(format!("a frame of {}", count(length, "byte")))),
        _ => Err(ProtocolError(format!("a frame of the kind {kind}"))),
    }
}

/// Removes up to `max_length` bytes from the front.
fn take_up_to<'a>(input: &mut &'a [u8], max_length: usize) -> &'a [u8] {
    let (front, rest) = input.split_at_checked(max_length).unwrap_or((input, &[]));
    *input = rest;
    front
}
