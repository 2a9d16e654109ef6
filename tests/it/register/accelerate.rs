//! `accelerate`: native programs instead of guest programs, and the way back.
//!
//! Guest and native program are BusyBox of one release, by the name gzip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::binfmt::userns::usual_proc;
use crate::diagnose::situations::commands::paste;
use crate::support::emulators::{busybox, other_qemu, outside};
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::tree::{EMULATOR, OWN_CONF};
use crate::support::{Tree, qemu};

const NATIVE: &str = "usr/local/libexec/binfmt-nix/native";
const PAIR: &str = "/bin/gzip=/bin/gzip";

/// The guest's root directory and that of the native programs.
///
/// A proof writes the maps of a user namespace, so the usual `/proc` is needed.
fn trees() -> [String; 2] {
    usual_proc();
    let own = busybox().parent().unwrap().join("../../busybox-static-amd64/bin/busybox");
    [("guest", busybox()), ("native", own)].map(|(name, program)| {
        let dir = Path::new(SCRATCH).join(name);
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::create_dir_all(dir.join(NATIVE)).unwrap();
        fs::copy(program, dir.join("bin/gzip")).unwrap();
        dir.to_str().unwrap().to_owned()
    })
}

/// A machine that has accelerated gzip of a tree. Returns the tree, too.
fn accelerated() -> (Tree, String) {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let [guest, native] = trees();
    tree.run(&["accelerate", "aarch64", "--tree", &guest, "--native-tree", &native, "--pair", PAIR]).exits(0);
    (tree, guest)
}

/// Which file the kernel executes if gzip of the tree is started in the tree. The native programs are visible there.
fn running(tree: &Tree, guest: &str) -> PathBuf {
    let native = tree.path(NATIVE);
    if native.exists() {
        let inside = Path::new(guest).join(NATIVE);
        mount(Some(&native), &inside, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
    }
    let mut command = Command::new("/usr/sbin/chroot");
    command.args([guest, "/bin/gzip"]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // In the end it waits for its input.
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let is_waiting = || state().rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"));
    let exe = loop {
        let exe = fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        let is_chroot = exe.file_name().is_some_and(|name| name == "chroot");
        if !is_chroot && is_waiting() && fs::read_link(format!("/proc/{}/exe", child.id())).unwrap() == exe {
            break exe;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    drop(child.stdin.take());
    assert!(child.wait_with_output().unwrap().status.success());
    if native.exists() {
        nix::mount::umount(&Path::new(guest).join(NATIVE)).unwrap();
    }
    exe
}

#[track_caller]
fn assert_native(tree: &Tree, guest: &str) {
    let exe = running(tree, guest);
    assert_eq!(exe.file_name().unwrap(), "gzip", "{}", exe.display());
}

#[track_caller]
fn assert_emulated(tree: &Tree, guest: &str) {
    let exe = running(tree, guest);
    assert!(exe.file_name().unwrap().to_str().unwrap().starts_with("qemu-aarch64"), "{}", exe.display());
}

#[sandboxed]
fn a_native_program_is_started_until_it_is_ended() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    let [guest, native] = trees();
    let args = ["accelerate", "aarch64", "--tree", &guest, "--native-tree", &native, "--pair", PAIR];
    tree.run(&[&args[..], &["--dry-run"]].concat()).exits(0).prints("would prove /bin/gzip by /bin/gzip");
    registered.is_unchanged_in(&tree);
    assert_emulated(&tree, &guest);
    let done = tree.run(&[&args[..], &["--json"]].concat()).exits(0).json();
    assert_eq!((&done["changed"], &done["accelerated"][0]["tool"]), (&json!(true), &json!("gzip")), "{done:#}");
    assert_native(&tree, &guest);
    assert!(tree.settings().iter().any(|line| line.ends_with(&format!("/{NATIVE}/aarch64?"))), "{:?}", tree.settings());
    // The proof is recorded, and nothing is to be done.
    let accelerated = tree.snapshot();
    tree.run(&args).exits(0).omits("prove ").prints("gzip: /usr/local/libexec/binfmt-nix/native/aarch64/gzip-");
    accelerated.is_unchanged_in(&tree);
    tree.run(&["accelerate", "--list"]).exits(0).prints("gzip");
    let status = tree.status();
    let program = &status["accelerated"][0];
    assert_eq!((&program["state"], &program["detail"]), (&json!("registered"), &json!(null)), "{status:#}");
    assert_eq!((&status["unfinished"], &status["rules"]), (&json!(false), &json!([])), "{status:#}");
    tree.run(&["status"]).exits(0).prints("aarch64: native programs are started for gzip");
    tree.run(&["doctor"]).omits("not-accelerated").omits("accelerate-aarch64");
    tree.run(&["accelerate", "--off", "--dry-run"]).exits(0).prints("would withdraw");
    tree.run(&["accelerate", "--off"]).exits(0).prints("no program is accelerated");
    assert_emulated(&tree, &guest);
    assert!(tree.snapshot().is_like(&registered));
    tree.run(&args).exits(0);
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}

/// The kernel uses the newest entry: each registration of the system is followed by one of the programs.
#[sandboxed]
fn programs_stay_above_their_system() {
    let (tree, guest) = accelerated();
    let files = || [EMULATOR, OWN_CONF].map(|path| tree.read(path));
    let before = files();
    tree.register_by("aarch64", &other_qemu("aarch64"), &[]).exits(0);
    assert!(files() != before);
    assert_native(&tree, &guest);
    tree.run(&["status"]).exits(0).prints("aarch64: native programs are started for gzip");
    tree.run(&["rollback", "aarch64"]).exits(0);
    assert!(files() == before);
    assert_native(&tree, &guest);
    // Another process removes the entry of the system, and register adds it again.
    tree.write_kernel("qemu-aarch64", "-1");
    tree.register("aarch64").exits(0);
    assert_native(&tree, &guest);
    tree.write_kernel("qemu-aarch64", "-1");
    tree.run(&["restore"]).exits(0);
    assert_native(&tree, &guest);
    tree.write_kernel("status", "-1");
    tree.run(&["restore"]).exits(0);
    assert_native(&tree, &guest);
    tree.run(&["disable", "aarch64"]).exits(3).says("accelerate --off aarch64");
}

#[sandboxed]
fn what_prevents_native_programs_is_reported_and_repaired() {
    let (tree, guest) = accelerated();
    let entry = tree.status()["accelerated"][0]["entry"].as_str().unwrap().to_owned();
    tree.write_kernel(&entry, "-1");
    tree.run(&["status"]).exits(0).says("gzip is emulated: its entry accelerate-aarch64-gzip-");
    let finding = |tree: &Tree| {
        let doctor = tree.run(&["doctor", "--json"]).exits(3).json();
        let findings = doctor["findings"].as_array().unwrap().clone();
        let found = findings.into_iter().find(|finding| finding["id"] == "not-accelerated");
        found.unwrap_or_else(|| panic!("{doctor:#}"))["repair"][0].as_str().unwrap().to_owned()
    };
    drop(paste(&finding(&tree)).exits(0));
    assert_native(&tree, &guest);
    tree.run(&["doctor"]).omits("not-accelerated");
    // Another build of the guest program: the pair was not proven.
    let path = Path::new(&guest).join("bin/gzip");
    let mut other = fs::read(&path).unwrap();
    other.push(0);
    fs::write(&path, &other).unwrap();
    assert_emulated(&tree, &guest);
    let repair = finding(&tree);
    assert!(repair.contains("accelerate aarch64 --tree "), "{repair}");
    // Without the guest program there is nothing to accelerate.
    fs::remove_file(&path).unwrap();
    let repair = finding(&tree);
    drop(paste(&repair).exits(0));
    tree.run(&["accelerate", "--list"]).exits(0).prints("no program is accelerated");
}

#[sandboxed]
fn wrong_requests_change_nothing() {
    let tree = Tree::new();
    let [guest, native] = trees();
    let accelerate = |args: &[&str]| {
        let places = ["--tree", &guest, "--native-tree", &native];
        tree.run(&[&["accelerate"], args, &places[..]].concat())
    };
    accelerate(&["aarch64", "--pair", PAIR]).exits(3).says("register aarch64");
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    tree.run(&["accelerate", "aarch64"]).exits(2).says("name the programs");
    accelerate(&["aarch64", "--pair", "/bin/gzip"]).exits(1).says("GUEST=NATIVE");
    accelerate(&["aarch64", "--pair", "/bin/none/gzip=/bin/gzip"]).exits(1).says("/bin/none/gzip");
    accelerate(&["aarch64", "--pair", "/bin/uname=/bin/uname"]).exits(1).says("cannot be paired");
    accelerate(&["aarch64"]).exits(1).says("not a tree of Debian");
    // A program of another machine by that name.
    fs::copy(busybox(), Path::new(&native).join("bin/gzip")).unwrap();
    accelerate(&["aarch64", "--pair", PAIR]).exits(1).says("cannot be bundled");
    registered.is_unchanged_in(&tree);
    // A name of a rule that accelerate makes.
    tree.run(&["register", "--rule", ":accelerate-aarch64-x:E::x::/bin/true:"])
        .exits_with(&[1, 3])
        .says("belong to the command");
    registered.is_unchanged_in(&tree);
}

/// The copy of this tool runs both programs, in the build itself.
#[sandboxed]
fn an_audit_fails_if_both_programs_differ() {
    let guest = outside("gzip", &fs::read(busybox()).unwrap());
    let audit = |native: &[&str], args: &[&str], input: &str| {
        let (guest, emulator, count) = (guest.to_str().unwrap(), qemu("aarch64"), native.len().to_string());
        let fixed = ["internal", "audit", emulator.to_str().unwrap(), guest, "gzip", &count, "0"];
        let mut command = tool(&[&fixed[..], native, args].concat());
        command.env_clear().stdin(fs::File::open(outside("input", input.as_bytes())).unwrap());
        Done::from(command.output().unwrap())
    };
    let own = busybox().parent().unwrap().join("../../busybox-static-amd64/bin/busybox");
    let native = [own.to_str().unwrap(), "gzip"];
    audit(&native, &["-c"], "some text").exits(0);
    audit(&native, &["-d", "-c"], "no archive").exits(1).says("gzip: ");
    audit(&["/bin/cat", "cat"], &["-"], "some text").exits(1).says("differ in standard output");
    audit(&["/bin/none", "none"], &["-"], "some text").exits(1).says("cannot be run");
}
