//! Release archives of other publishers than Debian, for `--source fallback` when no mirror of Debian gives an emulator.
//!
//! They are of another release, and pinned as a whole: all of an archive is moved. A note says who vouches for the digest.

use std::path::Path;

use binfmt_magic::Arch;

use super::ObtainContext;
use super::open::open_source;
use super::source::{ExternalSource, Location};
use super::unpack;
use crate::error::{Error, ExitCode, Failure, Result};
use crate::host;
use crate::qemu::candidate::ValidatedBinary;
use crate::qemu::catalog::{ArchiveCatalog, DigestOrigin, PinnedArchive};
use crate::qemu::download::{DownloadError, FileUrl};
use crate::sanitize::shell_quote;
use crate::sha256::Sha256;

/// An emulator from such an archive.
#[derive(Debug)]
pub struct FallbackEmulator {
    /// Whose programs it runs.
    pub arch: &'static Arch,
    /// What it is.
    pub validated: ValidatedBinary,
    /// Where it came from.
    pub url: String,
    /// The digest of the archive that it was in.
    pub archive_sha256: Sha256,
}

/// The archives, and the machine that needs them.
#[derive(Debug, Clone, Copy)]
pub struct FallbackArchives<'a> {
    /// The machine, the terminal and the network.
    pub context: ObtainContext<'a>,
    /// `uname -m`.
    pub machine: &'a str,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// What there is.
    pub archives: &'a ArchiveCatalog,
}

/// Whether another publisher may help after such a failure: no server gave the right bytes, or any.
pub fn should_try_fallback(error: &Error) -> bool {
    use DownloadError::{Failed, NoMirror, Unverified};
    matches!(error.as_failure(), Some(NoMirror { .. } | Failed { .. } | Unverified { .. }))
}

/// A download that failed, and that another publisher may help with. The publisher is not changed unless the user says so.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FallbackAvailableError {
    error: Error,
    command: String,
}

impl FallbackAvailableError {
    /// Adds the command that asks other publishers.
    pub fn new(error: Error, archs: &[&'static Arch]) -> Self {
        let words: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let words = replace_source(&words).unwrap_or_else(|| {
            let systems = archs.iter().map(|arch| arch.target.to_owned());
            ["register", "--source", "fallback"].map(str::to_owned).into_iter().chain(systems).collect()
        });
        let sudo = host::env::var("SUDO_COMMAND").map(|_| "sudo".to_owned());
        let own_path = host::env::own_path().to_string_lossy().into_owned();
        let quoted = [own_path].into_iter().chain(words).map(|word| shell_quote(&word));
        let command: Vec<_> = sudo.into_iter().chain(quoted).collect();
        Self { error, command: command.join(" ") }
    }
}

impl Failure for FallbackAvailableError {
    fn hint(&self) -> Option<String> {
        let mirrors = self.error.hint().map(|hint| format!("{hint}\n")).unwrap_or_default();
        Some(format!("{mirrors}or accept an archive of another publisher, pinned by its digest: {}", self.command))
    }

    fn exit_code(&self) -> ExitCode {
        self.error.exit_code()
    }
}

/// The words of a command line, with `--source fallback` instead of another source.
fn replace_source(words: &[String]) -> Option<Vec<String>> {
    let command = words.iter().position(|word| ["register", "run", "fetch"].contains(&word.as_str()))?;
    let (before, after) = words.split_at_checked(command.checked_add(1)?)?;
    let mut after = after.to_vec();
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
    Some(before.iter().cloned().chain(fallback).chain(after).collect())
}

impl FallbackArchives<'_> {
    /// An emulator for each of these systems, or the error that led here.
    pub fn download_emulators(&self, archs: &[&'static Arch], before: Error) -> Result<Vec<FallbackEmulator>> {
        let mut found: Vec<FallbackEmulator> = Vec::new();
        for arch in archs {
            let works = |archive: &&PinnedArchive| archive.supports_kernel(self.kernel);
            let mut archives = self.archives.archives_for(self.machine, arch.target).filter(works);
            while !found.iter().any(|found| found.arch.target == arch.target) {
                let Some(archive) = archives.next() else { return Err(before) };
                let missing = |arch: &&&Arch| {
                    archive.has_target(arch.target) && !found.iter().any(|found| found.arch.target == arch.target)
                };
                let wanted: Vec<&'static Arch> = archs.iter().filter(missing).copied().collect();
                match self.download_archive(archive, &wanted) {
                    Ok(more) => found.extend(more),
                    Err(error @ (Error::Interrupted { .. } | Error::Offline { .. })) => return Err(error),
                    // Why is told already.
                    Err(error) => self.context.ui.print_warning(error.to_string().lines().next().unwrap_or_default()),
                }
            }
        }
        Ok(found)
    }

    fn download_archive(&self, archive: &PinnedArchive, archs: &[&'static Arch]) -> Result<Vec<FallbackEmulator>> {
        let url: FileUrl = archive.url.parse().map_err(|_| unusable_error(archive, "its URL is none".into()))?;
        self.context.ui.print_note(&format!(
            "no mirror of Debian gave it: asking {} for QEMU {}; {}",
            archive.publisher,
            archive.qemu_version,
            describe_digest_origin(archive.vouched)
        ));
        let from = ExternalSource { location: Location::Url(url), sha256: Some(archive.sha256) };
        let mut opened = open_source(self.context, &from, self.machine)?;
        opened.release = archive.parsed_version();
        let mut brought = unpack::unpack_emulators(self.context.host, archs, self.machine, &opened)?;
        let mut found = Vec::new();
        for arch in archs {
            let copy = brought.copies.remove(arch.target);
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
        DigestOrigin::HashedHere => "its bytes were hashed for this binfmt-nix",
        DigestOrigin::OtherProjects => {
            "its digest is the one that several other projects demand, and was not checked here"
        }
        DigestOrigin::Publisher => "its digest is the publisher's own word, and was not checked here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(line: &str) -> Option<String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        replace_source(&words).map(|words| words.join(" "))
    }

    #[test]
    fn the_command_of_the_hint_changes_the_source_alone() {
        for (line, changed) in [
            ("register arm", "register --source fallback arm"),
            ("--json register arm --source download -n", "--json register --source fallback arm -n"),
            ("fetch arm -o x --source=download", "fetch --source fallback arm -o x"),
            ("run -s arm -- x --source y", "run --source fallback -s arm -- x --source y"),
        ] {
            assert_eq!(with(line).as_deref(), Some(changed));
        }
        assert_eq!(with("doctor --fix"), None);
    }
}
