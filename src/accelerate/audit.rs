//! Audit: runs the guest program and its native counterpart, and compares what they did.
//!
//! The launcher starts this instead of the native program for one start in N (`accelerate --audit N`), in the build itself.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::host::inherited_run::{self, CapturedRun};
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
    /// then fails in the same way.
    ///
    /// # Errors
    /// They differ, or one of them could not be run.
    pub fn run(&self) -> Result<(), AuditError> {
        let failed = |program: &Path| {
            let program = program.to_owned();
            move |source| AuditError::Run { program, source }
        };
        let output = output_file(self.args);
        let reads = self.args.iter().any(|arg| arg == "-") || !self.args.iter().any(|arg| is_operand(arg));
        let input = if reads { Some(inherited_run::copy_stdin().map_err(failed(self.guest))?) } else { None };
        let run = |program: &Path, arg0: &OsStr, args: &[OsString]| {
            inherited_run::run_captured(program, arg0, args, input.as_ref(), output.as_ref()).map_err(failed(program))
        };
        let (start, words) =
            self.native.split_first().map_or((OsStr::new(""), &[][..]), |(start, rest)| (start.as_os_str(), rest));
        let (native_arg0, first) =
            words.split_first().map_or((self.arg0, &[][..]), |(arg0, rest)| (arg0.as_os_str(), rest));
        let native_args = [first, self.args, self.more].concat();
        let native = run(Path::new(start), native_arg0, &native_args)?;
        let own = [OsString::from("-0"), self.arg0.to_owned(), self.guest.as_os_str().to_owned()];
        let guest = run(self.emulator, self.emulator.as_os_str(), &[&own[..], self.args].concat())?;
        if let Some(what) = find_difference(&native, &guest) {
            let command = self.args.iter().map(|arg| arg.as_text()).collect::<Vec<_>>().join(" ");
            return Err(AuditError::Differs { guest: self.guest.to_owned(), what, command });
        }
        if !guest.status.success() {
            let error = inherited_run::become_program(Path::new(start), native_arg0, &native_args, input.as_ref());
            return Err(failed(Path::new(start))(error));
        }
        repeat(&guest).map_err(failed(self.guest))
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

/// Whether an argument names a file, or standard input.
fn is_operand(arg: &OsStr) -> bool {
    !arg.as_bytes().starts_with(b"-")
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
