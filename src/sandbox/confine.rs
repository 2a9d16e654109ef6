//! Gives up every right that a [`Profile`] does not name, in two steps that cannot be undone. [`drop_rights`] holds for
//! the calling thread and the threads that it starts later, so it comes before other threads exist. [`restrict_calls`]
//! holds for all threads, and forbids new ones, so it comes after the threads that the worker needs.
//!
//! | step | effect | if the kernel does not support it |
//! |---|---|---|
//! | resource limits | no core file, no file of any length, bounded memory | (always supported) |
//! | user and group `nobody`, no other groups | no access to files and processes of root | id not mapped here: left out; refused: a note |
//! | no capability | where the user stays root, it has no privilege | (always supported) |
//! | no_new_privs | setuid programs give no privilege | (always supported) |
//! | Landlock | no writing, no reading except what names and libraries need; no TCP server; no signal to other processes | a note |
//! | seccomp | only listed system calls: no program, process or thread is started; no local socket | a note |
//! | PDEATHSIG, not dumpable | the worker ends with its parent; no debugger can attach | (always supported) |
//!
//! An attacker that controls the worker can still use the network, as before; read the files that are listed below; end
//! the worker, or send wrong messages to the parent. Without seccomp, the attacker can also start threads and, before
//! Linux 7.1, connect to the local sockets that are open to every user.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::prctl::{set_dumpable, set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, getppid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::host::unprivileged;
use crate::sandbox::frame::MissingProtection;
use crate::sandbox::seccomp;

/// Limit of memory: ten times what the largest download takes.
const MAX_MEMORY: u64 = 512 << 20;
/// Limit of address space. It also counts memory that is not private or not written (`is_data_mapping`, Linux 6.18):
/// shared memory, stacks that grow, and the page tables of large mappings. The rest is for memory that an allocator
/// reserves without using it: glibc's reserves 64 MiB for each thread (`malloc/arena.c`, HEAP_MAX_SIZE).
const MAX_ADDRESS_SPACE: u64 = 1 << 30;
/// Limit of the output of a program, which prints its release.
const MAX_OUTPUT: u64 = 64 << 10;
/// Limit of open files: three pipes, those of the runtime, a library that is being loaded, and a socket for each
/// server, because connections to failed servers are kept open for a while.
const MAX_OPEN_FILES: u64 = 256;

/// Files that name resolution reads. They are listed by name, because there may be secrets beside them:
/// nsswitch.conf(5), resolv.conf(5), hosts(5), host.conf(5), gai.conf(5), services(5), ld.so(8), and nss-mdns's own
/// list.
///
/// A symbolic link (systemd-resolved's, NixOS's) stands for its target. If a file is replaced while the worker runs,
/// the new file cannot be read: after a change of the machine's network the user has to run the command again.
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

/// Directories of libraries: glibc loads the modules that nsswitch.conf names at the first lookup of a name. Nix and
/// Guix have their libraries in their stores.
const LIBRARIES: &[&str] =
    &["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store"];

/// Rights that a worker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Files, and directories with everything below them, that may be read
    pub files: &'static [&'static [&'static str]],
    /// Whether connections to servers are allowed
    pub network: bool,
    /// Limit of memory in bytes (`RLIMIT_DATA`)
    pub memory: u64,
    /// Limit of address space in bytes (`RLIMIT_AS`)
    pub address_space: u64,
    /// Limit of open files (`RLIMIT_NOFILE`)
    pub open_files: u64,
    /// Limit of the length of a file that is written (`RLIMIT_FSIZE`)
    pub file_size: u64,
    /// Whether the worker replaces itself by the program on its standard input, which starts its own threads
    pub program: bool,
}

impl Profile {
    /// Rights of a worker that connects to servers and resolves their names.
    pub const CLIENT: Self = Self {
        files: &[FILES_READ, LIBRARIES],
        network: true,
        memory: MAX_MEMORY,
        address_space: MAX_ADDRESS_SPACE,
        open_files: MAX_OPEN_FILES,
        file_size: 0,
        program: false,
    };
    /// Rights of a worker that reads its inherited files only: no network, no other file.
    pub const READER: Self = Self {
        files: &[],
        network: false,
        memory: MAX_MEMORY,
        address_space: MAX_ADDRESS_SPACE,
        open_files: MAX_OPEN_FILES,
        file_size: 0,
        program: false,
    };
    /// Rights of a worker that becomes the program on its standard input, whose output goes to files in memory.
    pub const PROGRAM: Self = Self { file_size: MAX_OUTPUT, program: true, ..Self::READER };
}

/// Gives up all rights that `profile` does not name, except the system calls. Returns the protections that this kernel
/// does not support.
pub fn drop_rights(profile: &Profile) -> io::Result<Vec<MissingProtection>> {
    set_limits(profile)?;
    let mut missing = Vec::new();
    missing.extend(drop_user().err());
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs()?;
    set_dumpable(false)?;
    // A change of user clears this setting, so it is made afterwards (PR_SET_PDEATHSIG in prctl(2)).
    set_pdeathsig(Signal::SIGKILL)?;
    if !matches!(restrict_files(profile), Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced)) {
        missing.push(MissingProtection::Landlock);
    }
    Ok(missing)
}

/// Restricts all threads of this process to the system calls that `profile` needs. No thread can be started afterwards.
/// Fails if this kernel does not support it.
pub fn restrict_calls(profile: &Profile) -> Result<(), MissingProtection> {
    seccomp::install_filter(profile.network, profile.program).map_err(|_| MissingProtection::Seccomp)
}

/// Fails if `parent` is not the parent of this process. From [`drop_rights`] on, the kernel kills this process when its
/// parent ends.
pub fn check_parent(parent: u32) -> io::Result<()> {
    if u32::try_from(getppid().as_raw()) == Ok(parent) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the parent has ended"))
}

fn set_limits(profile: &Profile) -> io::Result<()> {
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        // The length of files; pipes and sockets have none.
        (Resource::RLIMIT_FSIZE, profile.file_size),
        (Resource::RLIMIT_NOFILE, profile.open_files),
        (Resource::RLIMIT_DATA, profile.memory),
        (Resource::RLIMIT_AS, profile.address_space),
    ];
    // RLIMIT_NPROC is not set: it counts all processes of the user `nobody`.
    limits.into_iter().try_for_each(|(resource, limit)| {
        // An ordinary user's hard limit may be lower already, and cannot be raised.
        let (_, hard) = getrlimit(resource)?;
        let limit = limit.min(hard);
        Ok(setrlimit(resource, limit, limit)?)
    })
}

/// Changes to the user `nobody` if this process is root and that id exists in this user namespace. An ordinary user stays
/// the same; Landlock then denies access to the user's files.
fn drop_user() -> Result<(), MissingProtection> {
    if !Uid::effective().is_root() || !unprivileged::is_mapped() {
        return Ok(());
    }
    unprivileged::become_nobody().map_err(|_| MissingProtection::User)
}

/// Restricts files, sockets and signals by Landlock, as far as the kernel supports it. Linux 7.1 and newer also deny
/// local sockets (`LANDLOCK_ACCESS_FS_RESOLVE_UNIX`).
///
/// UDP is not restricted, because names are resolved through it. TCP connections may go to any port, because a server
/// may use any.
fn restrict_files(profile: &Profile) -> Result<RulesetStatus, RulesetError> {
    if profile.program {
        // A program in memory gets no rule and needs none (`is_nouser_or_private`, security/landlock/fs.c, Linux 6.18).
        return restrict_to(profile, &["/proc/self/fd/0"]).or_else(|_| restrict_to(profile, &[]));
    }
    restrict_to(profile, &[])
}

fn restrict_to(profile: &Profile, programs: &[&str]) -> Result<RulesetStatus, RulesetError> {
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V9))?;
    let ruleset = if profile.network {
        ruleset.handle_access(AccessNet::BindTcp)?
    } else {
        ruleset.handle_access(AccessNet::from_all(ABI::V9))?
    };
    let status = ruleset
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(profile.files.iter().copied().flatten(), AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(programs, AccessFs::ReadFile | AccessFs::Execute))?
        .restrict_self()?;
    Ok(status.ruleset)
}
