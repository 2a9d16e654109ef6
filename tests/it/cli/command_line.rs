//! The command line: help, arguments, formats. These runs read only what they need of the machine.

use std::collections::BTreeSet;

use binfmt_magic::{Arch, Rule};

use crate::support::output::{Done, tool};

fn run(args: &[&str]) -> Done {
    tool(args).output().unwrap().into()
}

const COMMANDS: [&str; 8] = ["register", "unregister", "run", "fetch", "status", "test", "list", "nix-conf"];

#[test]
fn help_fits_80_columns() {
    let mut helps = vec![vec!["--help"], vec!["-h"], vec!["gen", "--help"], vec!["gen", "catalog", "--help"]];
    for command in COMMANDS {
        helps.extend([vec![command, "--help"], vec![command, "-h"], vec!["help", command]]);
    }
    for args in helps {
        // At any width of the terminal.
        for columns in ["80", "200", "20"] {
            let done = Done::from(tool(&args).env("COLUMNS", columns).output().unwrap()).exits(0);
            let widest = done.out.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(columns == "20" || widest.chars().count() <= 80, "{args:?}: {widest}");
            assert_eq!(done.err, "");
        }
    }
}

#[test]
fn help_names_every_command_and_no_hidden_one() {
    let done = run(&["--help"]).exits(0);
    for command in COMMANDS {
        assert!(done.out.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}");
    }
    let done = done.prints("Exit status: 0 done").omits("internal");
    assert!(!done.out.lines().any(|line| line.trim_start().starts_with("gen")), "{}", done.out);
}

#[test]
fn every_option_has_a_description() {
    for command in COMMANDS {
        let done = run(&[command, "-h"]).exits(0);
        let lines: Vec<_> = done.out.lines().collect();
        for (line, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
            let option = line.trim_start().starts_with('-');
            let words = line.trim_start().split("  ").filter(|part| !part.trim().is_empty()).count() > 1;
            assert!(!option || words || next.starts_with("          "), "{command}: {line}");
        }
    }
}

#[test]
fn version_is_the_package_version() {
    let version = concat!("binfmt-nix ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"]).exits(0).out, version);
}

#[test]
fn invalid_arguments_exit_2() {
    let senseless: [&[&str]; 23] = [
        &[],
        &["no-such-command"],
        &["--no-such-option"],
        &["register"],
        &["unregister"],
        &["register", "aarch64", "--source", "nowhere"],
        &["register", "aarch64", "--qemu"],
        &["list", "--format", "xml"],
        &["list", "extra"],
        &["status", "extra"],
        &["unregister", "aarch64", "--force"],
        &["gen"],
        &["register", "aarch64", "--from", "x", "--qemu", "y"],
        &["register", "aarch64", "--from", "x", "--source", "host"],
        &["register", "aarch64", "--from", "x", "--mirror", "http://127.0.0.1/"],
        &["register", "aarch64", "--sha256", "0"],
        &["register", "aarch64", "-n", "--from", "http://127.0.0.1/qemu.deb"],
        &["fetch", "aarch64"],
        &["fetch", "-o", "x"],
        &["--json", "fetch", "aarch64", "-o", "-"],
        &["nix-conf", "--builder", "a b"],
        &["nix-conf", "--builder", "arm64"],
        &["nix-conf", "--builder", "build", "no-such-system"],
    ];
    for args in senseless {
        let done = run(args).exits(2);
        assert!(done.out.is_empty() || args[0] == "--json", "{args:?}");
        assert_ne!(done.err, "", "{args:?}");
    }
}

#[test]
fn an_invalid_mirror_url_exits_2() {
    for url in ["", "not a url", "ftp://127.0.0.1/", "file:///etc/passwd", "http://"] {
        let done = run(&["--root", env!("CARGO_TARGET_TMPDIR"), "register", "aarch64", "-n", "--mirror", url]);
        done.exits(2).omits("panicked");
    }
}

#[test]
fn list_names_every_system() {
    let done = run(&["list"]).exits(0).prints("SYSTEM").prints("aarch64-linux");
    for arch in Arch::ALL {
        let row = done.out.lines().find(|line| line.split_whitespace().next() == Some(arch.target));
        let row = row.unwrap_or_else(|| panic!("{} is not in {}", arch.target, done.out));
        for name in arch.nix_systems.iter().chain(arch.oci_platforms).chain(arch.debian) {
            assert!(row.split_whitespace().any(|word| word == *name), "{name} is not in {row}");
        }
    }
    assert_eq!(done.err, "");
}

#[test]
fn list_prints_lines_for_the_kernel() {
    for format in ["register", "binfmt.d"] {
        let done = run(&["list", "--format", format]).exits(0);
        let rules: Vec<_> = done.out.lines().map(|line| Rule::parse(line.as_bytes()).unwrap()).collect();
        assert_eq!(rules.len(), Arch::ALL.len());
        for (rule, arch) in rules.iter().zip(Arch::ALL) {
            assert_eq!(rule.name.as_str(), Some(format!("qemu-{}", arch.target).as_str()));
            assert_eq!(rule.pattern(), Some(&arch.pattern()));
            assert_eq!(rule.flags.to_string(), "PF");
            let interpreter = format!("/usr/local/libexec/binfmt-nix/bin/qemu-{}", arch.target);
            assert_eq!(rule.interpreter, interpreter.as_bytes());
        }
        assert!(done.out.lines().all(|line| line.len() <= 1920));
    }
}

#[test]
fn list_as_json_has_the_same_rows() {
    for args in [&["list", "--json"][..], &["list", "--format", "json"], &["--json", "list"]] {
        let listing = run(args).exits(0).json();
        let systems = listing["systems"].as_array().unwrap();
        assert_eq!(systems.len(), Arch::ALL.len());
        for (system, arch) in systems.iter().zip(Arch::ALL) {
            assert_eq!(system["system"], arch.target);
            assert_eq!(system["nix_systems"], serde_json::json!(arch.nix_systems));
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            assert_eq!((&system["magic"], &system["mask"]), (&hex(arch.magic).into(), &hex(arch.mask).into()));
            assert_eq!(system["has_probe"], arch.probe().is_some());
        }
    }
}

/// Except `uname -m`, which is the same for both byte orders of some machines.
#[test]
fn every_listed_name_is_accepted() {
    let listing = run(&["list", "--json"]).exits(0).json();
    let mut names = BTreeSet::new();
    for system in listing["systems"].as_array().unwrap() {
        for field in ["nix_systems", "oci_platforms", "debian", "triples"] {
            let listed = system[field].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            names.extend(listed.map(|name| (name, system["system"].as_str().unwrap())));
        }
    }
    assert!(names.len() > 60);
    for (name, system) in names {
        assert_eq!(Arch::find(name).map(|arch| arch.target), Ok(system), "{name}");
    }
}

/// No colour without a terminal, and none if a variable disables it.
#[test]
fn no_colour_without_a_terminal() {
    for variables in [&[][..], &[("NO_COLOR", "1"), ("CLICOLOR", "1")], &[("TERM", "dumb")]] {
        for args in [&["list"][..], &["register", "nonsense"], &["--help"], &["--nonsense"]] {
            let done: Done = tool(args).envs(variables.iter().copied()).output().unwrap().into();
            let done = done.omits("\x1b");
            assert!(!done.out.is_empty() || !done.err.is_empty());
        }
    }
}

#[test]
fn errors_name_the_problem_and_the_fix() {
    let done = run(&["nix-conf", "aarch46"]).exits(2).says("error:").says("help:").says("aarch64");
    assert_eq!(done.out, "");
}

#[test]
fn gen_catalog_names_the_package_and_its_error() {
    let done = run(&["gen", "catalog", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).exits(2);
    assert_eq!(done.says("cannot catalogue pool/main/q/qemu/Cargo.toml: it is not an ar archive").out, "");
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/package/one-program");
    run(&["gen", "catalog", seed]).exits(0).prints("\"qemu_version\":\"10.0.13\"").prints("\"target\":\"arm\"");
}

#[test]
fn nix_conf_lists_all_systems_of_all_guests() {
    let done = run(&["nix-conf", "arm", "aarch64"]).exits(0);
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!(lines.len(), 3);
    for system in ["armv7l-linux", "armv6l-linux", "armv5tel-linux", "aarch64-linux"] {
        assert!(lines[0].split(' ').any(|word| word == system), "{system} is not in {}", lines[0]);
    }
    assert!(lines[0].starts_with("extra-extra-platforms = "));
    assert!(lines[1].starts_with("extra-system-features = gccarch-"));
    assert!(lines[2].starts_with("extra-sandbox-paths = ") && lines[2].matches('?').count() == 2);
}
