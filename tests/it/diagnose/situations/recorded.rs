//! Commands that `doctor` proposes for messages: those of every record in `tests/recorded/messages`, each once, on the
//! machine of the record.
//!
//! The unit test of the records holds that `doctor` proposes them. Values of the records are replaced by those of the
//! machine: the system, and the words SYSTEM, PROGRAM and NAME. A command is a query, which finds something or not, or it
//! has to succeed. What cannot be run in a sandbox is in [`ELSEWHERE`], with the reason; a new command is run or fails.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use binfmt_magic::Arch;

use super::Machine;
use super::commands::{paste, shell};
use super::live::machine;
use crate::support::sandbox::SCRATCH;

/// Starts of commands that are not run here, and where they are. `tests/proposals.txt` has the scripts.
const ELSEWHERE: [(&str, &str); 14] = [
    ("nix build ", "needs Nix: `tests/e2e/proof.sh` runs such a line of the README"),
    ("nix-build ", "needs Nix: `tests/e2e/proof.sh` runs such a line of the README"),
    ("env -u NIX_REMOTE nix-build ", "needs Nix: `tests/e2e/doctor.sh`"),
    ("nix-store --query ", "needs Nix: `tests/e2e/doctor.sh`"),
    ("nix --extra-experimental-features ", "needs Nix: `tests/e2e/doctor.sh`"),
    ("binfmt-nix register aarch64 --qemu-version latest", "downloads: `tests/e2e/sources.sh`"),
    ("docker buildx ", "needs Docker: `tests/machines/rows/trixie-commands.sh`"),
    ("apt-get install ", "needs a mirror of Debian: `tests/machines/rows/trixie-commands.sh`"),
    ("mmdebstrap ", "needs a mirror of Debian: `tests/machines/rows/trixie-commands.sh`"),
    ("ls -l /dev/kvm", "needs KVM: `tests/machines/rows/trixie-commands.sh`"),
    ("fuser ", "needs a file system in use: `tests/machines/rows/trixie-commands.sh`"),
    ("ssh://HOST ", "a line of a file, not a command"),
    ("max-jobs = auto", "a line of nix.conf on another machine: `nix_settings.rs` tests it here"),
    ("extra-system-features = ", "a line of nix.conf: `tests/it/nix/features.rs`"),
];

/// What precedes a command in a line for the reader.
const INTRODUCTIONS: [&str; 11] = [
    "on that machine: ",
    "register the system of the build, as root: ",
    "another release of QEMU may run it: ",
    "inside the emulated system: ",
    "in a container: start it with --privileged; else: ",
    "if nothing starts any more, in a shell that is already open: ",
    "or, for one program: ",
    "or skip the check, which is about arch-test and not about the kernel: ",
    "in nix.conf of that machine: ",
    "where the build can do without /dev/kvm, in nix.conf: ",
    "in /etc/nix/machines, a native machine: ",
];

/// The commands in a line: the line itself, what a line for the reader introduces, or what it has between backticks.
fn commands_in(line: &str) -> Vec<String> {
    let Some(comment) = line.strip_prefix("# ") else { return vec![line.to_owned()] };
    if let Some(command) = INTRODUCTIONS.iter().find_map(|words| comment.strip_prefix(words)) {
        return vec![command.to_owned()];
    }
    let is_command = ["binfmt-nix ", "sudo ", "QEMU_LD_PREFIX="].iter().any(|start| comment.starts_with(start));
    if is_command {
        return vec![comment.to_owned()];
    }
    comment.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The command with the values of the machine.
fn with_values(command: &str) -> String {
    let nix_systems = Arch::ALL.iter().flat_map(|arch| arch.nix_systems);
    let systems: BTreeSet<&str> = Arch::ALL.iter().map(|arch| arch.target).chain(nix_systems.copied()).collect();
    let word = |word: &str| match word {
        "SYSTEM" => "aarch64".to_owned(),
        "PROGRAM" | "./program" => "./hello".to_owned(),
        "QEMU_LD_PREFIX=/path/to/its/root" => format!("QEMU_LD_PREFIX={SCRATCH}"),
        "QEMU_RESERVED_VA=0x40000000" => format!("{word} ./hello"),
        _ if systems.contains(word) => "aarch64".to_owned(),
        _ => word.replace("/NAME", "/qemu-aarch64"),
    };
    command.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Whether the exit status 3 says what was found.
fn is_query(command: &str) -> bool {
    ["explain", "test", "status", "doctor", "nix-conf"]
        .iter()
        .any(|name| command.starts_with(&format!("binfmt-nix {name}")))
}

/// The commands of the records for the machine of this name: those of each answer belong together, in their order.
fn recorded(machine: &str) -> BTreeSet<Vec<String>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/messages");
    let texts = ["nix.txt", "others.txt", "languages.txt"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
    let mut commands = BTreeSet::new();
    let head = format!("\n{machine}: ");
    // What a comment names does not depend on the state of the machine: the other machines execute it.
    let is_fit = |line: &&str| machine != "broken" || !line.starts_with('#');
    for answer in texts.iter().flat_map(|text| text.split(&head).skip(1)) {
        let proposed = answer.lines().skip(1).map_while(|line| line.strip_prefix("    "));
        commands.insert(proposed.filter(is_fit).flat_map(commands_in).map(|command| with_values(&command)).collect());
    }
    commands
}

/// A machine with the files that the messages name.
fn with_files() -> Machine {
    let machine = machine();
    let settings = "ssh-substituter-hosts myhost\nhttps://cache.nixos.org/\nextra-platforms aarch64-linux\n\
                    !include nix.custom.conf\nauto-optimise-store = false\nsandbox = true\n";
    for (path, text) in [
        ("/etc/nix/nix.conf", settings),
        ("/home/user/.config/nix/nix.conf", "extra-substituters: https://example.cachix.org\n"),
        ("/etc/binfmt.d/x.conf", "# ../x\n"),
        ("/init", "#!/bin/sh\n"),
    ] {
        let path = Path::new(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for name in ["hello", "oauth2l", "AdGuardHome", "main", "airupnp-arm", "gophish", "s"] {
        let path = Path::new(SCRATCH).join(name);
        fs::copy(&machine.program, &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    machine
}

/// Runs the commands for a machine that these commands made.
fn check_commands(name: &str, setup: &[&str]) {
    let make = || {
        let machine = with_files();
        for line in setup {
            drop(shell(line).exits(0));
        }
        machine
    };
    // Only a machine with an entry prints the messages of these.
    let needs_entry = |command: &str| command.starts_with("QEMU_") || command.ends_with("/binfmt_misc/qemu-aarch64");
    let is_here = |command: &String| !(is_elsewhere(command) || setup.is_empty() && needs_entry(command));
    let of_here = |commands: Vec<String>| -> Vec<String> { commands.into_iter().filter(is_here).collect() };
    let answers: BTreeSet<Vec<String>> = recorded(name).into_iter().map(of_here).collect();
    assert!(answers.len() > 10, "{answers:#?}");
    let is_read_only = |commands: &Vec<String>| commands.iter().all(|command| is_query(command));
    let (queries, changes): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_read_only);
    let machine = make();
    for command in queries.iter().flatten() {
        check_command(command);
    }
    machine.discard();
    for commands in changes {
        let machine = make();
        for command in &commands {
            check_command(command);
        }
        machine.discard();
    }
}

fn is_elsewhere(command: &str) -> bool {
    let program = command.strip_prefix("sudo ").unwrap_or(command);
    ELSEWHERE.iter().any(|(start, _)| command.starts_with(start) || program.starts_with(start))
}

#[track_caller]
fn check_command(command: &str) {
    let expected: &[i32] = if is_query(command) { &[0, 3] } else { &[0] };
    drop(paste(command).exits_with(expected));
}

#[sandboxed]
fn proposals_for_messages_run_where_nothing_is_registered() {
    check_commands("nothing", &[]);
}

#[sandboxed]
fn proposals_for_messages_run_where_a_system_works() {
    check_commands("works", &["sudo binfmt-nix register aarch64"]);
}

/// The table is switched off, WSL's entry is gone, and Nix has settings with which it builds nothing.
#[sandboxed]
fn proposals_for_messages_run_where_things_are_broken() {
    check_commands(
        "broken",
        &[
            "sudo binfmt-nix register aarch64",
            "echo 0 > /proc/sys/fs/binfmt_misc/status",
            "sed -i '1i extra-platforms =\\nmax-jobs = 0\\nextra-sandbox-paths = /run/binfmt' /etc/nix/nix.conf",
        ],
    );
}
