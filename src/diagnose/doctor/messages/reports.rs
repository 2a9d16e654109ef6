//! A table of messages of public reports, of sources and recordings, with what the doctor answers on three machines:
//! where nothing is registered, where everything works, and where things are broken.
//!
//! The table is `tests/recorded/messages`. `BINFMT_NIX_TEST_BLESS=1` writes the answers into it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry, EntryName, Recognition, Rule};

use super::{Advice, Reading};
use crate::binfmt::table::Table;
use crate::diagnose::doctor::snapshot::{Environment, InterpreterFile, NixSnapshot, NixView, TrialRun};
use crate::diagnose::doctor::{Finding, Snapshot, run_checks};
use crate::nix::config_show::NixConfig;
use crate::nix::settings::Settings;

/// A file of the table, without the answers.
struct MessageReport {
    /// Where the text is from: a URL, or how it was recorded.
    source: String,
    /// The program that printed it, with its release.
    by: String,
    text: String,
}

const FILES: [&str; 3] = ["nix.txt", "others.txt", "languages.txt"];

fn path_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/messages").join(file)
}

#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
fn read(file: &str) -> String {
    std::fs::read_to_string(path_of(file)).unwrap()
}

fn parse(file: &str) -> Vec<MessageReport> {
    let mut records: Vec<MessageReport> = Vec::new();
    for line in file.lines() {
        if let Some(source) = line.strip_prefix("source: ") {
            records.push(MessageReport { source: source.to_owned(), by: String::new(), text: String::new() });
        } else if let Some(record) = records.last_mut() {
            if let Some(by) = line.strip_prefix("by: ") {
                by.clone_into(&mut record.by);
            } else if let Some(text) = line.strip_prefix('|') {
                record.text.push_str(&text.strip_prefix(' ').unwrap_or(text).replace("\\e", "\x1b"));
                record.text.push('\n');
            }
        }
    }
    records
}

fn all_records() -> Vec<MessageReport> {
    FILES.iter().flat_map(|file| parse(&read(file))).collect()
}

/// A machine of the table, and what the checks find on it.
struct Machine {
    name: &'static str,
    snapshot: Snapshot,
    findings: Vec<Finding>,
}

impl Machine {
    fn new(name: &'static str, snapshot: Snapshot) -> Self {
        Self { name, findings: run_checks(&snapshot), snapshot }
    }

    fn all() -> [Self; 3] {
        [Self::new("nothing", fresh()), Self::new("works", working()), Self::new("broken", broken())]
    }

    fn explain(&self, reading: &Reading) -> Vec<Advice> {
        reading.explain(&self.snapshot, &self.findings)
    }
}

/// A machine with a daemon of Nix and no entries.
fn fresh() -> Snapshot {
    let nix = NixSnapshot {
        machine: view("", &["i686-linux"]),
        conf: "/etc/nix/nix.conf".into(),
        has_daemon: true,
        restart: Some("sudo systemctl restart nix-daemon".into()),
        ..NixSnapshot::default()
    };
    let environment = Environment { has_kvm: true, ..Environment::default() };
    Snapshot { natives: ["x86_64", "i386"].into(), environment, nix: Some(nix), ..Snapshot::default() }
}

/// The same machine after four systems were registered.
fn working() -> Snapshot {
    let mut snapshot = fresh();
    let foreign = || ["aarch64", "arm", "riscv64", "s390x"].into_iter().filter_map(Arch::by_target);
    let rule = |arch: &Arch| Rule {
        name: EntryName::new(format!("qemu-{}", arch.target)).unwrap(),
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: format!("/usr/libexec/binfmt-nix/bin/qemu-{}", arch.target).into_bytes(),
        flags: "PF".parse().unwrap(),
    };
    let rules: Vec<Rule> = foreign().map(rule).collect();
    for rule in &rules {
        let file = InterpreterFile { exists: true, executable: true, ..InterpreterFile::default() };
        snapshot.interpreters.insert(rule.interpreter.clone(), file);
        snapshot.own_entries.insert(rule.name.as_str().unwrap().to_owned());
    }
    let boot_rule = |rule: &Rule| crate::binfmt::boot::BootRule {
        file: "/etc/binfmt.d/x.conf".into(),
        number: 1,
        rule: rule.clone(),
    };
    let boot = rules.iter().map(boot_rule).collect();
    snapshot.boot = crate::binfmt::boot::Boot::from_rules(boot);
    snapshot.trials = foreign().map(|arch| (arch.target, TrialRun::Ran)).collect();
    let entries = rules.into_iter().map(|rule| Entry { enabled: true, rule }).collect();
    snapshot.table = Table::of_entries(entries);
    if let Some(nix) = &mut snapshot.nix {
        let systems: Vec<&str> = foreign().flat_map(|arch| arch.nix_systems).copied().collect();
        let all: Vec<&str> = systems.iter().copied().chain(["i686-linux"]).collect();
        let mut lines = crate::nix::conf::platform_lines(&systems);
        lines.push("extra-sandbox-paths = /run/binfmt?".to_owned());
        nix.machine = view(&lines.join("\n"), &all);
    }
    snapshot
}

/// The same machine when its table is switched off, its emulators lost their flag F, and Nix has other settings.
fn broken() -> Snapshot {
    let mut snapshot = working();
    if let Table::Mounted { entries, enabled, .. } = &mut snapshot.table {
        *enabled = false;
        for entry in entries {
            entry.rule.flags = "P".parse().unwrap();
        }
    }
    snapshot.environment.wsl = true;
    snapshot.environment.has_kvm = false;
    if let Some(nix) = &mut snapshot.nix {
        nix.machine = view("extra-platforms =\nmax-jobs = 0\nextra-sandbox-paths = /run/binfmt\n", &[]);
        nix.missing = ["/run/binfmt".to_owned()].into();
        nix.untrusted = vec![("user".into(), "/home/user/.config/nix/nix.conf".into(), "extra-platforms".into())];
    }
    snapshot
}

/// Settings of these lines, and with these platforms.
fn view(text: &str, platforms: &[&str]) -> NixView {
    let settings = Settings::read_files(Path::new("/etc/nix/nix.conf"), &|_| Some(text.to_owned()));
    let extra_platforms = platforms.iter().map(|system| (*system).to_owned()).collect();
    let effective = NixConfig {
        extra_platforms,
        sandbox: "true".into(),
        features: Some(settings.effective_list(&["system-features"], &["benchmark", "big-parallel", "nixos-test"])),
        max_jobs: settings.last_word(&["max-jobs"]).map(str::to_owned),
        ..NixConfig::default()
    };
    NixView { settings, effective: Some(effective), ..NixView::default() }
}

/// The answers on all machines, as lines of the table.
fn answer(text: &str, machines: &[Machine]) -> Vec<String> {
    let mut lines = Vec::new();
    let reading = Reading::of(text);
    for machine in machines {
        let name = machine.name;
        let advice = machine.explain(&reading);
        if advice.is_empty() {
            lines.push(format!("{name}: -"));
        }
        for advice in advice {
            let system = advice.system.map(|system| format!(" [{system}]")).unwrap_or_default();
            let from = advice.machine.map(|from| format!(" on {from}")).unwrap_or_default();
            lines.push(format!("{name}: {}{system}{from}", advice.id));
            lines.extend(advice.repair.iter().map(|line| format!("    {line}")));
        }
    }
    lines
}

/// A file of the table, with the answers of today.
fn render(file: &str, machines: &[Machine]) -> String {
    let mut lines: Vec<String> =
        file.lines().take_while(|line| !line.starts_with("source: ")).map(str::to_owned).collect();
    for record in parse(file) {
        lines.push(format!("source: {}", record.source));
        lines.push(format!("by: {}", record.by));
        let text = record.text.replace('\x1b', "\\e");
        lines.extend(text.lines().map(|line| if line.is_empty() { "|".to_owned() } else { format!("| {line}") }));
        lines.extend(answer(&record.text, machines));
        lines.push(String::new());
    }
    lines.join("\n")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test writes its data")]
fn every_report_gets_its_answer_on_every_machine() {
    let machines = Machine::all();
    for name in FILES {
        let (recorded, now) = (read(name), render(&read(name), &machines));
        if std::env::var_os("BINFMT_NIX_TEST_BLESS").is_some() {
            std::fs::write(path_of(name), now).unwrap();
        } else {
            let differs = recorded.lines().zip(now.lines()).position(|(was, is)| was != is);
            let around = |text: &str| {
                text.lines().skip(differs.unwrap_or(0).saturating_sub(8)).take(16).collect::<Vec<_>>().join("\n")
            };
            assert!(recorded == now, "{name}:\n{}\n--- is now\n{}", around(&recorded), around(&now));
        }
    }
}

#[test]
fn every_report_has_a_source_and_no_personal_details() {
    let records = all_records();
    assert!(records.len() >= 150, "{} records", records.len());
    let of_nix = parse(&read("nix.txt"));
    assert!(of_nix.len() >= 60, "{} records of Nix", of_nix.len());
    for (first, last) in [("2.0", "2.3"), ("2.4", "2.29"), ("2.30", "2.36")] {
        let minor = |version: &str| version.rsplit('.').next().and_then(|minor| minor.parse::<u32>().ok());
        let in_range = |record: &&MessageReport| {
            let version = record.by.strip_prefix("Nix ").and_then(minor);
            version.is_some_and(|version| minor(first) <= Some(version) && Some(version) <= minor(last))
        };
        assert!(of_nix.iter().filter(in_range).count() >= 8, "too few reports of Nix {first} to {last}");
    }
    let is_report = |record: &&MessageReport| ["/issues/", "/pull/"].iter().any(|part| record.source.contains(part));
    let is_verbatim = |record: &&MessageReport| !["#here", "#adapted"].iter().any(|end| record.source.ends_with(end));
    let verbatim = records.iter().filter(is_report).filter(is_verbatim).count();
    assert!(verbatim >= 60, "only {verbatim} are as they were reported");
    for record in &records {
        let has_source =
            ["https://", "recorded ", "recorded,", "not a message"].iter().any(|s| record.source.starts_with(s));
        assert!(has_source && !record.by.is_empty() && !record.text.is_empty(), "{}", record.source);
        for home in record.text.split("/home/").skip(1) {
            assert!(home.starts_with("user/") || home.starts_with("buildozer/"), "{}: {}", record.source, record.text);
        }
    }
}

/// Nothing is proposed that has been done already: where a system works, `register` changes nothing.
#[test]
fn register_is_not_proposed_where_the_system_works() {
    let works = Machine::new("works", working());
    assert_eq!(works.findings, []);
    for record in all_records() {
        for advice in works.explain(&Reading::of(&record.text)) {
            let plain = |line: &&String| line.contains(" register ") && !line.contains("--") && !line.starts_with('#');
            let proposed = advice.repair.iter().find(plain);
            assert!(proposed.is_none(), "{}: {proposed:?}", record.source);
        }
    }
}
