//! Audit: runs the guest program and its native counterpart, and compares what they did.
//!
//! The launcher starts this instead of the native program for one start in N (`accelerate --audit N`), in the build itself.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::accelerate::tools::{self, Listed, ToolKind};
use crate::host::inherited_run::{self, CapturedRun, Input};
use crate::sanitize::AsText as _;

/// Name of the `internal` subcommand.
pub const AUDIT_COMMAND: &str = "audit";

/// Guest program and native program of one start.
#[derive(Debug)]
pub struct Audit<'a> {
    /// Static emulator of the guest program.
    pub emulator: &'a Path,
    /// Path of the guest program.
    pub guest: &'a Path,
    /// `argv[0]` of the start.
    pub arg0: &'a OsStr,
    /// Command of the native program: what is executed, its `argv[0]`, and its first arguments.
    pub native: &'a [OsString],
    /// Arguments of the start.
    pub args: &'a [OsString],
    /// Arguments that only the native program gets, after the others.
    pub more: &'a [OsString],
}

/// Why both programs could not be compared, or how they differ.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A program could not be run.
    #[error("accelerate --audit: {} cannot be run: {source}", program.as_text())]
    Run {
        /// Path of the program.
        program: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Both did something else.
    #[error("accelerate --audit: the native program and {} differ in {what}: {command}", guest.as_text())]
    Differs {
        /// Path of the guest program.
        guest: PathBuf,
        /// What differs.
        what: &'static str,
        /// Arguments of the start.
        command: String,
    },
}

impl crate::error::Failure for AuditError {
    fn hint(&self) -> Option<String> {
        Some("please report the difference; to emulate the program again: sudo binfmt-nix accelerate --off".into())
    }
}

impl Audit<'_> {
    /// Runs both programs, and repeats the output of the guest program. If both failed, becomes the native program, which
    /// then fails in the same way. Becomes the native program, too, if the start cannot be made twice.
    ///
    /// # Errors
    /// They differ, or one of them could not be run.
    pub fn run(&self) -> Result<(), AuditError> {
        let failed = |program: &Path| {
            let program = program.to_owned();
            move |source| AuditError::Run { program, source }
        };
        let (start, words) =
            self.native.split_first().map_or((OsStr::new(""), &[][..]), |(start, rest)| (start.as_os_str(), rest));
        let start = Path::new(start);
        let (native_arg0, first) =
            words.split_first().map_or((self.arg0, &[][..]), |(arg0, rest)| (arg0.as_os_str(), rest));
        let native_args = [first, self.args, self.more].concat();
        let become_native =
            |input| Err(failed(start)(inherited_run::become_program(start, native_arg0, &native_args, input)));
        let Listed::Yes(tool) = tools::look_up(&self.guest.file_name().unwrap_or_default().as_text()) else {
            return become_native(None);
        };
        // Of other tools, -o means something else.
        let has_output = tool.kind != ToolKind::Filter || tool.name == "zstd";
        let output = has_output.then(|| output_file(self.args)).flatten();
        if !self.is_repeatable(tool.name, output.is_some()) {
            return become_native(None);
        }
        let Some(input) = Input::of_stdin(self.reads_stdin()).map_err(failed(self.guest))? else {
            return become_native(None);
        };
        let run = |program: &Path, arg0: &OsStr, args: &[OsString], without: &[&str]| {
            inherited_run::run_captured(program, arg0, args, without, &input, output.as_ref()).map_err(failed(program))
        };
        let native = run(start, native_arg0, &native_args, &[])?;
        let own = [OsString::from("-0"), self.arg0.to_owned(), self.guest.as_os_str().to_owned()];
        // The launcher sets some of these for the native program. The caller has none of them, or it would be emulated.
        let without = tool.refused_variables;
        let guest = run(self.emulator, self.emulator.as_os_str(), &[&own[..], self.args].concat(), without)?;
        if let Some(what) = find_difference(&native, &guest) {
            let command = self.args.iter().map(|arg| arg.as_text()).collect::<Vec<_>>().join(" ");
            return Err(AuditError::Differs { guest: self.guest.to_owned(), what, command });
        }
        if !guest.status.success() {
            return become_native(Some(&input));
        }
        repeat(&guest).map_err(failed(self.guest))
    }

    /// Whether a second start does the same: the first one has replaced no file.
    fn is_repeatable(&self, tool: &str, has_output: bool) -> bool {
        match tool {
            "tar" => false,
            "sed" => !self.has_option(b'i', "--in-place"),
            "gzip" | "bzip2" | "xz" | "zstd" => {
                let prints = self.has_option(b'c', "--stdout") || self.has_option(b'c', "--to-stdout");
                prints || has_output || !self.has_operand()
            }
            _ => true,
        }
    }

    /// Whether the program is sure to read standard input to its end. If it does not, a copy would take the input of
    /// another program, such as a loop of a shell.
    fn reads_stdin(&self) -> bool {
        let only_answers = self.has_option(b'V', "--version") || self.has_option(b'h', "--help");
        self.args.iter().any(|arg| arg == "-") || !self.has_operand() && !only_answers
    }

    /// Whether an argument has a short option, alone or after others, or is a long option.
    fn has_option(&self, letter: u8, long: &str) -> bool {
        self.args.iter().map(|arg| arg.as_bytes()).any(|arg| match arg.strip_prefix(b"-") {
            Some([b'-', ..]) => arg.starts_with(long.as_bytes()),
            Some(letters) => letters.contains(&letter),
            None => false,
        })
    }

    /// Whether an argument may name a file.
    fn has_operand(&self) -> bool {
        self.args.iter().any(|arg| !arg.as_bytes().starts_with(b"-"))
    }
}

fn repeat(run: &CapturedRun) -> io::Result<()> {
    io::stderr().lock().write_all(&run.stderr)?;
    let mut out = io::stdout().lock();
    out.write_all(&run.stdout)?;
    out.flush()
}

fn find_difference(native: &CapturedRun, guest: &CapturedRun) -> Option<&'static str> {
    let parts = [
        (native.status == guest.status, "their exit status"),
        (native.file == guest.file, "the file that they write"),
        (native.stdout == guest.stdout, "standard output"),
        (native.stderr == guest.stderr, "standard error"),
    ];
    parts.into_iter().find_map(|(same, what)| (!same).then_some(what))
}

/// The file after `-o`, unless that is standard output.
fn output_file(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let path = match arg.as_bytes().strip_prefix(b"-o") {
            Some(b"") => args.next()?.as_bytes(),
            Some(path) => path,
            None => continue,
        };
        let path = Path::new(OsStr::from_bytes(path));
        return (path != Path::new("-") && path.parent() != Some(Path::new("/dev"))).then(|| path.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_that_replace_files_or_take_the_input_of_others_are_known() {
        let audit = |tool: &str, args: &str| {
            let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
            let (path, arg0) = (Path::new("/x"), OsStr::new(tool));
            let audit = Audit { emulator: path, guest: path, arg0, native: &[], args: &args, more: &[] };
            (audit.is_repeatable(tool, output_file(&args).is_some()), audit.reads_stdin())
        };
        for (tool, args, expected) in [
            ("gzip", "", (true, true)),
            ("gzip", "-9", (true, true)),
            ("gzip", "file", (false, false)),
            ("gzip", "-dc file", (true, false)),
            ("gzip", "--stdout file", (true, false)),
            ("zstd", "-o out -", (true, true)),
            ("sed", "s/a/b/", (true, false)),
            ("sed", "-ni p file", (false, false)),
            ("sed", "--in-place=x p file", (false, false)),
            ("tar", "-xf x", (false, false)),
            ("cc1", "-quiet - -o x.s", (true, true)),
            ("cat", "--version", (true, false)),
            ("basename", "file", (true, false)),
        ] {
            assert_eq!(audit(tool, args), expected, "{tool} {args}");
        }
    }
}
