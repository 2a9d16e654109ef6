//! A probe root: a directory in memory that holds one program, in a mount namespace that ends with this process.
//!
//! It is used to run a probe where no file of the machine can be seen. Nothing is written to the machine.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{chdir, chroot, pivot_root};

use super::process::{ProcessOutput, TIMEOUT, clean_command, run_with_timeout};
use super::unprivileged::OwnProgram;
use super::{INTERNAL, NamespaceError, unprivileged};

/// An argument of mount(2) that has no meaning for the call.
const UNUSED: Option<&str> = None;

/// Directories on which the probe root may be mounted, and which it hides meanwhile. The first that exists is used.
const MOUNT_POINTS: [&str; 4] = ["/mnt", "/sys", "/tmp", "/run"];
/// Name of the program in the probe root.
const PROGRAM_NAME: &str = "probe";

/// Moves this process into a new mount namespace, in which it may call chroot(2). Root needs nothing else. For other
/// users, and where root may not make a mount namespace, a user namespace is made too: for root, one of `nobody`.
pub fn unshare_mounts() -> Result<(), NamespaceError> {
    let (uid, _) = super::env::effective_ids();
    if uid == 0 && unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    unshare_with_users(CloneFlags::CLONE_NEWNS)
}

/// Moves this process into the namespaces of Nix's sandbox: private mounts, processes, IPC, host name and network, in a
/// user namespace. For root, that is one of `nobody`, because root in a user namespace may still write what belongs to root
/// (`/proc/sys/kernel/core_pattern`, seen on 6.18); it is left out where the kernel refuses to make one (Nix,
/// `linux-derivation-builder.cc`, commit b813ed2602d4).
///
/// Only child processes are in the new PID namespace (pid_namespaces(7)).
pub fn unshare_sandbox() -> Result<(), NamespaceError> {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET;
    unshare_with_users(namespaces).or_else(|error| unshare(namespaces).map_err(|_| error))
}

fn unshare_with_users(flags: CloneFlags) -> Result<(), NamespaceError> {
    let failed = |step| move |source| NamespaceError { step, source };
    let is_root = unprivileged::is_available();
    if is_root {
        unprivileged::become_nobody_with_capabilities().map_err(failed("become another user"))?;
    }
    let (uid, gid) = super::env::effective_ids();
    if let Err(error) = unshare(flags | CloneFlags::CLONE_NEWUSER) {
        if is_root {
            unprivileged::become_root_again().map_err(failed("become root again"))?;
        }
        return Err(failed("make a user namespace")(error.into()));
    }
    super::namespaces::map_own_ids(&[(0, uid, 1)], &[(0, gid, 1)], true)
}

/// Runs a program that root may run, without an outer trace: in namespaces of mounts and processes of its own, with a
/// directory in memory that is its home, and that these variables name, too. `needed` is a file that stays visible. What
/// the program started ends with it.
pub fn run_alone(program: &[u8], needed: &Path, home_variables: &[&str]) -> io::Result<ProcessOutput> {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
        let dir = mount_probe_root(program, needed)?;
        if !needed.starts_with("/tmp") && dir != Path::new("/tmp") {
            mount(Some("binfmt-nix"), "/tmp", Some("tmpfs"), MsFlags::empty(), UNUSED)?;
        }
        let mut command = clean_command(&dir.join(PROGRAM_NAME));
        let names = home_variables.iter().chain(&["HOME"]);
        run_with_timeout(command.envs(names.map(|name| (name, &dir))), TIMEOUT)
    };
    // Only this thread, which ends with the program, is in the namespaces.
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, run)?;
        started.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Mounts a probe root with this program in it, and returns its path. It does not hide the file `needed`.
pub fn mount_probe_root(program: &[u8], needed: &Path) -> io::Result<PathBuf> {
    // Later mounts are visible in this mount namespace only (mount_namespaces(7)).
    mount(UNUSED, "/", UNUSED, MsFlags::MS_REC | MsFlags::MS_PRIVATE, UNUSED)?;
    let may_hide = |mount_point: &&Path| mount_point.is_dir() && !needed.starts_with(mount_point);
    let mount_point = MOUNT_POINTS.map(Path::new).into_iter().find(may_hide);
    let mount_point = mount_point.ok_or(io::ErrorKind::NotFound)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("binfmt-nix"), mount_point, Some("tmpfs"), flags, Some("mode=755,size=1m"))?;
    let path = mount_point.join(PROGRAM_NAME);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path)?;
    file.write_all(program)?;
    Ok(mount_point.to_owned())
}

/// Mounts a new `/proc` in the probe root. The kernel refuses the mount where part of the present `/proc` is hidden, as
/// in containers, and demands that it is read-only if the present one is (`mount_too_revealing`, Linux 6.18).
pub fn mount_proc(root: &Path) -> io::Result<()> {
    let proc = root.join("proc");
    DirBuilder::new().mode(0o755).create(&proc)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mount_with = |flags| mount(Some("proc"), &proc, Some("proc"), flags, None::<&str>);
    Ok(mount_with(flags).or_else(|_| mount_with(flags | MsFlags::MS_RDONLY))?)
}

/// Makes the probe root the root directory by pivot_root(2), and unmounts the old root.
pub fn pivot_to(root: &Path) -> io::Result<()> {
    chdir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

/// Replaces this process by the program of the probe root, as `nobody` if `as_nobody` is set. Returns only if that fails.
pub fn exec_probe(root: &Path, arg0: &str, as_nobody: bool) -> io::Error {
    match if as_nobody { unprivileged::become_nobody() } else { Ok(()) } {
        Ok(()) => super::exec::exec_probe(&root.join(PROGRAM_NAME), arg0),
        Err(e) => e.into(),
    }
}

/// Makes the probe root the root directory by chroot(2). Root in a container may lack CAP_SYS_CHROOT; then
/// pivot_root(2) gives the same result, unless the container's filter of system calls (docker's) forbids it.
pub fn enter_chroot(root: &Path) -> io::Result<()> {
    let entered = chroot(root).and_then(|()| chdir("/")).map_err(io::Error::from);
    entered.or_else(|error| pivot_to(root).map_err(|_| error))
}

/// Replaces this process by `program` with the given `argv[0]`, inside a chroot to `dir`, and as `nobody` if `as_nobody`
/// is set and this process has to. Returns only if that fails.
pub fn exec_in_chroot(dir: &Path, program: &Path, arg0: &str, as_nobody: bool) -> io::Error {
    // Afterwards, /proc cannot be read.
    let changes_user = as_nobody && unprivileged::is_available();
    let entered = chroot(dir).and_then(|()| chdir("/"));
    let changed = entered.and_then(|()| if changes_user { unprivileged::become_nobody() } else { Ok(()) });
    match changed {
        Ok(()) => super::exec::exec_probe(program, arg0),
        Err(e) => e.into(),
    }
}

/// Starts this program again, as the first process of the new PID namespace, and waits until it exits.
pub fn respawn_as_init(program: &OwnProgram, args: &[&str]) -> io::Result<ExitStatus> {
    Command::new(program.path()).arg(INTERNAL).args(args).env_clear().status()
}

/// Makes the kernel kill this process when its parent ends.
pub fn die_with_parent() -> io::Result<()> {
    Ok(set_pdeathsig(Signal::SIGKILL)?)
}
