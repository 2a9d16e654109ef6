//! Reads what Debian signed in a process of its own, as archives are unpacked. What that says is believed only as far
//! as it can be true: see `debian`, which looks at every answer.

use std::fs::File;

use crate::error::{Error, Result};
use crate::host::Worker;
use crate::qemu::debian;
use crate::qemu::debian::protocol::VerifyMessage;
use crate::qemu::debian::{Date, DebianError, IndexFile, IndexQuery, IndexResult, Keyring, PackageOffer};
use crate::sandbox::frame::{Frame, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sandbox::{describe_missing, supervise};

/// The `internal` subcommand that is the child.
pub const VERIFY_COMMAND: &str = "verify";

/// Which `qemu-user` Debian offers for a host machine (`uname -m`), from the files that `get` gives, and what the user
/// should know of this kernel.
///
/// `go_on` is asked every 50 ms at least while a file is read; an error of it is the end.
pub fn find_latest(
    host_machine: &str,
    now: Date,
    get: &mut dyn FnMut(&IndexFile) -> Result<File>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(PackageOffer, Option<String>)> {
    let mut result = None;
    let offer = debian::find_latest(host_machine, now, &Keyring::debian_archive(), get, &mut |query, file| {
        let (answer, note) = query_index(query, file, go_on)?;
        result = result.take().or(note);
        Ok(answer)
    })?;
    Ok((offer, result))
}

/// What is in a file, and what the user should know of this kernel.
pub fn query_index(
    query: &IndexQuery,
    file: File,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(IndexResult, Option<String>)> {
    let process = |why: String| Error::from(DebianError::Process(why));
    let query_json = serde_json::to_string(query).map_err(|e| process(format!("cannot be reached: {e}")))?;
    let args = [std::process::id().to_string(), query_json];
    let mut inbox = Inbox::default();
    let answer = supervise(Worker::start_with_file(VERIFY_COMMAND, &args, file), &process, go_on, &mut |bytes| {
        handle_input(&mut inbox, bytes).map_err(|garbled| process(garbled.to_string()))
    })?;
    Ok((answer, describe_missing(inbox.missing_protections(), "verifies Debian's lists")))
}

/// Takes what came. Done when it returns something.
fn handle_input(inbox: &mut Inbox, mut input: &[u8]) -> std::result::Result<Option<IndexResult>, ProtocolError> {
    match inbox.next_frame(&mut input)? {
        Some(Frame::Message(VerifyMessage::Read(answer))) => Ok(Some(answer)),
        Some(Frame::Bytes(_)) => Err(ProtocolError("bytes of nothing".to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::frame;
    use crate::sandbox::session::Handshake;

    #[test]
    fn each_word_has_its_turn() {
        let mut ready = Vec::new();
        drop(frame::write_message(&mut ready, &Handshake::Ready { lacks: Vec::new() }));
        let mut read = Vec::new();
        drop(frame::write_message(&mut read, &VerifyMessage::Read(IndexResult::Package(None))));
        let heard = |said: &[&[u8]]| handle_input(&mut Inbox::default(), &said.concat());
        assert_eq!(heard(&[&ready, &read]), Ok(Some(IndexResult::Package(None))));
        assert_eq!(heard(&[&ready]), Ok(None));
        assert!(heard(&[&read]).is_err());
        assert!(heard(&[&ready, &ready]).is_err());
        let mut bytes = Vec::new();
        drop(frame::write_bytes(&mut bytes, b"x"));
        assert!(heard(&[&ready, &bytes]).is_err());
    }
}
