//! Reads what Debian signed in a process of its own, as archives are unpacked. What that says is believed only as far
//! as it can be true: see `debian`, which looks at every answer.

use std::fs::File;

use super::wire::{Frames, Garbled, Lack, Piece, Verdict};
use super::{hear, note};
use crate::debian::{self, Answer, Date, DebianError, Keys, Offer, Question, Wanted};
use crate::error::{Error, Result};
use crate::host::Worker;

/// The `internal` subcommand that is the child.
pub const VERIFY: &str = "verify";

/// Which `qemu-user` Debian offers for a host machine (`uname -m`), from the files that `get` gives, and what the user
/// should know of this kernel.
///
/// `go_on` is asked every 50 ms at least while a file is read; an error of it is the end.
pub fn latest(
    host_machine: &str,
    now: Date,
    get: &mut dyn FnMut(&Wanted) -> Result<File>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Offer, Option<String>)> {
    let mut said = None;
    let offer = debian::latest(host_machine, now, &Keys::of_debian(), get, &mut |question, file| {
        let (answer, note) = read(question, file, go_on)?;
        said = said.take().or(note);
        Ok(answer)
    })?;
    Ok((offer, said))
}

/// What is in a file, and what the user should know of this kernel.
pub fn read(
    question: &Question,
    file: File,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Answer, Option<String>)> {
    let process = |why: String| Error::from(DebianError::Process(why));
    let asked = serde_json::to_string(question).map_err(|e| process(format!("cannot be talked with: {e}")))?;
    let args = [std::process::id().to_string(), asked];
    let (mut frames, mut ready) = (Frames::default(), None);
    let answer = hear(Worker::start_with(VERIFY, &args, file), &process, go_on, &mut |bytes| {
        take(&mut frames, &mut ready, bytes).map_err(|garbled| process(garbled.to_string()))
    })?;
    Ok((answer, note(&ready.unwrap_or_default(), "verifies Debian's lists")))
}

/// Takes what came. Done when it returns something.
fn take(
    frames: &mut Frames,
    ready: &mut Option<Vec<Lack>>,
    mut input: &[u8],
) -> std::result::Result<Option<Answer>, Garbled> {
    while let Some(piece) = frames.next_of(&mut input)? {
        match piece {
            Piece::Word(Verdict::Ready { lacks }) if ready.is_none() => *ready = Some(lacks),
            Piece::Word(Verdict::Read(answer)) if ready.is_some() => return Ok(Some(answer)),
            Piece::Word(_) => return Err(Garbled("a word that had not its turn".to_owned())),
            Piece::Bytes(_) => return Err(Garbled("bytes of nothing".to_owned())),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetcher::wire;

    fn heard(words: &[Verdict]) -> std::result::Result<Option<Answer>, Garbled> {
        let mut said = Vec::new();
        for word in words {
            drop(wire::say(&mut said, word));
        }
        take(&mut Frames::default(), &mut None, &said)
    }

    #[test]
    fn each_word_has_its_turn() {
        let ready = || Verdict::Ready { lacks: Vec::new() };
        let read = || Verdict::Read(Answer::Package(None));
        assert_eq!(heard(&[ready(), read()]), Ok(Some(Answer::Package(None))));
        assert_eq!(heard(&[ready()]), Ok(None));
        assert!(heard(&[read()]).is_err());
        assert!(heard(&[ready(), ready()]).is_err());
        let mut bytes = Vec::new();
        drop(wire::say(&mut bytes, &ready()));
        drop(wire::give(&mut bytes, b"x"));
        assert!(take(&mut Frames::default(), &mut None, &bytes).is_err());
    }
}
