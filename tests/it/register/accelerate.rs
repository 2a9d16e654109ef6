//! `accelerate`: native programs instead of guest programs, and the way back.
//!
//! Guest and native program are BusyBox of one release, by the name gzip.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::binfmt::userns::{memory, usual_proc};
use crate::diagnose::situations::commands::paste;
use crate::diagnose::situations::live::machine;
use crate::support::emulators::{busybox, other_qemu, outside, waiter};
use crate::support::output::{Done, tool, tool_path};
use crate::support::receipt::{to_text, to_value};
use crate::support::sandbox::{SCRATCH, with_all_users};
use crate::support::tree::{EMULATOR, OWN_CONF, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar, qemu, settings_nix};

pub(crate) const NATIVE: &str = "usr/local/libexec/binfmt-nix/native";
pub(crate) const PAIR: &str = "/bin/gzip=/bin/gzip";

/// The guest's root directory and that of the native programs.
///
/// A proof writes the maps of a user namespace, so the usual `/proc` is needed.
pub(crate) fn trees() -> [String; 2] {
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
pub(crate) fn running(tree: &Tree, guest: &str) -> PathBuf {
    running_program(tree, guest, "/bin/gzip")
}

/// The same for another program that ends with its input.
fn running_program(tree: &Tree, guest: &str, program: &str) -> PathBuf {
    let native = tree.path(NATIVE);
    if native.exists() {
        let inside = Path::new(guest).join(NATIVE);
        mount(Some(&native), &inside, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
    }
    let mut command = Command::new("/usr/sbin/chroot");
    command.args([guest, program]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
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
pub(crate) fn assert_native(tree: &Tree, guest: &str) {
    assert_native_program(tree, guest, "/bin/gzip");
}

#[track_caller]
fn assert_native_program(tree: &Tree, guest: &str, program: &str) {
    let exe = running_program(tree, guest, program);
    assert!(exe.starts_with(Path::new(guest).join(NATIVE)), "{}", exe.display());
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

#[sandboxed]
fn the_end_of_another_system_leaves_the_native_programs() {
    let (tree, guest) = accelerated();
    let before = tree.snapshot();
    tree.register("arm").exits(0);
    tree.unregister("arm").exits(0).omits("native");
    assert!(tree.snapshot().is_like(&before));
    assert_native(&tree, &guest);
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
    // Another process switches it off: the programs of the system still run.
    tree.write_kernel(&entry, "0");
    tree.register("aarch64").exits(0).prints("already registered");
    assert_emulated(&tree, &guest);
    drop(paste(&finding(&tree)).exits(0));
    assert_native(&tree, &guest);
    // The same bytes with another time are the same program.
    let path = Path::new(&guest).join("bin/gzip");
    fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    assert_native(&tree, &guest);
    tree.run(&["doctor"]).omits("not-accelerated");
    // Another build of the guest program: the pair was not proven.
    let mut other = fs::read(&path).unwrap();
    other.push(0);
    fs::write(&path, &other).unwrap();
    assert_emulated(&tree, &guest);
    drop(paste(&finding(&tree)).exits(0));
    assert_native(&tree, &guest);
    // The copy of the native program disappears.
    let copy = || tree.status()["accelerated"][0]["native"].as_str().unwrap().trim_start_matches('/').to_owned();
    tree.remove(&copy());
    assert_emulated(&tree, &guest);
    drop(paste(&finding(&tree)).exits(0));
    assert_native(&tree, &guest);
    // Another version of this tool has another launcher.
    change_receipt(&tree, |receipt| {
        receipt["accelerations"]["aarch64"]["details"]["acceleration"]["launcher"] = json!("0".repeat(64));
    });
    tree.run(&["doctor"]).exits(3).prints("version of binfmt-nix: builds are as slow");
    drop(paste(&finding(&tree)).exits(0));
    assert_native(&tree, &guest);
    tree.run(&["doctor"]).omits("not-accelerated");
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
    accelerate(&["aarch64", "--pair", "/bin/gzip=/bin/sed"]).exits(1).says("different tools");
    accelerate(&["aarch64", "--audit", "0"]).exits(2).says("--audit");
    accelerate(&["aarch64", "--audit", "1"]).exits(1).says("not a tree of Debian");
    accelerate(&["aarch64", "--pair", "/bin/uname=/bin/uname"]).exits(1).says("cannot be paired");
    accelerate(&["aarch64"]).exits(1).says("not a tree of Debian");
    // A program of another machine by that name.
    fs::copy(busybox(), Path::new(&native).join("bin/gzip")).unwrap();
    accelerate(&["aarch64", "--pair", PAIR]).exits(1).says("cannot be bundled");
    registered.is_unchanged_in(&tree);
    // Another version, and a program that crashes.
    let own = fs::read(busybox().parent().unwrap().join("../../busybox-static-amd64/bin/busybox")).unwrap();
    let crashes = liar("gzip 1.0", LiarBehavior::Crash);
    for (program, why) in [(replace(&own, b"BusyBox v", b"BusyBox w"), "configured differently"), (crashes, "")] {
        fs::write(Path::new(&native).join("bin/gzip"), program).unwrap();
        accelerate(&["aarch64", "--pair", PAIR]).exits(3).says("no program of aarch64 can be accelerated").says(why);
    }
    registered.is_unchanged_in(&tree);
    // A name of a rule that accelerate makes.
    tree.run(&["register", "--rule", ":accelerate-aarch64-x:E::x::/bin/true:"])
        .exits_with(&[1, 3])
        .says("belong to the command");
    registered.is_unchanged_in(&tree);
}

/// A native program that hangs has 15 minutes, but the user does not have to wait.
#[sandboxed]
fn a_native_program_that_hangs_can_be_interrupted() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    let [guest, native] = trees();
    fs::write(Path::new(&native).join("bin/gzip"), waiter()).unwrap();
    let args = ["accelerate", "aarch64", "--tree", &guest, "--native-tree", &native, "--pair", PAIR];
    let child = tree.start(&args);
    while !has_descendant(child.id(), "gzip-") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    drop(Done::from(child.wait_with_output().unwrap()).exits(130));
    registered.is_unchanged_in(&tree);
}

/// Whether a process that this one started, or one that those started, has a name that begins so.
fn has_descendant(process: u32, name: &str) -> bool {
    let stat = |number: &str| fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found = numbers.filter(|number| stat(number).contains(&format!("({name}")));
    found.any(|number| {
        let parent = |number: &String| {
            let stat = stat(number);
            Some(stat.rsplit(')').next()?.split(' ').nth(2)?.to_owned())
        };
        std::iter::successors(Some(number), parent).any(|number| number == process.to_string())
    })
}

/// Bytes with every occurrence of a part replaced.
fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty() && old.len() == new.len());
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes
}

/// The native program prints another message for a wrong checksum, which the corpus does not have.
#[sandboxed]
fn an_audited_start_fails_if_both_programs_differ() {
    // The tool is copied, from a directory of the real root.
    with_all_users();
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let [guest, native] = trees();
    let path = Path::new(&native).join("bin/gzip");
    fs::write(&path, replace(&fs::read(&path).unwrap(), b"crc error", b"crb error")).unwrap();
    let args = ["accelerate", "aarch64", "--tree", &guest, "--native-tree", &native, "--pair", PAIR];
    let gzip = |args: &[&str], input: &[u8]| {
        let dir = "usr/local/libexec/binfmt-nix";
        let inside = Path::new(&guest).join(dir);
        mount(Some(&tree.path(dir)), &inside, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
        let mut command = Command::new("/usr/sbin/chroot");
        command.args([guest.as_str(), "/bin/gzip"]).args(args).env_clear();
        let output = command.stdin(fs::File::open(outside("input", input)).unwrap()).output().unwrap();
        nix::mount::umount(&inside).unwrap();
        output
    };
    tree.run(&args).exits(0);
    let packed = gzip(&["-c"], b"some text");
    assert!(packed.status.success(), "{packed:?}");
    let mut wrong = packed.stdout.clone();
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    let unpack = |bytes: &[u8]| Done::from(gzip(&["-d", "-c"], bytes));
    unpack(&wrong).exits(1).says("crb error");
    tree.run(&[&args[..], &["--audit", "1"]].concat()).exits(0).omits("prove ");
    assert_eq!(gzip(&["-c"], b"some text").stdout, packed.stdout);
    unpack(&packed.stdout).exits(0).prints("some text");
    unpack(&wrong).exits(1).says("differ in standard error: -d -c").says("accelerate --off");
    tree.run(&["accelerate", "aarch64", "--audit", "2"]).exits(2).says("name the programs");
    // Without the audit again, and without acceleration.
    tree.run(&args).exits(0);
    unpack(&wrong).exits(1).says("crb error");
    tree.run(&["accelerate", "--off"]).exits(0);
    unpack(&wrong).exits(1).says("crc error");
}

/// The directory of the native programs is shared.
#[sandboxed]
fn the_programs_of_another_system_stay_accelerated() {
    let (tree, guest) = accelerated();
    tree.register("arm").exits(0);
    let other = busybox().parent().unwrap().join("../../busybox-static-armhf/bin/busybox");
    let dir = Path::new(&guest).join("arm");
    fs::create_dir(&dir).unwrap();
    fs::copy(other, dir.join("gzip")).unwrap();
    let native = Path::new(SCRATCH).join("native");
    let pair = ["--pair", "/arm/gzip=/bin/gzip"];
    let places = ["--tree", &guest, "--native-tree", native.to_str().unwrap()];
    let one = tree.snapshot();
    tree.run(&[&["accelerate", "arm"], &places[..], &pair[..]].concat()).exits(0);
    assert_eq!(tree.status()["accelerated"].as_array().unwrap().len(), 2);
    assert_native(&tree, &guest);
    tree.run(&["accelerate", "--off", "arm"]).exits(0);
    assert!(tree.snapshot().is_like(&one));
    assert_native(&tree, &guest);
}

/// The proof of a file is not one of the same file as another tool, or in another tree.
#[sandboxed]
fn a_proof_is_of_one_tool_in_one_tree() {
    let (tree, guest) = accelerated();
    let native = Path::new(SCRATCH).join("native");
    let other = Path::new(SCRATCH).join("other-guest");
    fs::create_dir_all(other.join("bin")).unwrap();
    for (from, to) in [(Path::new(&guest), &other), (Path::new(&guest), &PathBuf::from(&guest)), (&native, &native)] {
        let name = if to == &other { "bin/gzip" } else { "bin/cat" };
        fs::copy(from.join("bin/gzip"), to.join(name)).unwrap();
    }
    let accelerate = |guest: &Path, pair: &str| {
        let [guest, native] = [guest, &native].map(|path| path.to_str().unwrap());
        tree.run(&["accelerate", "aarch64", "--tree", guest, "--native-tree", native, "--pair", pair])
    };
    accelerate(Path::new(&guest), PAIR).exits(0).omits("prove /bin");
    accelerate(Path::new(&guest), "/bin/cat=/bin/cat").exits(0).says("prove /bin/cat by /bin/cat");
    accelerate(&other, PAIR).exits(0).says("prove /bin/gzip by /bin/gzip");
}

fn receipt(tree: &Tree) -> serde_json::Value {
    to_value(&tree.text(RECEIPT))
}

fn change_receipt(tree: &Tree, change: impl FnOnce(&mut serde_json::Value)) {
    let mut changed = receipt(tree);
    change(&mut changed);
    tree.write(RECEIPT, to_text(changed));
}

/// Only a command that needs it reads what accelerates a system.
#[sandboxed]
fn commands_for_another_system_pass_on_what_accelerates_a_system() {
    let (tree, guest) = accelerated();
    let before = receipt(&tree)["accelerations"].clone();
    let entry = before["aarch64"]["entries"][0].as_str().unwrap().to_owned();
    for command in ["register", "disable", "enable", "unregister"] {
        let arm = qemu("arm");
        let qemu = if command == "register" { &["--qemu", arm.to_str().unwrap()][..] } else { &[] };
        tree.run(&[&[command, "arm"], qemu].concat()).exits(0);
        assert_eq!(receipt(&tree)["accelerations"], before, "{command}");
    }
    tree.register("aarch64").exits(0).prints("already registered");
    // A lost entry is registered again.
    tree.write_kernel(&entry, "-1");
    tree.register("aarch64").exits(0).says(&format!("register {entry}"));
    assert_native(&tree, &guest);
    change_receipt(&tree, |receipt| receipt["accelerations"]["aarch64"]["details"] = json!({"more": 1}));
    let damaged = receipt(&tree)["accelerations"].clone();
    tree.register("arm").exits(0);
    assert_eq!(receipt(&tree)["accelerations"], damaged);
    let whole = tree.snapshot();
    for command in [&["accelerate", "--off"][..], &["unregister", "aarch64"], &["status"], &["unregister", "all"]] {
        tree.run(command).exits(1).says("receipt.json").says("more");
    }
    whole.is_unchanged_in(&tree);
}

/// The entries of accelerated programs are not copied, and nothing inside of `run` asks for them.
#[sandboxed]
fn programs_are_emulated_inside_of_run() {
    machine();
    let [guest, native] = trees();
    let qemu = ["aarch64", "riscv64"].map(|system| qemu(system).to_str().unwrap().to_owned());
    let run = |args: &[&str]| Done::from(tool(args).output().unwrap());
    drop(run(&["register", "aarch64", "--no-nix", "--qemu", &qemu[0]]).exits(0));
    let places = ["--tree", &guest, "--native-tree", &native];
    drop(run(&[&["accelerate", "aarch64", "--pair", PAIR], &places[..]].concat()).exits(0));
    let inside =
        |words: &[&str]| run(&[&["run", "--system", "riscv64", "--qemu", &qemu[1], "-v", "--"], words].concat());
    let table = "/proc/sys/fs/binfmt_misc";
    drop(run(&["status"]).exits(0).prints("native programs are started for gzip"));
    let names = Done::from(Command::new("ls").arg(table).output().unwrap());
    drop(names.prints("accelerate-aarch64-gzip-"));
    let done = inside(&["ls", table]).exits(0).prints("qemu-riscv64").prints("qemu-aarch64").omits("accelerate-");
    drop(done.says("entries copied from the machine's own table: 1"));
    drop(inside(&[tool_path(), "status"]).exits(0).prints("aarch64").omits("native programs"));
    drop(inside(&[tool_path(), "doctor"]).omits("accelerate"));
}

/// Two guest programs may have one native program, and the copies of programs that are not accelerated any more are removed.
#[sandboxed]
fn guest_programs_share_a_native_program() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    let [guest, native] = trees();
    let (other, first) = (Path::new(&guest).join("other"), fs::read(busybox()).unwrap());
    fs::create_dir(&other).unwrap();
    fs::write(other.join("gzip"), [&first[..], b"!"].concat()).unwrap();
    fs::set_permissions(other.join("gzip"), fs::Permissions::from_mode(0o755)).unwrap();
    let places = ["--tree", &guest, "--native-tree", &native];
    let pairs = ["--pair", PAIR, "--pair", "/other/gzip=/bin/gzip"];
    tree.run(&[&["accelerate", "aarch64"], &places[..], &pairs[..]].concat()).exits(0);
    let copies = || fs::read_dir(tree.path(NATIVE).join("aarch64")).unwrap().count();
    assert_eq!((tree.status()["accelerated"].as_array().unwrap().len(), copies()), (2, 1));
    assert_native(&tree, &guest);
    assert_native_program(&tree, &guest, "/other/gzip");
    // The first guest program gets another native one.
    let path = Path::new(&native).join("bin/gzip");
    let changed = [&fs::read(&path).unwrap()[..], b"!"].concat();
    fs::write(&path, changed).unwrap();
    tree.run(&[&["accelerate", "aarch64"], &places[..], &pairs[..2]].concat()).exits(0);
    assert_eq!(copies(), 2);
    assert_native(&tree, &guest);
    assert_native_program(&tree, &guest, "/other/gzip");
    tree.run(&[&["accelerate", "aarch64"], &places[..], &pairs[2..]].concat()).exits(0);
    assert_eq!(copies(), 1);
    tree.run(&["doctor"]).exits(0);
    tree.run(&["accelerate", "--off"]).exits(0);
    assert!(tree.snapshot().is_like(&registered));
}

/// Nix has a nixpkgs in which gzip can be paired, grep has two versions, and cmp is another program.
#[sandboxed]
fn the_programs_of_one_nixpkgs_are_found_and_proven() {
    machine();
    memory(Path::new("/nix"));
    let emulator = qemu("aarch64");
    drop(
        Done::from(tool(&["register", "aarch64", "--no-nix", "--qemu", emulator.to_str().unwrap()]).output().unwrap())
            .exits(0),
    );
    let accelerate = |args: &[&str]| Done::from(tool(&[&["accelerate"], args].concat()).output().unwrap());
    let nixpkgs = ["aarch64", "--nixpkgs", "x"];
    accelerate(&nixpkgs).exits(3).says("no nix was found");
    let own = busybox().parent().unwrap().join("../../busybox-static-amd64/bin/busybox");
    let other = outside("other", &liar("cmp 1.0", LiarBehavior::RightOutput));
    let mut answers = String::new();
    let cross = "x86_64-linux";
    for (number, (system, attribute, name, file, program)) in [
        ("aarch64-linux", "gzip", "gzip-1.14", "gzip", &busybox()),
        (cross, "gzip", "gzip-1.14", "gzip", &own),
        ("aarch64-linux", "gnugrep", "gnugrep-3.12", "grep", &busybox()),
        (cross, "gnugrep", "gnugrep-3.11", "grep", &own),
        ("aarch64-linux", "diffutils", "diffutils-3.12", "cmp", &busybox()),
        (cross, "diffutils", "diffutils-3.12", "cmp", &other),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/nix/store/{number:032}-{name}");
        fs::create_dir_all(format!("{path}/bin")).unwrap();
        fs::copy(program, format!("{path}/bin/{file}")).unwrap();
        writeln!(answers, "x#legacyPackages.{system}.{attribute}) echo {path};;").unwrap();
    }
    // Nix prints what it built, or fails with its message.
    let nix = |answers: &str| {
        let bin = Path::new(settings_nix::BIN);
        fs::create_dir_all(bin).unwrap();
        let script = format!(
            "#!/bin/sh\nfor word; do :; done\ncase $word in\n{answers}*) echo 'error: no such attribute' >&2; exit 1;;\nesac\n"
        );
        fs::write(bin.join("nix"), script).unwrap();
        fs::set_permissions(bin.join("nix"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    nix("");
    accelerate(&nixpkgs).exits(3).says("stdenv.cc.cc: Nix does not build it: no such attribute");
    nix(&answers);
    accelerate(&["aarch64", "--nixpkgs", "x", "--dry-run"]).exits(0).prints("would prove /nix/store/").omits("grep by");
    accelerate(&["--list"]).exits(0).prints("no program is accelerated");
    let done = accelerate(&nixpkgs).exits(3).prints("-gzip-1.14/bin/gzip instead of /nix/store/");
    let done =
        done.says("x#legacyPackages.aarch64-linux.gnutar stays emulated: Nix does not build it: no such attribute");
    let done = done.says("-gnugrep-3.12/bin/grep stays emulated: the guest has version 3.12, and its counterpart 3.11");
    drop(done.says("-diffutils-3.12/bin/cmp is refused: "));
    let listed = accelerate(&["--list", "--json"]).exits(0).json();
    let tools: Vec<_> = listed["programs"].as_array().unwrap().iter().map(|program| &program["tool"]).collect();
    assert_eq!(tools, ["gzip"]);
    accelerate(&["--off"]).exits(0);
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
