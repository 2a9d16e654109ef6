//! `doctor`: it finds exactly the fault that a test made, and the commands of the finding repair it.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::output::{Done, tool_path};
use crate::support::proposals::report_executed;
use crate::support::tree::{BOOT, EMULATOR, OWN_CONF, RECEIPT};
use crate::support::{Tree, qemu};

/// Runs `doctor`, checks that its findings are these in any order, and that it changed nothing. Returns its report.
#[track_caller]
pub(crate) fn finds(tree: &Tree, expected: &[&str]) -> Value {
    let before = tree.snapshot();
    let done = tree.run(&["doctor", "--json"]).omits("panicked");
    let found = done.json();
    before.is_untouched_in(tree);
    let mut ids = finding_ids(&found);
    let mut wanted: Vec<_> = expected.iter().map(|id| (*id).to_owned()).collect();
    ids.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(ids, wanted, "{found:#}");
    done.exits(if expected.is_empty() { 0 } else { 3 });
    found
}

pub(crate) fn finding_ids(found: &Value) -> Vec<String> {
    let findings = found["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
pub(crate) fn finding<'a>(found: &'a Value, id: &str) -> &'a Value {
    let mut findings = found["findings"].as_array().unwrap().iter();
    findings.find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {found:#}"))
}

/// Runs the repair commands of a finding in a shell. A command that needs an emulator gets this one.
#[track_caller]
pub(crate) fn run_repair(tree: &Tree, finding: &Value, emulator: Option<&str>) {
    for line in finding["repair"].as_array().unwrap() {
        let mut line = line.as_str().unwrap().to_owned();
        // The test has no network and no emulator of a distribution.
        if let (Some(system), true) = (emulator, line.contains(" register ")) {
            line = format!("{} --qemu {}", line.replace(" --source download", ""), qemu(system).display());
        }
        let done = shell(&line);
        assert_eq!(done.code, Some(0), "{line}: {done:#?} ({:#?})", tree.table());
        report_executed(&line);
    }
}

fn shell(line: &str) -> Done {
    let bin = std::path::Path::new(tool_path()).parent().unwrap().display();
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", line]).env_clear().env("PATH", format!("{bin}:/usr/sbin:/usr/bin:/sbin:/bin"));
    command.stdin(Stdio::null()).output().unwrap().into()
}

/// Checks that the finding is reported, and that only the findings `after` remain after its repair.
#[track_caller]
pub(crate) fn repaired(tree: &Tree, before: &[&str], id: &str, emulator: Option<&str>, after: &[&str]) {
    let found = finds(tree, before);
    run_repair(tree, finding(&found, id), emulator);
    finds(tree, after);
}

/// Like [`repaired`], and checks that `doctor --fix` repairs an identical tree.
#[track_caller]
pub(crate) fn fixed(make: impl Fn() -> Tree, before: &[&str], id: &str) {
    let tree = make();
    repaired(&tree, before, id, None, &[]);
    crate::support::runs::discard_tree(tree);
    let tree = make();
    let found = tree.run(&["doctor", "--fix", "--json"]).exits(0).json();
    assert_eq!(found["findings"], serde_json::json!([]), "{found:#}");
    assert!(found["fixed"].as_array().unwrap().iter().any(|fixed| fixed == id), "{found:#}");
    assert!(tree.runs("aarch64"));
    finds(&tree, &[]);
}

pub(crate) fn registered_tree() -> Tree {
    let tree = Tree::new();
    drop(tree.register("aarch64").exits(0));
    tree
}

#[sandboxed]
fn a_fresh_machine_is_healthy() {
    for tree in [Tree::new(), Tree::new().mounted(), Tree::without_nix()] {
        finds(&tree, &[]);
        tree.run(&["doctor"]).exits(0).prints("nothing is wrong: examined");
    }
}

#[sandboxed]
fn a_registered_machine_is_healthy() {
    let tree = registered_tree();
    finds(&tree, &[]);
    tree.register("riscv64").exits(0);
    tree.register("arm").exits(0);
    finds(&tree, &[]);
    tree.run(&["doctor"]).exits(0).prints("3 systems");
    tree.unregister("all").exits(0);
    finds(&tree, &[]);
}

#[sandboxed]
fn a_system_image_is_healthy() {
    let tree = Tree::offline();
    finds(&tree, &[]);
    tree.register("aarch64").exits(0);
    finds(&tree, &[]);
}

#[sandboxed]
fn doctor_without_fix_writes_nothing() {
    let tree = registered_tree();
    tree.write_kernel("qemu-aarch64", "0");
    let before = tree.snapshot();
    tree.run(&["doctor"]).exits(3);
    before.is_untouched_in(&tree);
}

/// Programs that read the report rely on these fields.
#[sandboxed]
fn json_fields_are_the_documented_ones() {
    let tree = registered_tree();
    tree.write_kernel("qemu-aarch64", "0");
    let found = finds(&tree, &["entry-disabled"]);
    assert_eq!(found["version"], 1);
    assert_eq!(found["fixed"], serde_json::json!([]));
    assert!(found["checks"].as_u64().unwrap() > 30 && found["looked_at"].is_string());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&found),
        ["checks", "findings", "fixed", "looked_at", "meanings", "not_examined", "notes", "version"]
    );
    let finding = &found["findings"][0];
    assert_eq!(keys(finding), ["fix", "id", "repair", "systems", "urgency", "what", "why"]);
    assert_eq!(finding["fix"], serde_json::json!({ "register": ["aarch64"] }));
    assert_eq!(finding["systems"], serde_json::json!(["aarch64"]));
    assert_eq!(finding["repair"], serde_json::json!(["binfmt-nix --root /tree register aarch64"]));
    assert_eq!((&finding["urgency"], &finding["id"]), (&"broken".into(), &"entry-disabled".into()));
}

#[sandboxed]
fn report_lines_fit_into_80_columns() {
    let tree = Tree::new().mounted().nix_conf("extra-platforms = aarch64-linux riscv64-linux\nsandbox-paths = /a#b\n");
    tree.enter(":qemu-aarch64:E::arm64::/nowhere/qemu:");
    let done = tree.run(&["doctor"]).exits(3);
    let long: Vec<_> = done.out.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("    ")).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[sandboxed]
fn fix_repairs_an_entry_and_nix_settings_together() {
    let tree = registered_tree();
    tree.write_kernel("qemu-aarch64", "-1");
    tree.write("etc/nix/nix.conf", "");
    let found = finds(&tree, &["entry-gone"]);
    drop(found);
    let done = tree.run(&["doctor", "--fix"]).exits(0).prints("repaired: entry-gone").prints("nothing is wrong");
    drop(done);
    assert!(tree.runs("aarch64") && tree.text("etc/nix/nix.conf").contains("!include"));
}

/// Only the running machine needs root. A tree below `--root` does not.
#[sandboxed]
fn fix_on_the_running_host_needs_root() {
    let mut command = crate::support::sandbox::itself("stranger").unwrap();
    let output = command.args([tool_path(), "doctor", "--fix"]).env("PATH", "/usr/bin:/bin").output().unwrap();
    Done::from(output).exits(4).says("sudo").says("doctor --fix");
}

/// A repair adds neither persistence nor Nix settings if the user registered without them.
#[sandboxed]
fn fix_respects_no_nix_and_no_persist() {
    let tree = Tree::new();
    tree.register_with("aarch64", &["--no-nix", "--no-persist"]).exits(0);
    finds(&tree, &["not-persistent"]);
    tree.write_kernel("qemu-aarch64", "0");
    tree.run(&["doctor", "--fix"]).exits(3).prints("repaired: entry-disabled").prints("not-persistent");
    assert!(tree.runs("aarch64") && tree.exists(EMULATOR) && tree.exists(RECEIPT));
    assert!(!tree.exists(BOOT) && !tree.exists(OWN_CONF));
}
