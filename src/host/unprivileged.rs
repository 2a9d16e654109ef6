//! The user `nobody`, which owns nothing. Root starts a program as this user if another user may control it, as the
//! interpreter of an entry that this tool did not make.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use nix::sys::prctl::{set_dumpable, set_keepcaps};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::{Host, memfd, trust};

/// User and group `nobody`, the kernel's default for unmapped ids (`overflowuid`, proc(5)).
pub const NOBODY_ID: u32 = 65534;

/// Whether this process is one of the machine's root, and can start programs as `nobody`. Root of a namespace that is an
/// ordinary user outside has no rights to give up. A namespace may lack the id, and a container the capabilities.
pub fn is_available() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    let may_change = || capabilities(None).is_ok_and(|held| held.effective.contains(needed));
    trust::is_process_of_machine_root() && is_mapped() && may_change()
}

/// Whether this user namespace has the id.
pub fn is_mapped() -> bool {
    let map = Host::live().read_lossy(Path::new("/proc/self/uid_map")).unwrap_or_default();
    is_id_mapped(NOBODY_ID, &map)
}

/// Changes this process to `nobody` for ever.
pub fn become_nobody() -> nix::Result<()> {
    // A user namespace may forbid setgroups(2) only (user_namespaces(7)); the groups in it are not root's.
    let _: nix::Result<()> = setgroups(&[]);
    let (uid, gid) = (Uid::from_raw(NOBODY_ID), Gid::from_raw(NOBODY_ID));
    setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid))
}

/// Starts the program of `command` as `nobody`, if this process has to. A thread changes its user and starts it. If `Command`
/// changed the user, it would call execvp(3), and that of glibc lets a shell read what the kernel refuses (ENOEXEC).
pub(super) fn spawn_as_nobody(command: &mut Command) -> io::Result<Child> {
    if !is_available() {
        return command.spawn();
    }
    let start = || {
        set_thread_groups(&[])?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(NOBODY_ID), rustix::fs::Gid::from_raw(NOBODY_ID));
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        command.spawn()
    };
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, start)?;
        started.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Changes this process to `nobody`, and keeps its capabilities until the next execve(2). So it can make namespaces for
/// `nobody` where ordinary users may not make them. The capabilities keep other processes of `nobody` from debugging it
/// (`cap_ptrace_access_check`, security/commoncap.c).
pub(super) fn become_nobody_with_capabilities() -> io::Result<()> {
    let held = capabilities(None)?;
    set_keepcaps(true)?;
    become_nobody()?;
    set_capabilities(None, CapabilitySets { effective: held.permitted, ..held })?;
    // The change makes root the owner of /proc/self (proc(5)), whose files map the ids of a new namespace.
    Ok(set_dumpable(true)?)
}

/// Changes this process back to root after [`become_nobody_with_capabilities`].
pub(super) fn become_root_again() -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    Ok(setresuid(uid, uid, uid).and_then(|()| setresgid(gid, gid, gid))?)
}

/// The program of this process, so that `nobody` can start it: in memory if its mode does not let every user start it.
#[derive(Debug)]
pub struct OwnProgram {
    copy: Option<File>,
}

impl OwnProgram {
    /// Opens the program, as long as this process may read it.
    pub fn open() -> io::Result<Self> {
        let mut file = super::env::open_own_program()?;
        if file.metadata()?.mode() & 0o001 != 0 {
            return Ok(Self { copy: None });
        }
        let mut copy = memfd::create_sealable()?;
        io::copy(&mut file, &mut copy)?;
        memfd::seal_program(&copy)?;
        Ok(Self { copy: Some(copy) })
    }

    /// Path by which this process starts the program.
    pub fn path(&self) -> PathBuf {
        let number = |copy: &File| PathBuf::from(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        self.copy.as_ref().map_or_else(|| "/proc/self/exe".into(), number)
    }
}

/// Whether an id is in a `uid_map`, whose lines have first id inside, first id outside, and length
/// (user_namespaces(7)).
fn is_id_mapped(id: u32, map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers.as_slice(), [first, _, length] if id.checked_sub(*first).is_some_and(|offset| offset < *length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_a_map() {
        let whole = "         0          0 4294967295\n";
        assert!(is_id_mapped(NOBODY_ID, whole));
        assert!(is_id_mapped(NOBODY_ID, "0 1000 1\n1 100000 65536\n"));
        assert!(is_id_mapped(NOBODY_ID, "0 0 65535\n"));
        assert!(!is_id_mapped(NOBODY_ID, "0 0 65534\n"));
        assert!(!is_id_mapped(NOBODY_ID, "0 1000 1\n"));
        assert!(!is_id_mapped(NOBODY_ID, "65535 0 10\nnonsense\n1 2\n"));
        assert!(!is_id_mapped(NOBODY_ID, ""));
    }
}
