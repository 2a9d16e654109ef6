//! Own rules that are refused: a clear error, and nothing is changed.

use std::fs;
use std::path::Path;

use binfmt_nix::binfmt::table::INTERPRETER_LIMIT;

use crate::support::Tree;
use crate::support::runs::RULE;
use crate::support::sandbox::SCRATCH;
use crate::support::table::probe;
use crate::support::tree::ROOT;

/// Each rule, its exit status, and a part of its error.
const REFUSED: [(&str, i32, &str); 23] = [
    (":a/b:E::x::/usr/bin/interpreter:", 2, "cannot be a file's name"),
    (":a:M::xy:x:/usr/bin/interpreter:", 2, "magic of the rule has 2 bytes, its mask 1"),
    (":a:M:255:xy::/usr/bin/interpreter:", 2, "2 bytes at offset 255 are not within the first 256 bytes"),
    (":a:M:256:x::/usr/bin/interpreter:", 2, "256"),
    (":a:X::x::/usr/bin/interpreter:", 2, "type M or E"),
    (":a:E::x::/usr/bin/interpreter:Z", 2, "not one of the flags"),
    (":a:E::x::/usr/bin/interpreter:TP", 2, "flag T excludes P"),
    (":a:E::x::/usr/bin/interpreter:FD", 1, "with flag D its entry would be disabled"),
    (":a:E::x::/usr/bin/interpreter:TF", 1, "with flag T it works only if its interpreter is made for that"),
    (":a:E::x::usr/bin/interpreter:", 1, "is not absolute"),
    (":a b:E::x::/usr/bin/interpreter:", 1, "its name may have letters"),
    (":aarch64:E::x::/usr/bin/interpreter:", 1, "belongs to the system aarch64"),
    (":qemu-arm:E::x::/usr/bin/interpreter:", 1, "belongs to the system arm"),
    (":taken:E::x::/usr/bin/interpreter:", 3, "another entry has the name taken"),
    (":booted:E::x::/usr/bin/interpreter:", 3, "registers an entry with the name booted at boot"),
    (":a:M::x:\\x00:/usr/bin/interpreter:", 1, "takes every file"),
    (":a:M::#!::/usr/bin/interpreter:", 1, "takes every script"),
    (":a:M::\\x7fELF::/usr/bin/interpreter:", 1, "it takes binfmt-nix itself"),
    (":a:E::x::/usr/bin:", 1, "/usr/bin is a directory"),
    (":a:E::x::/usr/bin/missing:", 1, "does not exist"),
    (":a:E::x::/usr/bin/foreign:F", 1, "is a program for riscv64"),
    (":a:E::x::/usr/bin/mode:", 1, "its mode has no x"),
    (":a:E::x::/var/lib/docker/overlay2/1/merged/i:F", 1, "is a file of a container"),
];

fn tree() -> Tree {
    let foreign = fs::read(probe("riscv64")).unwrap();
    let tree = Tree::new().mounted().with_interpreter().program("usr/bin/foreign", foreign);
    let interpreter = tree.read("usr/bin/interpreter");
    let tree = tree.file("usr/bin/mode", &interpreter).program("var/lib/docker/overlay2/1/merged/i", interpreter);
    tree.file("usr/lib/binfmt.d/x.conf", ":booted:E::booted::/bin/true:\n").entry(":taken:E::taken::/bin/true:")
}

#[sandboxed]
fn refused_rules_change_nothing() {
    let tree = tree();
    let before = tree.snapshot();
    for (rule, code, why) in REFUSED {
        tree.run(&["register", "--rule", rule]).exits(code).says(why).omits("undone");
        before.is_unchanged_in(&tree);
    }
    let long = |size: usize| {
        let rest = ":a:E::x::/usr/bin/interpreter:".len();
        format!(":a:E::{}::/usr/bin/interpreter:", "x".repeat(size - rest + 1))
    };
    // The kernel's limit is exact, and the path of the tree counts.
    assert_eq!(long(1921).len(), 1921);
    let added = ROOT.len();
    tree.run(&["register", "--rule", &long(1921 - added)]).exits(1).says("not 1921").omits("undone");
    tree.run(&["register", "--rule", &long(1921)]).exits(2).says("a rule takes 11 to 1920 bytes, not 1921");
    before.is_unchanged_in(&tree);
    tree.run(&["register", "--rule", &long(1920 - added)]).exits(0).prints("a: registered");
    tree.run(&["unregister", "a"]).exits(0);
    before.is_restored_in(&tree);
    // One bad line refuses the whole file.
    let file = Path::new(SCRATCH).join("rules.conf");
    fs::write(&file, format!("{RULE}\n# x\n:b:M::xy:x:/usr/bin/interpreter:\n")).unwrap();
    let before = tree.snapshot();
    let file = file.to_str().unwrap();
    tree.run(&["register", "--rule", file]).exits(2).says("rules.conf: line 3: the magic of the rule has 2 bytes");
    fs::write(file, "# nothing\n").unwrap();
    tree.run(&["register", "--rule", file]).exits(2).says("it has no rule");
    tree.run(&["register", "--rule", RULE, "--rule", RULE]).exits(2).says("two rules have the name greet");
    tree.run(&["register", "--rule", "/nowhere"]).exits(1).says("/nowhere");
    before.is_unchanged_in(&tree);
}

/// Linux 7.3 has flag L. Older kernels refuse it, and nothing remains.
#[sandboxed]
fn flag_l_depends_on_the_kernel() {
    let tree = tree();
    let before = tree.snapshot();
    let done = tree.run(&["register", "--rule", ":a:E::x::/usr/bin/interpreter:L"]);
    if Path::new(INTERPRETER_LIMIT).exists() {
        done.exits(0).prints("a: registered");
        tree.run(&["unregister", "a"]).exits(0);
    } else {
        done.exits(1).says("flags T, L and D need Linux 7.3").says("undone");
    }
    before.is_restored_in(&tree);
}

#[sandboxed]
fn an_interpreter_that_other_users_can_change_is_refused() {
    let tree = Tree::new().mounted().with_interpreter().mode("usr/bin/interpreter", 0o777);
    let before = tree.snapshot();
    tree.run(&["register", "--rule", RULE]).exits(1).says("may be written by others");
    before.is_unchanged_in(&tree);
    let tree = tree.mode("usr/bin/interpreter", 0o755).mode("usr/bin", 0o777);
    let before = tree.snapshot();
    tree.run(&["register", "--rule", RULE]).exits(1).says("may be written by others");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn what_the_interpreter_needs_is_checked_too() {
    let tree = Tree::new().mounted().program("usr/bin/script", "#!/opt/sh\nexit 0\n").program("opt/sh", "");
    let rule = ":greet:E::greet::/usr/bin/script:";
    let tree = tree.mode("opt/sh", 0o777);
    let before = tree.snapshot();
    drop(
        tree.run(&["register", "--rule", rule])
            .exits(1)
            .says("needs /opt/sh, which is not safe")
            .says("written by others"),
    );
    before.is_unchanged_in(&tree);
    let tree = tree.mode("opt/sh", 0o755);
    tree.run(&["register", "--rule", rule]).exits(0);
    tree.run(&["unregister", "greet"]).exits(0);
    tree.remove("opt/sh");
    tree.run(&["register", "--rule", rule]).exits(1).says("its interpreter /opt/sh does not exist");
    // A dynamic program of this machine.
    let tree = tree.program("usr/bin/dynamic", fs::read("/bin/true").unwrap());
    let rule = ":greet:E::greet::/usr/bin/dynamic:";
    tree.run(&["register", "--rule", rule]).exits(1).says("needs the loader /lib").says("which does not exist");
}

#[sandboxed]
fn a_rule_may_not_take_its_interpreter_or_a_setuid_program() {
    let tree = Tree::new().mounted().with_interpreter();
    let tree = tree.program("usr/bin/loops.greet", "#!/bin/sh\n").program("bin/sh", "").file("usr/bin/sudo.greet", "x");
    let tree = tree.mode("usr/bin/sudo.greet", 0o4755);
    let before = tree.snapshot();
    let refused = tree.run(&["register", "--rule", RULE]).exits(1);
    drop(refused.says("it takes /usr/bin/sudo.greet, a setuid program of this machine"));
    let rule = ":greet:E::greet::/usr/bin/loops.greet:";
    before.is_unchanged_in(&tree);
    tree.remove("usr/bin/sudo.greet");
    tree.run(&["register", "--rule", rule]).exits(1).says("it takes its own interpreter, /usr/bin/loops.greet");
}

/// Flag F with a script, and flag C: allowed, and their risks are printed.
#[sandboxed]
fn risks_of_flags_are_printed() {
    let tree = Tree::new().mounted().program("usr/bin/script", "#!/bin/sh\nexit 0\n").program("bin/sh", "");
    let before = tree.snapshot();
    let done = tree.run(&["register", "--rule", ":greet:E::greet::/usr/bin/script:FC"]).exits(0);
    drop(done.says("flag F holds only /usr/bin/script, which is a script, and its interpreter /bin/sh").says("flag C"));
    tree.run(&["unregister", "greet"]).exits(0);
    before.is_restored_in(&tree);
}
