//! Release archives of other publishers than Debian: data of its own, `archives.json`, kept by hand.
//!
//! [`Package`](super::Package)s come first: their bytes were hashed here, block by block. An archive is pinned as a whole
//! by one digest, and [`Vouched`] says whose word that is. One archive of tonistiigi/binfmt, release `deploy/v10.2.3-68`,
//! has QEMUs for nine guests; those of hermeticbuild/qemu-prebuilt, release `11.0.0.1`, have one each. The archive that
//! tonistiigi/binfmt has for aarch64 hosts is not here, because no digest of it is known.
//!
//! Pure, and small: a URL is data here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::OnceLock;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use super::{CatalogError, DigestOrigin, InvalidEntry};
use crate::qemu::binary::{KERNEL_PASSES_ARGV0, QemuVersion};
use crate::qemu::catalog::validate::{ensure, is_name, is_version};
use crate::sha256::Sha256;

/// The version of the list's own format.
const VERSION: u32 = 1;
/// No archive of QEMUs is near this size (that of nine guests has 31 MB).
const MAX_ARCHIVE: u64 = 1 << 30;
/// What the archive reader knows by these names.
const EXTENSIONS: [&str; 3] = [".tar.gz", ".tar.xz", ".tar.zst"];

/// All archives that we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveCatalog {
    /// The format's version.
    pub version: u32,
    /// The archives; no two of the same publisher with the same release of the same guest for the same host.
    pub archives: Vec<PinnedArchive>,
}

/// One archive: QEMUs for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedArchive {
    /// The machine that these QEMUs run on, as `uname -m` says it.
    pub host: String,
    /// Who published it: the repository.
    pub publisher: String,
    /// QEMU's own version.
    pub qemu_version: String,
    /// Where it is; https, because nobody but the publisher has it.
    pub url: String,
    /// The digest of the whole archive.
    pub sha256: Sha256,
    /// Its length, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// QEMU's names of the guests.
    pub targets: Vec<String>,
    /// What the name of each program in it begins with; the guest's name follows.
    pub prefix: String,
    /// Whose word the digest is.
    pub vouched: DigestOrigin,
    /// Whether these QEMUs take it for granted that they were registered with flag P: where the kernel does not tell
    /// them (AT_FLAGS is 0), they take their first argument for the program's name, and lose it. tonistiigi/binfmt builds
    /// them so (its patch `preserve-argv0`; alpine-lima#81 is what comes of it without P).
    pub assumes_argv0: bool,
}

impl ArchiveCatalog {
    /// The list that this program was built with, read once.
    pub fn embedded() -> Result<&'static Self, CatalogError> {
        static READ: OnceLock<ArchiveCatalog> = OnceLock::new();
        match READ.get() {
            Some(archives) => Ok(archives),
            None => Self::from_json(include_str!("archives.json")).map(|archives| READ.get_or_init(|| archives)),
        }
    }

    /// Reads a list and checks that it is consistent.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let archives: Self = serde_json::from_str(text).map_err(CatalogError::Json)?;
        check_archives(&archives)?;
        Ok(archives)
    }

    /// The archives with a QEMU for this guest that runs on this machine (`uname -m`): what more people vouch for comes
    /// first, then what is newer.
    pub fn archives_for(&self, host: &str, target: &str) -> impl Iterator<Item = &PinnedArchive> {
        let has_it = |archive: &&PinnedArchive| archive.host == host && archive.has_target(target);
        let mut found: Vec<_> = self.archives.iter().filter(has_it).collect();
        found.sort_by_key(|archive| (archive.vouched, Reverse(archive.parsed_version())));
        found.into_iter()
    }
}

impl PinnedArchive {
    /// Whether it has a QEMU for this guest.
    pub fn has_target(&self, target: &str) -> bool {
        self.targets.iter().any(|has| has == target)
    }

    /// The name in it of the QEMU for this guest.
    pub fn member_name(&self, target: &str) -> Option<String> {
        self.has_target(target).then(|| format!("{}{target}", self.prefix))
    }

    /// Whether its QEMUs work on a kernel of this version: those that assume flag P are registered with it or not at
    /// all, and before Linux 5.12 we do not register with P.
    pub fn supports_kernel(&self, kernel: (u32, u32)) -> bool {
        !self.assumes_argv0 || kernel >= KERNEL_PASSES_ARGV0
    }

    /// QEMU's own version, as a number. Of an archive that was checked, there is one.
    pub fn parsed_version(&self) -> Option<QemuVersion> {
        QemuVersion::parse(&self.qemu_version)
    }

    /// The archive's file name.
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
        let twice = |what: &str| InvalidEntry::Twice(what.to_owned());
        let checked = check_archive(archive)
            .and_then(|()| ensure(urls.insert(url), || twice("the URL")))
            .and_then(|()| ensure(digests.insert(archive.sha256.to_string()), || twice("the digest")))
            .and_then(|()| {
                archive.targets.iter().try_for_each(|target| {
                    ensure(builds.insert((host, publisher, qemu_version, target)), || twice(&format!("qemu-{target}")))
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

/// No port, no user, no query, nothing that climbs; and the file's name says what it is.
fn check_url(archive: &PinnedArchive) -> Result<(), InvalidEntry> {
    let rest = archive.url.strip_prefix("https://").unwrap_or_default();
    let file = archive.file_name();
    let mut parts = rest.split('/');
    let host = parts.next().unwrap_or_default();
    ensure(host.contains('.') && is_plain_name(host) && rest.contains('/') && parts.all(is_plain_name), || {
        InvalidEntry::Url
    })?;
    ensure(EXTENSIONS.iter().any(|kind| file.len() > kind.len() && file.ends_with(kind)), || InvalidEntry::FileName)
}

/// A part of a URL or a name: no part is empty or begins with a dot. `%` is for the slash in a tag's name.
fn is_plain_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._~%".contains(c);
    (1..=128).contains(&part.len()) && !part.starts_with('.') && part.chars().all(plain)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn complaint(break_it: impl FnOnce(&mut ArchiveCatalog)) -> String {
        let mut archives = ArchiveCatalog::embedded().unwrap().clone();
        break_it(&mut archives);
        check_archives(&archives).unwrap_err().to_string()
    }

    fn names(host: &str, target: &str) -> Vec<&'static str> {
        ArchiveCatalog::embedded().unwrap().archives_for(host, target).map(PinnedArchive::file_name).collect()
    }

    #[test]
    fn what_more_people_vouch_for_comes_first() {
        assert_eq!(
            names("x86_64", "aarch64"),
            ["qemu_v10.2.3_linux-amd64.tar.gz", "qemu-user-linux-amd64-aarch64-11.0.0.1.tar.zst"]
        );
        assert_eq!(names("x86_64", "loongarch64"), ["qemu_v10.2.3_linux-amd64.tar.gz"]);
        assert_eq!(names("aarch64", "x86_64"), ["qemu-user-linux-arm64-x86_64-11.0.0.1.tar.zst"]);
        assert_eq!(names("aarch64", "hppa").len() + names("riscv64", "aarch64").len(), 0);
    }

    #[test]
    fn of_the_same_word_the_newest_comes_first() {
        let mut archives = ArchiveCatalog::embedded().unwrap().clone();
        for archive in &mut archives.archives {
            archive.vouched = DigestOrigin::Publisher;
        }
        let versions: Vec<_> = archives.archives_for("x86_64", "arm").map(|a| a.qemu_version.as_str()).collect();
        assert_eq!(versions, ["11.0.0", "10.2.3"]);
    }

    #[test]
    fn nobody_claims_to_have_hashed_what_nobody_here_had() {
        let archives = &ArchiveCatalog::embedded().unwrap().archives;
        assert_eq!(archives.len(), 21);
        for archive in archives {
            let docker = archive.publisher == "tonistiigi/binfmt";
            assert_eq!(archive.vouched, if docker { DigestOrigin::Others } else { DigestOrigin::Publisher });
            assert_eq!(archive.assumes_argv0, docker);
        }
    }

    #[test]
    fn what_assumes_flag_p_is_not_for_kernels_that_do_not_tell_of_it() {
        for archive in &ArchiveCatalog::embedded().unwrap().archives {
            assert!(archive.supports_kernel((5, 12)) && archive.supports_kernel((6, 1)));
            assert_eq!(archive.supports_kernel((5, 11)), !archive.assumes_argv0, "{}", archive.url);
        }
    }

    #[test]
    fn a_program_is_found_by_its_name() {
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
            let why = complaint(|list| url.clone_into(&mut list.archives[0].url));
            assert!(why.contains("plain https"), "{url}: {why}");
        }
        for url in
            ["https://github.com/a.zip", "https://github.com/a.tar.gz/b", "https://github.com/-", "https://g.c/.tar.gz"]
        {
            let why = complaint(|list| url.clone_into(&mut list.archives[0].url));
            assert!(why.contains("file's name") || why.contains("plain"), "{url}: {why}");
        }
    }

    #[test]
    fn absurd_entries_are_refused() {
        let first = |break_it: fn(&mut PinnedArchive)| complaint(|list| break_it(&mut list.archives[0]));
        assert!(first(|a| a.targets.push("vax".to_owned())).contains("no guest that we know"));
        assert!(first(|a| a.targets.push("arm".to_owned())).contains("qemu-arm is there twice"));
        assert!(first(|a| a.targets.clear()).contains("no guest"));
        assert!(first(|a| a.prefix = "../qemu-".to_owned()).contains("names"));
        assert!(first(|a| a.publisher = "somebody".to_owned()).contains("repository"));
        assert!(first(|a| a.qemu_version = "10.2".to_owned()).contains("version"));
        assert!(first(|a| a.size = Some(0)).contains("size"));
        assert!(first(|a| a.host = "a/b".to_owned()).contains("host"));
        let again = |change: fn(&mut PinnedArchive)| {
            complaint(|list| {
                let mut again = list.archives[0].clone();
                change(&mut again);
                list.archives.push(again);
            })
        };
        assert!(again(|_| ()).contains("the URL is there twice"));
        assert!(again(|a| a.url = a.url.replace("v10", "v11")).contains("the digest is there twice"));
        assert!(complaint(|list| list.version = 2).contains("version 2"));
    }
}
