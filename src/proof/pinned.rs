//! Finds the file that the kernel really runs for an entry, and whether it is the file at the entry's path.
//!
//! An entry with flag F holds the file that existed when it was registered (`bm_register_write` in Linux's
//! `fs/binfmt_misc.c`). The entry's text does not show that a newer file has the path by now. So a probe is
//! stopped, and `/proc/PID/exe` is opened: that is the file, whatever its name is, and it can report its release.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry};
use serde::Serialize;

use crate::binfmt_misc::name_of;
use crate::digest::Sha256;
use crate::error::Error;
use crate::facts::{Facts, Now};
use crate::host::{self, FileId, Host};
use crate::in_memory::{IN_MEMORY, is_in_memory};
use crate::layout;
use crate::qemu::candidate;
use crate::receipt::Made;

/// The file that the kernel runs.
#[derive(Debug, Default)]
pub struct Pinned {
    /// The release that it reports.
    pub qemu: Option<String>,
    /// Its digest.
    pub sha256: Option<Sha256>,
    /// The file at the entry's path, if it is another one.
    pub on_disk: Option<OnDisk>,
}

/// The file at the path of an interpreter, while the kernel runs another one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OnDisk {
    /// Whether a file exists.
    pub exists: bool,
    /// Its release; null if it must not be started, because users other than root could have put it there.
    pub qemu: Option<String>,
    /// Its digest.
    pub sha256: Option<Sha256>,
}

/// The path of an entry's interpreter, as it was registered.
pub fn path(entry: &Entry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.rule.interpreter))
}

/// Compares the running file with the one that a new registration would use. `running` was executed a moment ago.
pub fn look(facts: &Facts, arch: &Arch, entry: &Entry, running: File) -> Pinned {
    let on_disk = on_disk(facts, arch, entry, &running);
    if let (None, Some(known)) = (&on_disk, known(facts, arch, entry)) {
        return known;
    }
    let (qemu, sha256) = ask(arch, running);
    Pinned { qemu, sha256, on_disk }
}

/// Whether another file is at the path by now. Starts neither file.
pub fn is_stale(entry: &Entry, running: &File) -> bool {
    !named(entry).may_be(running)
}

/// One line about the difference.
pub fn stale(entry: &Entry, pinned: &Pinned) -> Option<String> {
    let on_disk = pinned.on_disk.as_ref()?;
    let release =
        |qemu: &Option<String>| qemu.as_ref().map_or_else(|| "unknown".to_owned(), |qemu| format!("QEMU {qemu}"));
    let now = if on_disk.exists {
        format!("not the one that is there now ({})", release(&on_disk.qemu))
    } else {
        "which was removed since".to_owned()
    };
    let (path, name, runs) = (path(entry).display(), name_of(entry), release(&pinned.qemu));
    Some(format!("the kernel still runs the file that {path} was when {name} was registered ({runs}), {now}"))
}

/// The release of our own emulators from the receipt, without starting them.
fn known(facts: &Facts, arch: &Arch, entry: &Entry) -> Option<Pinned> {
    let place = layout::interpreter(arch);
    let sha256 = facts.records().find_map(|(record, now)| match &record.made {
        Made::Interpreter { path, sha256, .. } if *now == Now::Ours && *path == place => Some(*sha256),
        _ => None,
    })?;
    let qemu = facts.installed(arch)?.to_owned();
    (facts.real(&place) == path(entry)).then_some(Pinned { qemu: Some(qemu), sha256: Some(sha256), on_disk: None })
}

/// Asks the running file for its release. The kernel already executed it as our own user, so another start adds no risk.
fn ask(arch: &Arch, mut file: File) -> (Option<String>, Option<Sha256>) {
    let open = PathBuf::from(IN_MEMORY).join(file.as_raw_fd().to_string());
    let qemu = candidate::version(arch, &open).ok().map(|version| version.to_string());
    let sum = file.rewind().and_then(|()| Sha256::of_reader(&mut file));
    (qemu, sum.ok())
}

fn on_disk(facts: &Facts, arch: &Arch, entry: &Entry, running: &File) -> Option<OnDisk> {
    match named(entry) {
        named if named.may_be(running) => None,
        Named::File(mut file) => {
            // A file that another user could have put there must not be started. The kernel's paths are those of the
            // running machine, even with `--root`.
            let fit = candidate::judge(&Host::live(), arch, &facts.machine, path(entry)).ok();
            let qemu = fit.map(|fit| fit.version.to_string());
            Some(OnDisk { exists: true, qemu, sha256: Sha256::of_reader(&mut file).ok() })
        }
        Named::Nothing | Named::Unknown => Some(OnDisk::default()),
    }
}

/// The file at a path now.
enum Named {
    File(File),
    Nothing,
    Unknown,
}

fn named(entry: &Entry) -> Named {
    let path = path(entry);
    if is_in_memory(&entry.rule.interpreter) {
        return Named::Unknown;
    }
    match host::user_files::open_regular(path) {
        Ok(file) => Named::File(file),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Named::Nothing,
        Err(_) => Named::Unknown,
    }
}

impl Named {
    fn may_be(&self, running: &File) -> bool {
        let inode = |file: &File| file.metadata().map(|meta| FileId::from_metadata(&meta)).ok();
        match self {
            Self::File(file) => inode(file) == inode(running),
            Self::Nothing => false,
            Self::Unknown => true,
        }
    }
}
