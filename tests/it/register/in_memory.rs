//! `register --in-memory`: only the kernel's table changes.

use nix::mount::{MsFlags, mount};

use crate::support::emulators::busybox;
use crate::support::tree::{EMULATOR, TABLE};
use crate::support::{Tree, qemu};

const ENTRY: &str = "binfmt-nix-aarch64";

#[sandboxed]
fn a_registration_in_memory_writes_no_file() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot_of("");
    let done = tree.register_with("aarch64", &["--in-memory"]).exits(0);
    done.prints("aarch64: registered, proven: a program ran; it is in memory").says("ends when the machine restarts");
    assert_eq!(tree.entries(), [ENTRY]);
    assert_eq!(tree.entry_says(ENTRY, "flags: "), "PF");
    assert!(tree.entry_says(ENTRY, "interpreter ").starts_with("/proc/self/fd/"));
    assert!(tree.runs("aarch64"));
    assert_eq!(tree.snapshot_of(""), before);
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let system = &status["systems"][0];
    assert_eq!((&system["state"], &system["by"]), (&"works".into(), &"binfmt-nix".into()), "{status:#}");
    assert_eq!((&system["detail"], &system["qemu"]), (&().into(), &"10.0.13".into()), "{status:#}");
    let output = std::process::Command::new(busybox()).args(["uname", "-m"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "aarch64\n");
}

/// Everything in the tree but /run and the table is read-only.
#[sandboxed]
fn a_registration_in_memory_works_on_read_only_file_systems() {
    let tree = Tree::new().mounted();
    for dir in ["etc", "usr", "var", "nix"] {
        let (real, none) = (tree.path(dir), None::<&str>);
        mount(Some(&real), &real, none, MsFlags::MS_BIND, none).unwrap();
        mount(none, &real, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
    }
    tree.register("aarch64").exits(1).says("read-only file system");
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0).prints("aarch64: unregistered");
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn unregister_removes_the_entries_in_memory() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    tree.register_with("riscv64", &["--in-memory"]).exits(0);
    tree.unregister("aarch64").exits(0);
    assert!(tree.runs("riscv64") && tree.entries() == ["binfmt-nix-riscv64"]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn registering_in_memory_again_changes_nothing() {
    let tree = Tree::new();
    tree.register_with("aarch64", &["--in-memory"]).exits(0).says("also stays mounted until then");
    tree.register_with("aarch64", &["--in-memory"]).exits(0).prints("runs already");
    assert_eq!(tree.entries(), [ENTRY]);
}

#[sandboxed]
fn a_registration_with_files_replaces_one_in_memory() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    tree.register("aarch64").exits(0).prints("aarch64: registered, proven");
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
    assert!(tree.runs("aarch64") && tree.exists(EMULATOR));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_registration_with_files_makes_one_in_memory_unnecessary() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(0).prints("runs already (entry qemu-aarch64)");
    registered.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_foreign_entry_in_conflict_is_reported_unless_forced() {
    let foreign = ":theirs:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00::/bin/true:";
    let tree = Tree::new().mounted().entry(foreign);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(3).says("theirs").says("--force");
    before.is_unchanged_in(&tree);
    tree.register_with("aarch64", &["--in-memory", "--force"]).exits(0);
    assert_eq!(tree.entries(), [ENTRY, "theirs"]);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_bad_emulator_is_rejected() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let liar = crate::support::liar("qemu-aarch64 version 10.0.13", crate::support::LiarBehavior::Crash);
    let liar = crate::support::emulators::outside("liar", &liar);
    tree.register_by("aarch64", &liar, &["--in-memory"]).exits(1).says("does not work");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_dry_run_in_memory_writes_nothing() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let done = tree.register_with("aarch64", &["--in-memory", "--dry-run"]).exits(0);
    done.prints(&format!("would mount      /{TABLE}")).prints("would register   binfmt-nix-aarch64 in memory");
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn options_that_contradict_in_memory_are_rejected() {
    Tree::offline().register_with("aarch64", &["--in-memory"]).exits(2).says("--root");
    let qemu = qemu("aarch64");
    let args = ["register", "aarch64", "--in-memory", "--nix", "--qemu", qemu.to_str().unwrap()];
    Tree::new().run(&args).exits(2);
}

/// The last registration decides on flag C; in between, the system stays registered.
#[sandboxed]
fn flag_c_follows_the_last_registration() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    tree.register_with("aarch64", &["--in-memory", "--credentials"])
        .exits(0)
        .says("replacing the current entry")
        .says("flag C:");
    assert_eq!((tree.entries(), tree.entry_says(ENTRY, "flags: ")), (vec![ENTRY.to_owned()], "POCF".to_owned()));
    tree.register_with("aarch64", &["--in-memory", "--credentials"]).exits(0).prints("runs already");
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    assert_eq!(tree.entry_says(ENTRY, "flags: "), "PF");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_bad_emulator_does_not_replace_a_good_one() {
    let tree = Tree::new().mounted();
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    let liar = crate::support::liar("qemu-aarch64 version 10.0.13", crate::support::LiarBehavior::Crash);
    let liar = crate::support::emulators::outside("liar", &liar);
    tree.register_by("aarch64", &liar, &["--in-memory", "--credentials"]).exits(1).says("does not work");
    assert_eq!((tree.entries(), tree.entry_says(ENTRY, "flags: ")), (vec![ENTRY.to_owned()], "PF".to_owned()));
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0).prints("aarch64: unregistered");
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn a_registration_with_files_is_not_replaced() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory", "--credentials"]).exits(3).says("is registered with files");
    before.is_unchanged_in(&tree);
}

/// The interpreter of a foreign entry may be in another mount namespace, such as the machine's own: the check is that
/// the entry works.
#[sandboxed]
fn a_working_foreign_entry_is_used() {
    let emulator = crate::support::emulators::outside("theirs", &std::fs::read(qemu("aarch64")).unwrap());
    let rule = |flags: &str| crate::support::table::line("theirs", "aarch64", &emulator, flags);
    let tree = Tree::new().mounted().entry(&rule("PF"));
    std::fs::remove_file(&emulator).unwrap();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--in-memory"]).exits(0).prints("runs already (entry theirs)");
    tree.register_with("aarch64", &["--in-memory", "--credentials"]).exits(3).says("without flag C");
    before.is_unchanged_in(&tree);
}

/// While the table is hidden, as it can be while QEMU is unpacked, another tool may register an entry with our name
/// that looks like ours.
#[sandboxed]
fn an_entry_added_behind_a_hidden_table_is_not_replaced() {
    let tree = Tree::new().mounted().dir("kept");
    tree.register_with("aarch64", &["--in-memory"]).exits(0);
    let foreign = tree.table();
    let none = None::<&str>;
    mount(none, &tree.path("kept"), Some("binfmt_misc"), MsFlags::empty(), none).unwrap();
    tree.unmount();
    tree.register_with("aarch64", &["--in-memory"]).exits(1).says("an entry of that name already exists");
    assert!(tree.is_mounted());
    assert_eq!(tree.table(), foreign);
    assert!(tree.runs("aarch64"));
}

/// An image can have a few emulators installed.
#[sandboxed]
fn all_registers_every_installed_emulator() {
    let tree = Tree::new().mounted().program("usr/bin/qemu-aarch64", std::fs::read(qemu("aarch64")).unwrap());
    for how in [&["--in-memory"][..], &[]] {
        let args = [&["register", "all", "--source", "host"], how].concat();
        let done = tree.run(&args).exits(0);
        done.says("has no emulator for: ").says("riscv64").prints("aarch64: registered, proven");
        assert_eq!(tree.entries().len(), 1);
        tree.unregister("all").exits(0);
    }
    tree.remove("usr/bin/qemu-aarch64");
    tree.run(&["register", "all", "--source", "host", "--in-memory"]).exits(1).says("none is installed");
    tree.run(&["register", "all", "--source", "host"]).exits(1).says("none is installed");
    assert_eq!(tree.entries(), [""; 0]);
}
