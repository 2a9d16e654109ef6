//! Releases of QEMU with known flaws that break their guests. They are not used from the host automatically. Pure.
//!
//! A flaw is recognized by the release that QEMU reports. A distribution may have fixed its build without changing the
//! release (Ubuntu's 8.2.2 is an example). Then a download replaces a QEMU that would have worked. The list contains only flaws
//! that are confirmed in a thread with maintainers. Releases older than
//! [`OLDEST_SUPPORTED`](crate::qemu::binary::OLDEST_SUPPORTED) need no row.

use std::path::Path;

use crate::qemu::binary::QemuVersion;

/// One flaw of some releases.
#[derive(Debug)]
pub struct Flaw {
    /// First and last release with the flaw, for each release line.
    releases: &'static [(QemuVersion, QemuVersion)],
    /// Only affected host, as `uname -m` prints it; none means all.
    host: Option<&'static str>,
    /// Only affected guest; none means all.
    guest: Option<&'static str>,
    /// Whether only programs that are linked at a fixed address (`ET_EXEC`) are affected.
    fixed_address: bool,
    /// Effect of the flaw, for people; the text follows "QEMU 9.2.0".
    pub what: &'static str,
    /// URL of the report.
    pub thread: &'static str,
}

/// Patch number that stands for the last release of a line.
const LAST: u32 = u32::MAX;

const FLAWS: &[Flaw] = &[
    // Debian's changelog 1:7.2+dfsg-7+deb12u9, and tonistiigi/binfmt#215: since Linux randomizes more address bits
    // (commit 44c76825d6ee, 6.1.112 in Debian), QEMU crashes at random. 8.1 searches for another address.
    Flaw {
        releases: &[(QemuVersion(7, 2, 0), QemuVersion(8, 0, LAST))],
        host: None,
        guest: None,
        fixed_address: true,
        what: "is linked at a fixed address, and crashes where current kernels map something else there",
        thread: "https://bugs.debian.org/1087822",
    },
    // Fixed by commit e6e66b032873, which is in 8.1.3 (Debian's 8.1.0+ds-4 had it as a patch).
    Flaw {
        releases: &[(QemuVersion(8, 1, 0), QemuVersion(8, 1, 2))],
        host: None,
        guest: None,
        fixed_address: false,
        what: "aborts on programs whose zeroed data begin on a page of their own",
        thread: "https://gitlab.com/qemu-project/qemu/-/issues/1854",
    },
    // Ubuntu's bug 2072564: since 8.1.1; fixed by commit 4b7b20a3b72c, which is in 8.2.10 and 9.2.2 (qemu-stable of
    // March 2025, tonistiigi/binfmt#243).
    Flaw {
        releases: &[
            (QemuVersion(8, 1, 1), QemuVersion(8, 2, 9)),
            (QemuVersion(9, 0, 0), QemuVersion(9, 1, 3)),
            (QemuVersion(9, 2, 0), QemuVersion(9, 2, 1)),
        ],
        host: None,
        guest: Some("aarch64"),
        fixed_address: false,
        what: "crashes in ldconfig of Ubuntu 22.04 and Debian 11, so that libc-bin cannot be installed",
        thread: "https://gitlab.com/qemu-project/qemu/-/issues/1913",
    },
    // Fixed by commit 2884596f5f38, which is in 7.2.15 and 9.1.1 (qemu-stable of October and November 2024).
    Flaw {
        releases: &[(QemuVersion(7, 2, 0), QemuVersion(7, 2, 14)), (QemuVersion(9, 1, 0), QemuVersion(9, 1, 0))],
        host: Some("s390x"),
        guest: Some("aarch64"),
        fixed_address: false,
        what: "rejects current programs with \"Invalid note in PT_GNU_PROPERTY\"",
        thread: "https://gitlab.com/qemu-project/qemu/-/issues/2596",
    },
];

/// Finds the first flaw of this release on this machine for this guest.
pub fn find_flaw(version: QemuVersion, machine: &str, guest: &str, fixed_address: bool) -> Option<&'static Flaw> {
    FLAWS.iter().find(|flaw| {
        flaw.releases.iter().any(|(first, last)| (*first..=*last).contains(&version))
            && flaw.host.is_none_or(|host| host == machine)
            && flaw.guest.is_none_or(|only| only == guest)
            && (fixed_address || !flaw.fixed_address)
    })
}

/// Finds the report of an emulator that crashes as soon as it is started.
pub(super) fn find_crash_report(machine: &str, real: &Path) -> Option<&'static str> {
    // `pkgsStatic.qemu-user` is linked against musl as position-independent, which does not work there.
    (machine == "aarch64" && real.starts_with("/nix/store")).then_some("https://github.com/NixOS/nixpkgs/issues/366902")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(version: QemuVersion, machine: &str, guest: &str, fixed_address: bool) -> Option<&'static str> {
        find_flaw(version, machine, guest, fixed_address).map(|flaw| flaw.thread)
    }

    /// Asserts that the releases from `first` to `last` have the flaw, and that their neighbours do not.
    #[track_caller]
    fn assert_flawed_range(number: &str, machine: &str, guest: &str, first: QemuVersion, last: QemuVersion) {
        let has = |version| thread(version, machine, guest, false).is_some_and(|thread| thread.ends_with(number));
        assert!(has(first) && has(last), "{first} {last}");
        assert!(first.2 == 0 || !has(QemuVersion(first.0, first.1, first.2 - 1)), "before {first}");
        assert!(!has(QemuVersion(last.0, last.1, last.2 + 1)), "after {last}");
    }

    #[test]
    fn old_releases_at_a_fixed_address_crash() {
        let known = Some("https://bugs.debian.org/1087822");
        for version in [QemuVersion(7, 2, 0), QemuVersion(7, 2, 22), QemuVersion(8, 0, 5)] {
            assert_eq!(thread(version, "x86_64", "riscv64", true), known);
            // Debian's own 7.2.22 is static-pie.
            assert_eq!(thread(version, "x86_64", "riscv64", false), None);
        }
        assert_eq!(thread(QemuVersion(8, 1, 5), "x86_64", "riscv64", true), None);
    }

    #[test]
    fn finds_releases_that_abort_on_zeroed_data() {
        assert_flawed_range("/1854", "aarch64", "x86_64", QemuVersion(8, 1, 0), QemuVersion(8, 1, 2));
    }

    #[test]
    fn finds_releases_that_crash_in_ldconfig() {
        // 8.1.1 and 8.1.2 also have another flaw, which is found first.
        assert_flawed_range("/1913", "x86_64", "aarch64", QemuVersion(8, 1, 3), QemuVersion(8, 2, 9));
        assert_flawed_range("/1913", "x86_64", "aarch64", QemuVersion(9, 0, 0), QemuVersion(9, 1, 3));
        assert_flawed_range("/1913", "x86_64", "aarch64", QemuVersion(9, 2, 0), QemuVersion(9, 2, 1));
        assert_eq!(thread(QemuVersion(9, 2, 1), "x86_64", "riscv64", false), None);
    }

    #[test]
    fn finds_releases_that_read_notes_in_the_wrong_order() {
        assert_flawed_range("/2596", "s390x", "aarch64", QemuVersion(7, 2, 0), QemuVersion(7, 2, 14));
        assert!(thread(QemuVersion(9, 1, 0), "s390x", "aarch64", false).is_some());
        assert_eq!(thread(QemuVersion(7, 2, 14), "x86_64", "aarch64", false), None);
    }

    #[test]
    fn pinned_releases_have_no_flaw() {
        for package in
            &crate::qemu::catalog::Catalog::embedded().map(|catalog| catalog.packages.clone()).unwrap_or_default()
        {
            for member in &package.members {
                let version = package.parsed_version().unwrap_or(QemuVersion(0, 0, 0));
                assert_eq!(thread(version, &package.host, &member.target, false), None, "{}", package.path);
            }
        }
    }

    #[test]
    fn finds_the_crash_report_of_static_qemu_from_nixpkgs_on_arm64() {
        let store = Path::new("/nix/store/0-qemu-user-static/bin/qemu-x86_64");
        assert!(find_crash_report("aarch64", store).is_some_and(|thread| thread.ends_with("366902")));
        assert_eq!(find_crash_report("x86_64", store), None);
        assert_eq!(find_crash_report("aarch64", Path::new("/usr/bin/qemu-x86_64")), None);
    }
}
