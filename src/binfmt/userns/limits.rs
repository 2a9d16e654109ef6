//! Limits of the machine that keep an ordinary user from creating a table, and what helps. Pure.

use std::io;

use nix::errno::Errno;

use crate::error::Error;

/// The first kernel with a table for each user namespace.
const FIRST_KERNEL: (u32, u32) = (6, 7);

/// The limits that explain a failed attempt; read only after a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceLimits {
    /// Whether `/proc/self` could be read.
    pub proc: bool,
    /// The value of `user.max_user_namespaces`.
    pub max_namespaces: Option<String>,
    /// The value of `kernel.unprivileged_userns_clone`, which Debian's kernels have.
    pub debian_userns_sysctl: Option<String>,
    /// The value of `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu's kernels have.
    pub apparmor: Option<String>,
    /// Whether `Seccomp:` in /proc/self/status is not 0: usually the filter of a container.
    pub seccomp: bool,
}

/// Checks, before anything is tried, the kernel's release, and that `/proc/self` exists.
pub fn check_support(kernel: (u32, u32), proc: bool) -> Result<(), Error> {
    if !proc {
        let not_found = io::Error::from(Errno::ENOENT);
        return Err(explain_refusal("read /proc/self", &not_found, &NamespaceLimits::default()));
    }
    if kernel >= FIRST_KERNEL {
        return Ok(());
    }
    let (major, minor) = kernel;
    Err(Error::Unsupported {
        what: format!(
            "Linux {major}.{minor} has one binfmt_misc table for the whole machine, and only root may change it"
        ),
        hint: "run needs Linux 6.7; on this machine: sudo binfmt-nix register SYSTEM".into(),
    })
}

/// Whether nothing visible keeps this process from making a namespace with a table of its own.
pub fn may_make_tables(kernel: (u32, u32), is_root: bool, limits: &NamespaceLimits) -> bool {
    let is_zero = |value: &Option<String>| value.as_deref().map(str::trim) == Some("0");
    let is_forbidden = is_zero(&limits.max_namespaces) || (!is_root && is_zero(&limits.debian_userns_sysctl));
    check_support(kernel, limits.proc).is_ok() && !is_forbidden
}

/// Explains why `step` failed. `step` follows "cannot" in the message.
pub fn explain_refusal(step: &str, source: &io::Error, limits: &NamespaceLimits) -> Error {
    let what = |why: &str| format!("cannot {step}: {source}{}{why}", if why.is_empty() { "" } else { "; " });
    let is_set_to = |value: &Option<String>, number: &str| value.as_deref().map(str::trim) == Some(number);
    let (why, hint) = if !limits.proc {
        ("/proc is not mounted", "mount it: mount -t proc proc /proc")
    } else if is_set_to(&limits.max_namespaces, "0") {
        ("user.max_user_namespaces is 0", "as root: sysctl user.max_user_namespaces=10000")
    } else if is_set_to(&limits.debian_userns_sysctl, "0") {
        ("kernel.unprivileged_userns_clone is 0", "as root: sysctl kernel.unprivileged_userns_clone=1")
    } else if is_set_to(&limits.apparmor, "1") {
        (
            "AppArmor forbids user namespaces to programs without a profile",
            "as root, install the profile packaging/apparmor/binfmt-nix of this project into /etc/apparmor.d and run \
             apparmor_parser -r on it; or: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else if limits.seccomp {
        (
            "this process has a seccomp filter, as processes in containers do",
            "start the container with --security-opt seccomp=unconfined, or register on the host: entries with flag F \
             work inside containers too",
        )
    } else if source.raw_os_error() == Some(Errno::ENOSPC as i32) {
        (
            "too many user namespaces exist, or they are nested too deeply",
            "read the limit, and raise it as root: sysctl user.max_user_namespaces",
        )
    } else if source.raw_os_error() == Some(Errno::EPERM as i32) {
        // A process in a chroot cannot detect that it is in one.
        (
            "chroots and some containers do not permit it",
            "run the command outside of the chroot or container; or register for all users: sudo binfmt-nix register \
             SYSTEM",
        )
    } else {
        ("", "register for all users of this machine: sudo binfmt-nix register SYSTEM")
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
    fn each_cause_has_its_hint() {
        let fine = NamespaceLimits { proc: true, ..NamespaceLimits::default() };
        let value = |text: &str| Some(text.to_owned());
        let cases = [
            (NamespaceLimits::default(), "/proc is not mounted", "mount -t proc"),
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
