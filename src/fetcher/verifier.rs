//! The child that verifies: gives up its rights, reads the list on its standard input, and says what is in it.

use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use super::child::{AT_ONCE, Output};
use super::confine::{Work, confine, die_with};
use super::wire::{self, Verdict};
use crate::debian::{self, Answer, Keys, Question};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::text::one_line;

/// Answers a question, which is JSON, for the process `parent`.
pub fn run(parent: u32, question: &str) -> Result<ExitCode> {
    let failed = |what| move |e: io::Error| Error::io(what, Path::new("/proc/self"), e);
    let host = Host::live();
    host::process::close_inherited_fds().map_err(failed("close the files of"))?;
    let lacks = confine(&host, Work::Unpack).map_err(failed("confine"))?;
    die_with(parent).map_err(failed("follow the parent of"))?;
    let question: Question = serde_json::from_str(question).map_err(|e| failed("read the question of")(e.into()))?;
    let mut out = BufWriter::with_capacity(AT_ONCE, Output);
    let talk = || -> io::Result<()> {
        wire::say(&mut out, &Verdict::Ready { lacks })?;
        let mut list = BufReader::with_capacity(AT_ONCE, io::stdin().lock());
        let answer = match debian::answer(&question, &mut list, &Keys::of_debian()) {
            Answer::Refused(why) => Answer::Refused(one_line(&why)),
            read => read,
        };
        wire::say(&mut out, &Verdict::Read(answer))?;
        out.flush()
    };
    talk().map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}
