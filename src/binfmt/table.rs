//! One binfmt_misc directory: the kernel's table of interpreters.
//!
//! What is said here about the kernel was read in Linux's `fs/binfmt_misc.c`
//! and measured on Linux 6.18. Nothing here knows of QEMU, Nix or receipts,
//! and nothing here ever writes to `status`: `-1` there deletes every entry.

use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::{Entry, Rule};
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::host::{self, Host};

/// Where the table is mounted on every Linux.
pub const DIR: &str = "/proc/sys/fs/binfmt_misc";

/// What was found at [`DIR`].
#[derive(Debug, Clone)]
pub enum Table {
    /// Mounted: its entries, newest first. That is the order in which the kernel
    /// tries them, and the order in which it lists them.
    Mounted {
        /// those that we understand
        entries: Vec<Entry>,
        /// names of those with flags or a type of a newer kernel
        strange: Vec<String>,
        /// `status` says "enabled": the whole table is looked at
        enabled: bool,
    },
    /// The directory is there, but no table is mounted on it.
    NotMounted,
    /// A tree below `--root` without `/proc`: an image, not a running system.
    Offline,
}

impl Table {
    /// All entries, newest first.
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Mounted { entries, .. } => entries,
            Self::NotMounted | Self::Offline => &[],
        }
    }

    /// No entry is left, whosever.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Mounted { entries, strange, .. } => entries.is_empty() && strange.is_empty(),
            Self::NotMounted | Self::Offline => true,
        }
    }

    /// Names of entries with flags or a type of a newer kernel.
    pub fn unsupported_entries(&self) -> &[String] {
        match self {
            Self::Mounted { strange, .. } => strange,
            Self::NotMounted | Self::Offline => &[],
        }
    }

    /// The entry of that name.
    pub fn find_entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry_name(entry) == name)
    }

    /// Is the name taken, by whatever entry?
    pub fn has_entry(&self, name: &str) -> bool {
        self.unsupported_entries().iter().any(|other| other == name) || self.find_entry(name).is_some()
    }

    /// Somebody wrote 0 to `status`: no entry of the table is looked at.
    pub fn is_switched_off(&self) -> bool {
        matches!(self, Self::Mounted { enabled: false, .. })
    }

    /// The entry that the kernel picks for a file that starts with `head`: the
    /// newest enabled one that matches.
    pub fn matching_entry(&self, head: &[u8]) -> Option<&Entry> {
        self.matching_entry_for_path(b"", head)
    }

    /// The same for a file with a name, which rules by extension look at.
    pub fn matching_entry_for_path(&self, path: &[u8], head: &[u8]) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.enabled && entry.rule.matches_file(path, head))
    }
}

/// An entry's name as text.
pub fn entry_name(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.rule.name.as_bytes()).into_owned()
}

/// Path of a file in the table.
pub fn entry_path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Reads the whole table. To open its directory also wakes systemd's automount on it.
pub fn read_table(host: &Host) -> Result<Table> {
    let Some(files) = host.read_kernel_dir(Path::new(DIR), |name| name != "register")? else {
        return Ok(if host.is_live() { Table::NotMounted } else { Table::Offline });
    };
    if !files.iter().any(|(name, _)| name == "register") {
        return Ok(Table::NotMounted);
    }
    let (mut entries, mut strange, mut enabled) = (Vec::new(), Vec::new(), true);
    for (name, text) in files {
        match text {
            None => {}
            Some(text) if name == "status" => enabled = text.trim_ascii() != b"disabled",
            Some(text) => match Entry::parse(name.as_encoded_bytes(), &text) {
                Ok(entry) => entries.push(entry),
                Err(_) => strange.push(name.to_string_lossy().into_owned()),
            },
        }
    }
    Ok(Table::Mounted { entries, strange, enabled })
}

/// What an entry says, or `None` if it is gone. Its first word changes its length when somebody enables or disables it
/// (`bm_entry_read`), so it is read at once.
fn read_entry_file(host: &Host, path: &Path) -> Result<Option<Vec<u8>>> {
    match host.open_nofollow(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => {
            host::kernel_files::read_once(&opened?).map(Some).map_err(|e| Error::io("read", &host.real_path(path), e))
        }
    }
}

/// May we register here? Says why not, before anything was changed.
pub fn check_writable(host: &Host) -> Result<()> {
    let register = host.real_path(&entry_path("register"));
    match nix::unistd::access(&register, nix::unistd::AccessFlags::W_OK) {
        Ok(()) => Ok(()),
        Err(errno) => Err(Error::Unsupported {
            what: format!("cannot write {}: {}", register.display(), errno.desc()),
            hint: "in a container, start it with --privileged, or register on the host: \
                   entries with flag F work inside containers too"
                .into(),
        }),
    }
}

/// Mounts the table. Since Linux 5.17 the directory comes with the module
/// (commit 3ba442d5331f), so that the mount cannot load it by itself.
pub fn mount_table(host: &Host) -> Result<()> {
    if host.is_live() && !host.exists(Path::new(DIR)) {
        for program in ["/usr/sbin/modprobe", "/sbin/modprobe"] {
            // Whether that helped, the mount shows.
            drop(host::process::run_program(Path::new(program), &["binfmt_misc"]));
        }
    }
    host.mount_binfmt_misc(Path::new(DIR)).map_err(|errno| mount_error(host, errno))
}

/// What it means that the table could not be mounted.
pub fn mount_error(host: &Host, errno: Errno) -> Error {
    let what = format!("cannot mount binfmt_misc on {}: {}", host.real_path(Path::new(DIR)).display(), errno.desc());
    let hint = match errno {
        Errno::ENODEV | Errno::ENOENT => {
            "this kernel has no binfmt_misc: it needs CONFIG_BINFMT_MISC, and if that is a module (modprobe binfmt_misc), \
             the modules of the running kernel must be installed"
        }
        _ => {
            "in a container, start it with --privileged (at least --cap-add SYS_ADMIN, and no AppArmor profile that \
             forbids to mount), or register on the host"
        }
    };
    Error::Unsupported { what, hint: hint.into() }
}

/// Registers a rule with one write, reads it back, and compares. What does not
/// read back as it was written is taken out again.
pub fn add_entry(host: &Host, rule: &Rule) -> Result<()> {
    let name = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
    let line = rule.to_line()?;
    if let Err(e) = host.write_kernel_file(&entry_path("register"), &line) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let why = describe_refusal(&e);
        return Err(Error::Refused { name, why, line });
    }
    let text = match read_entry_file(host, &entry_path(&name)) {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            remove_entry_if(host, &name, |_| true)?;
            return Err(error);
        }
    };
    match Entry::parse(name.as_bytes(), &text) {
        Ok(back) if back.enabled && is_same_rule(&back.rule, rule) => return Ok(()),
        _ => {}
    }
    // Another tool may have put its own in the place of ours by now.
    let interpreter_line = [b"interpreter ", rule.interpreter.as_slice()].concat();
    remove_entry_if(host, &name, |text| text.split(|byte| *byte == b'\n').any(|line| line == interpreter_line))?;
    let back = String::from_utf8_lossy(&text).trim().replace('\n', ", ");
    Err(Error::NotWorking { name, why: format!("it reads back as {back:?}") })
}

/// Removes our entry; one that is not there is fine. `false`: another one is in
/// its place, and stays.
pub fn remove_entry(host: &Host, rule: &Rule) -> Result<bool> {
    let name = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
    let ours = |text: &[u8]| Entry::parse(name.as_bytes(), text).is_ok_and(|found| is_same_rule(&found.rule, rule));
    remove_entry_if(host, &name, ours)
}

/// What was read is what is removed: an open file stays that of the entry that
/// it was opened for (`bm_entry_write` goes by the inode), and one that another
/// tool has replaced since is out of the table already.
fn remove_entry_if(host: &Host, name: &str, ours: impl Fn(&[u8]) -> bool) -> Result<bool> {
    let path = entry_path(name);
    let failed = |e| Error::io("remove the entry", &host.real_path(&path), e);
    let mut file = match host.open_kernel_file(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.map_err(failed)?,
    };
    let text = host::kernel_files::read_once(&file).map_err(failed)?;
    if !ours(&text) {
        return Ok(false);
    }
    host::kernel_files::write_once(&mut file, b"-1", &path).map_err(failed)?;
    Ok(true)
}

/// Equal but for the spelling of flags (C implies O) and masks of all ones.
pub fn is_same_rule(a: &Rule, b: &Rule) -> bool {
    a.name == b.name
        && a.interpreter == b.interpreter
        && a.recognition == b.recognition
        && a.flags.normalised() == b.flags.normalised()
}

/// One line about an entry, for messages.
pub fn describe_entry(entry: &Entry) -> String {
    let line = entry.rule.to_line().unwrap_or_default();
    let state = if entry.enabled { "" } else { " (disabled)" };
    format!("{}{state}", String::from_utf8_lossy(&line))
}

fn describe_refusal(e: &io::Error) -> String {
    let meaning = match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EEXIST) => "an entry of that name exists",
        Some(Errno::ENOENT) => "the interpreter's file does not exist",
        Some(Errno::EACCES) => "the interpreter cannot be executed: mode, or a file system mounted noexec",
        Some(Errno::ETXTBSY) => "the interpreter's file is open for writing",
        Some(Errno::EINVAL) => "the kernel does not understand the line; before Linux 4.8 there is no flag F",
        Some(Errno::EPERM) => "not permitted",
        _ => return e.to_string(),
    };
    format!("{e}: {meaning}")
}
