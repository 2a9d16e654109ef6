//! The system features that nixpkgs requires of a builder: `register` adds them for its systems, and removes them again.

use std::path::PathBuf;

use binfmt_nix::sha256::Sha256;

use crate::diagnose::doctor::reports::{finding, finds, repaired};
use crate::support::emulators::outside;
use crate::support::tree::{NIX_CONF, OWN_CONF, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar};

const FEATURES: &str = "extra-system-features = gccarch-armv5te gccarch-armv6kz gccarch-armv7-a";

fn emulator(target: &str) -> PathBuf {
    let name = format!("qemu-{target}");
    outside(&name, &liar(&format!("{name} version 10.0.13"), LiarBehavior::RightOutput))
}

#[sandboxed]
fn register_adds_the_features_and_unregister_removes_them() {
    let text = "# mine\nsystem-features = kvm my-feature\n";
    let tree = Tree::new().nix_conf(text);
    let before = tree.snapshot();
    let done = tree.register_by("arm", &emulator("arm"), &[]).exits(0);
    done.says("gccarch-armv5te gccarch-armv6kz gccarch-armv7-a").says("no features per system");
    assert_eq!(tree.settings()[1], FEATURES);
    assert_eq!(tree.text(NIX_CONF), format!("{text}!include binfmt-nix.conf\n"));
    let registered = tree.snapshot();
    tree.register_by("arm", &emulator("arm"), &[]).exits(0).omits("features per system");
    registered.is_unchanged_in(&tree);
    // A system without a feature changes neither the line nor the notes.
    tree.register_by("aarch64", &emulator("aarch64"), &[]).exits(0).omits("features per system");
    assert_eq!(tree.settings()[1], FEATURES);
    tree.unregister("arm").exits(0);
    assert!(!tree.text(OWN_CONF).contains("system-features"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// An earlier release wrote the settings without the features, and recorded the digest of that file.
#[sandboxed]
fn register_adds_the_features_to_an_earlier_registration() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_by("arm", &emulator("arm"), &[]).exits(0);
    let (text, receipt) = (tree.text(OWN_CONF), tree.text(RECEIPT));
    let earlier = text.replace(&format!("{FEATURES}\n"), "");
    assert_ne!(earlier, text);
    let [now, then] = [&text, &earlier].map(|text| Sha256::of_bytes(text.as_bytes()).to_string());
    assert!(receipt.contains(&now));
    tree.write(OWN_CONF, &earlier);
    tree.write(RECEIPT, receipt.replace(&now, &then));
    let found = finds(&tree, &["nix-lacks-feature"]);
    let found = finding(&found, "nix-lacks-feature");
    assert_eq!((&found["systems"][0], &found["fix"]["register"][0]), (&"arm".into(), &"arm".into()), "{found:#}");
    tree.run(&["status"]).exits(0).says("Nix is not configured for arm");
    tree.run(&["register", "arm"]).exits(0).says("no features per system");
    assert_eq!(tree.text(OWN_CONF), text);
    tree.unregister("arm").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_later_system_features_line_is_found_and_repaired() {
    let tree = Tree::new();
    tree.register_by("arm", &emulator("arm"), &[]).exits(0);
    tree.append(NIX_CONF, "system-features = kvm # only these\nsandbox = true\n");
    repaired(&tree, &["nix-lacks-feature"], "nix-lacks-feature", None, &[]);
    let lines = "system-features = kvm # only these\nextra-system-features = gccarch-armv5te gccarch-armv6kz \
                 gccarch-armv7-a\nsandbox = true\n";
    assert!(tree.text(NIX_CONF).ends_with(lines), "{}", tree.text(NIX_CONF));
}

#[sandboxed]
fn the_features_are_printed_for_settings_managed_by_other_means() {
    let tree = Tree::offline();
    tree.run(&["nix-conf", "arm", "riscv64"]).exits(0).prints(&format!("riscv64-linux\n{FEATURES}\n"));
    tree.run(&["nix-conf", "aarch64", "riscv64"]).exits(0).omits("features");
    let lines = tree.run(&["nix-conf", "loongarch64", "mipsel", "--json"]).exits(0).json();
    assert_eq!(lines["lines"][1], "extra-system-features = gccarch-la64v1.0 gccarch-mips32r2");
    let tree = Tree::new().without(NIX_CONF).link(NIX_CONF, "/nix/store/generated");
    let done = tree.register_by("arm", &emulator("arm"), &[]).exits(3);
    done.says(&format!("to add to /etc/nix/nix.conf: {FEATURES}\n"));
}
