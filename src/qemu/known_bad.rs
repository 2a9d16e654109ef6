//! Releases of QEMU that are known to break their guests, so that none of them is taken from the host unasked. Pure.
//!
//! Judged by the number that QEMU answers. A distribution may have mended its build without another number (Ubuntu's
//! 8.2.2 is one): then a better one is downloaded than would have been needed. Only what a thread with maintainers in it
//! says is here; what is older than [`OLDEST_GOOD`](crate::qemu::binary::OLDEST_GOOD) need not be.

use std::path::Path;

use crate::qemu::binary::QemuVersion;

/// One flaw of some releases.
#[derive(Debug)]
pub struct Flaw {
    /// The first and the last release that have it, for each line of them.
    releases: &'static [(QemuVersion, QemuVersion)],
    /// Only on this machine, as `uname -m` says it.
    host: Option<&'static str>,
    /// Only for this guest.
    guest: Option<&'static str>,
    /// Only if it is linked at a fixed address (`ET_EXEC`).
    fixed_address: bool,
    /// What happens, for people: it follows "QEMU 9.2.0".
    pub what: &'static str,
    /// Where that is told, and what mended it.
    pub thread: &'static str,
}

/// Stands for the last release of a line.
const LAST: u32 = u32::MAX;

const FLAWS: &[Flaw] = &[
    // Debian's changelog 1:7.2+dfsg-7+deb12u9, and tonistiigi/binfmt#215: since Linux randomizes more address bits
    // (commit 44c76825d6ee, 6.1.112 in Debian), it crashes at random. 8.1 looks for another place.
    Flaw {
        releases: &[(QemuVersion(7, 2, 0), QemuVersion(8, 0, LAST))],
        host: None,
        guest: None,
        fixed_address: true,
        what: "is linked at a fixed address, and crashes where today's kernels put something else there",
        thread: "https://bugs.debian.org/1087822",
    },
    // Mended by commit e6e66b032873, which is in 8.1.3 (Debian's 8.1.0+ds-4 had it as a patch).
    Flaw {
        releases: &[(QemuVersion(8, 1, 0), QemuVersion(8, 1, 2))],
        host: None,
        guest: None,
        fixed_address: false,
        what: "aborts on programs whose zeroed data begin on a page of their own",
        thread: "https://gitlab.com/qemu-project/qemu/-/issues/1854",
    },
    // Ubuntu's bug 2072564: since 8.1.1; mended by commit 4b7b20a3b72c, which is in 8.2.10 and 9.2.2 (qemu-stable of
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
    // Mended by commit 2884596f5f38, which is in 7.2.15 and 9.1.1 (qemu-stable of October and November 2024).
    Flaw {
        releases: &[(QemuVersion(7, 2, 0), QemuVersion(7, 2, 14)), (QemuVersion(9, 1, 0), QemuVersion(9, 1, 0))],
        host: Some("s390x"),
        guest: Some("aarch64"),
        fixed_address: false,
        what: "refuses programs of today with \"Invalid note in PT_GNU_PROPERTY\"",
        thread: "https://gitlab.com/qemu-project/qemu/-/issues/2596",
    },
];

/// The first flaw of this release on this machine for this guest.
pub fn find_flaw(version: QemuVersion, machine: &str, guest: &str, fixed_address: bool) -> Option<&'static Flaw> {
    FLAWS.iter().find(|flaw| {
        flaw.releases.iter().any(|(first, last)| (*first..=*last).contains(&version))
            && flaw.host.is_none_or(|host| host == machine)
            && flaw.guest.is_none_or(|only| only == guest)
            && (fixed_address || !flaw.fixed_address)
    })
}

/// What is known of emulators that crash as soon as they are started: the thread.
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

    /// Each of these, and neither the release before nor the one behind.
    #[track_caller]
    fn exactly(number: &str, machine: &str, guest: &str, first: QemuVersion, last: QemuVersion) {
        let has = |version| thread(version, machine, guest, false).is_some_and(|thread| thread.ends_with(number));
        assert!(has(first) && has(last), "{first} {last}");
        assert!(first.2 == 0 || !has(QemuVersion(first.0, first.1, first.2 - 1)), "before {first}");
        assert!(!has(QemuVersion(last.0, last.1, last.2 + 1)), "behind {last}");
    }

    #[test]
    fn old_ones_at_a_fixed_address_crash() {
        let known = Some("https://bugs.debian.org/1087822");
        for version in [QemuVersion(7, 2, 0), QemuVersion(7, 2, 22), QemuVersion(8, 0, 5)] {
            assert_eq!(thread(version, "x86_64", "riscv64", true), known);
            // Debian's own 7.2.22 is static-pie.
            assert_eq!(thread(version, "x86_64", "riscv64", false), None);
        }
        assert_eq!(thread(QemuVersion(8, 1, 5), "x86_64", "riscv64", true), None);
    }

    #[test]
    fn those_that_abort_on_zeroed_data() {
        exactly("/1854", "aarch64", "x86_64", QemuVersion(8, 1, 0), QemuVersion(8, 1, 2));
    }

    #[test]
    fn those_that_crash_in_ldconfig() {
        // Of these, 8.1.1 and 8.1.2 have another flaw besides.
        exactly("/1913", "x86_64", "aarch64", QemuVersion(8, 1, 3), QemuVersion(8, 2, 9));
        exactly("/1913", "x86_64", "aarch64", QemuVersion(9, 0, 0), QemuVersion(9, 1, 3));
        exactly("/1913", "x86_64", "aarch64", QemuVersion(9, 2, 0), QemuVersion(9, 2, 1));
        assert_eq!(thread(QemuVersion(9, 2, 1), "x86_64", "riscv64", false), None);
    }

    #[test]
    fn those_that_read_notes_in_the_wrong_order() {
        exactly("/2596", "s390x", "aarch64", QemuVersion(7, 2, 0), QemuVersion(7, 2, 14));
        assert!(thread(QemuVersion(9, 1, 0), "s390x", "aarch64", false).is_some());
        assert_eq!(thread(QemuVersion(7, 2, 14), "x86_64", "aarch64", false), None);
    }

    #[test]
    fn what_the_catalogue_pins_is_good() {
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
    fn a_static_one_of_nixpkgs_is_known_to_crash_on_arm64() {
        let store = Path::new("/nix/store/0-qemu-user-static/bin/qemu-x86_64");
        assert!(find_crash_report("aarch64", store).is_some_and(|thread| thread.ends_with("366902")));
        assert_eq!(find_crash_report("x86_64", store), None);
        assert_eq!(find_crash_report("aarch64", Path::new("/usr/bin/qemu-x86_64")), None);
    }
}
