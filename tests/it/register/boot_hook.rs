//! The boot hook: the exact plan for each init system, and the scripts themselves, run by a real shell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::binfmt::userns::{bind, memory};
use crate::diagnose::doctor::running_host::{TABLE, usual_proc};
use crate::diagnose::situations::commands::paste;
use crate::support::Tree;
use crate::support::emulators::debian_program;
use crate::support::output::{Done, tool, tool_path};
use crate::support::runs::{Emulators, Run};
use crate::support::sandbox::with_all_users;

const PROGRAM: &str = "/usr/local/libexec/binfmt-nix/bin/binfmt-nix";
const SCRIPT: &str = "/etc/init.d/binfmt-nix";

/// A machine with this init system and, as on Debian, with the files of systemd beside it.
struct Machine {
    name: &'static str,
    make: fn() -> Tree,
    /// Steps of the hook, each with its verb.
    steps: &'static [&'static str],
}

const MACHINES: &[Machine] = &[
    Machine { name: "Debian with systemd", make: systemd, steps: &[] },
    Machine {
        name: "systemd without systemd-binfmt",
        make: || systemd().without("usr/lib/systemd/systemd-binfmt"),
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/systemd/system/binfmt-nix.service",
            "link /etc/systemd/system/multi-user.target.wants/binfmt-nix.service -> ../binfmt-nix.service",
        ],
    },
    Machine {
        name: "systemd without systemd-binfmt, and the unit of a package is enabled",
        make: || {
            let link = "etc/systemd/system/multi-user.target.wants/binfmt-nix.service";
            let tree =
                systemd().without("usr/lib/systemd/systemd-binfmt").dir("etc/systemd/system/multi-user.target.wants");
            tree.link(link, "/usr/lib/systemd/system/binfmt-nix.service")
        },
        steps: &["place /usr/local/libexec/binfmt-nix/bin/binfmt-nix", "write /etc/systemd/system/binfmt-nix.service"],
    },
    Machine {
        name: "Debian with sysvinit",
        make: sysvinit,
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/init.d/binfmt-nix",
            "link /etc/rc2.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc3.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc4.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc5.d/S99binfmt-nix -> ../init.d/binfmt-nix",
        ],
    },
    Machine {
        name: "Debian with runit",
        make: || {
            let tree =
                Tree::new().dir("sbin").program("lib/runit/runit-init", "").link("sbin/init", "/lib/runit/runit-init");
            tree.program("etc/runit/2", "#!/bin/sh\n/lib/runit/run_sysv_scripts '/etc/rc2.d'\n")
        },
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/init.d/binfmt-nix",
            "link /etc/rc2.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc3.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc4.d/S99binfmt-nix -> ../init.d/binfmt-nix",
            "link /etc/rc5.d/S99binfmt-nix -> ../init.d/binfmt-nix",
        ],
    },
    Machine {
        name: "Debian with OpenRC, which the init of sysvinit starts",
        make: || sysvinit().program("etc/init.d/rc", "exec /sbin/openrc default\n"),
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/init.d/binfmt-nix",
            "link /etc/runlevels/default/binfmt-nix -> /etc/init.d/binfmt-nix",
        ],
    },
    Machine {
        name: "Alpine, whose binfmt service is in no runlevel",
        make: || alpine().file("etc/init.d/binfmt", "#!/sbin/openrc-run\n"),
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/init.d/binfmt-nix",
            "link /etc/runlevels/default/binfmt-nix -> /etc/init.d/binfmt-nix",
        ],
    },
    Machine {
        name: "Alpine, whose binfmt service is in a runlevel",
        make: || {
            let tree = alpine().file("etc/init.d/binfmt", "#!/sbin/openrc-run\n").dir("etc/runlevels/boot");
            tree.link("etc/runlevels/boot/binfmt", "/etc/init.d/binfmt")
        },
        steps: &[],
    },
    Machine {
        name: "Void",
        make: || {
            let tree = Tree::new().without("usr/lib/systemd").program("usr/bin/runit-init", "").dir("usr/sbin");
            let tree = tree.link("sbin", "usr/bin").link("usr/bin/init", "runit-init").dir("etc/runit/core-services");
            tree.program("etc/runit/1", "for f in /etc/runit/core-services/*.sh; do\n [ -r $f ] && . $f\ndone\n")
        },
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/runit/core-services/90-binfmt-nix.sh",
        ],
    },
    Machine {
        name: "Buildroot",
        make: || {
            let tree = Tree::new().without("usr/lib/systemd").program("bin/busybox", "").dir("sbin");
            let tree = tree.link("sbin/init", "../bin/busybox").file("etc/inittab", "::sysinit:/etc/init.d/rcS\n");
            tree.program("etc/init.d/rcS", "for i in /etc/init.d/S??* ;do\n $i start\ndone\n")
        },
        steps: &["place /usr/local/libexec/binfmt-nix/bin/binfmt-nix", "write /etc/init.d/S99binfmt-nix"],
    },
    Machine {
        name: "WSL without systemd",
        make: || wsl("[user]\ndefault = joe\n"),
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "edit /etc/wsl.conf: add \"command = /usr/local/libexec/binfmt-nix/bin/binfmt-nix restore\"",
        ],
    },
    Machine {
        name: "s6 with cron",
        make: || s6().program("usr/sbin/cron", "").dir("etc/cron.d"),
        steps: &["place /usr/local/libexec/binfmt-nix/bin/binfmt-nix", "write /etc/cron.d/binfmt-nix"],
    },
    Machine {
        name: "Chimera, whose dinit reads binfmt.d",
        make: || {
            let tree = Tree::new().without("usr/lib/systemd").program("usr/bin/dinit", "").dir("sbin");
            tree.link("sbin/init", "../usr/bin/dinit").program("usr/lib/dinit.d/early/helpers/binfmt", "")
        },
        steps: &[],
    },
];

/// The unit that packages have, enabled by hand where systemd-binfmt does not run.
#[sandboxed]
fn the_unit_of_a_package_registers_at_boot() {
    let wants = "etc/systemd/system/multi-user.target.wants";
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/binfmt-nix.service"));
    let tree = systemd().with_interpreter().program("usr/bin/binfmt-nix", "").dir(wants);
    let tree = tree.file("usr/lib/systemd/system/binfmt-nix.service", unit.unwrap());
    tree.register("aarch64").exits(0);
    fs::remove_file(tree.path("usr/lib/systemd/systemd-binfmt")).unwrap();
    tree.run(&["doctor"]).exits(3);
    let tree = tree.link(&format!("{wants}/binfmt-nix.service"), "/usr/lib/systemd/system/binfmt-nix.service");
    tree.run(&["doctor"]).exits(0);
    // Another unit comes before it.
    let tree = tree.file("etc/systemd/system/binfmt-nix.service", "[Service]\nExecStart=/bin/true\n");
    tree.run(&["doctor"]).exits(3);
}

fn systemd() -> Tree {
    Tree::new().program("usr/lib/systemd/systemd", "").dir("sbin").link("sbin/init", "/usr/lib/systemd/systemd")
}

pub(crate) fn sysvinit() -> Tree {
    let tree = Tree::new().program("sbin/init", "").dir("etc/init.d");
    ["rc2.d", "rc3.d", "rc4.d", "rc5.d"].iter().fold(tree, |tree, dir| tree.dir(&format!("etc/{dir}")))
}

fn alpine() -> Tree {
    let tree = Tree::new().without("usr/lib/systemd").program("bin/busybox", "").dir("sbin");
    tree.link("sbin/init", "/bin/busybox").file("etc/inittab", "::sysinit:/sbin/openrc sysinit\n").dir("etc/init.d")
}

fn wsl(conf: &str) -> Tree {
    let tree = Tree::new().file("proc/sys/kernel/osrelease", "6.6.87.2-microsoft-standard-WSL2\n");
    // The entry that runs Windows programs.
    tree.mounted().entry(":WSLInterop:M::MZ::/bin/true:P").file("etc/wsl.conf", conf)
}

fn s6() -> Tree {
    let tree = Tree::new().without("usr/lib/systemd").program("etc/s6-linux-init/current/bin/init", "").dir("sbin");
    tree.link("sbin/init", "/etc/s6-linux-init/current/bin/init")
}

pub(crate) fn steps(report: &Value) -> Vec<String> {
    let text = |step: &Value| format!("{} {}", step["verb"].as_str().unwrap(), step["what"].as_str().unwrap());
    report["steps"].as_array().unwrap().iter().map(text).collect()
}

/// The file of the package belongs to root, so it is trusted only where the machine's root is root.
const PACKAGED: Machine = Machine {
    name: "Debian with sysvinit and the program of a package",
    make: || {
        let tree = sysvinit().program("usr/bin/binfmt-nix", "");
        bind(Path::new(tool_path()), &tree.path("usr/bin/binfmt-nix"));
        tree
    },
    steps: &[
        "write /etc/init.d/binfmt-nix",
        "link /etc/rc2.d/S99binfmt-nix -> ../init.d/binfmt-nix",
        "link /etc/rc3.d/S99binfmt-nix -> ../init.d/binfmt-nix",
        "link /etc/rc4.d/S99binfmt-nix -> ../init.d/binfmt-nix",
        "link /etc/rc5.d/S99binfmt-nix -> ../init.d/binfmt-nix",
    ],
};

#[track_caller]
pub(crate) fn register(tree: &Tree, options: &[&str]) -> Done {
    let args = Run::Register.args(Emulators::Small);
    let args: Vec<&str> = args.iter().map(String::as_str).chain(options.iter().copied()).collect();
    tree.run(&args)
}

#[sandboxed]
fn every_init_system_gets_exactly_its_hook() {
    MACHINES.iter().for_each(gets_exactly_its_hook);
}

#[sandboxed]
fn the_program_of_a_package_is_not_copied() {
    with_all_users();
    gets_exactly_its_hook(&PACKAGED);
}

#[track_caller]
fn gets_exactly_its_hook(machine: &Machine) {
    let tree = (machine.make)();
    let before = tree.snapshot();
    let planned = register(&tree, &["--dry-run", "--json"]).exits(0).json();
    before.is_untouched_in(&tree);
    // Between the boot file and the entry.
    let all: Vec<_> = steps(&planned).into_iter().filter(|step| !step.starts_with("create ")).collect();
    let start = all.iter().position(|step| step.contains("zz-binfmt-nix-aarch64.conf")).unwrap() + 1;
    let end = all.iter().position(|step| step.starts_with("register ")).unwrap();
    assert_eq!(all[start..end], *machine.steps, "{}: {all:#?}", machine.name);
    let done = register(&tree, &[]).exits(0);
    let is_noted = done.err.contains("no boot has tested this yet");
    assert_eq!(is_noted, !machine.steps.is_empty(), "{}: {done:#?}", machine.name);
    let complete = tree.snapshot();
    register(&tree, &[]).exits(0).prints("already registered").omits("will start");
    complete.is_unchanged_in(&tree);
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["boot"]["hook"].is_null(), machine.steps.is_empty(), "{}: {status:#}", machine.name);
    assert_eq!(status["boot"]["problem"], Value::Null, "{}: {status:#}", machine.name);
    let found = tree.run(&["doctor", "--json"]).exits(0).json();
    assert_eq!(found["findings"], serde_json::json!([]), "{}: {found:#}", machine.name);
    tree.unregister("aarch64").exits(0);
    assert_eq!(before.unrestored_in(&tree), "", "{}", machine.name);
    tree.discard();
}

#[sandboxed]
fn where_no_hook_is_possible_register_reports_the_reason() {
    for (make, reason) in [
        (s6 as fn() -> Tree, "binfmt-nix has no boot script for s6"),
        (|| wsl("[boot]\ncommand = service docker start\n"), "starts another command already: service docker start"),
    ] {
        let tree = make();
        let before = tree.snapshot();
        register(&tree, &[]).exits(3).prints("aarch64: registered, proven").says(reason);
        register(&tree, &[]).exits(3).says(reason);
        register(&tree, &["--no-persist"]).exits(0).omits(reason);
        tree.unregister("all").exits(0);
        before.is_restored_in(&tree);
        tree.discard();
    }
}

/// startpar ignores links of scripts that are not in its list. In a tree insserv is not run.
#[sandboxed]
fn a_list_of_scripts_in_a_tree_is_reported() {
    let tree = sysvinit().file("etc/init.d/.depend.start", "TARGETS = cron\n");
    register(&tree, &[]).exits(3).says("run: chroot /tree update-rc.d binfmt-nix defaults");
    tree.write("etc/init.d/.depend.start", "TARGETS = cron binfmt-nix\n");
    register(&tree, &[]).exits(0);
    // insserv has given the link another number.
    fs::rename(tree.path("etc/rc2.d/S99binfmt-nix"), tree.path("etc/rc2.d/S03binfmt-nix")).unwrap();
    register(&tree, &[]).exits(0).prints("already registered");
    assert_eq!(tree.run(&["status", "--json"]).json()["boot"]["hook"], "/etc/init.d/binfmt-nix");
    tree.unregister("all").exits(0);
    assert!(!tree.exists("etc/rc2.d/S03binfmt-nix"));
}

/// The command of the warning in a chroot with Debian's own programs: the list then has the script.
#[sandboxed]
fn the_list_of_scripts_in_a_tree_is_written_by_the_proposed_command() {
    const MACHINE: [&str; 5] = ["usr/bin", "usr/lib", "bin", "lib", "lib64"];
    let tree = sysvinit().file("etc/init.d/.depend.start", "TARGETS = cron\n");
    let reported = register(&tree, &[]).exits(3);
    let line = reported.err.lines().find_map(|line| Some(line.split_once(", run: ")?.1)).unwrap();
    let copy = |from: PathBuf, to: &str| assert!(fs::copy(from, tree.path(to)).unwrap() > 0, "{to} is empty");
    fs::create_dir_all(tree.path("usr/sbin")).unwrap();
    copy(debian_program("sbin/insserv"), "sbin/insserv");
    copy(debian_program("etc/insserv.conf"), "etc/insserv.conf");
    copy("/usr/sbin/update-rc.d".into(), "usr/sbin/update-rc.d");
    for dir in MACHINE {
        fs::create_dir_all(tree.path(dir)).unwrap();
        bind(&Path::new("/").join(dir), &tree.path(dir));
    }
    paste(line).exits(0);
    for dir in MACHINE {
        umount2(&tree.path(dir), MntFlags::MNT_DETACH).unwrap();
    }
    assert_eq!(tree.text("etc/init.d/.depend.start").lines().next(), Some("TARGETS = binfmt-nix"));
    assert!(tree.exists("etc/rc2.d/S01binfmt-nix") && !tree.exists("etc/rc2.d/S99binfmt-nix"));
    register(&tree, &[]).exits(0).prints("already registered").omits("update-rc.d");
    tree.unregister("all").exits(0);
    assert!(!tree.exists("etc/rc2.d/S01binfmt-nix"));
}

#[sandboxed]
fn the_last_system_takes_the_hook_with_it() {
    let tree = sysvinit();
    let before = tree.snapshot();
    register(&tree, &[]).exits(0);
    let second = Run::RegisterSecond.args(Emulators::Small);
    tree.run(&second.iter().map(String::as_str).collect::<Vec<_>>()).exits(0).omits("bin/binfmt-nix");
    tree.unregister("aarch64").exits(0);
    assert!(tree.exists("etc/init.d/binfmt-nix") && tree.exists(&PROGRAM[1..]));
    tree.unregister("riscv64").exits(0);
    before.is_restored_in(&tree);
    // Without the receipt, too.
    register(&tree, &[]).exits(0);
    tree.remove("var/lib/binfmt-nix");
    tree.unregister("all").exits(0);
    for path in ["etc/init.d/binfmt-nix", "etc/rc2.d/S99binfmt-nix", &PROGRAM[1..]] {
        assert!(!tree.exists(path), "{path}");
    }
}

/// Makes the tree's files those of the running machine.
fn enter(tree: &Tree) {
    with_all_users();
    for dir in ["/etc", "/usr/local", "/var/lib"] {
        bind(&tree.path(&dir[1..]), Path::new(dir));
    }
    memory(Path::new("/run"));
    usual_proc();
    if Path::new(TABLE).join("register").exists() {
        memory(Path::new(TABLE));
    }
}

fn has_entry() -> bool {
    Path::new(TABLE).join("qemu-aarch64").exists()
}

/// Removes all entries of the table, and its mount, as a restart does.
fn restart() {
    mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(Path::new(TABLE).join("status"), "-1").unwrap();
    while Path::new(TABLE).join("register").exists() {
        umount2(TABLE, MntFlags::empty()).unwrap();
    }
}

#[track_caller]
fn shell(line: &str) -> Done {
    Command::new("/bin/sh").args(["-c", line]).env_clear().stdin(Stdio::null()).output().unwrap().into()
}

/// The script of sysvinit on a machine whose table is empty, as after a restart.
#[sandboxed]
fn the_script_of_sysvinit_restores_the_entry() {
    let tree = sysvinit();
    register(&tree, &[]).exits(0);
    enter(&tree);
    restart();
    assert!(!has_entry() && !tree.runs("aarch64"));
    shell(&format!("{SCRIPT} status")).exits(3);
    shell(&format!("{SCRIPT} start --force-sysv")).exits(0).prints("aarch64: registered");
    assert!(has_entry() && tree.runs("aarch64"));
    shell(&format!("{SCRIPT} status")).exits(0);
    shell(&format!("{SCRIPT} start")).exits(0).prints("nothing is missing");
    shell(&format!("{SCRIPT} stop")).exits(0);
    assert!(has_entry());
    shell(SCRIPT).exits(2).says("usage:");
    // Only the missing entry is registered, and nothing is registered that was changed.
    fs::write(Path::new(TABLE).join("qemu-aarch64"), "-1").unwrap();
    fs::write("/etc/binfmt.d/zz-binfmt-nix-aarch64.conf", ":qemu-aarch64:E::x::/bin/sh:\n").unwrap();
    shell(&format!("{SCRIPT} start")).exits(3).says("zz-binfmt-nix-aarch64.conf was changed after binfmt-nix made it");
    assert!(!has_entry());
    // What the administrator removed or hid stays so.
    fs::remove_file("/etc/binfmt.d/zz-binfmt-nix-aarch64.conf").unwrap();
    shell(&format!("{SCRIPT} start")).exits(0).prints("nothing is missing");
    std::os::unix::fs::symlink("/dev/null", "/etc/binfmt.d/zz-binfmt-nix-aarch64.conf").unwrap();
    shell(&format!("{SCRIPT} start")).exits(0).prints("nothing is missing");
    assert!(!has_entry());
    shell(&format!("rm {PROGRAM}; {SCRIPT} start")).exits(5);
}

/// What `restore` made after a restart is removed by `unregister`, the mount of the table included.
#[sandboxed]
fn what_was_restored_is_undone() {
    let tree = sysvinit();
    let before = tree.snapshot_of("etc");
    register(&tree, &[]).exits(0);
    enter(&tree);
    restart();
    shell(&format!("{SCRIPT} start")).exits(0);
    drop(Done::from(tool(&["unregister", "all"]).output().unwrap()).exits(0));
    assert!(!Path::new(TABLE).join("register").exists());
    assert!(!Path::new("/usr/local/libexec").exists() && !Path::new("/var/lib/binfmt-nix").exists());
    let names = |all: Vec<(String, Vec<u8>)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(tree.snapshot_of("etc")), names(before));
}

/// The first stage of Void's runit reads its script, cron starts its line, and both end well without the program.
#[sandboxed]
fn the_scripts_of_runit_and_cron_restore_the_entry() {
    for name in ["Void", "s6 with cron"] {
        let machine = MACHINES.iter().find(|machine| machine.name == name).unwrap();
        let tree = (machine.make)();
        register(&tree, &[]).exits(0);
        enter(&tree);
        restart();
        if name == "Void" {
            shell("set -e; . /etc/runit/core-services/90-binfmt-nix.sh; echo goes on").exits(0).prints("goes on");
        } else {
            let table = fs::read_to_string("/etc/cron.d/binfmt-nix").unwrap();
            let line = table.lines().find_map(|line| line.strip_prefix("@reboot root ")).unwrap();
            assert_eq!(shell(line).exits(0).out, "");
        }
        assert!(has_entry(), "{name}");
        drop(Done::from(tool(&["unregister", "all"]).output().unwrap()).exits(0));
        for dir in ["/etc", "/usr/local", "/var/lib"] {
            umount2(dir, MntFlags::MNT_DETACH).unwrap();
        }
        tree.discard();
    }
}

#[sandboxed]
fn restore_refuses_what_another_tool_has_replaced() {
    let tree = sysvinit().mounted();
    register(&tree, &[]).exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    tree.enter(":qemu-aarch64:E::theirs::/bin/true:");
    tree.run(&["restore"]).exits(3).says("another entry has the name qemu-aarch64: :qemu-aarch64:E");
    tree.write_kernel("qemu-aarch64", "-1");
    tree.run(&["restore", "--check", "--json"]).exits(3);
    let report = tree.run(&["restore", "--json"]).exits(0).json();
    assert_eq!(
        report,
        serde_json::json!({
            "version": 1, "present": [], "missing": ["aarch64"], "disabled": [], "mounted": false, "findings": []
        })
    );
    assert!(tree.runs("aarch64"));
    // An emulator that was replaced since is not trusted.
    tree.write_kernel("qemu-aarch64", "-1");
    tree.append("usr/local/libexec/binfmt-nix/bin/qemu-aarch64", "x");
    tree.run(&["restore"]).exits(3).says("qemu-aarch64 was changed after binfmt-nix made it");
    assert!(!tree.runs("aarch64"));
    // A machine without a receipt.
    let tree = {
        tree.discard();
        Tree::new()
    };
    tree.run(&["restore"]).exits(0).prints("nothing is missing");
}
