//! Static QEMUs that others installed on the host, one by one: is this one fit to be copied?

use crate::paths;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use binfmt_magic::Arch;

use crate::binfmt::in_memory::is_in_memory_path;
use crate::error::{Error, TrustError};
use crate::host::{self, Host};
use crate::qemu::binary;
use crate::qemu::binary::{BinaryError, InvalidVersionLine, OLDEST_SUPPORTED, QemuVersion};
use crate::sha256::Sha256;

/// One candidate, opened once: judged and copied through that very handle.
#[derive(Debug)]
pub struct Candidate {
    /// Its path, as it was looked for.
    pub path: PathBuf,
    /// Fit to be copied; or what speaks against it.
    pub verdict: Result<ValidatedBinary, CandidateError>,
}

/// A static QEMU for this host and the target.
#[derive(Debug)]
pub struct ValidatedBinary {
    /// Its release.
    pub version: QemuVersion,
    /// Of the whole file.
    pub sha256: Sha256,
    /// It runs at an address that it was linked for, and nowhere else.
    pub fixed_address: bool,
    /// The file that was judged.
    pub file: File,
}

/// Why a file is not taken as an emulator.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// The path names an open file of another process.
    #[error("it has no file that could be looked at")]
    InMemory,
    /// Users besides root can change the file.
    #[error(transparent)]
    Untrusted(TrustError),
    /// The file cannot be opened.
    #[error("{0}")]
    Open(Box<Error>),
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// The file is not a static program of this host.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The program does not answer as the emulator does.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The program crashes, which is known.
    #[error("{error} (known: {thread})")]
    KnownCrash {
        /// how it ended
        error: VersionError,
        /// where the crash is reported
        thread: &'static str,
    },
    /// The release is too old to be taken unasked.
    #[error("its release {0} is older than {OLDEST_SUPPORTED}")]
    TooOld(QemuVersion),
    /// The release is known to break its guests.
    #[error("QEMU {version} {what} ({thread})")]
    KnownFlaw {
        /// the release
        version: QemuVersion,
        /// what happens, as it follows the release in a sentence
        what: &'static str,
        /// where the flaw is reported
        thread: &'static str,
    },
    /// Another candidate of the same release comes first.
    #[error("it is QEMU {version}, as {} is, which comes first", first.display())]
    LowerPriority {
        /// the release of both
        version: QemuVersion,
        /// the candidate that is taken
        first: PathBuf,
    },
    /// Another candidate is newer.
    #[error("it is QEMU {version}, and {} is {newest}", newer.display())]
    NotNewest {
        /// its release
        version: QemuVersion,
        /// the candidate that is taken
        newer: PathBuf,
        /// its release
        newest: QemuVersion,
    },
    /// No profile of root leads to this file in the Nix store.
    #[error(
        "whoever may build with Nix can put a program into the store, and no profile of root's leads to this one; \
         --qemu PATH takes it"
    )]
    NotInRootProfile,
}

impl From<Error> for CandidateError {
    fn from(error: Error) -> Self {
        match error {
            Error::Untrusted(why) => Self::Untrusted(why),
            other => Self::Open(Box::new(other)),
        }
    }
}

/// Why an emulator does not tell its release.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The program cannot be started.
    #[error("cannot run it: {}{}", .0, noexec_hint(.0))]
    Start(std::io::Error),
    /// The program failed.
    #[error("--version ended with {status}: {stderr}")]
    Failed {
        /// how it ended
        status: ExitStatus,
        /// what it wrote to standard error
        stderr: String,
    },
    /// The program answers as another one.
    #[error(transparent)]
    InvalidLine(#[from] InvalidVersionLine),
}

impl VersionError {
    /// Whether a signal ended the program.
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Failed { status, .. } if status.signal().is_some())
    }
}

fn noexec_hint(e: &std::io::Error) -> &'static str {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => "; is its file system mounted noexec?",
        _ => "",
    }
}

/// The file that the user named. He vouches for it: its owner and age are his
/// choice, and symbolic links are followed.
pub fn validate_user_file(arch: &Arch, machine: &str, path: &Path) -> Candidate {
    let verdict = host::user_files::open_regular(path)
        .map_err(|e| CandidateError::Open(Box::new(e)))
        .and_then(|file| validate_binary(arch, machine, file));
    let path = path.to_owned();
    Candidate { path, verdict }
}

/// Trust first, then what the bytes say, and only then is it started.
pub fn validate_candidate(
    host: &Host,
    arch: &Arch,
    machine: &str,
    path: &Path,
) -> Result<ValidatedBinary, CandidateError> {
    let fit = validate_any_release(host, arch, machine, path)?;
    if fit.version < OLDEST_SUPPORTED {
        return Err(CandidateError::TooOld(fit.version));
    }
    Ok(fit)
}

/// The same, whatever its release.
pub fn validate_any_release(
    host: &Host,
    arch: &Arch,
    machine: &str,
    path: &Path,
) -> Result<ValidatedBinary, CandidateError> {
    if is_in_memory_path(path.as_os_str().as_bytes()) {
        return Err(CandidateError::InMemory);
    }
    let file = host.open_trusted_through_links(path)?;
    validate_binary(arch, machine, file)
}

/// What the bytes say, and what it answers when it is started.
pub fn validate_binary(arch: &Arch, machine: &str, mut file: File) -> Result<ValidatedBinary, CandidateError> {
    let head = read_static_head(machine, &mut file)?;
    // Executed and read through the handle: nothing can be put in its place.
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let version = query_version(arch, &open)?;
    hash_binary(&head, file, version)
}

/// The same for an emulator whose publisher says its release, and which need not run on this machine.
pub fn validate_with_release(
    machine: &str,
    mut file: File,
    release: QemuVersion,
) -> Result<ValidatedBinary, CandidateError> {
    let head = read_static_head(machine, &mut file)?;
    hash_binary(&head, file, release)
}

/// The first bytes of a static program for this machine.
fn read_static_head(machine: &str, file: &mut File) -> Result<Vec<u8>, CandidateError> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(binary::HEAD_SIZE).read_to_end(&mut head)?;
    binary::check_binary(&head, machine)?;
    Ok(head)
}

fn hash_binary(head: &[u8], mut file: File, version: QemuVersion) -> Result<ValidatedBinary, CandidateError> {
    file.rewind()?;
    let sha256 = Sha256::of_reader(&mut file)?;
    Ok(ValidatedBinary { version, sha256, fixed_address: binary::has_fixed_address(head), file })
}

/// Asks an emulator for its release, by running it.
pub fn query_version(arch: &Arch, program: &Path) -> Result<QemuVersion, VersionError> {
    let answer = host::process::run_program(program, &["--version"]).map_err(VersionError::Start)?;
    if !answer.status.success() {
        return Err(VersionError::Failed { status: answer.status, stderr: answer.stderr.trim().to_owned() });
    }
    Ok(binary::parse_version(&answer.stdout, &paths::emulator_name(arch))?)
}
