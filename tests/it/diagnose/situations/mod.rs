//! Situations that machines are really in, made on a kernel's table: what `doctor`, `status`, `test` and `explain` find
//! in each, exactly, and that every command which any of them proposes works there.
//!
//! A situation is a row of one of the tables, such as [`entries`], [`interpreters`] and [`natives`]. To add one, write how it is
//! made and what the four commands find. [`commands`] does the rest: it pastes every proposed command into `sh`, as
//! printed, in the situation that proposes it, and asks again. [`hints`] and [`recorded`] do the same with the commands of
//! errors and of explanations of messages.

pub(crate) mod commands;
pub(crate) mod entries;
pub(crate) mod files;
pub(crate) mod hints;
pub(crate) mod interpreters;
pub(crate) mod live;
pub(crate) mod loops;
pub(crate) mod natives;
pub(crate) mod places;
pub(crate) mod recorded;
pub(crate) mod systemctl;
pub(crate) mod wrappers;

use std::collections::BTreeSet;
use std::path::PathBuf;

use binfmt_magic::Arch;
use serde_json::Value;

use crate::binfmt::userns::usual_proc;
use crate::support::output::{Done, tool};
use crate::support::{LiarBehavior, Tree, liar};

/// One situation, and what the four commands find in it.
pub(crate) struct Situation {
    /// The situation, in words.
    pub(crate) name: &'static str,
    /// The system that `status`, `test`, `explain` and `register` are asked about, by QEMU's name.
    pub(crate) system: &'static str,
    /// Makes the situation.
    pub(crate) make: fn() -> Machine,
    /// The findings of `doctor`, in any order.
    pub(crate) doctor: &'static [&'static str],
    /// The state of the system in `status`; "-" if the system is not listed.
    pub(crate) status: &'static str,
    /// What `test` does not prove: the checks, or "everything", or "" if all is proven; "exit N" if it refuses to test.
    pub(crate) test: &'static str,
    /// What `explain` says of a program of the system: its verdict, and the error of execve(2) if there is one. With
    /// `--root`, it is what a process gets whose root directory is the tree: an interpreter without flag F is not there.
    pub(crate) explain: &'static str,
    /// The findings of `doctor` that may follow when one of these is repaired.
    pub(crate) follow: &'static [&'static str],
}

/// The machine of a situation.
pub(crate) struct Machine {
    /// The files below `--root`, and the table; `None` for the running machine.
    pub(crate) tree: Option<Tree>,
    /// The program that `explain` is asked about, as it is named on the machine.
    pub(crate) program: PathBuf,
}

/// The answer of an emulator that passes every check: it prints what a probe program would print.
pub(crate) const GOOD: LiarBehavior = LiarBehavior::RightOutput;

/// The path at which `register` finds an emulator of the system, below the tree.
pub(crate) fn available(system: &str) -> String {
    format!("usr/local/bin/qemu-{system}-static")
}

/// An emulator of the system that answers with this release and behaves like this.
pub(crate) fn emulator(system: &str, release: &str, behavior: LiarBehavior) -> Vec<u8> {
    liar(&format!("qemu-{system} version {release}"), behavior)
}

/// A machine with a mounted table and an emulator that `register` finds, and nothing registered.
pub(crate) fn bare(system: &str) -> Tree {
    usual_proc();
    Tree::without_nix().mounted().program(&available(system), emulator(system, "10.0.13", GOOD))
}

/// The same machine, on which this tool registered the system.
pub(crate) fn registered(system: &str) -> Tree {
    let tree = bare(system);
    drop(tree.run(&["register", system]).exits(0));
    tree
}

impl Machine {
    /// A machine whose program is the probe of the system.
    pub(crate) fn with_probe(tree: Tree, system: &str) -> Self {
        let bytes = Arch::by_target(system).unwrap().probe().unwrap();
        Self::with_program(tree, bytes)
    }

    /// A machine with this program.
    pub(crate) fn with_program(tree: Tree, bytes: &[u8]) -> Self {
        Self { tree: Some(tree.program("srv/program", bytes)), program: "/srv/program".into() }
    }

    /// Runs the tool on the machine.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        match &self.tree {
            Some(tree) => tree.run(args).omits("panicked"),
            None => Done::from(tool(args).output().unwrap()).omits("panicked"),
        }
    }

    pub(crate) fn findings(&self) -> Vec<Value> {
        self.run(&["doctor", "--json"]).exits_with(&[0, 3]).json()["findings"].as_array().unwrap().clone()
    }

    /// The line of the system in `status`.
    pub(crate) fn status(&self, system: &str) -> Option<Value> {
        let status = self.run(&["status", "--json"]).exits(0).json();
        status["systems"].as_array().unwrap().iter().find(|found| found["system"] == system).cloned()
    }

    /// The checks of `test`, or the exit status with which it refuses.
    pub(crate) fn proofs(&self, system: &str) -> Result<Vec<Value>, i32> {
        let done = self.run(&["test", system, "--json"]);
        match done.code {
            Some(0 | 3) => Ok(done.json()["systems"][0]["proofs"].as_array().unwrap().clone()),
            code => Err(code.unwrap()),
        }
    }

    pub(crate) fn explanation(&self) -> Value {
        self.run(&["explain", "--json", self.program.to_str().unwrap()]).exits_with(&[0, 3]).json()
    }
}

/// Checks a table: what the four commands find in each situation, and the commands that they propose.
#[track_caller]
pub(crate) fn check(situations: &[Situation]) {
    let names: BTreeSet<_> = situations.iter().map(|situation| situation.name).collect();
    assert_eq!(names.len(), situations.len(), "two situations have one name");
    for situation in situations {
        let proposals = check_findings(situation);
        commands::check_proposals(situation, &proposals);
        commands::check_registration(situation);
    }
}

/// Checks that the four commands find exactly what the row says, and that they change nothing. Returns what they propose.
#[track_caller]
fn check_findings(situation: &Situation) -> Vec<commands::Proposal> {
    let (name, machine) = (situation.name, (situation.make)());
    let before = machine.tree.as_ref().map(Tree::snapshot);
    let (findings, status) = (machine.findings(), machine.status(situation.system));
    let (proofs, explanation) = (machine.proofs(situation.system), machine.explanation());
    let seen = Seen {
        doctor: ids(&findings),
        status: status.as_ref().map_or("-", |status| status["state"].as_str().unwrap()).to_owned(),
        test: unproven(&proofs),
        explain: verdict(&explanation),
    };
    let expected = Seen {
        doctor: situation.doctor.iter().map(|id| (*id).to_owned()).collect(),
        status: situation.status.to_owned(),
        test: situation.test.to_owned(),
        explain: situation.explain.to_owned(),
    };
    assert_eq!(seen, expected, "{name}: {findings:#?} {status:#?} {proofs:#?} {explanation:#}");
    let proposals = commands::collect(situation, &findings, status.as_ref(), &proofs, &explanation);
    commands::are_printed(situation, &machine, &proposals);
    if let (Some(before), Some(tree)) = (before, &machine.tree) {
        before.is_untouched_in(tree);
    }
    machine.discard();
    proposals
}

/// What the four commands found.
#[derive(Debug, PartialEq)]
struct Seen {
    doctor: BTreeSet<String>,
    status: String,
    test: String,
    explain: String,
}

fn ids(findings: &[Value]) -> BTreeSet<String> {
    findings.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

fn unproven(proofs: &Result<Vec<Value>, i32>) -> String {
    match proofs {
        Err(code) => format!("exit {code}"),
        Ok(proofs) => {
            let failed = proofs.iter().filter(|proof| proof["result"] != "proven");
            let failed: Vec<_> = failed.map(|proof| proof["what"].as_str().unwrap()).collect();
            if failed.len() == proofs.len() { "everything".to_owned() } else { failed.join(" ") }
        }
    }
}

fn verdict(explanation: &Value) -> String {
    let errno = explanation["errno"].as_str().map(|errno| format!(" {errno}")).unwrap_or_default();
    format!("{}{errno}", explanation["verdict"].as_str().unwrap())
}
