//! Read-only directories, each alone: the message names the directory, and nothing is changed.

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::tree::{NIX_CONF, RECEIPT};
use crate::support::{Tree, fault_table};

/// All directories that the tool writes to, and those above.
const DIRS: [&str; 10] = [
    "usr/local",
    "usr/local/libexec",
    "usr/local/libexec/binfmt-nix",
    "usr/local/libexec/binfmt-nix/bin",
    "var/lib",
    "var/lib/binfmt-nix",
    "etc",
    "etc/binfmt.d",
    "etc/nix",
    "run",
];

const WORDS: &str = "Read-only file system";

/// A directory that is mounted read-only until this is dropped.
struct ReadOnly(std::path::PathBuf);

impl ReadOnly {
    fn new(tree: &Tree, dir: &str) -> Self {
        const NONE: Option<&str> = None;
        let path = tree.path(dir);
        mount(Some(&path), &path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).unwrap();
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(NONE, &path, NONE, flags, NONE).unwrap();
        Self(path)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// A tree that has all directories.
fn tree() -> Tree {
    DIRS.iter().fold(Tree::new(), |tree, dir| tree.dir(dir))
}

/// Registers in a prepared tree while one directory is read-only, for each directory.
#[track_caller]
fn assert_refused(what: &str, prepare: impl Fn(&Tree), system: &str) {
    for dir in DIRS {
        let tree = tree();
        let fresh = tree.snapshot();
        prepare(&tree);
        let before = tree.snapshot();
        let closed = ReadOnly::new(&tree, dir);
        let done = tree.register(system).omits("panicked");
        if dir == "etc/nix" {
            // A nix.conf that cannot be written is left alone, and the lines are printed.
            done.exits(3).says(NIX_CONF).says("extra-extra-platforms");
            drop(closed);
            assert!(tree.runs(system));
        } else {
            done.exits(1).says(WORDS).says(&format!("/tree/{dir}")).says("remount it writable");
            drop(closed);
            before.is_restored_in(&tree);
        }
        tree.unregister("all").exits(0);
        fresh.is_restored_in(&tree);
        umount2("/tree", MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line(what, DIRS.len());
}

#[sandboxed]
fn a_registration_names_the_read_only_directory() {
    assert_refused("`register`, with one directory read-only", |_| {}, "aarch64");
}

#[sandboxed]
fn a_second_registration_names_the_read_only_directory() {
    let first = |tree: &Tree| drop(tree.register("riscv64").exits(0));
    assert_refused("`register` of a second system, with one directory read-only", first, "aarch64");
}

/// Only the lock is written, which is in /run.
#[sandboxed]
fn a_registration_without_changes_works_read_only() {
    let tree = tree();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    for dir in DIRS {
        let closed = ReadOnly::new(&tree, dir);
        let done = tree.run(&["register", "aarch64"]).omits("panicked");
        match dir {
            "run" => drop(done.exits(1).says(WORDS).says("/tree/run/binfmt-nix-change.lock")),
            // The tool reports again what it cannot verify.
            "etc" | "etc/nix" => drop(done.exits_with(&[0, 3])),
            _ => drop(done.exits(0).prints("already registered, proven")),
        }
        drop(closed);
        before.is_unchanged_in(&tree);
    }
    fault_table::line("`register` with nothing to do, with one directory read-only", DIRS.len());
}

/// Unregister removes what it can and reports the rest; the next run completes it.
#[sandboxed]
fn unregister_names_the_read_only_directory_and_can_be_repeated() {
    for dir in DIRS {
        let tree = tree();
        let before = tree.snapshot();
        tree.register("aarch64").exits(0);
        let closed = ReadOnly::new(&tree, dir);
        tree.unregister("aarch64").omits("panicked").exits(1).says(WORDS).says(&format!("/tree/{dir}"));
        drop(closed);
        assert!(dir == "run" || tree.exists(RECEIPT));
        tree.unregister("all").exits(0);
        before.is_restored_in(&tree);
        umount2("/tree", MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("`unregister`, with one directory read-only", DIRS.len());
}
