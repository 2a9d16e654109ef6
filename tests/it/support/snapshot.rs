//! Everything that can be seen of a tree, to be compared with what can be seen later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use super::tree::{HOLD_LOCK, LOCK, NIX_CONF, OWN_CONF, RECEIPT, ROOT, TABLE, Tree};

/// A tree and its kernel's table at one moment.
pub(crate) struct Snapshot {
    files: BTreeMap<String, Seen>,
    mounted: bool,
    table: Vec<(String, String)>,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// type and permissions, owner, group, and for all but directories the number of its names
    mode: u32,
    owner: (u32, u32),
    links: u64,
    /// the bytes, or where a link points
    content: Content,
    attributes: Vec<(String, Vec<u8>)>,
    /// inode, modification and change time: whoever writes a file, or puts another in its place, changes these
    touched: Option<(u64, Time, Time)>,
    /// the modification time of what is not a directory
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

    /// Nothing was written, not even the lock.
    #[track_caller]
    pub(crate) fn is_untouched_in(&self, tree: &Tree) {
        let differences = self.compare(tree, false, |_, _| {});
        assert!(differences.is_empty(), "{differences}");
    }

    /// Nothing was written but the lock.
    #[track_caller]
    pub(crate) fn is_unchanged_in(&self, tree: &Tree) {
        let differences = self.compare(tree, true, |path, seen| {
            if path == "run" {
                seen.touched = None;
            }
        });
        assert!(differences.is_empty(), "{differences}");
    }

    /// All is as it was; what had to be written and taken back may be younger, and is the only thing that may.
    #[track_caller]
    pub(crate) fn is_restored_in(&self, tree: &Tree) {
        let differences = self.unrestored_in(tree);
        assert!(differences.is_empty(), "{differences}");
    }

    /// In words, what is not as it was.
    pub(crate) fn unrestored_in(&self, tree: &Tree) -> String {
        self.compare(tree, true, |path, seen| {
            seen.touched = None;
            if [NIX_CONF, OWN_CONF, RECEIPT, "etc/nix/nix.custom.conf"].contains(&path) {
                seen.modified = None;
            }
        })
    }

    /// The same files, modes, owners and entries, whenever they were made; of the receipt, only its systems.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let systems = |seen: &Seen| {
            let receipt: serde_json::Value = serde_json::from_slice(&seen.content.0).unwrap();
            super::schema::holds_receipt(&receipt);
            receipt["systems"].to_string().into_bytes()
        };
        let forgive = |path: &str, seen: &mut Seen| {
            (seen.touched, seen.modified) = (None, None);
            if path == RECEIPT {
                seen.content = Content(Rc::new(systems(seen)));
            }
        };
        let same_table = (self.mounted, &self.table) == (other.mounted, &other.table);
        same_table && self.forgiven(true, forgive) == other.forgiven(true, forgive)
    }

    /// The kernel's entries, newest first.
    pub(crate) fn table(&self) -> &[(String, String)] {
        &self.table
    }

    pub(crate) fn below(self, dir: &str) -> Vec<(String, Vec<u8>)> {
        let below = self.files.into_iter().filter(|(path, _)| Path::new(path).starts_with(dir));
        below.map(|(path, seen)| (path, seen.content.0.to_vec())).collect()
    }

    fn forgiven(&self, the_lock: bool, forgive: impl Fn(&str, &mut Seen)) -> BTreeMap<String, Seen> {
        let mut files = self.files.clone();
        files.retain(|path, _| !the_lock || ![LOCK, HOLD_LOCK].contains(&path.as_str()));
        for (path, seen) in &mut files {
            forgive(path, seen);
        }
        files
    }

    fn compare(&self, tree: &Tree, but_the_lock: bool, forgive: impl Fn(&str, &mut Seen)) -> String {
        let now = Self::of(tree);
        let [before, after] = [self, &now].map(|snapshot| snapshot.forgiven(but_the_lock, &forgive));
        let mut differences = Vec::new();
        for path in before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))) {
            match (before.get(path), after.get(path)) {
                (Some(_), None) => differences.push(format!("{path} is gone")),
                (None, Some(seen)) => differences.push(format!("{path} is new: {seen:?}")),
                (Some(was), Some(is)) if was != is => differences.push(format!("{path} {}", was.change(is))),
                _ => {}
            }
        }
        if (self.mounted, &self.table) != (now.mounted, &now.table) {
            let [was, is] = [(self.mounted, &self.table), (now.mounted, &now.table)];
            differences.push(format!("the table (mounted?, entries) was {was:#?}, and is {is:#?}"));
        }
        differences.join("\n")
    }
}

impl Seen {
    /// In words, what `now` has else.
    fn change(&self, now: &Self) -> String {
        let (old, new) = (self.content.0.as_slice(), now.content.0.as_slice());
        if old == new {
            return format!("was {self:?}, and is {now:?}");
        }
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let [old, new] = [old, new].map(|bytes| bytes.iter().skip(same.saturating_sub(80)).take(160).copied());
        let [old, new] = [old, new].map(|bytes| String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned());
        format!("has another content from byte {same} on; it was: …{old}… and is: …{new}…")
    }
}

fn walk(path: &Path, files: &mut BTreeMap<String, Seen>) {
    let name = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    let meta = fs::symlink_metadata(path).unwrap();
    // What is mounted there is compared by itself, and has times of its own.
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
    let seen = Seen {
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

/// An emulator is read once: what is the same file with the same change time, which nobody can set, has the same bytes.
fn read(path: &Path, meta: &fs::Metadata) -> Rc<Vec<u8>> {
    /// Device, inode and change time; what it holds.
    type Read = ((u64, u64, Time), Rc<Vec<u8>>);
    thread_local! {
        static LAST: RefCell<Vec<Read>> = const { RefCell::new(Vec::new()) };
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
