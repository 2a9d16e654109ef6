//! Gathers the facts for an explanation: the machine, read once, and its files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use binfmt_magic::{Arch, WINDOW};
use nix::errno::Errno;

use super::loader::{self, Loader, LoaderSupport};
use super::{AccessProblem, Explanation, OpenedFile, explain_exec};
use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::probe;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::error::Result;
use crate::host::env::kernel_release;
use crate::host::{self, FileId, Host};
use crate::sanitize::shell_quote;
use crate::sanitize::{AsText as _, command};

/// The facts about a machine that an explanation needs.
#[derive(Debug)]
pub struct MachineFacts {
    /// The name of the machine, as `uname -m` prints it.
    pub name: String,
    /// The kernel's ELF loaders.
    pub loaders: Vec<Loader>,
    /// The kernel's table.
    pub table: Table,
    /// Whether this is not the machine's own user namespace.
    pub in_user_namespace: bool,
    /// Directories in which QEMU looks for loaders before it uses the root directory.
    pub prefixes: Vec<String>,
}

impl MachineFacts {
    /// Gathers the facts of this machine.
    pub fn gather(host: &Host) -> Result<Self> {
        let name = kernel_release().0;
        let table = table::read_table(host)?;
        let loaders = loader::loaders_of(&name, |other| detect_compat(other, &table));
        let prefixes = host::env::var("QEMU_LD_PREFIX").map_or_else(default_prefixes, |prefix| vec![prefix]);
        let in_user_namespace = host::namespaces::is_in_user_namespace();
        Ok(Self { name, loaders, table, in_user_namespace, prefixes })
    }

    /// Whether every ELF loader of the kernel is among the known ones. For other machines, those for 32-bit programs are
    /// not: PowerPC, MIPS, SPARC, S/390 and RISC-V may have one.
    pub fn knows_all_loaders(&self) -> bool {
        ["x86_64", "aarch64"].contains(&self.name.as_str())
    }

    /// Creates the facts of a machine of this name with this table and every loader that such machines can have.
    pub fn with_all_loaders(name: &str, table: Table) -> Self {
        let loaders = loader::loaders_of(name, |_| LoaderSupport::Yes);
        Self { name: name.into(), loaders, table, in_user_namespace: false, prefixes: Vec::new() }
    }
}

/// Returns the defaults of QEMU's `--interp-prefix`, upstream's and Debian's, for every system.
fn default_prefixes() -> Vec<String> {
    let prefixes_of =
        |arch: &Arch| [format!("/usr/gnemul/qemu-{}", arch.target), format!("/etc/qemu-binfmt/{}", arch.target)];
    Arch::ALL.iter().flat_map(prefixes_of).collect()
}

/// Explains a file as it is named on this machine. Absolute paths, of the file and of interpreters, are those below the root
/// directory of `host`.
pub fn explain_file(host: &Host, machine: &MachineFacts, file: &Path) -> Explanation {
    let named = file.as_os_str().as_bytes();
    let lookup = |path: &[u8]| {
        let is_named = path == named;
        // The kernel resolves an empty name to the working directory; only execve(2)'s own argument must not be empty.
        let given = if path.is_empty() && !is_named { Path::new(".") } else { Path::new(OsStr::from_bytes(path)) };
        // These files belong to the process that registered them.
        if is_in_memory_path(path) && !is_named {
            return Err(AccessProblem { errno: Some(Errno::ENOENT), why: "has no name".into(), repair: None });
        }
        if host.is_live() || given.is_relative() {
            return open_for_exec(host::regular_file::open(given), given);
        }
        let opened = host::regular_file::open_in_root(&host.real_path(Path::new("/")), given.as_os_str());
        open_for_exec(opened, &host.real_path(given))
    };
    explain_exec(named, machine, &lookup)
}

/// Whether the machine runs the 32-bit programs of its processor. x32 uses IA-32's loader with another machine number,
/// so IA-32's probe answers for x32, too.
fn detect_compat(other: &str, table: &Table) -> LoaderSupport {
    let arch = Arch::by_target(if other == "x32" { "i386" } else { other });
    let mut probe = arch.and_then(Arch::probe).unwrap_or_default().to_vec();
    if other == "x32" {
        write_bytes(&mut probe, 18, &62_u16.to_le_bytes());
    }
    // The loaders ignore the padding of `e_ident`; rules compare it.
    let ways = [[0, 0], [0, 1], [1, 0], [0x80, 0x80]].map(|padding| {
        let mut probe = probe.clone();
        write_bytes(&mut probe, 14, &padding);
        probe
    });
    let Some(probe) = ways.into_iter().find(|probe| table.is_switched_off() || table.matching_entry(probe).is_none())
    else {
        return LoaderSupport::Unknown("an entry of the table takes the probe program".into());
    };
    match probe::run_in_memory(&probe) {
        // It was started; its result does not matter.
        Ok(None) => LoaderSupport::Yes,
        Ok(Some(run)) if run.native => LoaderSupport::Yes,
        Ok(Some(_)) => LoaderSupport::Unknown("the kernel started another program for the probe program".into()),
        Err(e) if e.raw_os_error() == Some(Errno::ENOEXEC as i32) => LoaderSupport::No,
        Err(e) => LoaderSupport::Unknown(e.to_string()),
    }
}

fn write_bytes(bytes: &mut [u8], at: usize, to: &[u8]) {
    bytes.iter_mut().skip(at).zip(to).for_each(|(place, byte)| *place = *byte);
}

/// Examines a file as `do_open_execat` does: a regular file that may be executed, on a mount that allows it. `path` is its
/// path for messages.
fn open_for_exec(file: io::Result<File>, path: &Path) -> std::result::Result<OpenedFile, AccessProblem> {
    let file = file.map_err(|e| access_problem(&e))?;
    let mut head = vec![0; WINDOW];
    let read = file.read_at(&mut head, 0).unwrap_or_default();
    head.truncate(read);
    let size = file.metadata().map_or(head.len() as u64, |meta| meta.len());
    let obstacle = host::user_files::check_executable(&file).err().map(|e| forbidden_problem(&file, path, &e));
    let read = move |offset, size| {
        let mut bytes = vec![0; size];
        let read = file.read_at(&mut bytes, offset).unwrap_or_default();
        bytes.truncate(read);
        bytes
    };
    Ok(OpenedFile { head, size, obstacle, read: Box::new(read) })
}

fn access_problem(e: &io::Error) -> AccessProblem {
    let why = match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => "does not exist".into(),
        // The kernel reads files that the caller may only execute.
        Some(Errno::EACCES) => {
            let why = "cannot be read by this user; run explain as root".into();
            return AccessProblem { errno: None, why, repair: None };
        }
        None if e.kind() == io::ErrorKind::InvalidInput => {
            let why = "is not a regular file".into();
            return AccessProblem { errno: Some(Errno::EACCES), why, repair: None };
        }
        Some(errno) => format!("cannot be opened: {}", errno.desc()),
        None => format!("cannot be opened: {e}"),
    };
    AccessProblem { errno: e.raw_os_error().map(Errno::from_raw), why, repair: None }
}

fn forbidden_problem(file: &File, path: &Path, e: &io::Error) -> AccessProblem {
    let shown = shell_quote(&path.as_text());
    let errno = Some(e.raw_os_error().map_or(Errno::EACCES, Errno::from_raw));
    if host::user_files::is_on_noexec_mount(file) {
        let why = "is on a file system that is mounted noexec".into();
        let repair = command::as_root(format_args!(
            "mount -o remount,exec \"$(findmnt -nro TARGET -T {shown})\"    # or copy it elsewhere"
        ));
        return AccessProblem { errno, why, repair: Some(repair) };
    }
    AccessProblem { errno, why: "is not executable".into(), repair: Some(format!("chmod +x {shown}")) }
}

/// Returns the identity of the file at a path, for comparison.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    host::regular_file::open(path).ok()?.metadata().ok().map(|meta| FileId::from_metadata(&meta))
}
