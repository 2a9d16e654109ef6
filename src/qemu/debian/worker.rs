//! The verify worker: gives up its rights, reads the list on its standard input, and answers a query about it.

use std::io::{self, BufReader};

use crate::error::{ExitCode, Result};
use crate::qemu::debian;
use crate::qemu::debian::protocol::VerifyMessage;
use crate::qemu::debian::{IndexQuery, IndexResult, Keyring};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{BUFFER_SIZE, worker_error};
use crate::sanitize::to_one_line;

/// Answers a query, which is JSON. `parent` is the process id of the worker's parent.
pub fn run_worker(parent: u32, query: &str) -> Result<ExitCode> {
    let (confined, ()) = session::start_confined(&Profile::READER, || ())?;
    let mut out = confined.report_ready(parent)?;
    let query: IndexQuery = serde_json::from_str(query).map_err(|e| worker_error("read the query of")(e.into()))?;
    let mut list = BufReader::with_capacity(BUFFER_SIZE, io::stdin().lock());
    let answer = match debian::answer_query(&query, &mut list, &Keyring::debian_archive()) {
        IndexResult::Refused(why) => IndexResult::Refused(to_one_line(&why)),
        answer => answer,
    };
    out.send(&VerifyMessage::Read(answer)).map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}
