//! Which file the kernel really runs for an entry, and whether it is the one that its path names.
//!
//! An entry with flag F holds the file that was there when it was registered (`bm_register_write` in Linux's
//! `fs/binfmt_misc.c`). Its text never shows that a newer one has the path by now. So a probe is stopped, and
//! `/proc/PID/exe` is opened: that is the file, whatever its names are, and it can be asked for its release.

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
use crate::host::{self, Host, Inode};
use crate::in_memory::{IN_MEMORY, is_in_memory};
use crate::layout;
use crate::qemu::candidate;
use crate::receipt::Made;

/// The file that the kernel runs.
#[derive(Debug, Default)]
pub struct Pinned {
    /// The release that it answers with.
    pub qemu: Option<String>,
    /// Its digest.
    pub sha256: Option<Sha256>,
    /// What the entry's path names, if that is another file.
    pub on_disk: Option<OnDisk>,
}

/// What the path of an interpreter names, while the kernel runs another file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OnDisk {
    /// There is a file.
    pub exists: bool,
    /// Its release; null if it may not be asked, as others than root could have put it there.
    pub qemu: Option<String>,
    /// Its digest.
    pub sha256: Option<Sha256>,
}

/// The path of an entry's interpreter, as it was registered.
pub fn path(entry: &Entry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.rule.interpreter))
}

/// What runs, and what would if the entry were made again now. `running` was executed a moment ago.
pub fn look(facts: &Facts, arch: &Arch, entry: &Entry, running: File) -> Pinned {
    let on_disk = on_disk(facts, arch, entry, &running);
    if let (None, Some(known)) = (&on_disk, known(facts, arch, entry)) {
        return known;
    }
    let (qemu, sha256) = ask(arch, running);
    Pinned { qemu, sha256, on_disk }
}

/// Without asking either file: is there another one by now?
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

/// Of our own emulators the receipt knows it, and spares asking.
fn known(facts: &Facts, arch: &Arch, entry: &Entry) -> Option<Pinned> {
    let place = layout::interpreter(arch);
    let sha256 = facts.records().find_map(|(record, now)| match &record.made {
        Made::Interpreter { path, sha256, .. } if *now == Now::Ours && *path == place => Some(*sha256),
        _ => None,
    })?;
    let qemu = facts.installed(arch)?.to_owned();
    (facts.real(&place) == path(entry)).then_some(Pinned { qemu: Some(qemu), sha256: Some(sha256), on_disk: None })
}

/// It was executed as our own user by the kernel already, so that to run it once more risks nothing new.
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
            // Whoever runs this must not be made to run what a stranger put there. The kernel's paths are real ones,
            // whatever `--root` says.
            let fit = candidate::judge(&Host::live(), arch, &facts.machine, path(entry)).ok();
            let qemu = fit.map(|fit| fit.version.to_string());
            Some(OnDisk { exists: true, qemu, sha256: Sha256::of_reader(&mut file).ok() })
        }
        Named::Nothing | Named::Unknown => Some(OnDisk::default()),
    }
}

/// What a path names now.
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
        let inode = |file: &File| file.metadata().map(|meta| Inode::of(&meta)).ok();
        match self {
            Self::File(file) => inode(file) == inode(running),
            Self::Nothing => false,
            Self::Unknown => true,
        }
    }
}
