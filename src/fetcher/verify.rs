//! Reads what Debian signed in a process of its own, as archives are unpacked. What that says is believed only as far
//! as it can be true: see `debian`, which looks at every answer.

use std::fs::File;

use super::protocol_debian::Verdict;
use super::session::Inbox;
use super::wire::{Garbled, Piece};
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
    let mut inbox = Inbox::default();
    let answer = hear(Worker::start_with_file(VERIFY, &args, file), &process, go_on, &mut |bytes| {
        take(&mut inbox, bytes).map_err(|garbled| process(garbled.to_string()))
    })?;
    Ok((answer, note(inbox.lacks(), "verifies Debian's lists")))
}

/// Takes what came. Done when it returns something.
fn take(inbox: &mut Inbox, mut input: &[u8]) -> std::result::Result<Option<Answer>, Garbled> {
    match inbox.next(&mut input)? {
        Some(Piece::Word(Verdict::Read(answer))) => Ok(Some(answer)),
        Some(Piece::Bytes(_)) => Err(Garbled("bytes of nothing".to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetcher::session::Handshake;
    use crate::fetcher::wire;

    #[test]
    fn each_word_has_its_turn() {
        let mut ready = Vec::new();
        drop(wire::say(&mut ready, &Handshake::Ready { lacks: Vec::new() }));
        let mut read = Vec::new();
        drop(wire::say(&mut read, &Verdict::Read(Answer::Package(None))));
        let heard = |said: &[&[u8]]| take(&mut Inbox::default(), &said.concat());
        assert_eq!(heard(&[&ready, &read]), Ok(Some(Answer::Package(None))));
        assert_eq!(heard(&[&ready]), Ok(None));
        assert!(heard(&[&read]).is_err());
        assert!(heard(&[&ready, &ready]).is_err());
        let mut bytes = Vec::new();
        drop(wire::give(&mut bytes, b"x"));
        assert!(heard(&[&ready, &bytes]).is_err());
    }
}
