//! What must hold of a machine whose run was cut short, before anything repairs it.

use std::process::Command;

use serde_json::Value;

use super::Tree;
use super::snapshot::Snapshot;
use super::tree::{NIX_CONF, OWN_CONF, TABLE};

/// The systems that these tests register.
const SYSTEMS: [(&str, &str); 2] = [("aarch64", "aarch64-linux"), ("riscv64", "riscv64-linux")];

/// A machine before and after runs that come to their end.
#[derive(Default)]
pub(crate) struct Whole {
    /// what nix.conf and our own file hold
    texts: Vec<[Option<Vec<u8>>; 2]>,
    states: Vec<Snapshot>,
    /// a machine that is whole is in one of the states
    all: bool,
}

const FILES: [&str; 2] = [NIX_CONF, OWN_CONF];

impl Whole {
    /// The machine as it is now is whole.
    pub(crate) fn and(mut self, tree: &Tree) -> Self {
        self.texts.push(now(tree));
        self.states.push(tree.snapshot());
        self
    }

    /// There are no other states in which it is.
    pub(crate) fn nothing_else(self) -> Self {
        Self { all: true, ..self }
    }

    /// Between two runs, and nowhere else, `status` may be silent about things half done, and has to be.
    fn judge(&self, tree: &Tree, status: &Value, wrong: &mut Vec<String>) {
        let well = |said: &Value| said["state"] == "works" && said["detail"].is_null();
        let silent = status["unfinished"] == false && status["systems"].as_array().unwrap().iter().all(well);
        let now = tree.snapshot();
        let whole = self.states.iter().any(|state| state.is_like(&now));
        if whole && !silent {
            wrong.push(format!("nothing is half done, and status says: {status:#}"));
        }
        if silent && !whole && self.all {
            wrong.push(format!("something is half done, and status says only: {status:#}"));
        }
    }

    fn compare_texts(&self, tree: &Tree, wrong: &mut Vec<String>) {
        for (number, now) in now(tree).into_iter().enumerate() {
            if !self.texts.iter().any(|texts| texts[number] == now) {
                let text = now.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                wrong.push(format!("{} is neither as before nor as after: {text:?}", FILES[number]));
            }
        }
    }
}

fn now(tree: &Tree) -> [Option<Vec<u8>>; 2] {
    FILES.map(|path| tree.exists(path).then(|| tree.read(path)))
}

impl Tree {
    /// In words, what is worse than half done.
    pub(crate) fn unsound(&self, whole: &Whole) -> String {
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
            let said = status["systems"].as_array().unwrap().iter().find(|said| said["system"] == system);
            self.untrue(system, said, &mut wrong);
        }
        whole.judge(self, &status, &mut wrong);
        wrong.join("\n")
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.run(&["status", "--json"]).omits("panicked").exits_with(&[0, 3]).json()
    }

    /// What `status` says of a system, against the machine.
    fn untrue(&self, system: &str, said: Option<&Value>, wrong: &mut Vec<String>) {
        let name = format!("qemu-{system}");
        let has_entry = self.exists(&format!("{TABLE}/{name}"));
        let runs = self.runs_somehow(system);
        let Some(said) = said else {
            if has_entry || runs {
                wrong.push(format!("status does not know {system}, which has an entry"));
            }
            return;
        };
        let expected = match (has_entry, runs) {
            (true, true) => "works",
            (true, false) => "broken",
            (false, _) => "missing",
        };
        let (entry, by) = if has_entry { (name.into(), "binfmt-nix") } else { (Value::Null, "nobody") };
        if said["state"] != expected || said["entry"] != entry || said["by"] != by {
            wrong.push(format!("{system} is {expected}, and status says: {said:#}"));
        }
        // While an older one still runs, it is the other that is in place.
        let there = if said["on_disk"].is_null() { &said["qemu"] } else { &said["on_disk"]["qemu"] };
        if !there.is_null() && self.release(system).is_none_or(|release| *there != release.as_str()) {
            wrong.push(format!("the emulator in place does not answer with this release: {said:#}"));
        }
        if expected != "works" && said["detail"].is_null() {
            wrong.push(format!("status does not say what is wrong: {said:#}"));
        }
    }

    /// What the emulator in place answers with.
    fn release(&self, system: &str) -> Option<String> {
        let emulator = self.path(&format!("usr/local/libexec/binfmt-nix/qemu-{system}"));
        let output = Command::new(emulator).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().skip_while(|word| *word != "version").nth(1).map(str::to_owned)
    }

    /// Systems that Nix takes builds for, and that do not run.
    pub(crate) fn promised_in_vain(&self) -> Vec<&str> {
        let [conf, own] = now(self).map(|text| String::from_utf8(text.unwrap_or_default()).unwrap());
        let told =
            |name: &str| conf.contains("!include binfmt-nix.conf") && own.split_whitespace().any(|word| word == name);
        let vain = SYSTEMS.iter().filter(|(system, name)| told(name) && !self.runs_somehow(system));
        vain.map(|(system, _)| *system).collect()
    }
}
