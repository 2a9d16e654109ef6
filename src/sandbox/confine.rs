//! Gives up every right that a [`Profile`] does not name. For the thread that calls it and those it will
//! start, so before there are others; there is no way back.
//!
//! | what | so that | where it cannot be had |
//! |---|---|---|
//! | resource limits | no core file, no file of any length, bounded memory | (always) |
//! | user and group nobody, no groups | no file and no process of root's | not mapped here: left out; refused: a note |
//! | no capability | root without rights, where the user stays | (always) |
//! | no_new_privs | no setuid program helps | (always) |
//! | Landlock | no write, no read but of what names and libraries need; no TCP server; no signal out | a note |
//! | seccomp | system calls of a list, without exec, fork, ptrace, mount | a note |
//! | PDEATHSIG, not dumpable | it ends with its parent; nobody's debugger gets in | (always) |
//!
//! What a hostile server could still do from here: talk to the network, as it could before, and to local
//! sockets that are open to every user; read the files listed below; end, or say nonsense to the parent.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::prctl::{set_dumpable, set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getppid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::host::Host;
use crate::sandbox::frame::MissingProtection;
use crate::sandbox::seccomp;

/// The user and group that own nothing; the kernel's own number for strangers (`overflowuid`, proc(5)).
const NOBODY: u32 = 65534;

/// Ten times what the largest download takes.
const MAX_MEMORY: u64 = 512 << 20;
/// Three pipes, the runtime's own, a library being loaded; and a socket for each mirror, for connections to those that
/// gave up are kept for a while.
const MAX_OPEN_FILES: u64 = 256;

/// Files that name resolution reads, by name, for there may be secrets beside them: nsswitch.conf(5),
/// resolv.conf(5), hosts(5), host.conf(5), gai.conf(5), services(5), ld.so(8), and nss-mdns's own list.
/// A symbolic link (systemd-resolved's, NixOS's) counts for what it leads to. One that is replaced in the midst of a
/// download is not read any more: a machine that changes its network then needs a second try.
const FILES_READ: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/hostname",
    "/etc/mdns.allow",
    "/etc/ld.so.cache",
];

/// Directories of libraries: a glibc loads the modules that nsswitch.conf names when the first name is
/// looked up. Nix and Guix have theirs in their stores.
const LIBRARIES: &[&str] =
    &["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store"];

/// Where those who resolve names for others listen: nscd, nss-resolve, nss-mymachines, nss-mdns. Linux 7.1 and
/// newer keep the child from all other sockets (`LANDLOCK_ACCESS_FS_RESOLVE_UNIX`); before, sockets that
/// are open to every user are open to it too.
const RESOLVERS: &[&str] =
    &["/run/nscd", "/var/run/nscd", "/run/systemd/resolve", "/run/systemd/machine", "/run/avahi-daemon"];

/// The rights that a worker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Files, and directories with all that is below them, that may be read.
    pub files: &'static [&'static [&'static str]],
    /// Directories of local sockets that may be connected to.
    pub sockets: &'static [&'static str],
    /// Whether it may connect to servers.
    pub network: bool,
    /// Whether it may start threads.
    pub threads: bool,
    /// How many bytes of memory it may have (`RLIMIT_DATA`).
    pub memory: u64,
    /// How many files may be open.
    pub open_files: u64,
}

impl Profile {
    /// For a worker that asks servers, and resolves their names.
    pub const CLIENT: Self = Self {
        files: &[FILES_READ, LIBRARIES],
        sockets: RESOLVERS,
        network: true,
        threads: true,
        memory: MAX_MEMORY,
        open_files: MAX_OPEN_FILES,
    };
    /// For a worker that reads what is open: no network, no file, no other thread.
    pub const READER: Self = Self {
        files: &[],
        sockets: &[],
        network: false,
        threads: false,
        memory: MAX_MEMORY,
        open_files: MAX_OPEN_FILES,
    };
}

/// Gives up all rights. Returns what this kernel could not do.
pub fn drop_rights(host: &Host, profile: &Profile) -> io::Result<Vec<MissingProtection>> {
    set_limits(profile)?;
    let mut lacks = Vec::new();
    lacks.extend(drop_user(host).err());
    let nothing = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing })?;
    set_no_new_privs()?;
    set_dumpable(false)?;
    // A change of user takes this back, so it comes after that (PR_SET_PDEATHSIG in prctl(2)).
    set_pdeathsig(Signal::SIGKILL)?;
    if !matches!(restrict_files(profile), Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced)) {
        lacks.push(MissingProtection::Landlock);
    }
    if seccomp::install_filter(profile.network, profile.threads).is_err() {
        lacks.push(MissingProtection::Seccomp);
    }
    Ok(lacks)
}

/// Ends now if the parent is another one than `parent`; from [`confine`] on, the kernel sees to it.
pub fn check_parent(parent: u32) -> io::Result<()> {
    if u32::try_from(getppid().as_raw()) == Ok(parent) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it is not there any more"))
}

fn set_limits(profile: &Profile) -> io::Result<()> {
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        // Of files; pipes and sockets have no length.
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, profile.open_files),
        (Resource::RLIMIT_DATA, profile.memory),
    ];
    // Not RLIMIT_NPROC: it counts what others run as nobody; seccomp allows threads alone.
    limits.into_iter().try_for_each(|(what, most)| {
        // An ordinary user's limit may be lower already, and he may not raise it.
        let (_, hard) = getrlimit(what)?;
        let most = most.min(hard);
        Ok(setrlimit(what, most, most)?)
    })
}

/// Becomes nobody, if there is one in this user namespace, and who we are may
/// become another: an ordinary user stays, and Landlock keeps his files closed.
fn drop_user(host: &Host) -> Result<(), MissingProtection> {
    let map = host.read_lossy(Path::new("/proc/self/uid_map")).unwrap_or_default();
    if !Uid::effective().is_root() || !is_id_mapped(NOBODY, &map) {
        return Ok(());
    }
    // A namespace may forbid this one alone (user_namespaces(7)); then its groups are not root's.
    let _: nix::Result<()> = setgroups(&[]);
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid)).map_err(|_| MissingProtection::User)
}

/// Whether a user is in a `uid_map`: lines of first id inside, first id outside, length
/// (user_namespaces(7)).
fn is_id_mapped(id: u32, map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers.as_slice(), [first, _, length] if id.checked_sub(*first).is_some_and(|at| at < *length))
    })
}

/// Landlock: what the kernel knows of it.
///
/// UDP is left alone, for names are resolved through it; TCP goes to any port, for mirrors may use any.
fn restrict_files(profile: &Profile) -> Result<RulesetStatus, RulesetError> {
    let all = Ruleset::default().handle_access(AccessFs::from_all(ABI::V9))?;
    let all = if profile.network {
        all.handle_access(AccessNet::BindTcp)?
    } else {
        all.handle_access(AccessNet::from_all(ABI::V9))?
    };
    let status = all
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(profile.files.iter().copied().flatten(), AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(profile.sockets, AccessFs::ResolveUnix))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_found_in_a_map() {
        let whole = "         0          0 4294967295\n";
        assert!(is_id_mapped(NOBODY, whole));
        assert!(is_id_mapped(NOBODY, "0 1000 1\n1 100000 65536\n"));
        assert!(is_id_mapped(NOBODY, "0 0 65535\n"));
        assert!(!is_id_mapped(NOBODY, "0 0 65534\n"));
        assert!(!is_id_mapped(NOBODY, "0 1000 1\n"));
        assert!(!is_id_mapped(NOBODY, "65535 0 10\nnonsense\n1 2\n"));
        assert!(!is_id_mapped(NOBODY, ""));
    }
}
