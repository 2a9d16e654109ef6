//! Release archives of publishers other than Debian, for `--source fallback` when no Debian mirror provides an emulator.
//!
//! An archive has another release of QEMU than the pinned package. Its digest covers the whole archive, so all of it is
//! downloaded. A note reports where the digest comes from.

use std::io::{self, Seek as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::ObtainContext;
use super::download::Destination;
use super::open::open_source;
use super::source::{ExternalSource, Location};
use super::unpack;
use crate::error::{Error, ExitCode, Failure, Result};
use crate::host;
use crate::paths;
use crate::qemu::candidate::ValidatedBinary;
use crate::qemu::catalog::{ArchiveCatalog, DigestOrigin, PinnedArchive};
use crate::qemu::download::{DownloadError, FileUrl};
use crate::qemu::version_query::VersionQuery;
use crate::sanitize::secrets::has_secret;
use crate::sanitize::{command, shell_quote, text_of};
use crate::sha256::Sha256;

/// An emulator from a release archive.
#[derive(Debug)]
pub struct FallbackEmulator {
    /// System that the emulator runs.
    pub arch: &'static Arch,
    /// Validated file.
    pub validated: ValidatedBinary,
    /// URL of the archive.
    pub url: String,
    /// Digest of the archive.
    pub archive_sha256: Sha256,
}

impl FallbackEmulator {
    /// Copies the emulator to a file.
    pub fn copy_to(&self, destination: &mut impl Destination) -> Result<()> {
        let from = Path::new(&self.url);
        let to = destination.path_of(&paths::emulator_name(self.arch));
        let failed = |e| Error::copy(from, to.as_deref().unwrap_or(from), e);
        let mut unpacked = &self.validated.file;
        unpacked.rewind().and_then(|()| io::copy(&mut unpacked, destination.file())).map_err(failed)?;
        destination.make_immutable().map_err(failed)
    }
}

/// Release archives, and the machine that needs emulators from them.
#[derive(Debug, Clone, Copy)]
pub struct FallbackArchives<'a> {
    /// Machine, terminal and network.
    pub context: ObtainContext<'a>,
    /// Machine that runs the emulators, as `uname -m` prints it.
    pub machine: &'a str,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// Catalogue of archives.
    pub archives: &'a ArchiveCatalog,
}

/// Whether another publisher may help after this failure: no server provided the right bytes, or any bytes.
pub fn should_try_fallback(error: &Error) -> bool {
    use DownloadError::{Failed, NoMirror, Unverified};
    matches!(error.as_failure(), Some(NoMirror { .. } | Failed { .. } | Unverified { .. }))
}

/// A failed download for which another publisher has an archive. The hint names the command, because the tool never
/// changes the publisher unless the user asks for it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FallbackAvailableError {
    error: Error,
    command: String,
}

impl FallbackAvailableError {
    /// Adds the command that uses archives of other publishers.
    pub fn new(error: Error, archs: &[&'static Arch]) -> Self {
        let words: Vec<_> = std::env::args_os().skip(1).map(text_of).collect();
        // A command without its password would not work.
        if words.iter().any(|word| has_secret(word)) {
            return Self { error, command: "run the same command with --source fallback".to_owned() };
        }
        let Some(words) = replace_source(&words) else {
            let systems: Vec<_> = archs.iter().map(|arch| arch.target).collect();
            let command = command::tool_as_root(format!("register --source fallback {}", systems.join(" ")));
            return Self { error, command };
        };
        let sudo = host::env::var("SUDO_COMMAND").map(|_| "sudo".to_owned());
        let own_path = text_of(host::env::own_path());
        let quoted = [own_path].into_iter().chain(words).map(|word| shell_quote(&word));
        let command: Vec<_> = sudo.into_iter().chain(quoted).collect();
        Self { error, command: command.join(" ") }
    }
}

impl Failure for FallbackAvailableError {
    fn hint(&self) -> Option<String> {
        self.error.hint()
    }

    fn details(&self) -> Vec<String> {
        self.error.details()
    }

    fn alternative(&self) -> Option<String> {
        Some(format!("use an archive of another publisher, pinned by its digest: {}", self.command))
    }

    fn exit_code(&self) -> ExitCode {
        self.error.exit_code()
    }
}

/// Replaces the source of a command line by `--source fallback`. Returns none if the command takes no source.
fn replace_source(words: &[String]) -> Option<Vec<String>> {
    let command = words.iter().position(|word| ["register", "run", "fetch"].contains(&word.as_str()))?;
    let (before, after) = words.split_at_checked(command.checked_add(1)?)?;
    // The words behind `--` belong to the command that `run` starts.
    let end = after.iter().position(|word| word == "--").unwrap_or(after.len());
    let (options, rest) = after.split_at_checked(end)?;
    let mut after = options.to_vec();
    let is_other = |value: &str| ["auto", "download"].contains(&value);
    let apart =
        after.windows(2).position(|pair| matches!(pair, [name, value] if name == "--source" && is_other(value)));
    let joined = after.iter().position(|word| word.strip_prefix("--source=").is_some_and(is_other));
    match (apart, joined) {
        (Some(at), _) => drop(after.drain(at..=at.checked_add(1)?)),
        (None, Some(at)) => drop(after.remove(at)),
        (None, None) => {}
    }
    let fallback = ["--source", "fallback"].map(str::to_owned);
    Some(before.iter().cloned().chain(fallback).chain(after).chain(rest.iter().cloned()).collect())
}

impl FallbackArchives<'_> {
    /// Downloads an emulator for each of these systems. Fails with `first_error`, the failure of the mirrors, if no archive
    /// has a usable one.
    pub fn download_emulators(&self, archs: &[&'static Arch], first_error: Error) -> Result<Vec<FallbackEmulator>> {
        let mut found: Vec<FallbackEmulator> = Vec::new();
        for arch in archs {
            let works = |archive: &&PinnedArchive| archive.supports_kernel(self.kernel);
            let mut archives = self.archives.archives_for(self.machine, arch.target).filter(works);
            while !found.iter().any(|found| found.arch.target == arch.target) {
                let Some(archive) = archives.next() else { return Err(first_error) };
                let missing = |arch: &&&Arch| {
                    archive.has_target(arch.target) && !found.iter().any(|found| found.arch.target == arch.target)
                };
                let wanted: Vec<&'static Arch> = archs.iter().filter(missing).copied().collect();
                match self.download_archive(archive, &wanted) {
                    Ok(more) => found.extend(more),
                    Err(error @ (Error::Interrupted { .. } | Error::Offline { .. })) => return Err(error),
                    // `download::progress` has already printed the reason of each attempt.
                    Err(error) => self.context.ui.print_warning(&error.to_string()),
                }
            }
        }
        Ok(found)
    }

    fn download_archive(&self, archive: &PinnedArchive, archs: &[&'static Arch]) -> Result<Vec<FallbackEmulator>> {
        let url: FileUrl = archive.url.parse().map_err(|_| unusable_error(archive, "its URL is invalid".into()))?;
        self.context.ui.print_note(&format!(
            "no Debian mirror has the package: downloading QEMU {} from {}; {}",
            archive.qemu_version,
            archive.publisher,
            describe_digest_origin(archive.vouched)
        ));
        let from = ExternalSource { location: Location::Url(url), sha256: Some(archive.sha256) };
        let mut opened = open_source(self.context, &from, self.machine, false)?;
        opened.release = archive.parsed_version();
        let mut unpacked =
            unpack::unpack_emulators(self.context.host, archs, self.machine, &opened, VersionQuery::Run)?;
        let mut found = Vec::new();
        for arch in archs {
            let copy = unpacked.copies.remove(arch.target);
            let copy = copy.ok_or_else(|| unusable_error(archive, format!("it has no qemu-{}", arch.target)))?;
            let fit = copy.verdict.map_err(|why| unusable_error(archive, why.to_string()))?;
            found.push(FallbackEmulator {
                arch,
                validated: fit,
                url: opened.shown.clone(),
                archive_sha256: archive.sha256,
            });
        }
        Ok(found)
    }
}

fn unusable_error(archive: &PinnedArchive, why: String) -> Error {
    Error::Archive { path: Path::new(&archive.url).to_owned(), why }
}

fn describe_digest_origin(vouched: DigestOrigin) -> &'static str {
    match vouched {
        DigestOrigin::HashedHere => "its digest was computed from the archive for this release of binfmt-nix",
        DigestOrigin::OtherProjects => {
            "its digest was taken from other projects and has not been verified by binfmt-nix"
        }
        DigestOrigin::Publisher => "its digest was taken from its publisher and has not been verified by binfmt-nix",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_fallback_source(line: &str) -> Option<String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        replace_source(&words).map(|words| words.join(" "))
    }

    #[test]
    fn the_command_in_the_hint_changes_only_the_source() {
        for (line, changed) in [
            ("register arm", "register --source fallback arm"),
            ("--json register arm --source download -n", "--json register --source fallback arm -n"),
            ("fetch arm -o x --source=download", "fetch --source fallback arm -o x"),
            ("run -s arm -- x --source y", "run --source fallback -s arm -- x --source y"),
            ("run -s arm -- x --source auto", "run --source fallback -s arm -- x --source auto"),
        ] {
            assert_eq!(with_fallback_source(line).as_deref(), Some(changed));
        }
        assert_eq!(with_fallback_source("doctor --fix"), None);
    }
}
