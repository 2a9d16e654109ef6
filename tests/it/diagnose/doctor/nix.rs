//! `doctor`: settings of Nix for platforms, sandbox paths and trusted users.

use crate::diagnose::doctor::reports::{finding, finds, fixed, registered_tree, repaired, run_repair};
use crate::register::conflicts::distribution;
use crate::support::table::line;
use crate::support::tree::{NIX_CONF, OWN_CONF};
use crate::support::{Tree, qemu};

#[sandboxed]
fn a_lost_i686_platform_is_found_and_repaired() {
    let tree = registered_tree();
    tree.write(NIX_CONF, "sandbox = true\nextra-platforms = aarch64-linux\n!include binfmt-nix.conf\n");
    needs_ia32();
    repaired(&tree, &["nix-lost-i686"], "nix-lost-i686", None, &[]);
    assert_eq!(tree.text(NIX_CONF).lines().nth(1), Some("extra-extra-platforms = aarch64-linux"));
}

/// Skips the test on a kernel without IA-32: there the doctor does not expect i686-linux.
fn needs_ia32() {
    let probe = crate::support::table::probe("i386");
    if !std::process::Command::new(probe).output().is_ok_and(|output| output.status.success()) {
        crate::support::skip("ia32", "this kernel does not run 32-bit programs");
    }
}

#[sandboxed]
fn i686_lost_in_an_included_file_is_found_and_repaired() {
    needs_ia32();
    let tree = registered_tree();
    tree.write(NIX_CONF, "!include mine.conf\n!include binfmt-nix.conf\n");
    tree.write("etc/nix/mine.conf", "# mine\n\nextra-platforms = aarch64-linux\n");
    repaired(&tree, &["nix-lost-i686"], "nix-lost-i686", None, &[]);
    assert!(tree.text("etc/nix/mine.conf").contains("extra-extra-platforms"));
}

#[sandboxed]
fn i686_lost_in_a_generated_file_is_found() {
    needs_ia32();
    let tree = Tree::new().file("nix/store/x-nix.conf", "extra-platforms = i386-linux\n");
    let tree = tree.without(NIX_CONF).link(NIX_CONF, "../../nix/store/x-nix.conf");
    let found = finds(&tree, &["nix-lost-i686"]);
    assert!(finding(&found, "nix-lost-i686")["repair"][0].as_str().unwrap().starts_with("# "), "{found:#}");
}

#[sandboxed]
fn i686_that_is_named_again_is_accepted() {
    let tree = registered_tree();
    tree.write(NIX_CONF, "extra-platforms = i686-linux\n!include binfmt-nix.conf\n");
    finds(&tree, &[]);
}

#[sandboxed]
fn a_platform_without_an_emulator_is_found_and_repaired() {
    let tree = Tree::new().mounted().nix_conf("extra-extra-platforms = riscv64-linux\n");
    repaired(&tree, &["nix-promises-too-much"], "nix-promises-too-much", Some("riscv64"), &[]);
    assert!(tree.runs("riscv64"));
}

/// Blogs and CI recipes consist of this one line.
#[sandboxed]
fn the_common_one_line_recipe_has_three_findings() {
    needs_ia32();
    let tree = Tree::new().mounted().nix_conf("extra-platforms = aarch64-linux arm-linux\n");
    let found = finds(&tree, &["nix-platform-name", "nix-promises-too-much", "nix-lost-i686"]);
    run_repair(&tree, finding(&found, "nix-promises-too-much"), Some("aarch64"));
    let found = finds(&tree, &["nix-platform-name", "nix-lost-i686"]);
    run_repair(&tree, finding(&found, "nix-lost-i686"), None);
    let found = finds(&tree, &["nix-platform-name"]);
    // Its name of arm is not Nix's.
    run_repair(&tree, finding(&found, "nix-platform-name"), None);
    finds(&tree, &["nix-promises-too-much"]);
}

#[sandboxed]
fn a_missing_include_line_is_found_and_repaired() {
    let make = || {
        let tree = registered_tree();
        tree.write(NIX_CONF, "sandbox = true\n");
        tree
    };
    fixed(make, &["nix-not-told"], "nix-not-told");
}

#[sandboxed]
fn a_missing_settings_file_is_found_and_repaired() {
    let make = || registered_tree().without(OWN_CONF);
    fixed(make, &["nix-not-told"], "nix-not-told");
}

#[sandboxed]
fn a_later_extra_platforms_line_is_found_and_repaired() {
    let tree = registered_tree();
    tree.append(NIX_CONF, "extra-platforms = i686-linux\n");
    repaired(&tree, &["nix-not-told"], "nix-not-told", None, &[]);
    assert!(tree.text(NIX_CONF).ends_with("extra-extra-platforms = i686-linux\n"));
}

/// A distribution's package has entries for all systems, and the user did not ask for builds of any.
#[sandboxed]
fn entries_of_other_tools_that_nix_is_not_configured_for_are_one_note() {
    let tree = distribution("PF");
    let found = finds(&tree, &[]);
    let [note] = found["notes"].as_array().unwrap().as_slice() else { panic!("{found:#}") };
    let text = note["text"].as_str().unwrap();
    assert!(text.starts_with("Nix is not configured for aarch64, whose entries other tools made"), "{note:#}");
    tree.run(&["doctor", "--fix"]).exits(0).prints("nothing is wrong").omits("repaired");
    assert_eq!(note["command"], "binfmt-nix --root /tree register aarch64");
    // A second such entry is in the same note.
    let riscv64 = line("qemu-riscv64", "riscv64", &qemu("riscv64"), "PF");
    tree.enter(&riscv64);
    tree.write("etc/binfmt.d/qemu-riscv64.conf", riscv64);
    let found = finds(&tree, &[]);
    assert_eq!(found["notes"].as_array().unwrap().len(), 1, "{found:#}");
    let note = found["notes"][0].to_string();
    assert!(note.contains("for aarch64 riscv64,") && note.contains("register SYSTEM"), "{note}");
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.text(OWN_CONF).contains("aarch64-linux"));
    let found = finds(&tree, &[]);
    assert!(found["notes"][0].to_string().contains("for riscv64,"), "{found:#}");
}

#[sandboxed]
fn a_sandbox_path_with_a_hash_is_found_and_repaired() {
    let tree = Tree::new().dir("opt/qemu").nix_conf("sandbox = true\nextra-sandbox-paths = /opt/qemu#1/qemu\n");
    repaired(&tree, &["sandbox-path-cut"], "sandbox-path-cut", None, &[]);
    let tree = tree.nix_conf("extra-sandbox-paths = /opt/qemu # the usual one\n");
    finds(&tree, &[]);
}

#[sandboxed]
fn a_sandbox_path_with_a_blank_is_found_and_repaired() {
    let tree = Tree::new().dir("opt/my").nix_conf("extra-sandbox-paths = /opt/my qemu/qemu-arm\n");
    let found = finds(&tree, &["sandbox-path-cut"]);
    assert!(finding(&found, "sandbox-path-cut")["what"].as_str().unwrap().contains("qemu/qemu-arm"), "{found:#}");
    repaired(&tree, &["sandbox-path-cut"], "sandbox-path-cut", None, &[]);
    let tree = tree.nix_conf("extra-sandbox-paths = \"/opt/my\"\n");
    finds(&tree, &["sandbox-path-cut"]);
}

#[sandboxed]
fn a_missing_sandbox_path_is_made_optional() {
    let tree = Tree::new().dir("opt").nix_conf("a = b\nextra-sandbox-paths = /opt /x/qemu.1=/opt/qemu.1 /opt/no?\n");
    repaired(&tree, &["sandbox-path-missing"], "sandbox-path-missing", None, &[]);
    assert!(tree.text(NIX_CONF).ends_with("= /opt /x/qemu.1=/opt/qemu.1? /opt/no?\n"), "{}", tree.text(NIX_CONF));
}

const JOES: &str = "home/joe/.config/nix/nix.conf";

#[sandboxed]
fn settings_of_an_untrusted_user_are_found() {
    let tree = Tree::new().file(JOES, "extra-platforms = aarch64-linux\n");
    let found = finds(&tree, &["user-not-trusted"]);
    let what = finding(&found, "user-not-trusted")["what"].as_str().unwrap();
    assert!(what.contains("joe") && what.contains("extra-platforms"), "{what}");
    tree.write(JOES, "experimental-features = nix-command\n");
    finds(&tree, &[]);
}

#[sandboxed]
fn settings_of_a_trusted_user_are_accepted() {
    for trusted in ["root joe", "*", "root @wheel"] {
        let tree =
            Tree::new().file(JOES, "extra-platforms = aarch64-linux\n").file("etc/group", "wheel:x:10:ann,joe\n");
        let tree = tree.nix_conf(format!("trusted-users = {trusted}\n"));
        finds(&tree, &[]);
    }
}
