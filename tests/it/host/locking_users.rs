//! Locks and another user of the machine, who locks everything that may be opened: no command is blocked.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use binfmt_nix::host::{Host, KernelLock};
use nix::sys::signal::Signal;

use crate::diagnose::doctor::running_host::{TABLE, live};
use crate::support::blocker::Blocker;
use crate::support::output::{Done, tool};
use crate::support::sandbox::{itself, with_all_users};
use crate::support::table::line;
use crate::support::tree::{ROOT, WATCH_LOCK};
use crate::support::watcher::Watch;
use crate::support::{Tree, fault_table};

/// Number of runs beside a user who locks everything.
const RUNS: usize = 24;

/// Lock files of this release and of earlier ones, with the mode that earlier ones gave them.
fn with_lock_files(tree: Tree) -> Tree {
    tree.file("run/binfmt-nix.lock", "process 1\n").file("run/binfmt-nix-watch.lock", "process 1\n")
}

#[sandboxed]
fn another_user_cannot_block_a_change() {
    with_all_users();
    let tree = with_lock_files(Tree::new().mounted());
    let before = tree.snapshot();
    // Whatever files this leaves are locked below.
    tree.register("riscv64").exits(0);
    let blocker = Blocker::start(&[Path::new(ROOT)]);
    assert!(blocker.locked > 20, "{} files", blocker.locked);
    tree.register_with("aarch64", &["--wait", "0"]).exits(0).omits("waiting");
    for _ in 0..RUNS {
        tree.run(&["unregister", "arm", "--wait", "0"]).exits(0).omits("waiting");
    }
    tree.write_kernel("qemu-aarch64", "-1");
    tree.run(&["restore", "--wait", "0"]).exits(0).omits("waiting").prints("aarch64: registered");
    tree.run(&["doctor", "--fix", "--wait", "0"]).omits("holds").omits("waiting");
    tree.run(&["unregister", "all", "--wait", "0"]).exits(0).omits("waiting");
    drop(blocker);
    before.is_restored_in(&tree);
    fault_table::line("runs while another user locks every file that may be opened", RUNS);
}

#[sandboxed]
fn another_user_cannot_block_a_watch() {
    with_all_users();
    let tree = with_lock_files(Tree::new().mounted());
    drop(Watch::begin(&tree, "aarch64", &[]).ends_by(Signal::SIGTERM).exits(0));
    let blocker = Blocker::start(&[Path::new(ROOT)]);
    let mut held = Watch::begin(&tree, "aarch64", &["--wait", "0"]);
    tree.write_kernel("qemu-aarch64", "-1");
    held.says("info registered system=aarch64");
    held.ends_by(Signal::SIGTERM).exits(0).omits("waiting");
    drop(blocker);
}

#[sandboxed]
fn another_user_cannot_block_the_cache() {
    with_all_users();
    let cache = "var/cache/binfmt-nix";
    let tree = Tree::new().file(&format!("{cache}/lock"), "process 1\n").dir(&format!("{cache}/{}", "a".repeat(64)));
    tree.write(&format!("{cache}/{}/qemu-arm", "a".repeat(64)), "x");
    let _blocker = Blocker::start(&[Path::new(ROOT)]);
    tree.run(&["cache", "prune"]).exits(0).prints("removed");
    assert!(!tree.exists(&format!("{cache}/{}", "a".repeat(64))));
}

/// Only files that this tool makes are removed, by their exact names.
#[sandboxed]
fn prune_keeps_files_of_other_names() {
    let dir = format!("var/cache/binfmt-nix/{}", "a".repeat(64));
    let tree = Tree::new();
    let own = ["qemu-arm", "download", "absent", ".binfmt-nix-42-0"];
    let others = ["mine", "qemu-mine", "qemu-arm.bak", ".binfmt-nix-mine", "sub/qemu-arm", "qemu-aarch64/qemu-arm"];
    for name in own.iter().chain(&others) {
        tree.write(&format!("{dir}/{name}"), "x");
    }
    tree.run(&["cache"]).exits(0).prints("3 files").omits("mine");
    tree.run(&["cache", "prune"]).exits(0).prints("removed").prints("3 files");
    assert!(own.iter().all(|name| !tree.exists(&format!("{dir}/{name}"))));
    assert!(others.iter().all(|name| tree.exists(&format!("{dir}/{name}"))));
    for name in others {
        tree.remove(&format!("{dir}/{}", name.split('/').next().unwrap()));
    }
    tree.write(&format!("{dir}/qemu-arm"), "x");
    tree.run(&["cache", "prune"]).exits(0);
    assert!(!tree.exists("var/cache/binfmt-nix"));
}

/// A process of another user that lives as long as this.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        let mut command = itself("stranger").unwrap();
        Self(command.args(["/usr/bin/sleep", "600"]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The number of a killed watch belongs to another process by now.
#[sandboxed]
fn a_recycled_process_id_is_not_named() {
    with_all_users();
    let tree = Tree::new().mounted();
    let held = Watch::begin(&tree, "aarch64", &[]);
    let killed = held.pid().to_string();
    tree.run(&["status"]).exits(0).says(&format!("process {killed}, which watches aarch64"));
    drop(held.ends_by(Signal::SIGKILL));
    let stranger = Stranger::start();
    let recycled = stranger.0.id().to_string();
    let mut changed = 0;
    for entry in fs::read_dir(tree.path("run")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        changed += usize::from(text.contains(&killed));
        fs::write(&path, text.replace(&killed, &recycled)).unwrap();
    }
    assert!(changed > 0, "no record was left by the killed process");
    let blocker = Blocker::start(&[&tree.path("run")]);
    let named = format!("process {recycled}");
    tree.run(&["status"]).exits(0).omits(&named).omits("register --watch is running");
    tree.run(&["unregister", "riscv64", "--wait", "0"]).exits(0).omits(&named);
    // A process that really holds the lock, and whose record is of another process.
    let held = OpenOptions::new().read(true).write(true).open(tree.path(WATCH_LOCK)).unwrap();
    held.lock().unwrap();
    let second = tree.register_with("riscv64", &["--watch", "--wait", "0"]).exits(3).omits(&named).omits("kill ");
    second.says("register --watch is already running (an unknown process)");
    drop((held, blocker));
    tree.run(&["unregister", "aarch64", "--wait", "0"]).exits(0).omits(&named).omits("kill ");
}

/// In a container the lock is on a file of the kernel's table. `doctor --fix` takes it in this container, too, which
/// has a user namespace.
#[sandboxed]
fn another_user_cannot_block_a_container() {
    live();
    fs::write("/run/.containerenv", "").unwrap();
    let doctor = || -> Done { tool(&["doctor", "--fix", "--wait", "0"]).output().unwrap().into() };
    let blocker = Blocker::start(&[Path::new(TABLE), Path::new("/run")]);
    assert!(blocker.locked >= 3, "{} files", blocker.locked);
    doctor().exits_with(&[0, 3]).omits("holds");
    drop(blocker);
    let register = Path::new(TABLE).join("register");
    let held = OpenOptions::new().write(true).open(&register).unwrap();
    held.lock().unwrap();
    doctor().exits(3).says(&format!("an unknown process holds {}", register.display()));
    drop(held);
    // Where the table is read-only, the file of this container is locked.
    let read_only = nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(None::<&str>, TABLE, None::<&str>, read_only, None::<&str>).unwrap();
    doctor().exits_with(&[0, 3]).omits("holds");
    assert!(!Path::new("/run/binfmt-nix-change.lock").exists());
}

/// A change and a watch in containers lock the same file and do not wait for each other.
#[sandboxed]
fn the_two_locks_of_the_table_are_independent() {
    with_all_users();
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    let blocker = Blocker::start(&[&tree.path(crate::support::tree::TABLE)]);
    let host = Host::new(Path::new(ROOT)).unwrap();
    let register = Path::new("/proc/sys/fs/binfmt_misc/register");
    let lock = |kind| host.lock_kernel_file(register, kind, Duration::ZERO, &mut |_| {});
    assert!(!host.is_record_locked(register));
    let change = lock(KernelLock::Flock).unwrap().unwrap();
    assert!(!host.is_record_locked(register));
    let watch = lock(KernelLock::Record).unwrap().unwrap();
    assert!(host.is_record_locked(register));
    for kind in [KernelLock::Flock, KernelLock::Record] {
        assert!(lock(kind).unwrap_err().to_string().contains("an unknown process holds"));
    }
    // The table can be used meanwhile, and a write that ends does not end a lock.
    tree.enter(&line("theirs", "aarch64", Path::new("/bin/true"), ""));
    tree.write_kernel("theirs", "-1");
    assert!(host.is_record_locked(register) && lock(KernelLock::Flock).is_err());
    drop(watch);
    assert!(!host.is_record_locked(register) && lock(KernelLock::Record).unwrap().is_some());
    drop((change, blocker));
    assert!(lock(KernelLock::Flock).unwrap().is_some());
    before.is_restored_in(&tree);
}
