//! A room: a directory in memory that holds one program, in a mount namespace that ends with this process.
//! Nothing is written to the machine, and nothing of it is in there.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{chdir, chroot, pivot_root};

use super::{INTERNAL, NamespaceError};

/// What a room may hide while it is there: the first directory that exists.
const PLACES: [&str; 4] = ["/mnt", "/sys", "/tmp", "/run"];
/// The program's name in its room.
const PROGRAM: &str = "probe";

/// Moves this process into a mount namespace. Root needs no more for a chroot; others are given a user namespace,
/// in which they may have one.
pub fn unshare_mounts() -> Result<(), NamespaceError> {
    let (uid, _) = super::env::effective_ids();
    if uid == 0 && unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    unshare_with_users(CloneFlags::CLONE_NEWNS)
}

/// Moves this process into the namespaces of Nix's sandbox: private mounts, processes, IPC, host name and network, in
/// a user namespace, or, for root, without one where there are none (Nix, `linux-derivation-builder.cc`, commit b813ed2602d4).
/// Only what it starts is in the new namespace of processes (pid_namespaces(7)).
pub fn unshare_sandbox() -> Result<(), NamespaceError> {
    let sandbox = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET;
    unshare_with_users(sandbox).or_else(|refusal| unshare(sandbox).map_err(|_| refusal))
}

fn unshare_with_users(flags: CloneFlags) -> Result<(), NamespaceError> {
    let (uid, gid) = super::env::effective_ids();
    let refused = |e: nix::errno::Errno| NamespaceError { step: "make a user namespace", source: e.into() };
    unshare(flags | CloneFlags::CLONE_NEWUSER).map_err(refused)?;
    super::namespaces::map_own_ids(&[(0, uid, 1)], &[(0, gid, 1)], true)
}

/// Mounts a room with this program in it; says where.
pub fn mount_probe_root(program: &[u8]) -> io::Result<PathBuf> {
    const NONE: Option<&str> = None;
    // What is mounted from here on is seen by nobody else (mount_namespaces(7)).
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    let place = PLACES.map(Path::new).into_iter().find(|place| place.is_dir());
    let place = place.ok_or(io::ErrorKind::NotFound)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("binfmt-nix"), place, Some("tmpfs"), flags, Some("mode=755,size=1m"))?;
    let path = place.join(PROGRAM);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path)?;
    file.write_all(program)?;
    Ok(place.to_owned())
}

/// A `/proc` of this process's own in a room. The kernel refuses it where part of the present one is hidden, as in
/// containers, and wants it as read-only as that one is (`mount_too_revealing`, Linux 6.18).
pub fn mount_proc(room: &Path) -> io::Result<()> {
    let proc = room.join("proc");
    DirBuilder::new().mode(0o755).create(&proc)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let try_as = |flags| mount(Some("proc"), &proc, Some("proc"), flags, None::<&str>);
    Ok(try_as(flags).or_else(|_| try_as(flags | MsFlags::MS_RDONLY))?)
}

/// Makes a room the root directory: of the old one nothing is left to be seen.
pub fn pivot_to(room: &Path) -> io::Result<()> {
    chdir(room)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

/// Becomes the program of a room. Returns only if that fails.
pub fn exec_probe(room: &Path, arg0: &str) -> io::Error {
    Command::new(room.join(PROGRAM)).env_clear().arg0(arg0).exec()
}

/// Makes a room the root directory of this process, as chroot(2) does; to root without CAP_SYS_CHROOT, in a
/// container, pivot_root(2) gives the same, unless the container's filter of system calls (docker's) forbids it.
pub fn enter_chroot(room: &Path) -> io::Result<()> {
    let entered = chroot(room).and_then(|()| chdir("/")).map_err(io::Error::from);
    entered.or_else(|refused| pivot_to(room).map_err(|_| refused))
}

/// Starts this program again, as the first process of a new namespace of processes, and waits for its end.
pub fn respawn_as_init(words: &[&str]) -> io::Result<ExitStatus> {
    Command::new("/proc/self/exe").arg(INTERNAL).args(words).env_clear().status()
}

/// Has the kernel kill this process when the one that started it ends.
pub fn die_with_parent() -> io::Result<()> {
    Ok(set_pdeathsig(Signal::SIGKILL)?)
}
