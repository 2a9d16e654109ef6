//! Why a machine does not let an ordinary user have a table, and what helps. Pure.

use std::io;

use nix::errno::Errno;

use crate::error::Error;

/// The first kernel with a table for each user namespace.
const FIRST_KERNEL: (u32, u32) = (6, 7);

/// What a refusal is explained by; read only when one has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceLimits {
    /// `/proc/self` could be read.
    pub proc: bool,
    /// `user.max_user_namespaces`.
    pub max_namespaces: Option<String>,
    /// `kernel.unprivileged_userns_clone`, of Debian's kernels.
    pub debian_userns_sysctl: Option<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu's.
    pub apparmor: Option<String>,
    /// `Seccomp:` in /proc/self/status is not 0: a container's filter, as a rule.
    pub seccomp: bool,
}

/// Before anything is tried: the kernel's release, and whether there is a
/// `/proc/self`.
pub fn check_support(kernel: (u32, u32), proc: bool) -> Result<(), Error> {
    if !proc {
        let nothing = io::Error::from(Errno::ENOENT);
        return Err(explain_refusal("look at /proc/self", &nothing, &NamespaceLimits::default()));
    }
    if kernel >= FIRST_KERNEL {
        return Ok(());
    }
    let (major, minor) = kernel;
    Err(Error::Unsupported {
        what: format!("Linux {major}.{minor} has one binfmt_misc table for all, and only root may change it"),
        hint: "run needs Linux 6.7; on this machine: sudo binfmt-nix register SYSTEM".into(),
    })
}

/// What a refusal means. `step` is what was tried, in words.
pub fn explain_refusal(step: &str, source: &io::Error, limits: &NamespaceLimits) -> Error {
    let what = |why: &str| format!("cannot {step}: {source}{}{why}", if why.is_empty() { "" } else { "; " });
    let switched_off = |value: &Option<String>, off: &str| value.as_deref().map(str::trim) == Some(off);
    let (why, hint) = if !limits.proc {
        ("there is no /proc here", "mount it: mount -t proc proc /proc")
    } else if switched_off(&limits.max_namespaces, "0") {
        ("user.max_user_namespaces is 0", "as root: sysctl user.max_user_namespaces=10000")
    } else if switched_off(&limits.debian_userns_sysctl, "0") {
        ("kernel.unprivileged_userns_clone is 0", "as root: sysctl kernel.unprivileged_userns_clone=1")
    } else if switched_off(&limits.apparmor, "1") {
        (
            "AppArmor keeps user namespaces from programs without a profile",
            "as root, install the profile packaging/apparmor/binfmt-nix of this project into /etc/apparmor.d and run \
             apparmor_parser -r on it; or: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else if limits.seccomp {
        (
            "a seccomp filter is at work, as containers have one",
            "start the container with --security-opt seccomp=unconfined, or register on the host: entries with flag F \
             work inside containers too",
        )
    } else if source.raw_os_error() == Some(Errno::ENOSPC as i32) {
        ("there are too many user namespaces, or too deeply nested ones", "as root: sysctl user.max_user_namespaces")
    } else if source.raw_os_error() == Some(Errno::EPERM as i32) {
        // Whether this is a chroot cannot be seen from inside.
        (
            "in a chroot, and in some containers, nobody may",
            "run it outside of that; or for all users of the machine: sudo binfmt-nix register SYSTEM",
        )
    } else {
        ("", "sudo binfmt-nix register SYSTEM does it for all users of this machine")
    };
    Error::Unsupported { what: what(why), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(limits: &NamespaceLimits) -> (String, String) {
        let error =
            explain_refusal("make a user namespace", &io::Error::from_raw_os_error(Errno::EPERM as i32), limits);
        (error.to_string(), error.hint().unwrap_or_default())
    }

    #[test]
    fn each_cause_has_its_way_out() {
        let fine = NamespaceLimits { proc: true, ..NamespaceLimits::default() };
        let value = |text: &str| Some(text.to_owned());
        let cases = [
            (NamespaceLimits::default(), "no /proc", "mount -t proc"),
            (
                NamespaceLimits { max_namespaces: value("0\n"), ..fine.clone() },
                "max_user_namespaces is 0",
                "sysctl user",
            ),
            (
                NamespaceLimits { debian_userns_sysctl: value("0"), ..fine.clone() },
                "userns_clone is 0",
                "userns_clone=1",
            ),
            (NamespaceLimits { apparmor: value("1\n"), ..fine.clone() }, "AppArmor", "packaging/apparmor"),
            (NamespaceLimits { seccomp: true, ..fine.clone() }, "seccomp", "seccomp=unconfined"),
            (fine, "cannot make a user namespace: Operation not permitted", "sudo binfmt-nix register"),
        ];
        for (limits, why, hint) in cases {
            let (text, help) = explained(&limits);
            assert!(text.contains(why) && help.contains(hint), "{text} / {help}");
        }
    }

    #[test]
    fn kernels_before_6_7_are_refused() {
        assert!(check_support((6, 6), true).is_err() && check_support((5, 15), true).is_err());
        assert!(check_support((6, 7), true).is_ok() && check_support((7, 0), true).is_ok());
    }
}
