//! `doctor 'ERROR TEXT'`: messages of the running kernel, of the real QEMU and of the real shell, and repairs that work.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::diagnose::doctor::reports::{finds, registered_tree, run_repair};
use crate::register::conflicts::distribution;
use crate::support::Tree;
use crate::support::emulators::busybox;
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};

/// Runs `doctor -` on a text.
#[track_caller]
fn explain_text(text: &str) -> Done {
    let mut child = tool(&["--root", "/tree", "doctor", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Done::from(child.wait_with_output().unwrap()).omits("panicked")
}

/// Returns the first recognised message and checks its name.
#[track_caller]
fn first_meaning(text: &str, id: &str) -> Value {
    let found = explain_text(text).exits(3).json();
    assert_eq!(found["meanings"][0]["id"], id, "{text}: {found:#}");
    found["meanings"][0].clone()
}

/// Returns the message of a shell that cannot start a program.
fn shell_says(program: &Path) -> String {
    let mut command = Command::new("/bin/bash");
    let output = command.args(["-c", &program.display().to_string()]).env_clear().output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns what a failing command of bash says.
fn shell_says_of(command: &str) -> String {
    let output =
        Command::new("/bin/bash").args(["-c", command]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn current_state(meaning: &Value) -> String {
    meaning["here"].to_string()
}

#[sandboxed]
fn an_exec_format_error_leads_to_register() {
    let tree = Tree::new();
    let said = shell_says(&probe("aarch64"));
    let meaning = first_meaning(&format!("qemu-aarch64 wanted\n{said}"), "exec-format");
    assert!(current_state(&meaning).contains("nothing runs them"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    assert!(tree.runs("aarch64"));
    assert!(Command::new(probe("aarch64")).status().unwrap().success());
}

/// The same program runs outside of the chroot.
#[sandboxed]
fn a_missing_file_in_a_chroot_leads_to_flag_f() {
    let tree = distribution("");
    let room = Path::new(SCRATCH).join("chroot");
    fs::create_dir_all(&room).unwrap();
    fs::copy(probe("aarch64"), room.join("probe")).unwrap();
    let mut command = Command::new("/usr/sbin/chroot");
    let output = command.arg(&room).arg("/probe").env_clear().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("No such file or directory"), "{said}");
    let meaning = first_meaning(&said, "no-such-file");
    assert!(current_state(&meaning).contains("no-fix-binary"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    let again = Command::new("/usr/sbin/chroot").arg(&room).arg("/probe").env_clear().output().unwrap();
    assert!(again.status.success(), "{again:?}");
}

/// The interpreter is itself a program of the entry, so that the kernel looks for its interpreter again and again.
#[sandboxed]
fn a_loop_of_interpreters_is_explained() {
    let tree = Tree::without_nix().mounted();
    let itself = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let tree = tree.program("usr/bin/qemu-aarch64", itself);
    let entry = line("qemu-aarch64", "aarch64", &tree.path("usr/bin/qemu-aarch64"), "PF");
    let tree = tree.file("etc/binfmt.d/q.conf", format!("{entry}\n")).entry(&entry);
    let said = shell_says(&probe("aarch64"));
    assert!(said.contains("Too many levels of symbolic links"), "{said}");
    let meaning = first_meaning(&said, "loop");
    assert!(current_state(&meaning).contains("interpreter-loop"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    assert!(tree.runs("aarch64"));
}

/// A real program that kills itself with a signal, under the real QEMU.
#[sandboxed]
fn a_crash_under_qemu_leads_to_a_newer_release() {
    let _tree = registered_tree();
    let output = Command::new(busybox()).args(["sh", "-c", "kill -SEGV $$"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("uncaught target signal 11"), "{said}");
    let meaning = first_meaning(&said, "qemu-crash");
    assert!(meaning["repair"].to_string().contains("--qemu-version latest"), "{meaning:#}");
}

const REFUSED: &str = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a \
                       'x86_64-linux' with features {benchmark, big-parallel, nixos-test, uid-range}";

#[sandboxed]
fn a_refusal_by_nix_is_explained_from_the_current_settings() {
    let tree = Tree::new();
    let before = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&before).contains("Nix is not configured for aarch64-linux"), "{before:#}");
    run_repair(&tree, &before, Some("aarch64"));
    let after = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&after).contains("Nix is configured for aarch64-linux"), "{after:#}");
    assert!(
        // Below `--root` no build can be tried, so none is said to work.
        current_state(&after).contains("one ran just now") && current_state(&after).contains("no build was tried"),
        "{after:#}"
    );
    tree.append("etc/nix/nix.conf", "extra-platforms = i686-linux\n");
    let lost = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&lost).contains("nix-not-told"), "{lost:#}");
    run_repair(&tree, &lost, None);
    finds(&tree, &[]);
}

#[sandboxed]
fn a_cross_build_is_explained() {
    let _tree = Tree::new();
    let text = "these 630 derivations will be built:\n  /nix/store/0-binutils-aarch64-unknown-linux-gnu-2.43.drv\n";
    let meaning = first_meaning(text, "cross-build");
    assert!(meaning["means"].to_string().contains("binary cache"), "{meaning:#}");
    let repair = meaning["repair"].to_string();
    assert!(repair.contains("register aarch64") && repair.contains("packages.aarch64-linux"), "{repair}");
}

#[sandboxed]
fn a_message_is_read_from_the_command_line() {
    let tree = Tree::new();
    let done = tree.run(&["doctor", "exec", "/bin/sh:", "exec format error"]).exits(3);
    done.prints("container-exec-format, by docker").prints("binfmt-nix --root /tree explain /bin/sh");
    tree.run(&["doctor", REFUSED]).exits(3).prints("    binfmt-nix --root /tree register aarch64");
    tree.run(&["doctor", "--fix", REFUSED]).exits(2);
}

#[sandboxed]
fn an_unknown_message_leads_to_the_usual_checks() {
    let tree = Tree::new();
    let unknown = "not a message that binfmt-nix knows";
    tree.run(&["doctor", "all is well"]).exits(0).says(unknown).prints("nothing is wrong: examined");
    tree.run(&["doctor", "all is well on s390x-linux"]).exits(3).says(unknown).prints("nothing runs them");
    tree.run(&["doctor", "all is well on x86_64-linux"]).exits(0).says(unknown).prints("natively");
    let tree = tree.mounted();
    tree.write_kernel("status", "0");
    tree.run(&["doctor", "all is well"]).exits(3).says(unknown).prints("switched-off");
}

/// A text that is not known, about a system that works.
#[sandboxed]
fn an_unknown_message_about_a_system_gets_its_state() {
    let tree = registered_tree();
    tree.run(&["doctor", "all is well on aarch64-linux"]).exits(0).prints("takes aarch64 programs, and one ran");
    tree.write_kernel("status", "0");
    tree.run(&["doctor", "all is well on aarch64-linux"]).exits(3).prints("the table is switched off");
}

/// Every tenth report of the table, through the program, where nothing is registered.
#[sandboxed]
fn reports_of_the_table_are_explained() {
    let _tree = Tree::new();
    let mut explained = 0;
    for record in RECORDS.iter().flat_map(|file| file.split("\nsource: ").skip(1)).step_by(10) {
        let lines = record.lines().filter_map(|line| line.strip_prefix('|'));
        let text = lines.collect::<Vec<_>>().join("\n").replace("\\e", "\x1b");
        let named = record.lines().filter_map(|line| line.strip_prefix("nothing: ")?.split(' ').next());
        let known: Vec<&str> = named.filter(|id| !["-", "unknown"].contains(id)).collect();
        let said = explain_text(&text).json();
        let found = said["meanings"].as_array().unwrap().iter().filter(|meaning| meaning["id"] != "unknown");
        let ids: Vec<&str> = found.map(|meaning| meaning["id"].as_str().unwrap()).collect();
        assert_eq!(ids, known, "{record}");
        explained += 1;
    }
    assert!(explained >= 15, "{explained}");
}

const RECORDS: [&str; 3] = [
    include_str!("../../../recorded/messages/nix.txt"),
    include_str!("../../../recorded/messages/others.txt"),
    include_str!("../../../recorded/messages/languages.txt"),
];

/// A proposed command can be pasted: this tool accepts it, or it begins with a known program; a word for the reader to
/// replace is in a comment only.
#[sandboxed]
fn every_proposed_command_of_the_table_can_be_pasted() {
    const PROGRAMS: &[&str] = &[
        "apt-get",
        "docker",
        "echo",
        "env",
        "fuser",
        "grep",
        "ls",
        "nix",
        "nix-build",
        "nix-store",
        "sed",
        "systemctl",
        "ulimit",
        "update-binfmts",
    ];
    let lines = RECORDS.iter().flat_map(|file| file.lines()).filter_map(|line| line.strip_prefix("    "));
    let mut commands = 0;
    for line in lines.filter(|line| !line.starts_with('#')) {
        let code = line.split(" #").next().unwrap();
        let words: Vec<&str> = code.split_whitespace().skip_while(|word| *word == "sudo").collect();
        assert!(!words.iter().any(|word| ["SYSTEM", "FILE", "NAME", "LINE", "DERIVATION"].contains(word)), "{line}");
        if words[0] == "binfmt-nix" {
            let command = <binfmt_nix::cli::Cli as clap::CommandFactory>::command();
            // The shell splits the line: a file's name may have blanks.
            let print =
                Command::new("sh").args(["-c", &format!("printf '%s\\n' {}", words.join(" "))]).output().unwrap();
            let parsed = command.try_get_matches_from(String::from_utf8(print.stdout).unwrap().lines());
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        } else {
            assert!(PROGRAMS.contains(&words[0]), "{line}");
        }
        commands += 1;
    }
    assert!(commands > 300, "{commands} commands");
}

/// The errors of write(2) on the kernel's register file, through a shell.
#[sandboxed]
fn errors_of_a_registration_are_explained() {
    let tree = Tree::without_nix().mounted().program("plain", "").mode("plain", 0o644);
    tree.enter(":x:M::abcd::/bin/sh:");
    let plain = tree.path("plain");
    let lines = [
        (":x:M::abcd::/bin/sh:".to_owned(), "register-exists"),
        (":y:M:abcd:/bin/sh:".to_owned(), "register-invalid"),
        (":y:M::abcd::/nowhere:F".to_owned(), "register-no-interpreter"),
        (format!(":y:M::abcd::{}:F", plain.display()), "register-denied"),
    ];
    let register = tree.path("proc/sys/fs/binfmt_misc/register");
    for (line, id) in lines {
        let said = shell_says_of(&format!("echo '{line}' > {}", register.display()));
        first_meaning(&said, id);
    }
}

/// A file system that only an entry with flag F holds: neither lsof nor fuser names it.
#[sandboxed]
fn an_entry_that_holds_a_mount_is_named() {
    let tree = Tree::without_nix().mounted();
    let place = Path::new(SCRATCH).join("held");
    fs::create_dir_all(&place).unwrap();
    let mount = format!("mount -t tmpfs tmpfs {0} && cp /bin/true {0}/qemu", place.display());
    assert!(Command::new("/bin/sh").args(["-c", &mount]).status().unwrap().success());
    tree.enter(&line("held", "aarch64", &place.join("qemu"), "F"));
    let said = shell_says_of(&format!("umount {}", place.display()));
    let meaning = first_meaning(&said, "interpreter-holds-mount");
    assert!(current_state(&meaning).contains("the entry held (flag F) holds"), "{meaning:#}");
    // The test runs in another root directory than the entries, so the path of the table differs.
    let commands: Vec<&str> = meaning["repair"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(commands.iter().any(|line| line.starts_with("echo -1 > ") && line.ends_with("/held")), "{commands:?}");
    tree.write_kernel("held", "-1");
    assert!(Command::new("/bin/umount").arg(&place).status().unwrap().success());
}

/// execvp(3) hands a program that the kernel does not know to /bin/sh, which reads it as a script.
#[sandboxed]
fn a_program_that_a_shell_reads_as_text_is_explained() {
    let _tree = Tree::new();
    let program = Path::new(SCRATCH).join("hello");
    fs::write(&program, [&fs::read(probe("aarch64")).unwrap()[..20], b"\n(\n"].concat()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let said = shell_says_of(&format!("env {}", program.display()));
    let meaning = first_meaning(&said, "elf-read-as-text");
    assert!(meaning["repair"].to_string().contains(" explain "), "{said}: {meaning:#}");
}

/// Nix lacks the feature that nixpkgs requires of builders for armv7l: `register` adds it.
#[sandboxed]
fn a_missing_feature_leads_to_register() {
    let tree = Tree::new();
    let said = "error: a 'armv7l-linux' with features {gccarch-armv7-a} is required to build '/nix/store/x.drv', but I am \
                a 'x86_64-linux' with features {benchmark, big-parallel}";
    let before = explain_text(said).exits(3).json();
    let ids: Vec<&str> = before["meanings"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["nix-wrong-platform", "nix-missing-features"]);
    run_repair(&tree, &before["meanings"][1], Some("arm"));
    let after = first_meaning(said, "nix-missing-features");
    assert!(current_state(&after).contains("try it again"), "{after:#}");
    assert_eq!(after["repair"], serde_json::json!([]));
}

/// Only the end of the log is kept in memory.
#[sandboxed]
fn the_end_of_a_long_log_is_read() {
    let _tree = Tree::new();
    let log = "compiling\n".repeat(400_000);
    assert_eq!(explain_text(&log).exits(0).json()["meanings"], serde_json::json!([]));
    first_meaning(&format!("{log}{REFUSED}\n"), "nix-wrong-platform");
}
