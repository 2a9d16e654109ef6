//! Tests of messages as they were really printed: from the threads that the facts name, and from the programs' sources.

use proptest::prelude::*;

use super::*;
use crate::diagnose::doctor::run_checks;
use crate::diagnose::doctor::snapshot::{NixSnapshot, NixView};
use crate::nix::config_show::NixConfig;

/// A text, its messages, and the system that it names.
const TEXTS: &[(&str, &[&str], &str)] = &[
    // Nix 2.3; 2.4 to 2.29; 2.30; 2.36; the build hook.
    (
        "error: a 'aarch64-linux' is required to build '/nix/store/x-hello.drv', but I am a 'x86_64-linux'",
        &["nix-wrong-platform"],
        "aarch64",
    ),
    (
        "error: a 'aarch64-linux' with features {} is required to build '/nix/store/sh-ensure.drv', but I am a \
         'x86_64-linux' with features {benchmark, big-parallel, kvm, nixos-test}",
        &["nix-wrong-platform"],
        "aarch64",
    ),
    (
        "error: Cannot build '/nix/store/x-hello-2.12.2.drv'.\n       Reason: required system or feature not available\n\
         \x20      Required system: 'riscv64-linux' with features {}\n       Current system: 'x86_64-linux' with features {}",
        &["nix-wrong-platform"],
        "riscv64",
    ),
    (
        "error: Cannot build '/nix/store/x.drv'.\n Reason: platform mismatch\n Required system: 'armv7l-linux'\n Current \
         system: 'x86_64-linux'",
        &["nix-wrong-platform"],
        "arm",
    ),
    (
        "Failed to find a machine for remote build!\nderivation: x.drv\nrequired (system, features): (aarch64-linux, [])",
        &["nix-wrong-platform"],
        "aarch64",
    ),
    // The required system, although the log names another one before.
    (
        "copying path '/nix/store/x-binutils-riscv64-unknown-linux-gnu-2.43' from 'https://cache.nixos.org'...\n\
         error: a 'aarch64-linux' with features {} is required to build '/nix/store/y-riscv64-unknown-linux-gnu.drv', \
         but I am a 'x86_64-linux' with features {}",
        &["nix-wrong-platform"],
        "aarch64",
    ),
    (
        "\x1b[35;1mwarning:\x1b[0m ignoring the client-specified setting 'extra-platforms', because it is a restricted \
         setting and you are not a trusted user",
        &["nix-untrusted-setting"],
        "",
    ),
    ("error: unable to load seccomp BPF program: Invalid argument", &["nix-seccomp"], ""),
    (
        "error: while setting up the build environment: cannot set 32-bit personality: Invalid argument",
        &["nix-personality"],
        "",
    ),
    (
        "error: this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' \
         to disable sandboxing",
        &["nix-no-namespaces"],
        "",
    ),
    ("error: getting attributes of path '/opt/qemu-arm': No such file or directory", &["nix-sandbox-path"], "arm"),
    ("error: getting attributes of path \"/run/binfmt\": No such file or directory", &["nix-sandbox-path"], ""),
    // The kernel, through shells, Rust, Python and Nix.
    ("bash: ./hello: cannot execute binary file: Exec format error", &["exec-format"], ""),
    ("zsh: exec format error: ./hello", &["exec-format"], ""),
    ("OSError: [Errno 8] Exec format error: './hello'", &["exec-format"], ""),
    ("Error: Exec format error (os error 8)", &["exec-format"], ""),
    ("error: executing '/nix/store/x-bash-5.2/bin/bash': Exec format error", &["exec-format"], ""),
    ("-bash: ./hello: Too many levels of symbolic links", &["loop"], ""),
    ("bash: ./hello: cannot execute: required file not found", &["no-such-file"], ""),
    ("-bash: ./hello: No such file or directory", &["no-such-file"], ""),
    ("sh: ./hello: Permission denied", &["permission-denied"], ""),
    // docker, podman, runc, crun, BuildKit.
    (
        "WARNING: The requested image's platform (linux/arm64) does not match the detected host platform \
         (linux/amd64/v4) and no specific platform was requested\nexec /bin/sh: exec format error",
        &["image-platform", "container-exec-format"],
        "aarch64",
    ),
    (
        "WARNING: image platform (linux/arm64) does not match the expected platform (linux/amd64)",
        &["image-platform"],
        "aarch64",
    ),
    ("standard_init_linux.go:228: exec user process caused: exec format error", &["container-exec-format"], ""),
    ("standard_init_linux.go:211: exec user process caused \"exec format error\"", &["container-exec-format"], ""),
    (
        "standard_init_linux.go:207: exec user process caused \"no such file or directory\"",
        &["container-no-interpreter"],
        "",
    ),
    (
        "{\"msg\":\"exec container process `/bin/sh`: Exec format error\",\"level\":\"error\"}",
        &["container-exec-format"],
        "",
    ),
    (
        "ERROR: process \"/dev/.buildkit_qemu_emulator /bin/sh -c apk add x\" did not complete successfully: exec format error",
        &["container-exec-format"],
        "",
    ),
    // QEMU.
    (
        "qemu-aarch64: Could not open '/lib/ld-linux-aarch64.so.1': No such file or directory",
        &["qemu-no-loader"],
        "aarch64",
    ),
    (
        "qemu-x86_64-static: Could not open '/lib64/ld-linux-x86-64.so.2': No such file or directory",
        &["qemu-no-loader"],
        "x86_64",
    ),
    ("qemu: uncaught target signal 11 (Segmentation fault) - core dumped", &["qemu-crash"], ""),
    (
        "qemu-arm: Unable to reserve 0xfffff000 bytes of virtual address space at 0x1000 (Success) for use as guest address \
         space (check your virtual memory ulimit setting)",
        &["qemu-address-space"],
        "arm",
    ),
    ("Unsupported syscall: 293", &["qemu-unsupported"], ""),
    ("qemu-aarch64: Invalid note in PT_GNU_PROPERTY", &["qemu-unsupported"], "aarch64"),
    // What runs inside.
    (
        "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set or an NFS file \
         system without root privileges?",
        &["sudo-without-rights"],
        "",
    ),
    ("a: applet not found", &["argv0-lost"], ""),
    // Installers.
    (
        "installing: arm64 cannot register \"/usr/bin/qemu-aarch64\" to /proc/sys/fs/binfmt_misc/register: write \
         /proc/sys/fs/binfmt_misc/register: no such file or directory",
        &["register-refused"],
        "aarch64",
    ),
    ("write /proc/sys/fs/binfmt_misc/register: file exists", &["register-exists"], ""),
    ("mount: /proc/sys/fs/binfmt_misc: unknown filesystem type 'binfmt_misc'.", &["no-binfmt-misc"], ""),
    // Cross builds.
    ("nix build nixpkgs#pkgsCross.aarch64-multiplatform.hello", &["cross-build"], "aarch64"),
    (
        "these 630 derivations will be built:\n  /nix/store/0q-gcc-aarch64-unknown-linux-gnu-13.3.0.drv\n  \
         /nix/store/1q-hello-aarch64-unknown-linux-gnu-2.12.1.drv",
        &["cross-build"],
        "aarch64",
    ),
    ("these 2 derivations will be built:\n  /nix/store/0q-hello-2.12.drv", &[], ""),
    (
        "cat: /x: No such file or directory\nsh: ./hello: Permission denied\nzsh: exec format error: ./hello",
        &["exec-format"],
        "",
    ),
    ("all is well", &[], ""),
];

#[test]
fn recognises_reported_texts() {
    for (text, ids, system) in TEXTS {
        let found = find_messages(text);
        let known: Vec<_> = found.iter().map(|found| found.known.id).collect();
        assert_eq!(known, *ids, "{text}");
        if let Some(first) = found.first() {
            assert_eq!(first.systems.first().map_or("", |arch| arch.target), *system, "{text}");
        }
    }
}

#[test]
fn every_known_message_has_a_reported_text() {
    for known in catalog::all_messages().chain([&CROSS]) {
        assert!(TEXTS.iter().any(|(_, ids, _)| ids.contains(&known.id)), "{} has no text", known.id);
    }
}

/// A message points to checks by their names.
#[test]
fn the_checks_of_a_message_exist() {
    for known in catalog::all_messages().chain([&CROSS]) {
        for id in known.checks {
            assert!(crate::diagnose::doctor::all_checks().any(|check| check.id == *id), "{} names {id}", known.id);
        }
        assert!(known.covers.iter().all(|id| catalog::all_messages().any(|other| other.id == *id)), "{}", known.id);
    }
}

fn answer(text: &str, snapshot: &Snapshot) -> Advice {
    let findings = run_checks(snapshot);
    let recognised = find_messages(text);
    explain_message(&recognised[0], snapshot, &findings)
}

#[test]
fn the_same_message_means_another_thing_on_another_machine() {
    let text = TEXTS[1].0;
    let unregistered = answer(text, &Snapshot::default());
    assert_eq!(unregistered.repair, ["sudo binfmt-nix register aarch64"]);
    assert!(unregistered.here[0].contains("nothing runs them"), "{unregistered:#?}");
    let mut native = Snapshot::default();
    native.natives.extend(["aarch64", "x86_64"]);
    assert!(answer(text, &native).here[0].contains("natively"));
    let config = NixConfig { extra_platforms: vec!["aarch64-linux".into()], ..NixConfig::default() };
    let nix = NixSnapshot {
        machine: NixView { effective: Some(config), ..NixView::default() },
        daemon_is_older: Some((7, "/etc/nix/nix.conf".into())),
        restart: Some("systemctl restart nix-daemon".into()),
        ..NixSnapshot::default()
    };
    let outdated = answer(text, &Snapshot { nix: Some(nix), ..Snapshot::default() });
    assert!(outdated.here.iter().any(|line| line.contains("process 7")), "{outdated:#?}");
    assert_eq!(outdated.repair, ["systemctl restart nix-daemon"]);
}

#[test]
fn a_cross_build_gets_the_commands_of_a_native_build() {
    let text = "these 630 derivations will be built:\n  /nix/store/0-gcc-riscv64-unknown-linux-gnu-13.drv";
    let advice = answer(text, &Snapshot::default());
    assert!(advice.means.contains("(system = riscv64-linux)"), "{advice:#?}");
    assert_eq!(advice.repair[0], "sudo binfmt-nix register riscv64");
    assert!(advice.repair[1].starts_with("nix build nixpkgs#legacyPackages.riscv64-linux.hello"), "{advice:#?}");
    let unnamed = answer("import <nixpkgs> { crossSystem = x; }", &Snapshot::default());
    assert!(unnamed.repair.iter().all(|line| line.contains("SYSTEM")), "{unnamed:#?}");
}

proptest! {
    #[test]
    fn accepts_any_text(text in ".{0,200}") {
        for found in find_messages(&text) {
            let _ = explain_message(&found, &Snapshot::default(), &[]);
        }
    }

    /// Pieces of real messages, cut and joined anywhere.
    #[test]
    fn accepts_pieces_of_messages(pieces in proptest::collection::vec((0..TEXTS.len(), any::<prop::sample::Index>()), 0..8)) {
        let cut = |(number, at): (usize, prop::sample::Index)| {
            let chars: Vec<char> = TEXTS[number].0.chars().collect();
            chars[..at.index(chars.len())].iter().collect::<String>()
        };
        let text: String = pieces.into_iter().map(cut).collect();
        for found in find_messages(&text) {
            let _ = explain_message(&found, &Snapshot::default(), &[]);
        }
    }
}
