//! The list of release archives of publishers other than Debian, `archives.json`, which is edited by hand.
//!
//! [`Package`](super::Package)s are preferred, because this project has hashed their bytes, block by block. An archive
//! is pinned as a whole by one digest, and [`DigestOrigin`] records where that digest comes from. One archive of
//! tonistiigi/binfmt, release `deploy/v10.2.3-68`, has QEMUs for nine guests; those of hermeticbuild/qemu-prebuilt,
//! release `11.0.0.1`, have one each. The archive of tonistiigi/binfmt for aarch64 hosts is not in the list, because no
//! digest of it is known.
//!
//! Pure: the URLs are only data here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::OnceLock;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use super::{CatalogError, DigestOrigin, InvalidEntry};
use crate::qemu::binary::{KERNEL_PASSES_ARGV0, QemuVersion};
use crate::qemu::catalog::validate::{ensure, is_name, is_version};
use crate::sha256::Sha256;
use crate::sorted;

/// Version of the list's format.
const VERSION: u32 = 1;
/// Maximum size of an archive, far above the real ones (the archive for nine guests has 31 MB).
const MAX_ARCHIVE: u64 = 1 << 30;
/// File name extensions of the archives that the reader supports.
const EXTENSIONS: [&str; 3] = [".tar.gz", ".tar.xz", ".tar.zst"];

/// All known archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveCatalog {
    /// Version of the format.
    pub version: u32,
    /// Archives. No two of the same publisher have the same release of the same guest for the same host.
    pub archives: Vec<PinnedArchive>,
}

/// Archive with QEMUs for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedArchive {
    /// Machine that these QEMUs run on, as `uname -m` prints it.
    pub host: String,
    /// Repository of the publisher.
    pub publisher: String,
    /// Version of QEMU.
    pub qemu_version: String,
    /// URL of the archive. It is always https, because only the publisher has the archive.
    pub url: String,
    /// Digest of the whole archive.
    pub sha256: Sha256,
    /// Size in bytes, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// QEMU's names of the guests.
    pub targets: Vec<String>,
    /// Prefix of the names of all programs in the archive; the guest's name follows.
    pub prefix: String,
    /// Origin of the digest.
    pub vouched: DigestOrigin,
    /// Whether these QEMUs assume that they were registered with flag P. If the kernel does not pass that information
    /// (AT_FLAGS is 0), they use their first argument as the program's name and drop it. tonistiigi/binfmt builds them
    /// like this (its patch `preserve-argv0`; alpine-lima#81 describes the effect without P).
    pub assumes_argv0: bool,
}

impl ArchiveCatalog {
    /// Returns the list that this program was built with. It is parsed once.
    pub fn embedded() -> Result<&'static Self, CatalogError> {
        static READ: OnceLock<ArchiveCatalog> = OnceLock::new();
        match READ.get() {
            Some(archives) => Ok(archives),
            None => Self::from_json(include_str!("archives.json")).map(|archives| READ.get_or_init(|| archives)),
        }
    }

    /// Parses a list and checks that it is consistent.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let archives: Self = serde_json::from_str(text).map_err(CatalogError::Json)?;
        check_archives(&archives)?;
        Ok(archives)
    }

    /// Returns the archives with a QEMU for this guest that runs on this machine (`uname -m`). They are sorted by the
    /// origin of the digest, the most trustworthy first, and then by version, the newest first.
    pub fn archives_for(&self, host: &str, target: &str) -> impl Iterator<Item = &PinnedArchive> {
        let is_match = |archive: &&PinnedArchive| archive.host == host && archive.has_target(target);
        let mut found: Vec<_> = self.archives.iter().filter(is_match).collect();
        sorted::sort_by_key(&mut found, |archive| (archive.vouched, Reverse(archive.parsed_version())));
        found.into_iter()
    }
}

impl PinnedArchive {
    /// Whether the archive has a QEMU for this guest.
    pub fn has_target(&self, target: &str) -> bool {
        self.targets.iter().any(|known| known == target)
    }

    /// Returns the file name of the QEMU for this guest in the archive, if there is one.
    pub fn member_name(&self, target: &str) -> Option<String> {
        self.has_target(target).then(|| format!("{}{target}", self.prefix))
    }

    /// Whether the archive's QEMUs work on a kernel of this version. Those that assume flag P must be registered with
    /// it, and before Linux 5.12 this tool does not register with P.
    pub fn supports_kernel(&self, kernel: (u32, u32)) -> bool {
        !self.assumes_argv0 || kernel >= KERNEL_PASSES_ARGV0
    }

    /// QEMU's own version, as a number. Of an archive that was checked, there is one.
    pub fn parsed_version(&self) -> Option<QemuVersion> {
        QemuVersion::parse(&self.qemu_version)
    }

    /// Returns the file name of the archive.
    pub fn file_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}

fn check_archives(list: &ArchiveCatalog) -> Result<(), CatalogError> {
    if list.version != VERSION {
        return Err(CatalogError::Version { found: list.version });
    }
    let (mut urls, mut digests, mut builds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for archive in &list.archives {
        let PinnedArchive { host, publisher, qemu_version, url, .. } = archive;
        let duplicate = |what: &str| InvalidEntry::Duplicate(what.to_owned());
        let checked = check_archive(archive)
            .and_then(|()| ensure(urls.insert(url), || duplicate("the URL")))
            .and_then(|()| ensure(digests.insert(archive.sha256.to_string()), || duplicate("the digest")))
            .and_then(|()| {
                archive.targets.iter().try_for_each(|target| {
                    ensure(builds.insert((host, publisher, qemu_version, target)), || {
                        duplicate(&format!("qemu-{target}"))
                    })
                })
            });
        checked.map_err(|why| CatalogError::Invalid { package: url.escape_default().to_string(), why })?;
    }
    Ok(())
}

fn check_archive(archive: &PinnedArchive) -> Result<(), InvalidEntry> {
    check_url(archive)?;
    ensure(is_name(&archive.host), || InvalidEntry::Host)?;
    ensure(is_version(&archive.qemu_version), || InvalidEntry::Version)?;
    ensure(archive.publisher.split('/').count() == 2 && archive.publisher.split('/').all(is_plain_name), || {
        InvalidEntry::Publisher
    })?;
    ensure(archive.size.is_none_or(|size| (1..=MAX_ARCHIVE).contains(&size)), || InvalidEntry::ArchiveSize)?;
    ensure(archive.prefix.starts_with("qemu-") && is_plain_name(&archive.prefix), || InvalidEntry::Prefix)?;
    ensure(!archive.targets.is_empty(), || InvalidEntry::NoTarget)?;
    archive.targets.iter().try_for_each(|target| {
        ensure(Arch::ALL.iter().any(|arch| arch.target == target), || InvalidEntry::UnknownTarget(target.clone()))
    })
}

/// Checks that the URL has no port, no user, no query and no `..`, and that its file name has a known extension.
fn check_url(archive: &PinnedArchive) -> Result<(), InvalidEntry> {
    let rest = archive.url.strip_prefix("https://").unwrap_or_default();
    let file = archive.file_name();
    let mut parts = rest.split('/');
    let host = parts.next().unwrap_or_default();
    ensure(host.contains('.') && is_plain_name(host) && rest.contains('/') && parts.all(is_plain_name), || {
        InvalidEntry::Url
    })?;
    ensure(EXTENSIONS.iter().any(|known| file.len() > known.len() && file.ends_with(known)), || InvalidEntry::FileName)
}

/// Whether a part of a URL or name is plain: not empty, without special characters, and without a leading dot. `%`
/// encodes the slash in a tag's name.
fn is_plain_name(part: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-._~%".contains(c);
    (1..=128).contains(&part.len()) && !part.starts_with('.') && part.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error(change: impl FnOnce(&mut ArchiveCatalog)) -> String {
        let mut archives = ArchiveCatalog::embedded().unwrap().clone();
        change(&mut archives);
        check_archives(&archives).unwrap_err().to_string()
    }

    fn names(host: &str, target: &str) -> Vec<&'static str> {
        ArchiveCatalog::embedded().unwrap().archives_for(host, target).map(PinnedArchive::file_name).collect()
    }

    #[test]
    fn archives_are_sorted_by_the_origin_of_the_digest() {
        assert_eq!(
            names("x86_64", "aarch64"),
            ["qemu_v10.2.3_linux-amd64.tar.gz", "qemu-user-linux-amd64-aarch64-11.0.0.1.tar.zst"]
        );
        assert_eq!(names("x86_64", "loongarch64"), ["qemu_v10.2.3_linux-amd64.tar.gz"]);
        assert_eq!(names("aarch64", "x86_64"), ["qemu-user-linux-arm64-x86_64-11.0.0.1.tar.zst"]);
        assert_eq!(names("aarch64", "hppa").len() + names("riscv64", "aarch64").len(), 0);
    }

    #[test]
    fn archives_of_the_same_origin_are_sorted_by_version() {
        let mut archives = ArchiveCatalog::embedded().unwrap().clone();
        for archive in &mut archives.archives {
            archive.vouched = DigestOrigin::Publisher;
        }
        let versions: Vec<_> = archives.archives_for("x86_64", "arm").map(|a| a.qemu_version.as_str()).collect();
        assert_eq!(versions, ["11.0.0", "10.2.3"]);
    }

    #[test]
    fn no_archive_is_marked_as_hashed_here() {
        let archives = &ArchiveCatalog::embedded().unwrap().archives;
        assert_eq!(archives.len(), 21);
        for archive in archives {
            let docker = archive.publisher == "tonistiigi/binfmt";
            assert_eq!(archive.vouched, if docker { DigestOrigin::OtherProjects } else { DigestOrigin::Publisher });
            assert_eq!(archive.assumes_argv0, docker);
        }
    }

    #[test]
    fn archives_that_assume_flag_p_are_not_for_old_kernels() {
        for archive in &ArchiveCatalog::embedded().unwrap().archives {
            assert!(archive.supports_kernel((5, 12)) && archive.supports_kernel((6, 1)));
            assert_eq!(archive.supports_kernel((5, 11)), !archive.assumes_argv0, "{}", archive.url);
        }
    }

    #[test]
    fn programs_are_named_by_prefix_and_guest() {
        let archives = ArchiveCatalog::embedded().unwrap();
        let member = |host: &str, number: usize| archives.archives_for(host, "arm").nth(number)?.member_name("arm");
        assert_eq!(member("x86_64", 0).unwrap(), "qemu-arm");
        assert_eq!(member("x86_64", 1).unwrap(), "qemu-user-linux-amd64-arm");
        assert_eq!(archives.archives[0].member_name("hppa"), None);
    }

    #[test]
    fn urls_are_plain_https_ones_of_archives() {
        for url in [
            "http://github.com/a/b.tar.gz",
            "https://github.com",
            "https://.com/a.tar.gz",
            "https://u@github.com/a.tar.gz",
            "https://github.com:1/a.tar.gz",
            "https://github.com/../a.tar.gz",
            "https://github.com//a.tar.gz",
            "https://github.com/a.tar.gz?x",
            "https://localhost/a.tar.gz",
            "",
        ] {
            let why = error(|list| url.clone_into(&mut list.archives[0].url));
            assert!(why.contains("plain https"), "{url}: {why}");
        }
        for url in
            ["https://github.com/a.zip", "https://github.com/a.tar.gz/b", "https://github.com/-", "https://g.c/.tar.gz"]
        {
            let why = error(|list| url.clone_into(&mut list.archives[0].url));
            assert!(why.contains("file's name") || why.contains("plain"), "{url}: {why}");
        }
    }

    #[test]
    fn absurd_entries_are_refused() {
        let first = |change: fn(&mut PinnedArchive)| error(|list| change(&mut list.archives[0]));
        assert!(first(|a| a.targets.push("vax".to_owned())).contains("not a known guest"));
        assert!(first(|a| a.targets.push("arm".to_owned())).contains("qemu-arm is listed twice"));
        assert!(first(|a| a.targets.clear()).contains("no guest"));
        assert!(first(|a| a.prefix = "../qemu-".to_owned()).contains("names"));
        assert!(first(|a| a.publisher = "publisher".to_owned()).contains("repository"));
        assert!(first(|a| a.qemu_version = "10.2".to_owned()).contains("version"));
        assert!(first(|a| a.size = Some(0)).contains("size"));
        assert!(first(|a| a.host = "a/b".to_owned()).contains("host"));
        let again = |change: fn(&mut PinnedArchive)| {
            error(|list| {
                let mut again = list.archives[0].clone();
                change(&mut again);
                list.archives.push(again);
            })
        };
        assert!(again(|_| ()).contains("the URL is listed twice"));
        assert!(again(|a| a.url = a.url.replace("v10", "v11")).contains("the digest is listed twice"));
        assert!(error(|list| list.version = 2).contains("version 2"));
    }
}
