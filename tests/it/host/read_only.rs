//! Directories that cannot be written, each alone: it is said which, and nothing is changed.

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::tree::{NIX_CONF, RECEIPT};
use crate::support::{Tree, fault_table};

/// All that are written to, and those above.
const DIRS: [&str; 9] = [
    "usr/local",
    "usr/local/libexec",
    "usr/local/libexec/binfmt-nix",
    "var/lib",
    "var/lib/binfmt-nix",
    "etc",
    "etc/binfmt.d",
    "etc/nix",
    "run",
];

const WORDS: &str = "Read-only file system";

/// Read-only for as long as this lives.
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

/// A tree in which they all are there.
fn tree() -> Tree {
    DIRS.iter().fold(Tree::new(), |tree, dir| tree.dir(dir))
}

/// Registers while a directory is read-only, in a tree that was prepared.
#[track_caller]
fn refused(what: &str, prepare: impl Fn(&Tree), system: &str) {
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
    refused("`register`, with one directory read-only", |_| {}, "aarch64");
}

#[sandboxed]
fn a_second_registration_names_the_read_only_directory() {
    let first = |tree: &Tree| drop(tree.register("riscv64").exits(0));
    refused("`register` of a second system, with one directory read-only", first, "aarch64");
}

/// Only the lock is written, and it is in /run.
#[sandboxed]
fn a_registration_without_changes_works_read_only() {
    let tree = tree();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    for dir in DIRS {
        let closed = ReadOnly::new(&tree, dir);
        let done = tree.run(&["register", "aarch64"]).omits("panicked");
        match dir {
            "run" => drop(done.exits(1).says(WORDS).says("/tree/run/binfmt-nix.lock")),
            // What it cannot vouch for it says again.
            "etc" | "etc/nix" => drop(done.exits_with(&[0, 3])),
            _ => drop(done.exits(0).prints("already registered, proven")),
        }
        drop(closed);
        before.is_unchanged_in(&tree);
    }
    fault_table::line("`register` with nothing to do, with one directory read-only", DIRS.len());
}

/// It takes away what it can, says what it cannot, and the next one does the rest.
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
