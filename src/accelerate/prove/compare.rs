//! Comparison of what two programs left. Pure.

use std::os::unix::process::ExitStatusExt as _;

use serde::{Deserialize, Serialize};

use crate::host::capture::{CapturedFile, CapturedOutput};
use crate::sanitize::{AsText as _, escape_line, text_of_bytes};

/// Longest part of a text in a refusal.
const MAX_TEXT: usize = 600;

/// Why a pair must not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}{}", if .case.is_empty() { String::new() } else { format!("; the case is: {}", .case) })]
pub struct PairRefusal {
    /// Source and command of the case. Empty if the reason is not in the corpus.
    pub case: String,
    /// What differed, and at which byte.
    pub what: String,
}

impl PairRefusal {
    pub(super) fn new(case: &str, what: &str) -> Self {
        let cut = |text: &str| escape_line(&text.chars().take(MAX_TEXT).collect::<String>());
        Self { case: cut(case), what: cut(what) }
    }

    pub(super) fn without_result() -> Self {
        Self::new("", "the worker reported no result")
    }

    pub(super) fn changed() -> Self {
        Self::new("", "one of the programs was changed during the proof")
    }
}

/// Everything that one run left.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) output: CapturedOutput,
    pub(super) files: Vec<CapturedFile>,
}

impl Outcome {
    /// Returns the content of a file.
    pub(super) fn file(&self, name: &str) -> Option<&[u8]> {
        let found = self.files.iter().find(|file| file.path.as_os_str() == name);
        found.map(|file| file.content.as_slice())
    }

    /// Number of bytes of everything.
    pub(super) fn size(&self) -> u64 {
        let files = self.files.iter().map(|file| file.content.len());
        [self.output.stdout.len(), self.output.stderr.len()].into_iter().chain(files).map(|n| n as u64).sum()
    }
}

/// Describes the first difference between the run of the guest's program and that of the native one.
pub(super) fn difference(guest: &Outcome, native: &Outcome) -> Option<String> {
    if let Some(signal) = native.output.status.signal() {
        return Some(format!("the native program was ended by signal {signal}"));
    }
    let streams = [
        ("standard error", &guest.output.stderr, &native.output.stderr),
        ("standard output", &guest.output.stdout, &native.output.stdout),
    ];
    if guest.output.status != native.output.status {
        let (is, was) = (native.output.status, guest.output.status);
        let message = text_of_bytes(&native.output.stderr);
        return Some(format!("the native program ended with {is}, and the guest's with {was}: {message}"));
    }
    for (name, guest, native) in streams {
        if let Some(difference) = first_difference(guest, native) {
            return Some(format!("{name} {difference}"));
        }
    }
    let names = |outcome: &Outcome| outcome.files.iter().map(|file| (file.path.clone(), file.mode)).collect::<Vec<_>>();
    let (theirs, own) = (names(guest), names(native));
    if theirs != own {
        let other = theirs
            .iter()
            .find(|entry| !own.contains(entry))
            .or_else(|| own.iter().find(|entry| !theirs.contains(entry)));
        let name = other.map(|(path, _)| path.as_text()).unwrap_or_default();
        return Some(format!("only one of both made the file {name}, or with this mode"));
    }
    guest.files.iter().zip(&native.files).find_map(|(guest, native)| {
        let difference = first_difference(&guest.content, &native.content)?;
        Some(format!("the file {} {difference}", guest.path.as_text()))
    })
}

/// Describes the first byte that differs.
fn first_difference(guest: &[u8], native: &[u8]) -> Option<String> {
    if guest == native {
        return None;
    }
    let offset = guest.iter().zip(native).take_while(|(a, b)| a == b).count();
    let part = |bytes: &[u8]| {
        let part = bytes.get(offset..).unwrap_or_default();
        escape_line(&text_of_bytes(part.get(..32).unwrap_or(part)))
    };
    Some(format!("differs at byte {offset}: \"{}\" by the emulator, \"{}\" natively", part(guest), part(native)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::ExitStatus;

    use super::*;

    fn outcome(status: i32, stdout: &str, content: &str) -> Outcome {
        let output = CapturedOutput { status: ExitStatus::from_raw(status), stdout: stdout.into(), stderr: Vec::new() };
        let file = CapturedFile { path: PathBuf::from("out"), mode: 0o100_644, content: content.into() };
        Outcome { output, files: vec![file] }
    }

    #[test]
    fn every_difference_is_described() {
        let guest = outcome(0, "text", "abcdef");
        assert_eq!(difference(&guest, &guest.clone()), None);
        for (native, part) in [
            (outcome(11, "text", "abcdef"), "signal 11"),
            (outcome(256, "text", "abcdef"), "exit status: 1"),
            (outcome(0, "texts", "abcdef"), "standard output differs at byte 4"),
            (outcome(0, "text", "abcxef"), "the file out differs at byte 3: \"def\" by the emulator, \"xef\" natively"),
            (Outcome { files: Vec::new(), ..guest.clone() }, "only one of both made the file out"),
        ] {
            assert!(difference(&guest, &native).is_some_and(|text| text.contains(part)), "{part}");
        }
    }
}
