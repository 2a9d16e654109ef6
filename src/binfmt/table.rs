//! The kernel's table: reads, adds and removes the entries of one binfmt_misc directory.
//!
//! All claims about the kernel were read in Linux's `fs/binfmt_misc.c` and measured on Linux 6.18 and 7.3.4. This module
//! knows neither QEMU nor Nix nor receipts. It never writes to `status`: `-1` there deletes every entry.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{BpfHandler, Entry, Flags, Rule, Syntax};
use nix::errno::Errno;

use crate::binfmt::selinux::Selinux;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::sanitize::{AsText as _, bytes_of, text_of_bytes};

/// The mount point of the table on every Linux.
pub const DIR: &str = "/proc/sys/fs/binfmt_misc";

/// The limit on interpreters that entries hold open. Linux 7.3 has it, and it came with flags T, L and D.
pub const INTERPRETER_LIMIT: &str = "/proc/sys/user/max_binfmt_misc_interpreters";

/// The state of [`DIR`].
#[derive(Debug, Clone)]
pub enum Table {
    /// A mounted table with its entries, newest first. The kernel tries and lists them in that order. One difference
    /// cannot be seen: Linux 7.3 tries an entry that was registered with flag D as new as its first activation.
    Mounted {
        /// the names of all entries, also of those that were not read
        names: Vec<String>,
        /// the entries that could be parsed
        entries: Vec<Entry>,
        /// the entries that have no pattern, or that only a newer kernel has
        unsupported: Vec<UnsupportedEntry>,
        /// whether `status` is "enabled": the kernel uses the table
        enabled: bool,
    },
    /// A directory on which no table is mounted.
    NotMounted,
    /// A tree below `--root` without `/proc`: an image, not a running system.
    Offline,
}

impl Table {
    /// Returns a mounted table that is in force and has these entries, newest first.
    pub fn of_entries(entries: Vec<Entry>) -> Self {
        Self::new(entries, Vec::new(), true)
    }

    /// Returns a mounted table that was read as a whole.
    pub fn new(entries: Vec<Entry>, unsupported: Vec<UnsupportedEntry>, enabled: bool) -> Self {
        let names = entries.iter().map(entry_name).chain(unsupported.iter().map(|entry| entry.name.clone())).collect();
        Self::Mounted { names, entries, unsupported, enabled }
    }

    /// Returns the names of all entries, newest first: also of those that were not read.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Mounted { names, .. } => names,
            Self::NotMounted | Self::Offline => &[],
        }
    }

    /// Returns the entries that could be parsed, newest first.
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Mounted { entries, .. } => entries,
            Self::NotMounted | Self::Offline => &[],
        }
    }

    /// Whether the table has no entry of any tool.
    pub fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Returns the entries of type B, and those with flags or a type of a newer kernel.
    pub fn unsupported_entries(&self) -> &[UnsupportedEntry] {
        match self {
            Self::Mounted { unsupported, .. } => unsupported,
            Self::NotMounted | Self::Offline => &[],
        }
    }

    /// Returns the entry of that name.
    pub fn find_entry(&self, name: &str) -> Option<&Entry> {
        let name = bytes_of(name);
        self.entries().iter().find(|entry| entry.rule.name.as_bytes() == name)
    }

    /// Whether any entry has this name.
    pub fn has_entry(&self, name: &str) -> bool {
        self.names().iter().any(|other| other == name)
    }

    /// Whether `status` is "disabled" (0 was written to it): the kernel then ignores all entries of the table.
    pub fn is_switched_off(&self) -> bool {
        matches!(self, Self::Mounted { enabled: false, .. })
    }

    /// Returns the entry that the kernel picks for a file that starts with `head`: the newest enabled one that matches.
    pub fn matching_entry(&self, head: &[u8]) -> Option<&Entry> {
        self.matching_entry_for_path(b"", head)
    }

    /// Like [`Self::matching_entry`], but also compares the file's path with rules by extension.
    pub fn matching_entry_for_path(&self, path: &[u8], head: &[u8]) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.enabled && entry.rule.matches_file(path, head))
    }
}

/// An entry whose files cannot be known from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedEntry {
    /// The name of the entry.
    pub name: String,
    /// What an entry of type B shows; `None` for an entry of a newer kernel.
    pub handler: Option<BpfHandler>,
}

impl fmt::Display for UnsupportedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some(handler) = &self.handler else { return Ok(()) };
        let state = if handler.enabled { "" } else { ", disabled" };
        write!(f, " (type B{state}: the BPF program {} decides", text_of_bytes(&handler.program))?;
        for (_, path) in &handler.interpreters {
            write!(f, ", {}", text_of_bytes(path))?;
        }
        f.write_str(")")
    }
}

/// Returns the name of an entry as text.
pub fn entry_name(entry: &Entry) -> String {
    text_of_bytes(entry.rule.name.as_bytes())
}

/// Returns the path of a file in the table. The name is that of [`entry_name`].
pub fn entry_path(name: &str) -> PathBuf {
    Path::new(DIR).join(OsStr::from_bytes(&bytes_of(name)))
}

/// Reads the whole table. Opening its directory also triggers systemd's automount on it.
pub fn read_table(host: &Host) -> Result<Table> {
    read_table_without(host, |_| false)
}

/// Reads the table, but of the entries with these names only the names.
pub fn read_table_without(host: &Host, is_left_out: impl Fn(&str) -> bool) -> Result<Table> {
    let is_read = |name: &OsStr| name != "register" && !name.to_str().is_some_and(&is_left_out);
    let Some(files) = host.read_kernel_dir(Path::new(DIR), is_read)? else {
        return Ok(if host.is_live() { Table::NotMounted } else { Table::Offline });
    };
    if !files.iter().any(|(name, _)| name == "register") {
        return Ok(Table::NotMounted);
    }
    let (mut names, mut entries, mut unsupported, mut enabled) = (Vec::new(), Vec::new(), Vec::new(), true);
    for (name, text) in files {
        if name != "register" && name != "status" {
            names.push(name.as_text());
        }
        match text {
            None => {}
            Some(text) if name == "status" => enabled = text.trim_ascii() != b"disabled",
            Some(text) => match Entry::parse(name.as_encoded_bytes(), &text) {
                Ok(entry) => entries.push(entry),
                Err(_) => {
                    unsupported.push(UnsupportedEntry { name: name.as_text(), handler: BpfHandler::parse(&text).ok() });
                }
            },
        }
    }
    Ok(Table::Mounted { names, entries, unsupported, enabled })
}

/// Reads the text of an entry; `None` if the entry no longer exists. The length of the first word changes when the
/// entry is enabled or disabled (`bm_entry_read`), so one read call reads the whole text.
fn read_entry_file(host: &Host, path: &Path) -> Result<Option<Vec<u8>>> {
    match host.open_nofollow(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => {
            host::kernel_files::read_once(&opened?).map(Some).map_err(|e| Error::io("read", &host.real_path(path), e))
        }
    }
}

/// Whether the table is mounted read-only, as it is in many containers.
pub fn is_read_only(host: &Host, table: &Table) -> bool {
    matches!(table, Table::Mounted { .. }) && host.is_read_only_fs(Path::new(DIR))
}

/// Mounts the table. Since Linux 5.17 the module creates the directory (commit 3ba442d5331f). Without the directory
/// there is nothing to mount on, so the mount cannot load the module, and this function loads it first.
pub fn mount_table(host: &Host) -> Result<()> {
    if host.is_live() && !host.exists(Path::new(DIR)) {
        for program in ["/usr/sbin/modprobe", "/sbin/modprobe"] {
            // The mount below shows whether this succeeded.
            drop(host.run_trusted_program(program, &["binfmt_misc"]));
        }
    }
    host.mount_binfmt_misc(Path::new(DIR)).map_err(|errno| mount_error(host, errno))
}

/// Describes why the table could not be mounted.
pub fn mount_error(host: &Host, errno: Errno) -> Error {
    let what = format!("cannot mount binfmt_misc on {}: {}", host.real_path(Path::new(DIR)).as_text(), errno.desc());
    let hint = match errno {
        Errno::ENODEV | Errno::ENOENT => {
            "this kernel has no binfmt_misc: it needs CONFIG_BINFMT_MISC, and if that is a module (modprobe binfmt_misc), \
             the modules of the running kernel must be installed"
        }
        _ => {
            "in a container, start it with --privileged (at least --cap-add SYS_ADMIN, and no AppArmor profile that \
             forbids mounts), or register on the host"
        }
    };
    Error::Unsupported { what, hint: hint.into() }
}

/// Returns what lines the running kernel accepts. A tree below a root prefix may boot any kernel, so it gets the newest
/// syntax.
pub fn kernel_syntax(host: &Host) -> Syntax {
    if !host.is_live() || host.exists(Path::new(INTERPRETER_LIMIT)) { Syntax::Linux7_3 } else { Syntax::Linux4_8 }
}

/// Registers a rule, reads the entry, and compares both. If they differ, removes the entry again.
///
/// Since Linux 7.3 an entry can be registered disabled (flag D), so it is enabled after the comparison. Older kernels
/// reject that line, and get the rule as it is.
pub fn add_entry(host: &Host, rule: &Rule) -> Result<()> {
    let name = text_of_bytes(rule.name.as_bytes());
    let line = rule.to_line()?;
    let register = |line: &[u8]| host.write_kernel_file(&entry_path("register"), line);
    let staged = Rule { flags: Flags { disabled: true, ..rule.flags }, ..rule.clone() }.to_line();
    let mut is_staged = staged.is_ok();
    let mut written = staged.map_or_else(|_| register(&line), |staged| register(&staged));
    if is_staged && written.as_ref().is_err_and(|e| e.raw_os_error() == Some(Errno::EINVAL as i32)) {
        (is_staged, written) = (false, register(&line));
    }
    if let Err(e) = written {
        if e.raw_os_error() == Some(Errno::ENOSPC as i32) {
            return Err(limit_error(&name, &e));
        }
        let line = text_of_bytes(&line);
        let mut why = describe_refusal(&e, rule);
        if e.kind() == io::ErrorKind::PermissionDenied && Selinux::read(host).is_enforcing {
            why.push_str(", or SELinux forbids it");
        }
        return Err(Error::Refused { name, why, line });
    }
    let text = match read_entry_file(host, &entry_path(&name)) {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            remove_entry_if(host, &name, |_| true)?;
            return Err(error);
        }
    };
    match Entry::parse(rule.name.as_bytes(), &text) {
        Ok(entry) if entry.enabled != is_staged && is_same_rule(&entry.rule, rule) => {
            match if is_staged { switch_entry(host, rule, true) } else { Ok(true) } {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    remove_entry(host, rule)?;
                    return Err(error);
                }
            }
        }
        _ => {}
    }
    // Another tool may have replaced the entry in the meantime.
    let interpreter_line = [b"interpreter ", rule.interpreter.as_slice()].concat();
    remove_entry_if(host, &name, |text| text.split(|byte| *byte == b'\n').any(|line| line == interpreter_line))?;
    let text = text_of_bytes(&text).trim().replace('\n', ", ");
    Err(Error::NotWorking { name, why: format!("the kernel shows it as {text:?}") })
}

/// Removes the entry of a rule; a missing entry is not an error. Returns `false` if another rule has the name; that entry
/// stays.
pub fn remove_entry(host: &Host, rule: &Rule) -> Result<bool> {
    let name = text_of_bytes(rule.name.as_bytes());
    let is_ours =
        |text: &[u8]| Entry::parse(rule.name.as_bytes(), text).is_ok_and(|found| is_same_rule(&found.rule, rule));
    remove_entry_if(host, &name, is_ours)
}

/// Turns the entry of a rule on or off. Returns `false` if no entry has the name, or another rule has it; nothing is
/// changed then. The entry that was read is the one that is changed: see [`remove_entry`].
pub fn switch_entry(host: &Host, rule: &Rule, enabled: bool) -> Result<bool> {
    let path = entry_path(&text_of_bytes(rule.name.as_bytes()));
    let failed = |e| Error::io("turn on or off the entry", &host.real_path(&path), e);
    let mut file = match host.open_kernel_file(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(failed)?,
    };
    let text = host::kernel_files::read_once(&file).map_err(failed)?;
    match Entry::parse(rule.name.as_bytes(), &text) {
        Ok(found) if is_same_rule(&found.rule, rule) => {}
        _ => return Ok(false),
    }
    let word: &[u8] = if enabled { b"1" } else { b"0" };
    host::kernel_files::write_once(&mut file, word, &path).map_err(failed)?;
    Ok(true)
}

/// Removes an entry if its text meets a condition. The entry that was read is the entry that is removed: an open file
/// stays bound to its entry (`bm_entry_write` goes by the inode). If another tool has replaced that entry in the
/// meantime, the entry is already out of the table.
fn remove_entry_if(host: &Host, name: &str, condition: impl Fn(&[u8]) -> bool) -> Result<bool> {
    let path = entry_path(name);
    let failed = |e| Error::io("remove the entry", &host.real_path(&path), e);
    let mut file = match host.open_kernel_file(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.map_err(failed)?,
    };
    let text = host::kernel_files::read_once(&file).map_err(failed)?;
    if !condition(&text) {
        return Ok(false);
    }
    host::kernel_files::write_once(&mut file, b"-1", &path).map_err(failed)?;
    Ok(true)
}

/// Whether two rules are equal, apart from the spelling of flags (C implies O) and masks of all ones.
pub fn is_same_rule(a: &Rule, b: &Rule) -> bool {
    a.name == b.name
        && a.interpreter == b.interpreter
        && a.recognition == b.recognition
        && a.flags.normalised() == b.flags.normalised()
}

/// Describes an entry in one line, for messages.
pub fn describe_entry(entry: &Entry) -> String {
    let state = if entry.enabled { "" } else { " (disabled)" };
    // An entry whose line the kernel would not accept again has a line end in its interpreter, for example.
    let line = entry.rule.to_line().unwrap_or_else(|_| {
        [entry.rule.name.as_bytes(), b" with the interpreter ", entry.rule.interpreter.as_slice()].concat()
    });
    format!("{}{state}", text_of_bytes(&line))
}

/// See [`INTERPRETER_LIMIT`]. A user namespace and all outer ones are charged for an entry with flag F (measured on 7.3.4;
/// `binfmt-misc.rst` there).
fn limit_error(name: &str, e: &io::Error) -> Error {
    Error::Unsupported {
        what: format!(
            "the kernel refused to register {name}: {e}: it holds as many interpreters as \
             user.max_binfmt_misc_interpreters allows"
        ),
        hint: "as root, outside of containers: sysctl user.max_binfmt_misc_interpreters=N, with a larger number".into(),
    }
}

fn describe_refusal(e: &io::Error, rule: &Rule) -> String {
    let meaning = match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EEXIST) => "an entry of that name already exists",
        Some(Errno::ENOENT) => "the interpreter's file does not exist",
        Some(Errno::EACCES) => {
            "the interpreter cannot be executed: its mode forbids it, or its file system is mounted noexec"
        }
        Some(Errno::ETXTBSY) => "the interpreter's file is open for writing",
        Some(Errno::EINVAL) if rule.flags.needs_linux_7_3() => {
            "the kernel rejects the line; flags T, L and D need Linux 7.3"
        }
        Some(Errno::EINVAL) => "the kernel rejects the line; before Linux 4.8 there is no flag F",
        Some(Errno::EPERM) => "not permitted",
        _ => return e.to_string(),
    };
    format!("{e}: {meaning}")
}
