//! Gathers the facts for an explanation: the machine, read once, and its files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Bits, Entry, WINDOW};
use nix::errno::Errno;

use super::loader::{self, Loader, LoaderSupport};
use super::{AccessProblem, Explanation, InterpreterStart, OpenedFile, explain_exec_below, start};
use crate::binfmt::harm::Harm;
use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::shell::{Shell, quote_file};
use crate::binfmt::table::{Table, entry_name};
use crate::binfmt::userns::enter::read_limits;
use crate::binfmt::userns::limits;
use crate::binfmt::{harm, native, table};
use crate::diagnose::repair::RepairFacts;
use crate::error::Result;
use crate::host::env::kernel_release;
use crate::host::{self, FileId, Host};
use crate::paths;
use crate::sanitize::AsText as _;
use crate::sorted;

/// The facts about a machine that an explanation needs.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// Whether the kernel may try entries in another order than it lists them: see [`super::EntryReport::may_precede`].
    pub hides_order: bool,
    /// The way in which commands for this machine are written.
    pub shell: Shell,
    /// Whether the table is mounted read-only.
    pub is_table_read_only: bool,
    /// The entries that must not be put in force (see [`harm`]).
    pub harmful_entries: BTreeMap<String, Harm>,
    /// Whether `run` can make a table of its own here.
    pub can_make_tables: bool,
}

impl MachineFacts {
    /// Gathers the facts of this machine.
    pub fn gather(host: &Host) -> Result<Self> {
        let (name, kernel) = kernel_release();
        let is_root = host::env::effective_ids().0 == 0;
        let table = table::read_table(host)?;
        let loaders = loader::loaders_of(&name, |other| detect_compat(other, &table));
        let prefixes = host::env::var("QEMU_LD_PREFIX").map_or_else(default_prefixes, |prefix| vec![prefix]);
        let in_user_namespace = host::namespaces::is_in_user_namespace();
        Ok(Self {
            hides_order: host.is_live() && host.exists(Path::new(table::INTERPRETER_LIMIT)),
            shell: Shell::for_host(host),
            is_table_read_only: table::is_read_only(host, &table),
            harmful_entries: harm::find_harmful_entries(&table, &name),
            can_make_tables: host.is_live() && limits::may_make_tables(kernel, is_root, &read_limits(host)),
            name,
            loaders,
            table,
            in_user_namespace,
            prefixes,
        })
    }

    /// Whether the kernel may execute x32 programs.
    pub(super) fn may_load_x32(&self) -> bool {
        let takes = |loader: &Loader| loader.machines.contains(&62) && loader.bits == Bits::B32;
        self.loaders.iter().any(|loader| takes(loader) && loader.support != LoaderSupport::No)
    }

    /// Whether every ELF loader of the kernel is among the known ones. For other machines, those for 32-bit programs are
    /// not: PowerPC, MIPS, SPARC, S/390 and RISC-V may have one.
    pub fn knows_all_loaders(&self) -> bool {
        ["x86_64", "aarch64"].contains(&self.name.as_str())
    }

    /// Creates the facts of a machine of this name with this table and every loader that such machines can have.
    pub fn with_all_loaders(name: &str, table: Table) -> Self {
        let loaders = loader::loaders_of(name, |_| LoaderSupport::Yes);
        Self {
            name: name.into(),
            loaders,
            table,
            in_user_namespace: false,
            prefixes: Vec::new(),
            hides_order: false,
            shell: Shell::default(),
            is_table_read_only: false,
            harmful_entries: BTreeMap::new(),
            can_make_tables: true,
        }
    }

    /// Returns the facts that decide which commands can work.
    pub(super) fn repairs(&self) -> RepairFacts<'_> {
        RepairFacts {
            shell: &self.shell,
            table: &self.table,
            is_read_only: self.is_table_read_only,
            harmful: &self.harmful_entries,
            own_entries: sorted::set(self.table.entries().iter().filter(|entry| self.is_own(entry)).map(entry_name)),
        }
    }

    /// Whether this tool made the entry, by its interpreter. (The receipt, which says it for certain, is not read, so
    /// that a damaged one does not keep a file from being explained.)
    fn is_own(&self, entry: &Entry) -> bool {
        let interpreter = &entry.rule.interpreter;
        let dir = self.shell.real_path(Path::new(paths::OWN_DIR));
        is_in_memory_path(interpreter) || Path::new(OsStr::from_bytes(interpreter)).starts_with(dir)
    }

    /// Whether the machine runs the system's programs natively, or may do so.
    pub(super) fn may_run_natively(&self, arch: &Arch) -> bool {
        let is_for = |loader: &Loader| {
            loader.support != LoaderSupport::No
                && loader.bits == arch.bits
                && loader.endian == arch.endian
                && loader.machines.contains(&arch.e_machine)
        };
        self.loaders.iter().any(is_for)
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
    // The kernel holds files of the running machine.
    explain_exec_below(named, machine, &lookup, &open_held)
}

/// Opens an interpreter as the process that registered it did.
fn open_held(path: &[u8]) -> std::result::Result<OpenedFile, AccessProblem> {
    if is_in_memory_path(path) {
        return Err(AccessProblem { errno: Some(Errno::ENOENT), why: "has no name".into(), repair: None });
    }
    let path = Path::new(OsStr::from_bytes(path));
    open_for_exec(host::regular_file::open(path), path)
}

/// Follows the interpreter of an entry. The kernel's paths are those of the running machine, even with `--root`. `None` if
/// the interpreter is in memory.
pub fn find_interpreter_start(machine: &str, table: &Table, entry: &Entry) -> Option<InterpreterStart> {
    if is_in_memory_path(&entry.rule.interpreter) {
        return None;
    }
    let head = open_held(&entry.rule.interpreter).map(|file| file.head).unwrap_or_default();
    // Only a 32-bit program needs the loader of such programs, which a probe has to find.
    let compat = |other: &str| {
        if head.get(4) == Some(&(Bits::B32 as u8)) { detect_compat(other, table) } else { LoaderSupport::No }
    };
    let mut facts = MachineFacts::with_all_loaders(machine, table.clone());
    facts.loaders = loader::loaders_of(machine, compat);
    Some(start::follow_interpreter(&facts, entry, &open_held))
}

/// Whether the machine runs the 32-bit programs of its processor. x32 uses IA-32's loader with another machine number,
/// so IA-32's probe answers for x32, too.
fn detect_compat(other: &str, table: &Table) -> LoaderSupport {
    if other != "x32" {
        let arch = Arch::by_target(other);
        return native::detect_support(arch.and_then(Arch::probe).unwrap_or_default(), table, arch);
    }
    let mut probe = Arch::by_target("i386").and_then(Arch::probe).unwrap_or_default().to_vec();
    probe.iter_mut().skip(18).zip(62_u16.to_le_bytes()).for_each(|(place, byte)| *place = byte);
    native::detect_support(&probe, table, None)
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
    let errno = Some(e.raw_os_error().map_or(Errno::EACCES, Errno::from_raw));
    let shown = quote_file(&path.as_text());
    if host::user_files::is_on_noexec_mount(file) {
        let why = "is on a file system that is mounted noexec".into();
        let repair = format!("cp {shown} DIR    # DIR: a directory on a file system without noexec; run that copy");
        return AccessProblem { errno, why, repair: Some(repair) };
    }
    let repair = host::user_files::may_change_mode(file).then(|| format!("chmod +x {shown}"));
    AccessProblem { errno, why: "is not executable".into(), repair }
}

/// Returns the identity of the file at a path, for comparison.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    host::regular_file::open(path).ok()?.metadata().ok().map(|meta| FileId::from_metadata(&meta))
}
