//! The worker that verifies: gives up its rights, reads the list on its standard input, and reports what is in it.

use std::io::{self, BufReader};

use super::confine::Profile;
use super::protocol_debian::Verdict;
use super::session::{self, AT_ONCE, failed};
use crate::debian::{self, Answer, Keys, Question};
use crate::error::{ExitCode, Result};
use crate::text::one_line;

/// Answers a question, which is JSON, for the process `parent`.
pub fn run(parent: u32, question: &str) -> Result<ExitCode> {
    let (confined, ()) = session::begin(&Profile::READER, || ())?;
    let mut out = confined.follow(parent)?;
    let question: Question = serde_json::from_str(question).map_err(|e| failed("read the question of")(e.into()))?;
    let mut list = BufReader::with_capacity(AT_ONCE, io::stdin().lock());
    let answer = match debian::answer(&question, &mut list, &Keys::of_debian()) {
        Answer::Refused(why) => Answer::Refused(one_line(&why)),
        read => read,
    };
    out.tell(&Verdict::Read(answer)).map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}
