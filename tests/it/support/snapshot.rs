//! Snapshots of a tree and of the kernel's table, and their comparison with a later state.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use super::tree::{LOCK, NIX_CONF, OWN_CONF, RECEIPT, ROOT, TABLE, Tree, WATCH_LOCK};

/// The state of a tree and of the kernel's table at one moment.
pub(crate) struct Snapshot {
    files: BTreeMap<String, FileState>,
    mounted: bool,
    table: Vec<(String, String)>,
}

/// The state of one file, directory or link.
#[derive(Debug, Clone, PartialEq)]
struct FileState {
    /// Type and permissions.
    mode: u32,
    owner: (u32, u32),
    /// Number of names, except of directories.
    links: u64,
    /// Bytes of a file, or target of a link.
    content: Content,
    attributes: Vec<(String, Vec<u8>)>,
    /// Inode, modification time and change time, one of which changes when a file is written or replaced.
    touched: Option<(u64, Time, Time)>,
    /// Modification time, except of directories.
    modified: Option<Time>,
}

/// Seconds and nanoseconds.
type Time = (i64, i64);

#[derive(Clone, PartialEq)]
struct Content(Rc<Vec<u8>>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.0[..self.0.len().min(300)];
        write!(f, "{} bytes: {}", self.0.len(), start.escape_ascii())
    }
}

impl Snapshot {
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut files = BTreeMap::new();
        walk(Path::new(ROOT), &mut files);
        Self { files, mounted: tree.is_mounted(), table: tree.table() }
    }

    /// Checks that no file was written, and no lock file was made.
    #[track_caller]
    pub(crate) fn is_untouched_in(&self, tree: &Tree) {
        let differences = self.compare(tree, |_, _| {});
        assert!(differences.is_empty(), "{differences}");
    }

    /// Checks that no file was written, except for a lock file that is deleted again.
    #[track_caller]
    pub(crate) fn is_unchanged_in(&self, tree: &Tree) {
        let differences = self.compare(tree, |path, seen| {
            if path == "run" {
                seen.touched = None;
            }
        });
        assert!(differences.is_empty(), "{differences}");
    }

    /// Checks that the state is restored. Only the times of files that were written and restored may differ.
    #[track_caller]
    pub(crate) fn is_restored_in(&self, tree: &Tree) {
        let differences = self.unrestored_in(tree);
        assert!(differences.is_empty(), "{differences}");
    }

    /// Describes every difference to the restored state; empty without one.
    pub(crate) fn unrestored_in(&self, tree: &Tree) -> String {
        self.compare(tree, |path, seen| {
            seen.touched = None;
            if [NIX_CONF, OWN_CONF, RECEIPT, "etc/nix/nix.custom.conf", "etc/wsl.conf"].contains(&path) {
                seen.modified = None;
            }
        })
    }

    /// Compares files, modes, owners and entries, without times; of the receipt, only its systems.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let systems = |seen: &FileState| {
            let receipt = super::receipt::to_value(std::str::from_utf8(&seen.content.0).unwrap());
            super::schema::holds_receipt(&receipt);
            receipt["systems"].to_string().into_bytes()
        };
        let ignore = |path: &str, seen: &mut FileState| {
            (seen.touched, seen.modified) = (None, None);
            if path == RECEIPT {
                seen.content = Content(Rc::new(systems(seen)));
            }
        };
        let same_table = (self.mounted, &self.table) == (other.mounted, &other.table);
        same_table && self.without_lock(ignore) == other.without_lock(ignore)
    }

    /// Entries of the kernel, newest first.
    pub(crate) fn table(&self) -> &[(String, String)] {
        &self.table
    }

    pub(crate) fn below(self, dir: &str) -> Vec<(String, Vec<u8>)> {
        let below = self.files.into_iter().filter(|(path, _)| Path::new(path).starts_with(dir));
        below.map(|(path, seen)| (path, seen.content.0.to_vec())).collect()
    }

    /// The files without the lock files, which a killed run leaves.
    fn without_lock(&self, ignore: impl Fn(&str, &mut FileState)) -> BTreeMap<String, FileState> {
        let mut files = self.with_ignored(ignore);
        files.retain(|path, _| !is_lock(path));
        files
    }

    fn with_ignored(&self, ignore: impl Fn(&str, &mut FileState)) -> BTreeMap<String, FileState> {
        let mut files = self.files.clone();
        for (path, seen) in &mut files {
            ignore(path, seen);
        }
        files
    }

    fn compare(&self, tree: &Tree, ignore: impl Fn(&str, &mut FileState)) -> String {
        let now = Self::of(tree);
        let [before, after] = [self, &now].map(|snapshot| snapshot.with_ignored(&ignore));
        let mut differences = Vec::new();
        for path in before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))) {
            match (before.get(path), after.get(path)) {
                // The next holder of a lock deletes the file that a killed run left.
                (Some(_), None) if is_lock(path) => {}
                (Some(_), None) => differences.push(format!("{path} is gone")),
                (None, Some(seen)) => differences.push(format!("{path} is new: {seen:?}")),
                (Some(was), Some(is)) if was != is => differences.push(format!("{path} {}", was.change(is))),
                _ => {}
            }
        }
        if (self.mounted, &self.table) != (now.mounted, &now.table) {
            let [was, is] = [(self.mounted, &self.table), (now.mounted, &now.table)];
            differences.push(format!("the table (mounted, entries) was {was:#?} and is {is:#?}"));
        }
        differences.join("\n")
    }
}

impl FileState {
    /// Describes the difference to the state `now`.
    fn change(&self, now: &Self) -> String {
        let (old, new) = (self.content.0.as_slice(), now.content.0.as_slice());
        if old == new {
            return format!("was {self:?} and is {now:?}");
        }
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let [old, new] = [old, new].map(|bytes| bytes.iter().skip(same.saturating_sub(80)).take(160).copied());
        let [old, new] = [old, new].map(|bytes| String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned());
        format!("differs from byte {same} on: it was …{old}… and is …{new}…")
    }
}

/// Whether a path is that of a lock file, or of the record of its holder.
fn is_lock(path: &str) -> bool {
    [LOCK, WATCH_LOCK].iter().any(|lock| Path::new(path).with_extension("lock") == Path::new(lock))
}

fn walk(path: &Path, files: &mut BTreeMap<String, FileState>) {
    let name = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    let meta = fs::symlink_metadata(path).unwrap();
    // The mounted table is compared separately, and has times of its own.
    let is_table = name == TABLE;
    let content = match meta.file_type() {
        kind if kind.is_symlink() => Rc::new(fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()),
        kind if kind.is_file() => read(path, &meta),
        _ => Rc::default(),
    };
    let attributes = xattr::list(path).into_iter().flatten();
    let attribute = |name: std::ffi::OsString| {
        let value = xattr::get(path, &name).unwrap().unwrap_or_default();
        (name.into_string().unwrap(), value)
    };
    let times = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    let seen = FileState {
        mode: if is_table { 0 } else { meta.mode() },
        owner: (meta.uid(), meta.gid()),
        links: if meta.is_dir() { 0 } else { meta.nlink() },
        content: Content(content),
        attributes: if is_table { Vec::new() } else { attributes.map(attribute).collect() },
        touched: (!is_table).then_some((meta.ino(), times.0, times.1)),
        modified: (!meta.is_dir()).then_some(times.0),
    };
    files.insert(name, seen);
    if meta.is_dir() && !is_table {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), files);
        }
    }
}

/// Reads a file; a large one only once. The same inode with the same change time, which no process can set, has the
/// same bytes.
fn read(path: &Path, meta: &fs::Metadata) -> Rc<Vec<u8>> {
    /// Device, inode and change time, with the content.
    type Read = ((u64, u64, Time), Rc<Vec<u8>>);
    thread_local! {
        static LAST: RefCell<Vec<Read>> = const { RefCell::new(Vec::new()) };
    }
    // No file of the tool has this size: it is a hole.
    if meta.len() > 1 << 28 {
        return Rc::new(format!("{} bytes", meta.len()).into_bytes());
    }
    let read = || Rc::new(fs::read(path).unwrap());
    if meta.len() < 1 << 20 {
        return read();
    }
    let file = (meta.dev(), meta.ino(), (meta.ctime(), meta.ctime_nsec()));
    LAST.with_borrow_mut(|last| {
        if let Some((_, bytes)) = last.iter().find(|(known, _)| *known == file) {
            return bytes.clone();
        }
        last.truncate(3);
        last.insert(0, (file, read()));
        last[0].1.clone()
    })
}
