//! The language between the two processes. Pure.
//!
//! The child is told one [`Job`], as JSON, and then its standard input ends. It answers in frames: one
//! byte for the kind, four for the length (little-endian), and so many bytes. A frame holds either bytes
//! of the member that comes next, or one [`Word`] as JSON.
//!
//! The child that unpacks an archive has that on its standard input and its job in its arguments; it answers in the same
//! frames, with the words of [`Found`]; so does the one that verifies a list, with those of [`Verdict`].
//!
//! The reader believes nothing: a length is refused before room is made for it, and no word is longer
//! than [`LONGEST_WORD`].

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::archive::Manifest;
use crate::debian::Answer;
use crate::digest::Sha256;
use crate::download::{ClientOptions, FileUrl, Mirror, Reason, Wanted};

/// More than any word of an honest child: reasons are cut to 200 characters.
pub const LONGEST_WORD: usize = 8 << 10;
/// As many bytes as one frame may hold.
pub const MOST_BYTES: usize = 1 << 20;

const BYTES: u8 = b'b';
const WORD: u8 = b'w';

/// What the child is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Whose child it is.
    pub parent: u32,
    /// What is to be downloaded.
    pub what: What,
    /// How.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: String,
}

/// What is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum What {
    /// Members of a package of the embedded catalogue.
    Members {
        /// the digest of the package
        package: Sha256,
        /// which of its members
        targets: Vec<String>,
        /// who is asked for them
        mirrors: Vec<Mirror>,
    },
    /// A file, whole.
    File {
        /// which
        wanted: Wanted,
        /// who is asked for it
        urls: Vec<FileUrl>,
    },
}

/// What the child says. The order is fixed: [`Word::Ready`]; for each mirror, [`Word::Asking`], then bytes, of a
/// package each member's followed by [`Word::Verified`]; and one of the last four. Which mirror and which
/// member is meant is never said: both sides count ([`crate::download::Turns`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Word {
    /// It has given up its rights, but for those that this kernel cannot take from it.
    Ready {
        /// What could not be done.
        lacks: Vec<Lack>,
    },
    /// The next mirror is asked.
    Asking,
    /// Bytes came from it.
    Moved {
        /// How many there are now.
        bytes: u64,
        /// How many there will be.
        of: u64,
    },
    /// It gave nothing, or not all.
    GaveUp(Reason),
    /// The member is complete and has its digest, as the child sees it.
    Verified,
    /// All members are.
    Fetched {
        /// How many bytes came, from all mirrors together.
        moved: u64,
    },
    /// All mirrors gave up.
    Failed,
    /// The HTTP client could not be set up.
    NoClient(String),
    /// The pinned bytes are not what the catalogue says they are.
    Inconsistent(String),
}

/// What the child says that unpacks an archive. The order is fixed: [`Found::Ready`]; perhaps [`Found::Manifest`]; for
/// each emulator [`Found::Begin`], its bytes, [`Found::End`]; and one of the last two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Found {
    /// It has given up its rights, but for those that this kernel cannot take from it.
    Ready {
        /// What could not be done.
        lacks: Vec<Lack>,
    },
    /// What the archive says of itself.
    Manifest(Manifest),
    /// An emulator begins.
    Begin {
        /// whose programs it runs
        target: String,
        /// how many bytes it has
        size: u64,
    },
    /// It is complete.
    End,
    /// There are no more of them.
    Done,
    /// The archive is broken, or one that is not taken.
    Refused(String),
}

/// What the child says that verifies a list: both, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Verdict {
    /// It has given up its rights, but for those that this kernel cannot take from it.
    Ready {
        /// What could not be done.
        lacks: Vec<Lack>,
    },
    /// What it read.
    Read(Answer),
}

/// What a kernel may not be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lack {
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
pub struct Garbled(pub String);

/// Writes one word.
pub fn say(out: &mut impl Write, word: &impl Serialize) -> io::Result<()> {
    frame(out, WORD, &serde_json::to_vec(word)?)
}

/// Writes bytes of the member that comes next.
pub fn give(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(MOST_BYTES).try_for_each(|bytes| frame(out, BYTES, bytes))
}

fn frame(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let [a, b, c, d] = length.to_le_bytes();
    out.write_all(&[kind, a, b, c, d])?;
    out.write_all(payload)
}

/// Takes frames apart as they come, in pieces of any size.
#[derive(Debug, Default)]
pub struct Frames {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between frames: the first bytes of the next one's head.
    Head(Vec<u8>),
    /// Within bytes: how many are to come.
    Bytes(usize),
    /// Within a word: what there is of it, and how many bytes are to come.
    Word(Vec<u8>, usize),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// A part of what the child said.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a, W = Word> {
    /// Some bytes of a member; never none.
    Bytes(&'a [u8]),
    /// A whole word.
    Word(W),
}

impl Frames {
    /// The next piece, cut from the front of `input`; `None` when all of `input` is used up.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Garbled> {
        self.next_of(input)
    }

    /// The same, of another language.
    pub fn next_of<'a, W: DeserializeOwned>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a, W>>, Garbled> {
        while !input.is_empty() {
            match &mut self.state {
                State::Head(head) => {
                    head.extend_from_slice(cut(input, HEAD.saturating_sub(head.len())));
                    if let [kind, length @ ..] = head.as_slice()
                        && let Ok(length) = <[u8; 4]>::try_from(length)
                    {
                        self.state = begin(*kind, u32::from_le_bytes(length))?;
                    }
                }
                State::Bytes(left) => {
                    let bytes = cut(input, *left);
                    *left = left.saturating_sub(bytes.len());
                    if *left == 0 {
                        self.state = State::default();
                    }
                    return Ok(Some(Piece::Bytes(bytes)));
                }
                State::Word(text, left) => {
                    let more = cut(input, *left);
                    text.extend_from_slice(more);
                    *left = left.saturating_sub(more.len());
                    if *left == 0 {
                        let word =
                            serde_json::from_slice(text).map_err(|_| Garbled("a word that there is not".into()))?;
                        self.state = State::default();
                        return Ok(Some(Piece::Word(word)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// How long a frame's head is.
const HEAD: usize = 5;

fn begin(kind: u8, length: u32) -> Result<State, Garbled> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match kind {
        BYTES if (1..=MOST_BYTES).contains(&length) => Ok(State::Bytes(length)),
        WORD if (1..=LONGEST_WORD).contains(&length) => Ok(State::Word(Vec::new(), length)),
        BYTES | WORD => Err(Garbled(format!("a frame of {length} bytes"))),
        _ => Err(Garbled(format!("a frame of the kind {kind}"))),
    }
}

/// Cuts up to `most` bytes from the front.
fn cut<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at_checked(most).unwrap_or((input, &[]));
    *input = rest;
    front
}
