//! Text files of the machine: nix.conf, boot rules, apt's sources, and files where the kernel's table should be.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::pieces::{ODD, damage, seeds};
use super::{Input, Sweep, emulator};
use crate::support::Tree;
use crate::support::rng::Noise;
use crate::support::tree::{BOOT, NIX_CONF, OWN_CONF, TABLE};

/// Runs commands in turn, on a tree with this file, whose content is damaged for each run.
fn sweep(sweep: &mut Sweep, tree: &Tree, path: &str, documents: &[Vec<u8>], runs: u64) {
    let emulator = emulator();
    let commands: [&[&str]; 9] = [
        &["status"],
        &["register", "aarch64", "--qemu", &emulator],
        &["doctor"],
        &["register", "aarch64", "--force", "--nix", "--qemu", &emulator],
        &["nix-conf", "--json"],
        &["unregister", "all"],
        &["doctor", "--json"],
        &["register", "aarch64", "-n", "--qemu", &emulator],
        &["restore", "--wait", "0"],
    ];
    let mut noise = Noise::new(u64::from(path.bytes().fold(30_u32, |sum, byte| sum + u32::from(byte))));
    for number in 0..runs {
        let document = noise.pick(documents);
        let document = if number % 7 == 0 { noise.pick(ODD).to_vec() } else { damage(&mut noise, &document) };
        tree.write(path, &document);
        let args = commands[usize::try_from(number).unwrap() % commands.len()];
        sweep.run_and_undo(&Input::on_tree(args).noting(path, &document), tree);
    }
    tree.remove(path);
}

#[sandboxed]
fn odd_configuration_of_nix_is_kept() {
    let tree = Tree::new().mounted();
    let mut runs = Sweep::default();
    let documents = seeds("nix_conf");
    for path in [NIX_CONF, "etc/nix/nix.custom.conf", OWN_CONF] {
        sweep(&mut runs, &tree, path, &documents, 48);
        tree.write(NIX_CONF, "sandbox = true\n");
    }
    runs.end("configuration files of Nix with odd content", 144);
}

#[sandboxed]
fn odd_boot_rules_are_kept() {
    let tree = Tree::new().mounted();
    let mut runs = Sweep::default();
    let documents = [seeds("boot_file"), seeds("rule_line")].concat();
    for path in ["etc/binfmt.d/theirs.conf", "usr/lib/binfmt.d/\u{202e}odd\x1b.conf", BOOT] {
        sweep(&mut runs, &tree, path, &documents, 40);
    }
    runs.end("boot rules with odd content", 120);
}

#[sandboxed]
fn odd_sources_of_apt_are_reported() {
    let emulator = emulator();
    let tree = Tree::new().mounted();
    let mut runs = Sweep::default();
    let mut noise = Noise::new(33);
    let documents = seeds("apt_sources");
    for number in 0..24 {
        let document = noise.pick(&documents);
        let document = damage(&mut noise, &document);
        tree.write(["etc/apt/sources.list", "etc/apt/sources.list.d/x.sources"][number % 2], document);
        let register = Input::on_tree(&["register", "aarch64", "--source", "download"]);
        runs.run_and_undo(&if number % 4 == 0 { register } else { register.arg("-n") }, &tree);
    }
    sweep(&mut runs, &tree, "etc/os-release", &documents, 16);
    drop(emulator);
    runs.end("sources of apt with odd content", 40);
}

/// In an image the directory of the table can hold any files.
#[sandboxed]
fn files_instead_of_a_table_are_harmless() {
    let tree = Tree::new();
    let mut runs = Sweep::default();
    let mut noise = Noise::new(34);
    let documents = seeds("entry_file");
    for name in ["qemu-aarch64", "status", "register", "odd\x1b[2J"] {
        sweep(&mut runs, &tree, &format!("{TABLE}/{name}"), &documents, 16);
    }
    for _ in 0..16 {
        let name: Vec<u8> = noise.pick(ODD).iter().copied().filter(|byte| *byte != b'/').take(200).collect();
        if name.is_empty() || name == b"." {
            continue;
        }
        let path = tree.path(TABLE).join(OsStr::from_bytes(&name));
        std::fs::write(&path, noise.pick(&documents)).unwrap();
        runs.run(&Input::on_tree(&["status"]));
        runs.run(&Input::on_tree(&["doctor"]));
        std::fs::remove_file(path).unwrap();
    }
    runs.end("files where the kernel's table should be", 80);
}
