//! Validation of one candidate: whether a file is a static QEMU for this host and system that may be used.
//!
//! A candidate is opened once. All checks, the run of `--version` and the later copy use that handle, so the file cannot be
//! replaced between them.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::binfmt::in_memory::is_in_memory_path;
use crate::error::{Error, TrustError};
use crate::host::{self, Host};
use crate::qemu::binary;
use crate::qemu::binary::{BinaryError, OLDEST_SUPPORTED, QemuVersion};
use crate::qemu::version_query::{VersionError, VersionQuery, query_version};
use crate::sandbox::frame::MissingProtection;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// One candidate, and the result of its validation.
#[derive(Debug)]
pub struct Candidate {
    /// Path under which the candidate was found.
    pub path: PathBuf,
    /// Validated file, or the reason why it cannot be used.
    pub verdict: Result<ValidatedBinary, CandidateError>,
}

/// A static QEMU for this host and the target.
#[derive(Debug)]
pub struct ValidatedBinary {
    /// Release of QEMU.
    pub version: QemuVersion,
    /// Digest of the whole file.
    pub sha256: Sha256,
    /// Whether the program runs only at the address for which it was linked.
    pub fixed_address: bool,
    /// Handle through which the file was validated.
    pub file: File,
    /// Protections that were missing when the file was run.
    pub missing: Vec<MissingProtection>,
}

/// Why a file is not used as an emulator.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// The path names an open file of another process.
    #[error("it exists only as an open file of another process")]
    InMemory,
    /// Users other than root can change the file.
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
    /// The program does not report its release as the emulator does.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The program crashes, as a report describes.
    #[error("{error} (known: {thread})")]
    KnownCrash {
        /// failure of `--version`
        error: VersionError,
        /// URL of the report
        thread: &'static str,
    },
    /// The release is older than any that is used automatically.
    #[error("its release {0} is older than {OLDEST_SUPPORTED}")]
    TooOld(QemuVersion),
    /// The release is known to break its guests.
    #[error("QEMU {version} {what} ({thread})")]
    KnownFlaw {
        /// release of the candidate
        version: QemuVersion,
        /// effect of the flaw, as it follows the release in a sentence
        what: &'static str,
        /// URL of the report
        thread: &'static str,
    },
    /// Another candidate of the same release has priority.
    #[error("it is QEMU {version}, the same release as {}, which has priority", first.as_text())]
    LowerPriority {
        /// release of both
        version: QemuVersion,
        /// path of the candidate that is used
        first: PathBuf,
    },
    /// Another candidate is newer.
    #[error("it is QEMU {version}, and {} is {newest}", newer.as_text())]
    NotNewest {
        /// release of this candidate
        version: QemuVersion,
        /// path of the candidate that is used
        newer: PathBuf,
        /// release of the candidate that is used
        newest: QemuVersion,
    },
    /// No profile of root leads to this file in the Nix store.
    #[error(
        "any user who may build with Nix can add a program to the store, and no profile of root leads to this one; use \
         --qemu PATH to select it"
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

/// Validates a file that the user named. The user is responsible for it: its owner and release are not restricted, and
/// symbolic links are followed.
pub fn validate_user_file(arch: &Arch, machine: &str, path: &Path, query: VersionQuery) -> Candidate {
    let verdict = host::user_files::open_regular(path)
        .map_err(|e| CandidateError::Open(Box::new(e)))
        .and_then(|file| validate_binary(arch, machine, file, query));
    let path = path.to_owned();
    Candidate { path, verdict }
}

/// Validates a file that was found on the host. Checks its owner and mode first, then its headers, and only then runs it.
pub fn validate_candidate(
    host: &Host,
    arch: &Arch,
    machine: &str,
    path: &Path,
) -> Result<ValidatedBinary, CandidateError> {
    let validated = validate_any_release(host, arch, machine, path)?;
    if validated.version < OLDEST_SUPPORTED {
        return Err(CandidateError::TooOld(validated.version));
    }
    Ok(validated)
}

/// Like [`validate_candidate`], but accepts old releases.
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
    validate_binary(arch, machine, file, VersionQuery::Run)
}

/// Validates an open file: checks its headers, and queries its release. The file is executed through the handle, so it
/// cannot be replaced in between.
pub fn validate_binary(
    arch: &Arch,
    machine: &str,
    mut file: File,
    query: VersionQuery,
) -> Result<ValidatedBinary, CandidateError> {
    let head = read_static_head(machine, &mut file)?;
    let queried = query_version(arch, &file, query)?;
    Ok(ValidatedBinary { missing: queried.missing, ..hash_binary(&head, file, queried.version)? })
}

/// Validates an open file whose publisher states the release. The file is not run, so it may be for another machine.
pub fn validate_with_release(
    machine: &str,
    mut file: File,
    release: QemuVersion,
) -> Result<ValidatedBinary, CandidateError> {
    let head = read_static_head(machine, &mut file)?;
    hash_binary(&head, file, release)
}

/// Reads and checks the first bytes of a static program for `machine`.
fn read_static_head(machine: &str, file: &mut File) -> Result<Vec<u8>, CandidateError> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(binary::HEAD_SIZE).read_to_end(&mut head)?;
    binary::check_binary(&head, machine)?;
    Ok(head)
}

fn hash_binary(head: &[u8], mut file: File, version: QemuVersion) -> Result<ValidatedBinary, CandidateError> {
    file.rewind()?;
    host::regular_file::check_program_size(&file.metadata()?)?;
    let sha256 = Sha256::of_reader(&mut file)?;
    let fixed_address = binary::has_fixed_address(head);
    Ok(ValidatedBinary { version, sha256, fixed_address, file, missing: Vec::new() })
}
