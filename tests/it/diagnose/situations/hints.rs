//! Commands in the help of errors: pasted into `sh`, after which the failed command succeeds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use super::commands::{Help, help, paste, shell};
use super::{bare, live};
use crate::support::emulators::debian_program;
use crate::support::output::{Done, tool, tool_path};
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::table::probe;
use crate::support::tree::BOOT;

/// The command of the help, which follows these words.
#[track_caller]
pub(crate) fn command_after(done: &Done, words: &str) -> String {
    let line = done.err.lines().find_map(|line| Some(line.strip_prefix("help: ")?.split_once(words)?.1.to_owned()));
    line.unwrap_or_else(|| panic!("no {words:?} in {done:#?}"))
}

#[track_caller]
fn pasted(line: &str) -> Done {
    paste(line).exits(0)
}

#[sandboxed]
fn a_file_of_another_tool_is_moved_away_by_the_command_of_the_error() {
    let tree = bare("aarch64").file(BOOT, "# not ours\n");
    let refused = tree.run(&["register", "aarch64"]).exits(3);
    drop(pasted(&command_after(&refused, "move it away: ")));
    drop(tree.run(&["register", "aarch64"]).exits(0));
    assert_eq!(tree.text(&format!("{BOOT}.old")), "# not ours\n");
}

/// An ordinary user gets a command for root, and one that needs no root.
#[sandboxed]
fn an_ordinary_user_gets_two_commands_that_work() {
    let machine = live::machine();
    let mut command = itself("stranger").unwrap();
    let refused =
        Done::from(command.args([tool_path(), "register", "aarch64"]).env("PATH", "/usr/bin").output().unwrap());
    let refused = refused.exits(4);
    drop(pasted(&command_after(&refused, "without root: ").replace("COMMAND", machine.program.to_str().unwrap())));
    let Some(Help::Command(line)) = help(&refused) else { panic!("{refused:#?}") };
    assert!(line.starts_with("sudo "), "{line}");
    drop(pasted(&line));
    machine.run(&["status", "--check", "aarch64"]).exits(0);
}

#[sandboxed]
fn flag_c_of_a_registration_with_files_is_changed_by_the_command_of_the_error() {
    let tree = bare("aarch64");
    drop(tree.run(&["register", "aarch64"]).exits(0));
    let refused = tree.run(&["register", "aarch64", "--in-memory", "--credentials"]).exits(3);
    drop(pasted(&command_after(&refused, ", run: ")));
    assert!(tree.entry_says("qemu-aarch64", "flags: ").contains('C'));
}

#[sandboxed]
fn user_namespaces_are_allowed_by_the_command_of_the_error() {
    let _machine = live::machine();
    let program = probe("aarch64");
    let limit = Path::new("/proc/sys/user/max_user_namespaces");
    fs::write(limit, "0").unwrap();
    let run = || {
        let mut command = tool(&["run", "-s", "aarch64", "--", program.to_str().unwrap()]);
        Done::from(command.arg0("binfmt-nix").output().unwrap())
    };
    drop(pasted(&command_after(&run().exits(6), "as root: ")));
    drop(run().exits(0));
}

/// Debian's binfmt-support made the entry. Its command disables it, and the message has no cause any more.
#[sandboxed]
fn an_entry_with_detectors_is_disabled_by_the_command_for_its_message() {
    let machine = live::machine();
    let (program, text) =
        (debian_program("usr/sbin/update-binfmts"), "run-detectors: unable to find an interpreter for ./a.exe");
    let usr = program.parent().unwrap().parent().unwrap().display();
    let libraries = format!("{usr}/lib/x86_64-linux-gnu:{usr}/lib/aarch64-linux-gnu");
    assert_eq!(shell("true").code, Some(0), "it makes the directory of stand-ins");
    let stand_in = Path::new(SCRATCH).join("bin/update-binfmts");
    fs::write(&stand_in, format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {} \"$@\"\n", program.display()))
        .unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all("/var/lib/binfmts").unwrap();
    let install = "update-binfmts --install cli /bin/true --magic MZ --detector /bin/false";
    assert_eq!(shell(install).code, Some(0));
    let explain = || machine.run(&["doctor", "--json", text]).exits(3).json()["meanings"][0].clone();
    let found = explain();
    assert!(
        found["here"].to_string().contains("the entry cli starts /usr/lib/binfmt-support/run-detectors"),
        "{found:#}"
    );
    assert_eq!(found["repair"], serde_json::json!(["update-binfmts --disable cli"]));
    drop(pasted(found["repair"][0].as_str().unwrap()));
    let found = explain();
    assert!(found["here"].to_string().contains("no entry of this machine starts run-detectors"), "{found:#}");
    assert_eq!(found["repair"], serde_json::json!([]));
}

#[sandboxed]
fn entries_with_our_names_are_shown_by_the_command_of_the_error() {
    let tree = bare("aarch64").entry(":qemu-aarch64:E::x::/bin/sh:").entry(":binfmt-nix-aarch64:E::y::/bin/sh:");
    let refused = tree.run(&["register", "aarch64"]).exits(3);
    let line = command_after(&refused, "").split(" shows the entries").next().unwrap().to_owned();
    pasted(&line).prints("other entries: binfmt-nix-aarch64 qemu-aarch64");
}
