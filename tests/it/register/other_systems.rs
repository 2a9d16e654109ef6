//! Systems that QEMU does not run: registered with an emulator of the machine, started by the kernel, and undone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use binfmt_magic::OtherSystem;
use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::binfmt::userns::usual_proc;
use crate::diagnose::situations::commands::paste;
use crate::support::emulators::outside;
use crate::support::output::{Done, tool};
use crate::support::table::probe;
use crate::support::tree::{NIX_CONF, OWN_CONF};
use crate::support::{LiarBehavior, Tree, liar, qemu, skip};

/// A file of a real runtime, which `tests/run --full` downloads.
pub(super) fn runtime(file: &str) -> PathBuf {
    let dir = std::env::var_os("BINFMT_NIX_TEST_RUNTIMES").filter(|dir| !dir.is_empty());
    let path = dir.map(|dir| Path::new(&dir).join(file)).filter(|path| path.exists());
    path.unwrap_or_else(|| {
        skip("runtimes", format!("BINFMT_NIX_TEST_RUNTIMES has no {file}: 160 MB for tests/run --full"))
    })
}

/// The exit status of a file, if the kernel starts it.
fn status_of(path: &Path, variables: &[(&str, &str)]) -> Option<i32> {
    let mut command = Command::new(path);
    // Wasmtime keeps compiled modules below its user's home directory.
    let home = path.parent().unwrap();
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).envs(variables.iter().copied());
    command.status().ok()?.code()
}

fn sample(name: &str, system: &str) -> PathBuf {
    outside(name, OtherSystem::find(system).unwrap().probe)
}

/// A machine with a script instead of wasmtime, which ends as each probe does. No check distinguishes it from one.
fn with_script() -> Tree {
    let script = "#!/bin/sh\n[ \"$1\" != --version ] || { echo wasmtime 1; exit; }\nexit 41\n";
    Tree::new().program("usr/bin/wasmtime", script).program("bin/sh", "")
}

#[sandboxed]
fn a_system_is_registered_proven_repaired_and_undone() {
    check_modules(&with_script());
}

#[sandboxed]
fn modules_run_by_a_real_runtime() {
    let program = fs::read(runtime("wasmtime/wasmtime_cli/wasmtime")).unwrap();
    check_modules(&Tree::new().program("usr/bin/wasmtime", program).program("lib64/ld-linux-x86-64.so.2", ""));
}

fn check_modules(tree: &Tree) {
    let fresh = tree.snapshot();
    let module = sample("a.wasm", "wasm32-wasi");
    let other_version = outside("b.wasm", b"\0asm\x02\0\0\0");
    let component = outside("c.wasm", b"\0asm\x0d\0\x01\0");
    assert_eq!(status_of(&module, &[]), None);
    tree.run(&["register", "wasm32-wasi", "--dry-run"]).exits(0).prints("would register   wasm32-wasi");
    fresh.is_unchanged_in(tree);
    let done = tree.run(&["register", "wasm32-wasi"]).exits(0);
    let done = done.prints("wasm32-wasi: registered, tested").prints("unregister wasm32-wasi");
    drop(done.says("is not held by flag F, so F is not used").says("Nix's sandbox"));
    assert_eq!(status_of(&module, &[]), Some(OtherSystem::PROBE_STATUS));
    assert_eq!((status_of(&other_version, &[]), status_of(&component, &[])), (None, None));
    assert!(tree.text(OWN_CONF).contains("extra-extra-platforms = wasm32-wasi\n"), "{}", tree.text(OWN_CONF));
    assert_eq!(tree.entry_says("wasm32-wasi", "flags: "), "");
    let (registered, lines) = (tree.snapshot(), tree.text(OWN_CONF));
    tree.run(&["register", "wasm32-wasi"]).exits(0).prints("wasm32-wasi: already registered, tested");
    registered.is_unchanged_in(tree);
    let status = tree.status();
    assert_eq!((&status["rules"][0]["tested"], &status["unfinished"]), (&json!(true), &json!(false)), "{status:#}");
    tree.run(&["doctor"]).exits(0);
    tree.run(&["nix-conf"]).exits(0).prints("extra-extra-platforms = wasm32-wasi");
    // The second system has the same bytes and the same emulator.
    tree.run(&["register", "wasm64-wasi"]).exits(0).prints("wasm64-wasi: registered, tested");
    assert_eq!(status_of(&sample("d.wasm", "wasm64-wasi"), &[]), Some(OtherSystem::PROBE_STATUS));
    assert!(tree.text(OWN_CONF).contains("extra-extra-platforms = wasm32-wasi wasm64-wasi\n"));
    tree.unregister("wasm64-wasi").exits(0);
    assert_eq!(status_of(&module, &[]), Some(OtherSystem::PROBE_STATUS));
    assert_eq!(tree.text(OWN_CONF), lines);
    // A restart, the boot command, and the repair that is proposed.
    tree.write_kernel("status", "-1");
    tree.run(&["restore"]).exits(0).prints("wasm32-wasi: registered");
    tree.write_kernel("status", "-1");
    let doctor = tree.run(&["doctor", "--json"]).exits(3).json();
    drop(paste(doctor["findings"][0]["repair"][0].as_str().unwrap()).exits(0));
    assert_eq!(status_of(&module, &[]), Some(OtherSystem::PROBE_STATUS));
    tree.unregister("all").exits(0);
    fresh.is_restored_in(tree);
}

#[sandboxed]
fn a_configuration_file_may_list_such_a_system() {
    let tree = with_script();
    let fresh = tree.snapshot();
    let config = outside("x.toml", b"systems = [\"wasm32-wasi\"]\n");
    let config = config.to_str().unwrap();
    tree.run(&["apply", "--config", config]).exits(0).prints("wasm32-wasi: registered, tested");
    tree.run(&["apply", "--config", config, "--check"]).exits(0);
    fs::write(config, "systems = []\n").unwrap();
    tree.run(&["apply", "--config", config]).exits(0).prints("wasm32-wasi: unregistered");
    fresh.is_restored_in(&tree);
}

/// Debian's wine without its 32-bit part, as its packages are on amd64 without i386.
#[sandboxed]
fn programs_of_windows_run_until_the_system_is_unregistered() {
    let wine = runtime("wine/usr");
    let layers = format!("lowerdir={}:/usr", wine.display());
    mount(Some("overlay"), "/usr", Some("overlay"), MsFlags::empty(), Some(layers.as_str())).unwrap();
    let tree = Tree::new().program("usr/bin/wine", fs::read(wine.join("bin/wine-stable")).unwrap());
    let tree = tree.program("bin/sh", "");
    let fresh = tree.snapshot();
    let program = sample("a.exe", "x86_64-windows");
    assert_eq!(status_of(&program, &[]), None);
    tree.run(&["register", "i686-windows"])
        .exits(1)
        .says("i686-windows was registered but does not work: the probe ended with exit status: 53")
        .says("a Wine without support of 32 bits cannot run it")
        .says("try another emulator");
    fresh.is_restored_in(&tree);
    tree.run(&["register", "x86_64-windows"]).exits(0).prints("x86_64-windows: registered, tested").says("is a script");
    // Wine's server works there.
    mount(None::<&str>, "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let prefix = Path::new(crate::support::sandbox::SCRATCH).join("prefix");
    fs::create_dir(&prefix).unwrap();
    let variables = [("WINEPREFIX", prefix.to_str().unwrap()), ("WINEBOOTSTRAPMODE", "1")];
    assert_eq!(status_of(&program, &variables), Some(OtherSystem::PROBE_STATUS));
    assert!(tree.text(OWN_CONF).contains("extra-extra-platforms = x86_64-windows\n"));
    tree.unregister("x86_64-windows").exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn what_cannot_be_an_emulator_is_refused_and_nothing_changes() {
    let refuse = |tree: &Tree, args: &[&str], code, why: &str| {
        let before = tree.snapshot();
        tree.run(&[&["register"], args].concat()).exits(code).says(why);
        before.is_unchanged_in(tree);
    };
    let tree = Tree::new();
    refuse(
        &tree,
        &["wasm32-wasi"],
        1,
        "wasm32-wasi has no emulator that can be used: wasmtime, wasmer, wasmedge was not found",
    );
    refuse(&tree, &["x86_64-windows", "--emulator", "wine"], 1, "wine was not found");
    refuse(&tree, &["i686-windows", "--emulator", "wine64"], 2, "i686-windows is run by one of: wine; or a path");
    refuse(
        &tree,
        &["wasm32-wasi", "--emulator", "box64"],
        2,
        "is run by one of: wasmtime, wasmer, wasmedge, wazero; or a path",
    );
    refuse(
        &tree,
        &["aarch64", "--emulator", "wasmtime"],
        2,
        "is not known as an emulator of aarch64; box64, fex, rosetta run x86_64",
    );
    refuse(&tree, &["wasm32-wasi", "--in-memory"], 2, "QEMU does not run this system");
    refuse(&tree, &["--rule", ":wasm32-wasi:E::x::/usr/bin/x:"], 1, "its name belongs to the system wasm32-wasi");
    refuse(&tree, &["--test", "/bin/sh"], 2, "SYSTEM");
    tree.run(&["upgrade", "wasm32-wasi"]).exits(2).says("wasm32-wasi is a rule without QEMU");
    let answer = |text: &str| liar(text, LiarBehavior::DoNothing);
    let bad = [
        ("wasmtime", answer("hello"), "/usr/bin/wasmtime does not answer --version as such an emulator: \"hello\""),
        ("wasmer", fs::read(probe("riscv64")).unwrap(), "/usr/bin/wasmer is a program for riscv64"),
        ("wazero", answer("wazero 1"), "/usr/bin/wazero runs a module only as \"wazero run FILE\""),
        ("wasmedge", b"text".to_vec(), "/usr/bin/wasmedge is neither a program nor a script"),
    ];
    tree.discard();
    let programs = bad.iter().map(|(name, content, _)| (format!("usr/bin/{name}"), content));
    let tree = programs.fold(Tree::new(), |tree, (path, content)| tree.program(&path, content));
    for (name, _, why) in &bad {
        refuse(&tree, &["wasm32-wasi"], 1, why);
        refuse(&tree, &["wasm32-wasi", "--emulator", name], 1, why);
        refuse(&tree, &["wasm32-wasi", "--emulator", &format!("/usr/bin/{name}")], 1, why);
    }
    let tree = tree.program("usr/bin/wasmtime", answer("wasmtime 1")).mode("usr/bin/wasmtime", 0o777);
    refuse(&tree, &["wasm32-wasi", "--emulator", "wasmtime"], 1, "may be written by others");
}

/// A static emulator gets flag F. One that does not run the probe is undone.
#[sandboxed]
fn an_emulator_that_runs_nothing_is_undone() {
    let tree = Tree::new().program("usr/bin/wasmtime", liar("wasmtime 1", LiarBehavior::DoNothing));
    let before = tree.snapshot();
    tree.run(&["register", "wasm32-wasi", "--dry-run"]).exits(0).prints("would register   wasm32-wasi (flags F)");
    tree.run(&["register", "wasm32-wasi"])
        .exits(1)
        .says("wasm32-wasi was registered but does not work: the probe ended with exit status: 0")
        .says("try another emulator");
    before.is_restored_in(&tree);
    assert!(!tree.text(NIX_CONF).contains("include"));
}

/// WSL's entry takes the programs of Windows. It is only overruled on request.
#[sandboxed]
fn the_entry_of_another_tool_is_kept() {
    let tree = Tree::new().program("usr/bin/wine", liar("wine-8.0", LiarBehavior::DoNothing)).mounted();
    let tree = tree.entry(":WSLInterop:M::MZ::/bin/true:P");
    let before = tree.snapshot();
    tree.run(&["register", "x86_64-windows"])
        .exits(3)
        .says("the entry WSLInterop takes the programs of x86_64-windows")
        .says("--force");
    before.is_unchanged_in(&tree);
    tree.run(&["register", "x86_64-windows", "--force", "--dry-run"])
        .exits(0)
        .prints("would register   x86_64-windows");
}

/// A script that answers like box64, and runs programs by the real QEMU.
fn with_box64(end: &str) -> Tree {
    let script = format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo '[BOX64] Box64 v0'; exit; }}\n{end}\n");
    Tree::new().program("usr/bin/box64", script).program("bin/sh", "")
}

#[sandboxed]
fn another_emulator_of_linux_is_judged_proven_and_undone() {
    let tree = with_box64(&format!("exec {} \"$@\"", qemu("riscv64").display()));
    let fresh = tree.snapshot();
    let args = ["register", "riscv64", "--emulator", "/usr/bin/box64"];
    let done = tree.run(&args).exits(0).prints("box64-riscv64: registered, tested").says("libraries of this machine");
    drop(done.says("is not held by flag F, so F is not used"));
    assert_eq!(status_of(&probe("riscv64"), &[]), Some(0));
    assert!(tree.text(OWN_CONF).contains("extra-extra-platforms = riscv64-linux\n"), "{}", tree.text(OWN_CONF));
    tree.run(&args).exits(0).prints("box64-riscv64: already registered, tested");
    let doctor = tree.run(&["doctor", "--json"]).json();
    let ids: Vec<_> = doctor["findings"].as_array().unwrap().iter().map(|finding| finding["id"].clone()).collect();
    assert_eq!(ids, ["no-fix-binary"], "{doctor:#}");
    let repairs =
        json!(["binfmt-nix --root /tree unregister box64-riscv64", "binfmt-nix --root /tree register riscv64"]);
    assert_eq!(doctor["findings"][0]["repair"], repairs);
    let status = tree.status();
    assert_eq!(status["systems"][0]["repair"][0], repairs[0], "{status:#}");
    for line in repairs.as_array().unwrap() {
        let options =
            if *line == repairs[0] { String::new() } else { format!(" --qemu {}", qemu("riscv64").display()) };
        drop(paste(&format!("{}{options}", line.as_str().unwrap())).exits(0));
    }
    assert_eq!(tree.entries(), ["qemu-riscv64"]);
    tree.run(&["doctor"]).exits(0);
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
    let config = outside("y.toml", b"systems = [\"box64-riscv64\"]\n");
    tree.run(&["apply", "--config", config.to_str().unwrap()]).exits(0).prints("box64-riscv64: registered, tested");
    tree.run(&["unregister", "all"]).exits(0);
    fresh.is_restored_in(&tree);
    // QEMU's entry is kept, and the other emulator takes precedence over it on request.
    tree.register("riscv64").exits(0);
    let registered = tree.snapshot();
    tree.run(&args).exits(3).says("the entry qemu-riscv64 takes the programs of riscv64").says("--force");
    registered.is_unchanged_in(&tree);
    tree.run(&[&args[..], &["--force"]].concat()).exits(0).prints("box64-riscv64: registered, tested");
    // The lost entry is registered again without that option, in both ways.
    let forced = tree.entries();
    for by_hand in [true, false] {
        tree.write_kernel("box64-riscv64", "-1");
        let doctor = tree.run(&["doctor", "--json"]).exits(3).json();
        let lost = doctor["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "entry-gone").unwrap();
        if by_hand {
            drop(paste(lost["repair"][0].as_str().unwrap()).exits(0));
        } else {
            drop(tree.run(&["doctor", "--fix"]));
        }
        assert_eq!(tree.entries(), forced);
    }
    tree.unregister("box64-riscv64").exits(0);
    assert!(tree.runs("riscv64"));
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn another_emulator_of_linux_that_cannot_be_used_is_refused() {
    let tree = with_box64("");
    let before = tree.snapshot();
    for (args, code, why) in [
        (&["riscv64", "--emulator", "/usr/bin/box64"][..], 1, "box64-riscv64 was registered but does not work"),
        (&["riscv64", "--emulator", "box64"], 2, "it is not known as an emulator of riscv64; box64, fex, rosetta"),
        (&["box64-x86_64", "--emulator", "fex"], 2, "it is not known as an emulator of box64-x86_64"),
        (&["x86_64", "--emulator", "box64"], 2, "without an emulator"),
        (&["i386", "--emulator", "/usr/bin/box64"], 2, "without an emulator"),
        (&["x86_64", "--emulator", "rosetta"], 1, "x86_64 has no emulator that can be used: rosetta was not found"),
        (&["x86_64", "--emulator", "/bin/sh"], 1, "/bin/sh is neither a program nor a script"),
        (&["--rule", ":box64-riscv64:E::x::/usr/bin/box64:"], 1, "its name belongs to the system riscv64"),
    ] {
        tree.run(&[&["register"], args].concat()).exits(code).says(why);
        before.is_restored_in(&tree);
    }
}

/// What other commands do with such a system, or what is to be typed instead.
#[sandboxed]
fn commands_for_systems_of_qemu_know_other_systems() {
    let script = |end: &str| format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo wasmtime 1; exit; }}\n{end}\n");
    let tree = with_script();
    let fresh = tree.snapshot();
    let test = |code| tree.run(&["test", "wasm32-wasi"]).exits(code);
    let repair = |done: Done| done.out.lines().find_map(|line| line.split_once("repair: ")).unwrap().1.to_owned();
    let missing = test(3).prints("FAILED   started directly: no entry takes its programs");
    drop(paste(&repair(missing)).exits(0).prints("wasm32-wasi: registered, tested"));
    test(0).prints("wasm32-wasi: wasm32-wasi, flags none, by binfmt-nix").prints("proven   a program ran");
    let json = tree.run(&["test", "wasm32-wasi", "--json"]).exits(0).json();
    assert_eq!((&json["proven"], &json["systems"][0]["system"]), (&json!(true), &json!("wasm32-wasi")));
    tree.run(&["test", "wasm32-wasi", "aarch64"]).exits(3).prints("aarch64: no entry").prints("proven   a program ran");
    tree.run(&["test", "wasm32-wasi", "--nix"]).exits(2).says("--nix");
    // Another tool's entry may have an interpreter of another user.
    tree.enter(":theirs:M::\\x00asm::/bin/true:");
    let taken = "FAILED   started directly: the entry theirs takes its programs, and only that of a rule is run";
    let above = repair(test(3).prints(taken));
    tree.run(&["register", "wasm32-wasi"]).exits(3).says("--force");
    drop(paste(&above).exits(0).prints("wasm32-wasi: registered, tested"));
    test(0).prints("proven   a program ran");
    assert_eq!(tree.entries(), ["wasm32-wasi", "theirs"], "newest first");
    tree.write_kernel("theirs", "-1");
    tree.write("usr/bin/wasmtime", script("exit 3"));
    let broken = repair(test(3).prints("FAILED   started directly: the probe ended with exit status: 3"));
    tree.write("usr/bin/wasmtime", script("exit 41"));
    let command = |done: Done| done.err.lines().find_map(|line| line.split_once(", run: ")).unwrap().1.to_owned();
    let off = tree.run(&["disable", "wasm32-wasi"]).exits(2).says("wasm32-wasi is a rule without QEMU; to turn it off");
    assert_eq!(command(off), broken);
    drop(paste(&broken).exits(0).prints("wasm32-wasi: unregistered"));
    assert!(tree.entries().is_empty() && tree.snapshot().is_like(&fresh));
    let on = tree.run(&["enable", "wasm32-wasi"]).exits(2).says("wasm32-wasi is a rule without QEMU; to turn it on");
    drop(paste(&command(on)).exits(0).prints("wasm32-wasi: registered, tested"));
    let run = Done::from(tool(&["run", "-s", "wasm32-wasi", "--", "/bin/true"]).output().unwrap()).exits(2);
    drop(run.says("run brings QEMU alone").says("register wasm32-wasi"));
    // As the message says.
    usual_proc();
    mount(None::<&str>, "/proc/sys/fs/binfmt_misc", Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    let qemu = qemu("aarch64");
    let args = ["run", "-s", "aarch64", "--qemu", qemu.to_str().unwrap(), "--"];
    let module = sample("a.wasm", "wasm32-wasi");
    drop(Done::from(tool(&args).arg(module).output().unwrap()).exits(OtherSystem::PROBE_STATUS));
    tree.unregister("all").exits(0);
    assert!(tree.snapshot().is_like(&fresh));
}

#[sandboxed]
fn a_system_that_a_rule_runs_is_turned_off_by_the_rule() {
    let tree = with_box64(&format!("exec {} \"$@\"", qemu("riscv64").display()));
    tree.run(&["register", "riscv64", "--emulator", "/usr/bin/box64"]).exits(0);
    tree.run(&["test", "box64-riscv64"]).exits(0).prints("proven   a program ran");
    for command in ["disable", "enable", "upgrade"] {
        let refused = tree.run(&[command, "riscv64"]).exits(3);
        let refused = refused.says("riscv64 is not registered with QEMU: the rule box64-riscv64 runs its programs");
        if command == "upgrade" {
            let line = refused.err.lines().find_map(|line| line.split_once(", run: ")).unwrap().1;
            drop(paste(line).exits(0).prints("box64-riscv64: unregistered"));
        }
    }
}
