//! `#!` lines, as `load_script` of Linux's `fs/binfmt_script.c` reads them (6.18).

use crate::sanitize::text_of_bytes;
use binfmt_magic::WINDOW;
use serde::Serialize;

/// The content of a script's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScriptLine {
    /// The interpreter's path.
    pub interpreter: String,
    /// The rest of the line, as one argument.
    pub argument: Option<String>,
    /// The bytes of the path.
    #[serde(skip)]
    pub path: Vec<u8>,
}

/// The error for a `#!` line that the kernel rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScriptLine {
    /// The window has only blanks after `#!`.
    #[error("only blanks follow #!")]
    Blanks,
    /// The path may continue after the end of the window.
    #[error("the path after #! does not end within 256 bytes")]
    Endless,
    /// The line has no path.
    #[error("no path follows #!")]
    NoPath,
}

/// Parses the first line of a file that begins with `#!`, or returns why the kernel rejects it; `None` for other files.
pub fn parse_if_script(head: &[u8]) -> Option<Result<ScriptLine, InvalidScriptLine>> {
    head.starts_with(b"#!").then(|| parse_line(head))
}

fn parse_line(head: &[u8]) -> Result<ScriptLine, InvalidScriptLine> {
    // The last byte of the window is never read: it becomes the end.
    const LAST: usize = WINDOW - 1;
    let byte_at = |position: usize| if position < WINDOW { head.get(position).copied().unwrap_or(0) } else { 0 };
    let is_blank = |position: &usize| matches!(byte_at(*position), b' ' | b'\t');
    let line_end =
        (0..WINDOW).take_while(|&position| byte_at(position) != 0).find(|&position| byte_at(position) == b'\n');
    let mut end = if let Some(end) = line_end {
        end
    } else {
        let name = (2..=LAST).find(|position| !is_blank(position)).ok_or(InvalidScriptLine::Blanks)?;
        // Without a line end, a blank or a NUL after it, the path may be truncated.
        let is_terminated = (name..=LAST).any(|position| is_blank(&position) || byte_at(position) == 0);
        is_terminated.then_some(LAST).ok_or(InvalidScriptLine::Endless)?
    };
    while end.checked_sub(1).is_some_and(|before| is_blank(&before)) {
        end = end.saturating_sub(1);
    }
    let name =
        (2..=end).find(|position| !is_blank(position)).filter(|name| *name != end).ok_or(InvalidScriptLine::NoPath)?;
    let separator = (name..=end).find(|position| is_blank(position) || byte_at(*position) == 0);
    let argument = separator
        .filter(|position| byte_at(*position) != 0)
        .and_then(|position| (position..=end).find(|position| !is_blank(position)));
    // The kernel terminates both with a NUL, and the strings end at their first NUL.
    let string =
        |start: usize, stop: usize| -> Vec<u8> { (start..stop).map(byte_at).take_while(|byte| *byte != 0).collect() };
    let path = string(name, if argument.is_some() { separator.unwrap_or(end) } else { end });
    Ok(ScriptLine {
        interpreter: text_of_bytes(&path),
        argument: argument.map(|start| text_of_bytes(&string(start, end))),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Option<Result<(String, Option<String>), InvalidScriptLine>>;

    fn line(head: &[u8]) -> Words {
        parse_if_script(head).map(|line| line.map(|script| (script.interpreter, script.argument)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the result is compared with one that may fail")]
    fn script(path: &str, argument: &str) -> Words {
        Some(Ok((path.into(), (!argument.is_empty()).then(|| argument.into()))))
    }

    #[test]
    fn lines_are_parsed_as_by_the_kernel() {
        assert_eq!(line(b"#!/bin/sh\n"), script("/bin/sh", ""));
        assert_eq!(line(b"#! \t/bin/sh  -e -x \t\nrest"), script("/bin/sh", "-e -x"));
        assert_eq!(line(b"#!/bin/sh"), script("/bin/sh", ""));
        assert_eq!(line(b"#!/bin/sh\r\n"), script("/bin/sh\r", ""));
        assert_eq!(line(b"#!/bin/sh\0x\n"), script("/bin/sh", ""));
        assert_eq!(line(b"#!/bin/sh a\0b\n"), script("/bin/sh", "a"));
        assert_eq!(line(b" #!/bin/sh\n"), None);
        assert!(line(b"#!\n").is_some_and(|line| line.is_err()) && line(b"#! \t\n").is_some_and(|line| line.is_err()));
    }

    #[test]
    fn a_path_may_not_be_truncated_but_an_argument_may() {
        let long = |length: usize, rest: &str| [b"#!/", "a".repeat(length).as_bytes(), rest.as_bytes()].concat();
        assert_eq!(line(&long(300, "")), Some(Err(InvalidScriptLine::Endless)));
        assert_eq!(line(&long(252, "\n")).map(|line| line.map(|line| line.0.len())), Some(Ok(253)));
        assert!(line(&long(253, "\n")).is_some_and(|line| line.is_err()));
        let cut = line(&[b"#!/i ".as_slice(), &[b'x'; 300]].concat());
        assert_eq!(cut.map(|line| line.map(|line| line.1.map(|argument| argument.len()))), Some(Ok(Some(250))));
    }
}
