//! The parent's side of the verify worker, which parses Debian's signed lists in the same way as archives are unpacked.
//!
//! The parent does not trust the worker: [`debian::find_latest`] checks every answer.

use std::fs::File;

use crate::error::{Error, Result};
use crate::host::Worker;
use crate::qemu::debian;
use crate::qemu::debian::protocol::VerifyMessage;
use crate::qemu::debian::{Date, DebianError, IndexFile, IndexQuery, IndexResult, Keyring, PackageOffer};
use crate::sandbox::frame::{Frame, ProtocolError};
use crate::sandbox::pace::PaceLimits;
use crate::sandbox::session::Inbox;
use crate::sandbox::{WorkerState, describe_missing, supervise};

/// The `internal` subcommand of the worker.
pub const VERIFY_COMMAND: &str = "verify";

/// Returns the newest `qemu-user` that Debian offers for a host machine (`uname -m`), and a note for the user if this
/// kernel lacks protections of the worker. `get` downloads and opens a file.
///
/// `check_interrupt` is called at least every 50 ms while a file is read; if it fails, so does the function.
pub fn find_latest(
    host_machine: &str,
    now: Date,
    get: &mut dyn FnMut(&IndexFile) -> Result<File>,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(PackageOffer, Option<String>)> {
    let mut first_note = None;
    let offer = debian::find_latest(host_machine, now, &Keyring::debian_archive(), get, &mut |query, file| {
        let (answer, note) = query_index(query, file, check_interrupt)?;
        first_note = first_note.take().or(note);
        Ok(answer)
    })?;
    Ok((offer, first_note))
}

/// Returns the worker's answer to a query about a file, and a note for the user if this kernel lacks protections of the
/// worker.
pub fn query_index(
    query: &IndexQuery,
    file: File,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
) -> Result<(IndexResult, Option<String>)> {
    let worker_error = |why: String| Error::from(DebianError::Process(why));
    let query_json =
        serde_json::to_string(query).map_err(|e| worker_error(format!("cannot be given its query: {e}")))?;
    let args = [std::process::id().to_string(), query_json];
    let mut inbox = Inbox::default();
    let worker = Worker::start_with_file(VERIFY_COMMAND, &args, file);
    let answer = supervise(worker, PaceLimits::default(), &worker_error, check_interrupt, &mut |bytes| {
        let answer = handle_input(&mut inbox, bytes).map_err(|error| worker_error(error.to_string()))?;
        Ok(WorkerState::new(answer, 0))
    })?;
    Ok((answer, describe_missing(inbox.missing_protections(), "verify")))
}

/// Handles bytes of the worker's output. Returns `Some` when the answer is complete.
fn handle_input(inbox: &mut Inbox, mut input: &[u8]) -> std::result::Result<Option<IndexResult>, ProtocolError> {
    match inbox.next_frame(&mut input)? {
        Some(Frame::Message(VerifyMessage::Read(answer))) => Ok(Some(answer)),
        Some(Frame::Bytes(_)) => Err(ProtocolError("unexpected bytes".to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::frame;
    use crate::sandbox::session::Handshake;

    #[test]
    fn only_the_answer_is_accepted_after_the_handshake() {
        let mut ready = Vec::new();
        drop(frame::write_message(&mut ready, &Handshake::Ready { lacks: Vec::new() }));
        let mut answer = Vec::new();
        drop(frame::write_message(&mut answer, &VerifyMessage::Read(IndexResult::Package(None))));
        let handle = |output: &[&[u8]]| handle_input(&mut Inbox::default(), &output.concat());
        assert_eq!(handle(&[&ready, &answer]), Ok(Some(IndexResult::Package(None))));
        assert_eq!(handle(&[&ready]), Ok(None));
        assert!(handle(&[&answer]).is_err());
        assert!(handle(&[&ready, &ready]).is_err());
        let mut bytes = Vec::new();
        drop(frame::write_bytes(&mut bytes, b"x"));
        assert!(handle(&[&ready, &bytes]).is_err());
    }
}
