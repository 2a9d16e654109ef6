//! The worker that verifies: gives up its rights, reads the list on its standard input, and reports what is in it.

use std::io::{self, BufReader};

use crate::error::{ExitCode, Result};
use crate::qemu::debian;
use crate::qemu::debian::protocol::VerifyMessage;
use crate::qemu::debian::{IndexQuery, IndexResult, Keyring};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{BUFFER_SIZE, failed};
use crate::sanitize::to_one_line;

/// Answers a question, which is JSON, for the process `parent`.
pub fn run_worker(parent: u32, question: &str) -> Result<ExitCode> {
    let (confined, ()) = session::begin(&Profile::READER, || ())?;
    let mut out = confined.follow(parent)?;
    let question: IndexQuery = serde_json::from_str(question).map_err(|e| failed("read the question of")(e.into()))?;
    let mut list = BufReader::with_capacity(BUFFER_SIZE, io::stdin().lock());
    let answer = match debian::answer_query(&question, &mut list, &Keyring::debian_archive()) {
        IndexResult::Refused(why) => IndexResult::Refused(to_one_line(&why)),
        read => read,
    };
    out.tell(&VerifyMessage::Read(answer)).map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}
