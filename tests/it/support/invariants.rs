//! Conditions that hold on a machine whose run was cut short, before a later run repairs it.

use std::process::Command;

use serde_json::Value;

use super::Tree;
use super::snapshot::Snapshot;
use super::tree::{NIX_CONF, OWN_CONF};

/// The systems that these tests register.
const SYSTEMS: [(&str, &str); 2] = [("aarch64", "aarch64-linux"), ("riscv64", "riscv64-linux")];

/// The states of a machine between runs that were not cut short.
#[derive(Default)]
pub(crate) struct CompleteStates {
    /// Contents of nix.conf and of our own file in each state.
    texts: Vec<[Option<Vec<u8>>; 2]>,
    states: Vec<Snapshot>,
    /// Whether a complete machine is always in one of the states.
    exhaustive: bool,
}

const FILES: [&str; 2] = [NIX_CONF, OWN_CONF];

impl CompleteStates {
    /// Adds the current state of the machine.
    pub(crate) fn with_current(mut self, tree: &Tree) -> Self {
        self.texts.push(read_configs(tree));
        self.states.push(tree.snapshot());
        self
    }

    /// Declares that no other state is complete.
    pub(crate) fn exhaustive(self) -> Self {
        Self { exhaustive: true, ..self }
    }

    /// Compares the report of `status` with the state: exactly a complete machine has nothing to report.
    fn compare_status(&self, tree: &Tree, status: &Value, wrong: &mut Vec<String>) {
        let works = |reported: &Value| reported["state"] == "works" && reported["detail"].is_null();
        let silent = status["unfinished"] == false && status["systems"].as_array().unwrap().iter().all(works);
        let current = tree.snapshot();
        let complete = self.states.iter().any(|state| state.is_like(&current));
        if complete && !silent {
            wrong.push(format!("no change is incomplete, but status reports: {status:#}"));
        }
        if silent && !complete && self.exhaustive {
            wrong.push(format!("a change is incomplete, but status reports only: {status:#}"));
        }
    }

    fn compare_texts(&self, tree: &Tree, wrong: &mut Vec<String>) {
        for (number, content) in read_configs(tree).into_iter().enumerate() {
            if !self.texts.iter().any(|texts| texts[number] == content) {
                let text = content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                wrong.push(format!("{} has neither its old nor its new content: {text:?}", FILES[number]));
            }
        }
    }
}

fn read_configs(tree: &Tree) -> [Option<Vec<u8>>; 2] {
    FILES.map(|path| tree.exists(path).then(|| tree.read(path)))
}

impl Tree {
    /// Describes every violated condition; empty if all hold.
    pub(crate) fn describe_damage(&self, whole: &CompleteStates) -> String {
        let mut wrong = Vec::new();
        if !Command::new("/bin/true").status().is_ok_and(|status| status.success()) {
            wrong.push("a native program does not run".to_owned());
        }
        whole.compare_texts(self, &mut wrong);
        for (name, text) in self.table() {
            let interpreter = text.lines().find_map(|line| line.strip_prefix("interpreter ")).unwrap();
            if !std::fs::exists(interpreter).unwrap() {
                wrong.push(format!("the entry {name} has no interpreter"));
            }
        }
        let status = self.status();
        for (system, _) in SYSTEMS {
            let reported = status["systems"].as_array().unwrap().iter().find(|reported| reported["system"] == system);
            self.compare_system(system, reported, &mut wrong);
        }
        whole.compare_status(self, &status, &mut wrong);
        wrong.join("\n")
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.run(&["status", "--json"]).omits("panicked").exits_with(&[0, 3]).json()
    }

    /// Compares the report of `status` on a system with the machine.
    fn compare_system(&self, system: &str, reported: Option<&Value>, wrong: &mut Vec<String>) {
        // While an entry is replaced, another one stands in for it. The newest is used.
        let is_own =
            |name: &String| *name == format!("qemu-{system}") || name.starts_with(&format!("binfmt-nix-{system}"));
        let name = self.entries().into_iter().find(is_own);
        let has_entry = name.is_some();
        let runs = self.runs_somehow(system);
        let Some(reported) = reported else {
            if has_entry || runs {
                wrong.push(format!("status does not report {system}, which has an entry"));
            }
            return;
        };
        let expected = match (has_entry, runs) {
            (true, true) => "works",
            (true, false) => "broken",
            (false, _) => "missing",
        };
        let (entry, by) = name.map_or((Value::Null, "nobody"), |name| (name.into(), "binfmt-nix"));
        if reported["state"] != expected || reported["entry"] != entry || reported["by"] != by {
            wrong.push(format!("{system} is {expected}, but status reports: {reported:#}"));
        }
        // While the kernel still runs an older emulator, `on_disk` describes the installed one.
        let installed = if reported["on_disk"].is_null() { &reported["qemu"] } else { &reported["on_disk"]["qemu"] };
        if !installed.is_null() && self.release(system).is_none_or(|release| *installed != release.as_str()) {
            wrong.push(format!("the installed emulator does not answer with this release: {reported:#}"));
        }
        if expected != "works" && reported["detail"].is_null() {
            wrong.push(format!("status does not report the problem: {reported:#}"));
        }
    }

    /// The release in the answer of the installed emulator.
    fn release(&self, system: &str) -> Option<String> {
        let emulator = self.path(&format!("usr/local/libexec/binfmt-nix/bin/qemu-{system}"));
        let output = Command::new(emulator).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().skip_while(|word| *word != "version").nth(1).map(str::to_owned)
    }

    /// The systems for which Nix accepts builds although their programs do not run.
    pub(crate) fn configured_but_not_running(&self) -> Vec<&str> {
        let [conf, own] = read_configs(self).map(|text| String::from_utf8(text.unwrap_or_default()).unwrap());
        let configured =
            |name: &str| conf.contains("!include binfmt-nix.conf") && own.split_whitespace().any(|word| word == name);
        let systems = SYSTEMS.iter().filter(|(system, name)| configured(name) && !self.runs_somehow(system));
        systems.map(|(system, _)| *system).collect()
    }
}
