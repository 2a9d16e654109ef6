//! Tests of situations that cannot be created on the test machines.

use crate::binfmt::userns::run_table::RunTable;
use std::path::Path;

use binfmt_magic::{Arch, Entry, Rule};

use super::report::DoctorReport;
use super::{Snapshot, all_checks, run_checks};
use crate::binfmt::boot::{Boot, BootRule};
use crate::binfmt::selinux::{ExecmemBoolean, Selinux};
use crate::binfmt::table::Table;
use crate::diagnose::doctor::snapshot::{Environment, InterpreterFile, NixSnapshot, NixView, TrialRun};
use crate::nix::config_show::NixConfig;
use crate::nix::settings::Settings;

#[test]
fn names_of_checks_are_unique_and_in_kebab_case() {
    let ids: Vec<&str> = all_checks().map(|check| check.id).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        assert!(!ids.iter().skip(number + 1).any(|other| other == id), "{id} is used twice");
    }
}

#[test]
fn a_machine_without_entries_is_healthy() {
    assert_eq!(run_checks(&Snapshot::default()), []);
}

fn ids(snapshot: &Snapshot) -> Vec<&'static str> {
    run_checks(snapshot).into_iter().map(|finding| finding.id).collect()
}

/// A machine whose table has these entries, and whose boot file registers them.
fn snapshot_of(lines: &[String]) -> Snapshot {
    let rules: Vec<Rule> =
        lines.iter().map(|line| Rule::parse(line.as_bytes())).collect::<Result<_, _>>().unwrap_or_default();
    assert_eq!(rules.len(), lines.len(), "{lines:?}");
    let boot_rules = rules
        .iter()
        .map(|rule| BootRule { file: "/usr/lib/binfmt.d/x.conf".into(), number: 1, rule: rule.clone() })
        .collect();
    let entries = rules.into_iter().map(|rule| Entry { enabled: true, rule }).collect();
    let table = Table::of_entries(entries);
    Snapshot { table, boot: Boot::from_rules(boot_rules), ..Snapshot::default() }
}

fn line(name: &str, system: &str, flags: &str) -> String {
    let arch = Arch::find(system).ok();
    let rule = arch.and_then(|arch| {
        Some(Rule {
            name: binfmt_magic::EntryName::new(name).ok()?,
            recognition: binfmt_magic::Recognition::Magic(arch.pattern()),
            interpreter: b"/q".into(),
            flags: flags.parse().ok()?,
        })
    });
    String::from_utf8(rule.and_then(|rule| rule.to_line().ok()).unwrap_or_default()).unwrap_or_default()
}

/// What lasts until the next restart, by a system and by a rule with flag C.
#[test]
fn the_repair_of_what_does_not_persist_keeps_an_own_rule() {
    let lines = [line("box64-aarch64", "aarch64", "C"), line("qemu-riscv64", "riscv64", "PF")];
    let mut snapshot = Snapshot { boot: Boot::default(), ..snapshot_of(&lines) };
    snapshot.own_rules = [lines[0].as_bytes()]
        .iter()
        .filter_map(|line| Rule::parse(line).ok())
        .map(|rule| ("box64-aarch64".to_owned(), rule))
        .collect();
    snapshot.own_entries = ["box64-aarch64", "qemu-riscv64"].map(String::from).into();
    let found = run_checks(&snapshot).into_iter().filter(|finding| finding.id == "not-persistent");
    let mut repairs: Vec<String> = found.flat_map(|finding| finding.occurrence.repair).collect();
    repairs.sort();
    assert_eq!(
        repairs,
        ["sudo binfmt-nix register aarch64 --emulator /q --credentials", "sudo binfmt-nix register riscv64"]
    );
}

/// No test machine has SELinux.
#[test]
fn reports_a_label_that_services_may_not_execute() {
    let mut snapshot = snapshot_of(&[line("qemu-aarch64", "aarch64", "PF")]);
    let mut label = |label: &str, selinux| {
        let file =
            InterpreterFile { exists: true, executable: true, label: Some(label.into()), ..InterpreterFile::default() };
        snapshot.interpreters = [(b"/q".to_vec(), file)].into();
        let selinux = Selinux { is_enforcing: selinux, ..Selinux::default() };
        snapshot.environment = Environment { selinux, ..Environment::default() };
        ids(&snapshot)
    };
    assert_eq!(label("system_u:object_r:usr_t:s0", true), ["interpreter-label"]);
    assert_eq!(label("system_u:object_r:container_file_t:s0", true), ["interpreter-label"]);
    assert_eq!(label("unconfined_u:object_r:user_home_t:s0", true), ["interpreter-label"]);
    assert!(label("system_u:object_r:bin_t:s0", true).is_empty());
    assert!(label("system_u:object_r:container_file_t:s0", false).is_empty());
}

/// The emulator of this tool has its right type in every policy; another file needs a rule of its own.
#[test]
fn a_wrong_label_is_repaired_for_good_if_possible() {
    let repair = |path: &str, has_semanage| {
        let rule = line("qemu-aarch64", "aarch64", "PF").replace(":/q:", &format!(":{path}:"));
        let mut snapshot = snapshot_of(&[rule]);
        let label = Some("system_u:object_r:usr_t:s0".to_owned());
        let file = InterpreterFile { exists: true, executable: true, label, ..InterpreterFile::default() };
        snapshot.interpreters = [(path.as_bytes().to_vec(), file)].into();
        let selinux = Selinux { is_enforcing: true, execmem: None, has_semanage };
        snapshot.environment = Environment { selinux, ..Environment::default() };
        let found = run_checks(&snapshot).into_iter().find(|finding| finding.id == "interpreter-label");
        found.map(|finding| (finding.occurrence.repair.join("; "), finding.occurrence.why.contains("a relabel")))
    };
    let own = "/usr/local/libexec/binfmt-nix/bin/qemu-aarch64";
    assert_eq!(repair(own, false), Some((format!("sudo restorecon -F -v {own}"), false)));
    let commands = "sudo semanage fcontext -a -t bin_t /opt/q; sudo restorecon -F -v /opt/q";
    assert_eq!(repair("/opt/q", true), Some((commands.to_owned(), false)));
    assert_eq!(repair("/opt/q", false), Some(("sudo chcon -t bin_t /opt/q".to_owned(), true)));
}

#[test]
fn a_policy_without_executable_memory_is_reported_once() {
    let lines = [line("qemu-aarch64", "aarch64", "PF"), line("qemu-arm", "arm", "PF")];
    for (execmem, command) in [
        (Some(ExecmemBoolean::Allow(false)), Some("sudo setsebool -P allow_execmem on")),
        (Some(ExecmemBoolean::Deny(true)), Some("sudo setsebool -P deny_execmem off")),
        (None, None),
    ] {
        let selinux = Selinux { is_enforcing: true, execmem, has_semanage: true };
        let trials = [("aarch64", TrialRun::JitRefused), ("arm", TrialRun::JitRefused)].into();
        let environment = Environment { selinux, ..Environment::default() };
        let snapshot = Snapshot { environment, trials, ..snapshot_of(&lines) };
        let found = run_checks(&snapshot).into_iter().filter(|finding| finding.id == "execmem-denied");
        let found: Vec<_> = found.map(|finding| finding.occurrence).collect();
        assert_eq!((found.len(), found[0].systems.len()), (1, 2), "{found:?}");
        assert_eq!((found[0].repair.first().map(String::as_str), &found[0].fix), (command, &None));
        assert!(found[0].why.contains("SELinux"), "{found:?}");
    }
}

/// NixOS's i686-linux, on a machine that does not run 32-bit programs natively: `e_machine` 6.
#[test]
fn reports_a_rule_for_i686_that_requires_an_i486() {
    let rule = r":i686-linux:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x06\x00:\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/run/binfmt/i686-linux:";
    assert_eq!(ids(&snapshot_of(&[rule.to_owned()])), ["never-matches"]);
    let mut native = snapshot_of(&[rule.to_owned()]);
    native.natives.insert("i386");
    assert!(ids(&native).is_empty(), "the machine does not need it");
}

/// Debian's `qemu-user-binfmt` on trixie, whose file would bring the entries back.
#[test]
fn rules_of_a_boot_file_that_match_nothing_are_one_note() {
    let rule = |name, number| {
        format!(
            r":{name}:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00{number}:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/libexec/qemu-binfmt/{name}:POF"
        )
    };
    let lines = [rule("qemu-microblaze", r"\xba\xab"), rule("qemu-m68k", r"\xba\xac")];
    let mut snapshot = snapshot_of(&lines);
    let report = DoctorReport::new(&snapshot, run_checks(&snapshot));
    assert_eq!((&report.findings, report.notes.len()), (&Vec::new(), 1), "{report:?}");
    let text = &report.notes[0].text;
    assert!(
        text.contains("made for m68k microblaze match") || text.contains("made for microblaze m68k match"),
        "{text}"
    );
    // Entries that nothing brings back are findings.
    snapshot.boot = Boot::default();
    let found = DoctorReport::new(&snapshot, run_checks(&snapshot)).findings;
    let found: Vec<_> = found.iter().filter(|finding| finding.id == "never-matches").collect();
    assert!(found.len() == 2 && found[0].occurrence.repair[0].contains("-1"), "{found:?}");
}

/// One peer's rules for n32 equal those for o32.
#[test]
fn reports_two_entries_with_the_same_rule() {
    let snapshot = snapshot_of(&[line("qemu-mipsn32", "mips", "F"), line("qemu-mips", "mips", "F")]);
    assert_eq!(ids(&snapshot), ["overlap"]);
}

/// The entry of `run` is above the copies of the machine's entries by intention.
#[test]
fn an_entry_of_run_overlaps_no_other_one() {
    let lines = [line("qemu-aarch64", "aarch64", "PF"), line("theirs", "aarch64", "PF")];
    let run = RunTable { targets: ["aarch64"].into() };
    assert_eq!(ids(&Snapshot { run: Some(run), ..snapshot_of(&lines) }), Vec::<&str>::new());
    let run = RunTable { targets: ["riscv64"].into() };
    assert_eq!(ids(&Snapshot { run: Some(run), ..snapshot_of(&lines) }), ["overlap"]);
}

/// The features that nixpkgs requires for ARM, with every reason why Nix may lack one.
#[test]
fn reports_a_missing_feature_with_the_repair_of_its_cause() {
    let repair = |text: &str, features: Option<&[&str]>| {
        let config = NixConfig {
            extra_platforms: vec!["armv7l-linux".into(), "i686-linux".into()],
            features: features.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            ..NixConfig::default()
        };
        let settings = Settings::read_files(Path::new("/etc/nix/nix.conf"), &|_| Some(text.to_owned()));
        let machine = NixView { settings, effective: Some(config), ..NixView::default() };
        let nix = NixSnapshot { machine, ..NixSnapshot::default() };
        let snapshot = Snapshot { nix: Some(nix), ..snapshot_of(&[line("qemu-arm", "arm", "PF")]) };
        let found = run_checks(&snapshot).into_iter().find(|finding| finding.id == "nix-lacks-feature");
        found.map_or_else(|| "none".to_owned(), |finding| finding.occurrence.repair.join("; "))
    };
    let register = "sudo binfmt-nix register arm";
    assert_eq!(repair("", Some(&["kvm"])), register);
    assert_eq!(repair("system-features = kvm\n", None), register);
    let replaced = "extra-system-features = gccarch-armv7-a\nsystem-features = kvm # mine\n";
    let append = "sudo sed -i '2a extra-system-features = gccarch-armv7-a' /etc/nix/nix.conf";
    assert_eq!(repair(replaced, Some(&["kvm"])), append);
    let own = "extra-system-features = gccarch-armv7-a\n";
    // The line that replaces ours was not found.
    assert_eq!(repair(own, Some(&["kvm"])), "");
    assert_eq!(repair(own, None), "none");
    assert_eq!(repair("", Some(&["gccarch-armv7-a"])), "none");
}

/// A finding with the cause replaces "does not run".
#[test]
fn a_finding_with_the_cause_replaces_does_not_run() {
    let mut snapshot = snapshot_of(&[line("qemu-aarch64", "aarch64", "PF")]);
    snapshot.trials = [("aarch64", TrialRun::Failed("it ended".into()))].into();
    assert_eq!(ids(&snapshot), ["does-not-run"]);
    snapshot.interpreters = [(b"/q".to_vec(), InterpreterFile::default())].into();
    assert_eq!(ids(&snapshot), ["interpreter-missing"]);
}

/// Every finding has a cause and a command.
#[test]
fn every_finding_has_a_cause_and_a_command() {
    let mut snapshot =
        snapshot_of(&[line("qemu-aarch64", "aarch64", "CF"), line("b", "aarch64", ""), line("x", "x86_64", "")]);
    snapshot.natives.insert("x86_64");
    snapshot.environment = Environment { wsl: true, user_namespace: true, ..Environment::default() };
    snapshot.shell.is_root = true;
    let findings = run_checks(&snapshot);
    assert!(findings.len() > 4, "{findings:#?}");
    for finding in &findings {
        assert!(!finding.occurrence.repair.is_empty() && !finding.occurrence.why.is_empty(), "{finding:#?}");
    }
    assert!(findings.windows(2).all(|two| two[0].urgency <= two[1].urgency));
    assert_eq!(findings[0].id, "native-registered");
}
