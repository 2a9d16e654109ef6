//! `register` and `unregister` from start to end: programs of another system run, and then every byte is restored.

use std::fs;
use std::path::Path;
use std::process::Command;

use binfmt_magic::{Arch, Entry, Rule};

use crate::support::Tree;
use crate::support::emulators::busybox;
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF, RECEIPT, ROOT, TABLE};

#[sandboxed]
fn a_program_of_another_system_runs_after_register() {
    let tree = Tree::new();
    assert!(!tree.runs("aarch64"));
    tree.register("aarch64").exits(0).prints("aarch64: registered, proven").prints("unregister aarch64");
    assert!(tree.is_mounted());
    assert!(tree.runs("aarch64"));
    assert!(!tree.runs("riscv64"));
}

#[sandboxed]
fn the_kernel_shows_the_expected_entry() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let text = tree.read(&format!("{TABLE}/qemu-aarch64"));
    let entry = Entry::parse("qemu-aarch64", &text).unwrap();
    assert!(entry.enabled);
    assert_eq!(entry.rule.flags.to_string(), "PF");
    assert_eq!(entry.rule.pattern(), Some(&Arch::find("aarch64").unwrap().pattern()));
    assert_eq!(entry.rule.interpreter, format!("{ROOT}/{EMULATOR}").as_bytes());
}

#[sandboxed]
fn files_have_the_documented_paths_and_modes() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    check_modes(&tree);
    assert_eq!(tree.read(EMULATOR), fs::read(crate::support::qemu("aarch64")).unwrap());
    let boot = tree.text(BOOT);
    let lines: Vec<_> = boot.lines().filter(|line| !line.starts_with('#')).collect();
    let rule = Rule::parse(lines[0].as_bytes()).unwrap();
    assert_eq!((lines.len(), rule.name.as_str()), (1, Some("qemu-aarch64")));
    assert_eq!(rule.interpreter, format!("/{EMULATOR}").as_bytes());
    assert_eq!(rule.flags.to_string(), "PF");
}

fn check_modes(tree: &Tree) {
    for (path, mode) in [(EMULATOR, 0o755), (BOOT, 0o644), (OWN_CONF, 0o644), (RECEIPT, 0o644)] {
        assert_eq!(tree.mode_of(path), mode, "{path}");
    }
    for dir in
        ["usr/local/libexec/binfmt-nix", "usr/local/libexec/binfmt-nix/bin", "etc/binfmt.d", "var/lib/binfmt-nix"]
    {
        assert_eq!(tree.mode_of(dir), 0o755, "{dir}");
    }
}

#[sandboxed]
fn a_umask_does_not_change_the_modes() {
    // Nothing reads boot rules here, so the exit status is 3 without --no-persist.
    let tree = Tree::on("mode=755").dir("proc/sys/fs/binfmt_misc").dir("nix/store").dir("usr/lib/systemd");
    let tree = tree.mode("usr/lib", 0o755).file("usr/lib/systemd/systemd-binfmt", "");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    tree.register("aarch64").exits(0);
    check_modes(&tree);
    for path in ["usr", "usr/local", "var", "var/lib", "etc", "etc/nix", "run"] {
        assert_eq!(tree.mode_of(path), 0o755, "{path}");
    }
    assert_eq!(tree.mode_of(NIX_CONF), 0o644);
}

#[sandboxed]
fn a_real_program_runs_in_an_empty_chroot() {
    let busybox = busybox();
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let chroot = Path::new(SCRATCH).join("room");
    fs::create_dir(&chroot).unwrap();
    fs::copy(&busybox, chroot.join("busybox")).unwrap();
    // Busybox chooses its applet by argv[0].
    let output = itself("chroot").unwrap().arg(&chroot).args(["/busybox", "pwd"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/\n", "{output:?}");
    let output = Command::new(chroot.join("busybox")).args(["uname", "-m"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "aarch64\n", "{output:?}");
}

#[sandboxed]
fn the_exit_status_of_a_program_is_kept() {
    let busybox = busybox();
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let output = Command::new(busybox).args(["sh", "-c", "exit 7"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
}

#[sandboxed]
fn register_configures_nix() {
    let tree = Tree::new().nix_conf("sandbox = true\n");
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n!include binfmt-nix.conf\n");
    assert_eq!(
        tree.settings(),
        [
            "extra-extra-platforms = aarch64-linux",
            "extra-sandbox-paths = /usr/local/libexec/binfmt-nix/bin/qemu-aarch64?"
        ]
    );
}

#[sandboxed]
fn every_nix_system_of_a_guest_is_configured() {
    let tree = Tree::new();
    tree.register("arm").exits(0);
    let platforms = tree.settings()[0].clone();
    for system in ["armv7l-linux", "armv6l-linux", "armv5tel-linux"] {
        assert!(platforms.split(' ').any(|word| word == system), "{system} is not in {platforms}");
    }
}

#[sandboxed]
fn registering_again_changes_nothing() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0).prints("aarch64: already registered, proven").omits("undo with");
    before.is_unchanged_in(&tree);
    // Without --qemu the result is the same: the installed copy is the first candidate.
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn unregister_restores_every_byte() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0).prints("aarch64: unregistered");
    before.is_restored_in(&tree);
    assert!(!tree.runs("aarch64"));
}

#[sandboxed]
fn unregistering_again_changes_nothing() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0);
    let before = tree.snapshot();
    tree.unregister("aarch64").exits(0).prints("aarch64: was not registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn unregister_without_a_registration_changes_nothing() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.unregister("aarch64").exits(0);
    tree.unregister("all").exits(0).prints("nothing is registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn unregister_keeps_the_other_system() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux riscv64-linux");
    tree.unregister("aarch64").exits(0);
    assert!(tree.runs("riscv64") && !tree.runs("aarch64"));
    assert_eq!(tree.entries(), ["qemu-riscv64"]);
    assert!(!tree.exists(BOOT) && tree.exists("etc/binfmt.d/zz-binfmt-nix-riscv64.conf"));
    assert!(!tree.exists(EMULATOR) && tree.exists("usr/local/libexec/binfmt-nix/bin/qemu-riscv64"));
    assert_eq!(tree.settings()[0], "extra-extra-platforms = riscv64-linux");
    assert!(!tree.text(OWN_CONF).contains("aarch64"));
    tree.unregister("riscv64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn three_names_of_one_system_register_it_once() {
    let tree = Tree::new();
    let qemu = crate::support::qemu("aarch64");
    let names = ["register", "arm64", "linux/arm64", "aarch64-linux", "--qemu", qemu.to_str().unwrap()];
    tree.run(&names).exits(0).prints("aarch64: registered");
    tree.unregister("aarch64-unknown-linux-gnu").exits(0).prints("aarch64: unregistered");
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn a_table_that_was_mounted_before_stays_mounted() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn directories_that_existed_before_stay() {
    let tree = Tree::new().dir("etc/binfmt.d").dir("usr/local/libexec/binfmt-nix/bin").dir("var/lib/binfmt-nix");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// `systemctl restart systemd-binfmt` starts with this.
#[sandboxed]
fn register_restores_the_entry_after_a_flush() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write_kernel("status", "-1");
    assert!(!tree.runs("aarch64"));
    tree.run(&["register", "aarch64"]).exits(0).prints("aarch64: registered, proven");
    assert!(tree.runs("aarch64"));
    tree.write_kernel("status", "-1");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn register_enables_a_disabled_entry() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "0");
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// Any user can enter the directory of the table.
#[sandboxed]
fn a_table_that_another_user_is_in_is_unmounted_later() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let mut stranger = itself("stranger").unwrap();
    let stranger = stranger.args(["/bin/sleep", "600"]).current_dir(tree.path(TABLE)).spawn();
    let mut stranger = stranger.unwrap();
    tree.unregister("aarch64").exits(0).says("binfmt_misc stays mounted: a process is using it");
    assert_eq!(tree.entries(), Vec::<String>::new());
    stranger.kill().and_then(|()| stranger.wait()).unwrap();
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}
