//! Frames: how a worker's messages and bytes travel over its standard output. Pure.
//!
//! A frame is one byte for the kind, four for the length (little-endian), and so many bytes. It holds either bytes, whose
//! meaning the messages before them give, or one message as JSON. Which messages there are is for each kind of worker to
//! define.
//!
//! The reader believes nothing: a length is refused before room is made for it, and no word is longer
//! than [`LONGEST_WORD`].

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// More than any word of an honest child: reasons are cut to 200 characters.
pub const MAX_MESSAGE: usize = 8 << 10;
/// As many bytes as one frame may hold.
pub const MAX_BYTES: usize = 1 << 20;

const KIND_BYTES: u8 = b'b';
const KIND_MESSAGE: u8 = b'w';

/// What a kernel may not be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingProtection {
    /// Keep files from the process.
    Landlock,
    /// Keep system calls from it.
    Seccomp,
    /// Make it another user.
    User,
}

/// What the child said makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("said what it must not: {0}")]
pub struct ProtocolError(pub String);

/// Writes one word.
pub fn write_message(out: &mut impl Write, word: &impl Serialize) -> io::Result<()> {
    write_frame(out, KIND_MESSAGE, &serde_json::to_vec(word)?)
}

/// Writes bytes of the member that comes next.
pub fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(MAX_BYTES).try_for_each(|bytes| write_frame(out, KIND_BYTES, bytes))
}

fn write_frame(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let [a, b, c, d] = length.to_le_bytes();
    out.write_all(&[kind, a, b, c, d])?;
    out.write_all(payload)
}

/// Takes frames apart as they come, in pieces of any size.
#[derive(Debug, Default)]
pub struct FrameReader {
    state: FrameState,
}

#[derive(Debug)]
enum FrameState {
    /// Between frames: the first bytes of the next one's head.
    Head(Vec<u8>),
    /// Within bytes: how many are to come.
    Bytes(usize),
    /// Within a word: what there is of it, and how many bytes are to come.
    Message(Vec<u8>, usize),
}

impl Default for FrameState {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// A part of what the child said.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a, W> {
    /// Some bytes of a member; never none.
    Bytes(&'a [u8]),
    /// A whole word.
    Message(W),
}

impl FrameReader {
    /// The next piece, cut from the front of `input`; `None` when all of `input` is used up.
    pub fn next_frame<'a, W: DeserializeOwned>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a, W>>, ProtocolError> {
        while !input.is_empty() {
            match &mut self.state {
                FrameState::Head(head) => {
                    head.extend_from_slice(take_up_to(input, HEADER_SIZE.saturating_sub(head.len())));
                    if let [kind, length @ ..] = head.as_slice()
                        && let Ok(length) = <[u8; 4]>::try_from(length)
                    {
                        self.state = start_frame(*kind, u32::from_le_bytes(length))?;
                    }
                }
                FrameState::Bytes(left) => {
                    let bytes = take_up_to(input, *left);
                    *left = left.saturating_sub(bytes.len());
                    if *left == 0 {
                        self.state = FrameState::default();
                    }
                    return Ok(Some(Frame::Bytes(bytes)));
                }
                FrameState::Message(text, left) => {
                    let more = take_up_to(input, *left);
                    text.extend_from_slice(more);
                    *left = left.saturating_sub(more.len());
                    if *left == 0 {
                        let word = serde_json::from_slice(text)
                            .map_err(|_| ProtocolError("a word that there is not".into()))?;
                        self.state = FrameState::default();
                        return Ok(Some(Frame::Message(word)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// How long a frame's head is.
const HEADER_SIZE: usize = 5;

fn start_frame(kind: u8, length: u32) -> Result<FrameState, ProtocolError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match kind {
        KIND_BYTES if (1..=MAX_BYTES).contains(&length) => Ok(FrameState::Bytes(length)),
        KIND_MESSAGE if (1..=MAX_MESSAGE).contains(&length) => Ok(FrameState::Message(Vec::new(), length)),
        KIND_BYTES | KIND_MESSAGE => Err(ProtocolError(format!("a frame of {length} bytes"))),
        _ => Err(ProtocolError(format!("a frame of the kind {kind}"))),
    }
}

/// Cuts up to `most` bytes from the front.
fn take_up_to<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at_checked(most).unwrap_or((input, &[]));
    *input = rest;
    front
}
