//! Temporary files of killed runs: the next run that changes something removes them, and no other file.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::statvfs::statvfs;

use crate::support::output::tool_path;
use crate::support::runs::discard_tree;
use crate::support::snapshot::Snapshot;
use crate::support::tree::{EMULATOR, ROOT};
use crate::support::{Tree, fault_table, qemu, skip};

/// All directories that have temporary names during a run.
const DIRS: [&str; 5] =
    ["usr/local/libexec/binfmt-nix/bin", "var/lib/binfmt-nix", "var/lib", "etc/binfmt.d", "etc/nix"];

/// Names that killed runs leave.
const NAMES: [&str; 6] = [
    ".binfmt-nix-4242-0",
    ".binfmt-nix-4242-17",
    ".binfmt-nix-1-4294967295",
    ".binfmt-nix-4294967295-1",
    ".binfmt-nix-7-7",
    ".binfmt-nix-0-0",
];

/// Adds what killed runs leave, under each name in turn: files, an empty directory, and the directories of a receipt and
/// of a probe that are half done.
fn plant(tree: &Tree, dir: &str) -> usize {
    for (number, name) in NAMES.iter().enumerate() {
        let path = format!("{dir}/{name}");
        match number % 5 {
            0 => tree.write(&path, vec![7; 100_000]),
            1 => tree.write(&path, ""),
            2 => fs::create_dir(tree.path(&path)).unwrap(),
            3 => tree.write(&format!("{path}/receipt.json"), "half of it"),
            _ => {
                tree.write(&format!("{path}/probe"), "a program");
                tree.write(&format!("{path}/.binfmt-nix-4242-3"), "half of it");
            }
        }
    }
    NAMES.len()
}

/// A tree that has all directories, with aarch64 registered.
fn registered_tree() -> (Tree, Snapshot, Snapshot) {
    let tree = DIRS.iter().fold(Tree::new(), |tree, dir| tree.dir(dir));
    let fresh = tree.snapshot();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    (tree, fresh, before)
}

#[sandboxed]
fn leftovers_in_every_directory_are_removed() {
    let mut planted = 0;
    for dir in DIRS {
        for args in [&["register", "aarch64"][..], &["unregister", "aarch64"], &["unregister", "riscv64"]] {
            let (tree, fresh, before) = registered_tree();
            planted += plant(&tree, dir);
            assert_eq!(tree.status()["unfinished"], true, "{dir}");
            tree.run(&["status"]).exits(0).says("was interrupted").prints("works");
            tree.run(args).exits(0).omits("panicked");
            if args == ["unregister", "aarch64"] {
                fresh.is_restored_in(&tree);
            } else {
                before.is_restored_in(&tree);
            }
            assert_eq!(tree.status()["unfinished"], false, "{dir}");
            tree.run(&["status"]).exits(0).omits("was interrupted");
            discard_tree(tree);
        }
    }
    fault_table::line("leftovers of killed runs, removed by the next run", planted);
}

#[sandboxed]
fn files_with_similar_names_are_kept() {
    let similar_names = [
        "binfmt-nix-1",
        ".binfmt-nix",
        ".binfmt-nix.conf",
        ".binfmt_nix-1",
        ".Binfmt-nix-1",
        ".tmpAb12",
        "x.binfmt-nix-1-2",
        ".binfmt-nix-backup-of-mine",
        ".binfmt-nix-1",
        ".binfmt-nix-1-2.bak",
        ".binfmt-nix-01-2",
        ".binfmt-nix-1-2-3",
        ".binfmt-nix-probe-1",
    ];
    let (tree, ..) = registered_tree();
    for dir in DIRS {
        for name in similar_names {
            tree.write(&format!("{dir}/{name}"), "foreign");
        }
        // Subdirectories are not ours, so not even exact names are removed there.
        tree.write(&format!("{dir}/sub/.binfmt-nix-1-1"), "foreign");
        tree.write(&format!("{dir}/.binfmt-nix-mydir/receipt.json"), "foreign");
    }
    tree.write("etc/.binfmt-nix-1-1", "foreign");
    tree.write("usr/local/libexec/.binfmt-nix-1-1", "foreign");
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0);
    tree.run(&["unregister", "riscv64"]).exits(0);
    before.is_unchanged_in(&tree);
    tree.unregister("all").exits(0);
    for dir in DIRS {
        for name in similar_names.iter().chain(&["sub/.binfmt-nix-1-1", ".binfmt-nix-mydir/receipt.json"]) {
            assert_eq!(tree.text(&format!("{dir}/{name}")), "foreign");
        }
    }
    fault_table::line("other tools' files with similar names, kept", DIRS.len() * (similar_names.len() + 2) + 2);
}

/// A temporary name does not suffice: the file must be one that this tool makes.
#[sandboxed]
fn other_files_with_a_temporary_name_are_kept() {
    let (tree, ..) = registered_tree();
    let mut kept = 0;
    for dir in DIRS {
        let at = |name: &str| tree.path(&format!("{dir}/{name}"));
        std::os::unix::fs::symlink("/etc/passwd", at(".binfmt-nix-4242-0")).unwrap();
        nix::unistd::mkfifo(&at(".binfmt-nix-4242-1"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at(".binfmt-nix-4242-2")).unwrap());
        tree.write(&format!("{dir}/.binfmt-nix-4242-3/notes.txt"), "foreign");
        tree.write(&format!("{dir}/.binfmt-nix-4242-4/receipt.json/notes.txt"), "foreign");
        fs::create_dir(at(".binfmt-nix-4242-5")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at(".binfmt-nix-4242-5/receipt.json")).unwrap();
        kept += 6;
    }
    let before = tree.snapshot();
    assert_eq!(tree.status()["unfinished"], false);
    tree.run(&["register", "aarch64"]).exits(0);
    tree.run(&["unregister", "riscv64"]).exits(0);
    before.is_unchanged_in(&tree);
    fault_table::line("other files with a temporary name of this tool, kept", kept);
}

/// Real root, and a file of another user in a directory of root.
#[test]
fn a_file_of_another_user_is_kept() {
    if !nix::unistd::geteuid().is_root() {
        skip("users", "not root: files of other users cannot be made");
    }
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("var/lib/binfmt-nix");
    fs::create_dir_all(&dir).unwrap();
    for (name, uid) in [(".binfmt-nix-4242-0", 0), (".binfmt-nix-4242-1", 65534)] {
        fs::write(dir.join(name), "text").unwrap();
        std::os::unix::fs::chown(dir.join(name), Some(uid), None).unwrap();
    }
    let mut tool = std::process::Command::new(tool_path());
    let done = tool.arg("--root").arg(root.path()).args(["unregister", "riscv64"]).env_clear().output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!dir.join(".binfmt-nix-4242-0").exists() && dir.join(".binfmt-nix-4242-1").exists());
}

/// An upgrade keeps the old emulator by such a name; removing it does not change the emulator in use.
#[sandboxed]
fn a_hard_link_to_the_emulator_in_use_is_removed() {
    let (tree, fresh, _) = registered_tree();
    let second = tree.path("usr/local/libexec/binfmt-nix/bin/.binfmt-nix-4242-3");
    fs::hard_link(tree.path(EMULATOR), second).unwrap();
    tree.run(&["register", "aarch64"]).exits(0);
    assert_eq!(fs::metadata(tree.path(EMULATOR)).unwrap().nlink(), 1);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}

/// A download was killed when the disk was full: its space is free before the next download needs it.
#[sandboxed]
fn leftovers_are_removed_before_space_is_needed() {
    let tree = DIRS.iter().fold(Tree::new(), |tree, dir| tree.dir(dir));
    let fresh = tree.snapshot();
    let taken = statvfs(ROOT).unwrap();
    let taken = (taken.blocks() - taken.blocks_free()) * 4096;
    let emulator = fs::metadata(qemu("aarch64")).unwrap().len();
    // Enough for one emulator and the small files, and not for two.
    tree.limit(&format!("size={}", taken + emulator * 3 / 2));
    let left = "usr/local/libexec/binfmt-nix/bin/.binfmt-nix-4242-0";
    tree.write(left, "");
    let full = std::iter::repeat_n(vec![7; 1 << 16], 10_000);
    let mut file = fs::File::create(tree.path(left)).unwrap();
    let error = full.map(|chunk| std::io::Write::write_all(&mut file, &chunk)).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    drop(file);
    tree.register("aarch64").exits(0);
    assert!(!tree.exists(left) && tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}

/// The error is reported, and no change is started.
#[sandboxed]
fn a_leftover_that_cannot_be_removed_stops_the_run() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let (tree, ..) = registered_tree();
    let left = tree.path("var/lib/binfmt-nix/.binfmt-nix-4242-0");
    fs::create_dir(&left).unwrap();
    mount(None::<&str>, &left, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let before = tree.snapshot();
    tree.register("riscv64").exits(1).says(".binfmt-nix-4242-0").says("busy");
    before.is_unchanged_in(&tree);
    umount2(&left, MntFlags::empty()).unwrap();
    tree.register("riscv64").exits(0);
    assert!(!left.exists());
}
