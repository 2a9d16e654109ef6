//! Own rules: registered, started by the kernel, and undone.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::diagnose::situations::commands::paste;
use crate::support::emulators::outside;
use crate::support::runs::RULE;
use crate::support::watcher::Watch;
use crate::support::{LiarBehavior, Tree, liar};

const FILE: &str = "etc/binfmt.d/zz-binfmt-nix-rule-greet.conf";

/// What the kernel's start of a file prints.
fn started(path: &Path) -> Option<String> {
    Command::new(path).output().ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[sandboxed]
fn a_rule_starts_its_files_until_it_is_unregistered() {
    let tree = Tree::new().with_interpreter();
    let fresh = tree.snapshot();
    let file = outside("a.greet", b"text");
    assert_eq!(started(&file), None);
    tree.run(&["register", "--rule", RULE, "--dry-run"]).exits(0).prints("would register   greet (flags F)");
    fresh.is_unchanged_in(&tree);
    tree.run(&["register", "--rule", RULE]).exits(0).prints("greet: registered, not tested").prints("unregister greet");
    assert_eq!(started(&file).as_deref(), Some("hello"));
    assert!(tree.text(FILE).ends_with(&format!("\n{RULE}\n")), "{}", tree.text(FILE));
    let registered = tree.snapshot();
    tree.run(&["register", "--rule", RULE]).exits(0).prints("greet: already registered, not tested");
    registered.is_unchanged_in(&tree);
    let status = tree.status();
    let rule = &status["rules"][0];
    assert_eq!(
        (&rule["rule"], &rule["state"], &rule["takes"]),
        (&json!("greet"), &json!("registered"), &json!("files named *.greet"))
    );
    assert_eq!((&status["unfinished"], &status["other_entries"]), (&json!(false), &json!([])), "{status:#}");
    tree.run(&["status"]).prints("rule greet: registered, not tested");
    tree.run(&["doctor"]).exits(0);
    // A restart empties the table. The boot file brings the entry back where systemd reads it, and `restore` elsewhere.
    tree.write_kernel("status", "-1");
    let doctor = tree.run(&["doctor", "--json"]).exits(3).json();
    assert_eq!(doctor["findings"][0]["id"], "entry-gone", "{doctor:#}");
    drop(paste(doctor["findings"][0]["repair"][0].as_str().unwrap()).exits(0));
    assert_eq!(started(&file).as_deref(), Some("hello"));
    tree.write_kernel("status", "-1");
    tree.run(&["restore"]).exits(0).prints("greet: registered");
    assert_eq!(started(&file).as_deref(), Some("hello"));
    for lost in ["-1", "0"] {
        tree.write_kernel("greet", lost);
        tree.run(&["doctor", "--fix"]).exits(0).says("register greet");
        assert_eq!(started(&file).as_deref(), Some("hello"));
        registered.is_restored_in(&tree);
    }
    tree.run(&["unregister", "greet", "--dry-run"]).exits(0).prints("would withdraw   greet");
    tree.run(&["unregister", "greet"]).exits(0).prints("greet: unregistered");
    fresh.is_restored_in(&tree);
    assert_eq!(started(&file), None);
    tree.run(&["unregister", "greet"]).exits(2);
}

#[sandboxed]
fn a_file_proves_a_rule() {
    let tree = Tree::new().with_interpreter();
    let fresh = tree.snapshot();
    let file = outside("a.greet", b"text");
    let file = file.to_str().unwrap();
    let done = tree.run(&["register", "--rule", RULE, "--test", file, "--json"]).exits(0).json();
    assert_eq!((&done["rules"][0]["tested"], &done["changed"]), (&json!(true), &json!(true)), "{done:#}");
    assert_eq!(tree.status()["rules"][0]["tested"], true);
    let done = tree.run(&["register", "--rule", RULE, "--test", file, "--json"]).exits(0).json();
    assert_eq!((&done["rules"][0]["tested"], &done["changed"]), (&json!(true), &json!(false)), "{done:#}");
    tree.run(&["unregister", "all"]).exits(0).prints("greet: unregistered");
    fresh.is_restored_in(&tree);
    // An interpreter that fails: everything is undone.
    let tree = tree.program("usr/bin/fails", "#!/bin/sh\nexit 3\n").program("bin/sh", "");
    let before = tree.snapshot();
    let rule = ":greet:E::greet::/usr/bin/fails:";
    tree.run(&["register", "--rule", rule, "--test", file])
        .exits(1)
        .says("greet was registered but does not work")
        .says("exit status: 3");
    before.is_restored_in(&tree);
    let before = tree.snapshot();
    tree.run(&["register", "--rule", RULE, "--test", "/bin/sh"]).exits(2).says("none of the rules takes /bin/sh");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn rules_and_systems_share_a_registration() {
    let tree = Tree::new().with_interpreter();
    let fresh = tree.snapshot();
    let file = outside(
        "rules.conf",
        b"# two rules\n:one:E::one::/usr/bin/interpreter:\n\n;no\n:two:M:1:\\x01two::/usr/bin/interpreter:F\n",
    );
    tree.register_with("aarch64", &["--rule", file.to_str().unwrap()])
        .exits(0)
        .prints("one: registered")
        .prints("two: registered");
    assert_eq!(tree.entries().len(), 3);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    assert!(tree.is_mounted() && tree.entries().len() == 2);
    // The rule changes: its entry is replaced.
    tree.run(&["register", "--rule", ":one:E::uno::/usr/bin/interpreter:"]).exits(0).prints("one: registered");
    assert_eq!(tree.entry_says("one", "extension "), ".uno");
    tree.run(&["unregister", "one", "two"]).exits(0);
    fresh.is_restored_in(&tree);
}

/// A path with a colon needs another delimiter, also in the command that is proposed.
#[sandboxed]
fn the_repair_of_a_rule_with_another_delimiter_can_be_pasted() {
    let tree = Tree::new().program("usr/bin/a:b", liar("hello", LiarBehavior::RightOutput));
    let fresh = tree.snapshot();
    let file = outside("a.greet", b"text");
    tree.run(&["register", "--rule", ",greet,E,,greet,,/usr/bin/a:b,F"]).exits(0).prints("greet: registered");
    tree.write_kernel("status", "-1");
    for repair in [&tree.status()["rules"][0], &tree.run(&["doctor", "--json"]).exits(3).json()["findings"][0]] {
        drop(paste(repair["repair"][0].as_str().unwrap()).exits(0));
        assert_eq!(started(&file).as_deref(), Some("hello"));
    }
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
}

/// A rule without its interpreter would be refused, so the proposal is to undo it.
#[sandboxed]
fn a_rule_that_lost_its_interpreter_is_reported_and_undone() {
    for (is_gone, id) in [(false, "other-interpreter-missing"), (true, "entry-gone")] {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        let tree = tree.program("usr/bin/lost", liar("hello", LiarBehavior::RightOutput));
        tree.run(&["register", "--rule", ":greet:E::greet::/usr/bin/lost:F"]).exits(0);
        tree.remove("usr/bin/lost");
        if is_gone {
            tree.write_kernel("greet", "-1");
        }
        let findings = tree.run(&["doctor", "--json"]).exits(3).json()["findings"].clone();
        let [finding] = &findings.as_array().unwrap()[..] else { panic!("{findings:#}") };
        assert_eq!(finding["id"], id, "{finding:#}");
        assert!(finding.to_string().contains("/usr/bin/lost"), "{finding:#}");
        let repair = finding["repair"][0].as_str().unwrap();
        if is_gone {
            assert_eq!(tree.status()["rules"][0]["repair"][0], repair);
        }
        drop(paste(repair).exits(0));
        tree.run(&["doctor"]).exits(0);
        fresh.is_restored_in(&tree);
        tree.discard();
    }
}

#[sandboxed]
fn the_receipt_is_not_needed_to_undo_a_rule() {
    let tree = Tree::new().with_interpreter();
    tree.run(&["register", "--rule", RULE]).exits(0);
    tree.remove("var/lib/binfmt-nix/receipt.json");
    assert_eq!(tree.status()["rules"][0]["state"], "registered");
    tree.run(&["unregister", "greet"]).exits(0).prints("greet: unregistered");
    assert!(tree.entries().is_empty() && !tree.exists(FILE));
}

#[sandboxed]
fn apply_has_exactly_the_rules_of_the_file() {
    let tree = Tree::new().with_interpreter();
    let fresh = tree.snapshot();
    tree.run(&["register", "--rule", ":old:E::old::/usr/bin/interpreter:"]).exits(0);
    let greet = outside("a.greet", b"text");
    let rules = format!(
        "[[rule]]\nname = \"greet\"\nextension = \"greet\"\ninterpreter = \"/usr/bin/interpreter\"\nflags = \"F\"\ntest = \"{}\"\n\
         [[rule]]\nname = \"two\"\nmagic = '\\x01two'\nmask = '\\xff\\xff\\xff\\xff'\noffset = 1\ninterpreter = \"/usr/bin/interpreter\"\n",
        greet.display()
    );
    let config = outside("config.toml", format!("systems = []\n{rules}").as_bytes());
    let apply = ["apply", "--config", config.to_str().unwrap()];
    let check = tree.run(&[&apply[..], &["--check"]].concat()).exits(3).prints("+rule greet").prints("-rule old");
    drop(check.prints("+entry two"));
    tree.run(&apply).exits(0).prints("greet: registered, tested").prints("old: unregistered");
    assert_eq!(started(&greet).as_deref(), Some("hello"));
    assert_eq!((tree.entry_says("two", "offset "), tree.entry_says("two", "magic ")), ("1".into(), "0174776f".into()));
    tree.run(&[&apply[..], &["--check"]].concat()).exits(0).prints("nothing differs");
    tree.run(&apply).exits(0).prints("two: already registered");
    for (bad, why) in [
        ("magic = 'x'\nextension = \"x\"", "either magic or extension"),
        ("magic = '\\x0'", "two hexadecimal digits"),
        ("magic = 'xy'\nmask = 'x'", "2 bytes, its mask 1"),
        ("magic = 'x'\noffset = 256", "not within the first 256 bytes"),
        ("extension = \"x\"\nflags = \"Z\"", "not one of the flags"),
        ("extension = \"x\"\nnonsense = 1", "the key nonsense is not known"),
        ("magic = 'x'\nmask = '\\x00'", "takes every file"),
        ("offset = -1\nmagic = 'x'", "a whole number is expected"),
    ] {
        let before = tree.snapshot();
        let text = format!("systems = []\n[[rule]]\nname = \"bad\"\ninterpreter = \"/usr/bin/interpreter\"\n{bad}\n");
        drop(outside("config.toml", text.as_bytes()));
        tree.run(&apply).exits(2).says("config.toml:").says(why);
        before.is_unchanged_in(&tree);
    }
    drop(outside("config.toml", b"systems = []\n"));
    tree.run(&apply).exits(0).prints("greet: unregistered");
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn a_watch_registers_a_removed_rule_again() {
    let tree = Tree::new().mounted().with_interpreter();
    let fresh = tree.snapshot();
    let mut watch = Watch::start(&tree, &["--rule", RULE, "--on-stop", "remove"], &[]);
    watch.says("info holding systems=greet");
    for _ in 0..2 {
        tree.write_kernel("greet", "-1");
        watch.says("warning removed rule=greet entry=greet");
        watch.says("info registered rule=greet entry=greet");
        assert_eq!(tree.entries(), ["greet"]);
    }
    tree.run(&["unregister", "greet"]).exits(3).says("register --watch is running");
    tree.write_kernel("greet", "0");
    watch.says("warning disabled rule=greet");
    watch.ends_by(Signal::SIGTERM).exits(0).says("info unregistered rule=greet");
    fresh.is_restored_in(&tree);
}
