//! Commands that the tool proposes, run as a user would: pasted into `sh`, in the situation that proposes them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use binfmt_nix::qemu::catalog::Catalog;
use serde_json::Value;

use super::{Machine, Situation, ids, verdict};
use crate::diagnose::situations::systemctl;
use crate::support::output::{Done, tool_path};
use crate::support::proposals::report_executed;
use crate::support::sandbox::SCRATCH;
use crate::support::tree::ROOT;
use crate::support::{Tree, qemu};

/// Commands that belong together: run in this order, they repair what they are proposed for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposal {
    lines: Vec<String>,
    sources: Vec<Source>,
}

/// What proposes commands, and is asked again afterwards.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// A finding of `doctor`: its name and its systems.
    Doctor(String, Value),
    /// A check of `test` that was not proven.
    Test(String),
    /// The line of the system in `status`.
    Status,
    /// The repair of `explain`.
    Explain,
    /// The command of `explain` that runs the file once.
    ExplainOnce,
}

/// Collects what the four commands propose. Every finding proposes something.
pub(super) fn collect(
    situation: &Situation,
    findings: &[Value],
    status: Option<&Value>,
    proofs: &Result<Vec<Value>, i32>,
    explanation: &Value,
) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    let mut add = |lines: &Value, source| {
        let lines: Vec<String> = match lines {
            Value::String(line) => vec![line.clone()],
            Value::Array(lines) => lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect(),
            _ => Vec::new(),
        };
        match proposals.iter_mut().find(|proposal| proposal.lines == lines) {
            _ if lines.is_empty() => {}
            Some(proposal) => proposal.sources.push(source),
            None => proposals.push(Proposal { lines, sources: vec![source] }),
        }
    };
    for finding in findings {
        let id = finding["id"].as_str().unwrap();
        assert!(!finding["repair"].as_array().unwrap().is_empty(), "{}: {finding:#} proposes nothing", situation.name);
        add(&finding["repair"], Source::Doctor(id.to_owned(), finding["systems"].clone()));
    }
    for proof in proofs.iter().flatten() {
        add(&proof["repair"], Source::Test(proof["what"].as_str().unwrap().to_owned()));
    }
    if let Some(status) = status {
        add(&status["repair"], Source::Status);
    }
    add(&explanation["repairs"], Source::Explain);
    add(&explanation["without_root"], Source::ExplainOnce);
    proposals
}

/// Checks that each command is in the text for users, as it is in the JSON document.
#[track_caller]
pub(super) fn are_printed(situation: &Situation, machine: &Machine, proposals: &[Proposal]) {
    let program = machine.program.to_str().unwrap();
    for (proposal, source) in proposals.iter().flat_map(|all| all.sources.iter().map(move |source| (all, source))) {
        let args = match source {
            Source::Doctor(..) => vec!["doctor"],
            Source::Test(_) => vec!["test", situation.system],
            Source::Status => vec!["status"],
            Source::Explain | Source::ExplainOnce => vec!["explain", program],
        };
        let done = machine.run(&args);
        for line in &proposal.lines {
            let printed = done.out.lines().chain(done.err.lines()).any(|printed| printed.ends_with(line.as_str()));
            assert!(printed, "{}: {args:?} does not print {line}: {done:#?}", situation.name);
        }
    }
}

/// Runs the commands of each proposal in a new machine, and asks again what proposed them.
#[track_caller]
pub(super) fn check_proposals(situation: &Situation, proposals: &[Proposal]) {
    for proposal in proposals {
        if proposal.lines.iter().all(|line| is_for_other_machine(line)) {
            check_on_other_machine(situation, proposal);
            continue;
        }
        let machine = (situation.make)();
        let before = ids(&machine.findings());
        for line in &proposal.lines {
            let ran = paste(&filled(line));
            assert_eq!(ran.code, Some(0), "{}: {line}, proposed by {:?}: {ran:#?}", situation.name, proposal.sources);
        }
        for source in &proposal.sources {
            if let Some(remains) = remains(situation, &machine, proposal, source) {
                panic!("{}: after {proposal:#?} there is still {remains:#}", situation.name);
            }
        }
        let after = ids(&machine.findings());
        let new: BTreeSet<_> =
            after.difference(&before).filter(|id| !situation.follow.contains(&id.as_str())).collect();
        assert!(new.is_empty(), "{}: {proposal:#?} leads to {new:?}", situation.name);
        machine.discard();
    }
}

/// Whether a command says that it is for the machine outside of this namespace or container.
fn is_for_other_machine(line: &str) -> bool {
    ["# on the machine itself", "# on the host of the container"].iter().any(|place| line.ends_with(place))
}

/// Runs the commands on another machine, on which nothing is registered.
#[track_caller]
fn check_on_other_machine(situation: &Situation, proposal: &Proposal) {
    let machine = super::live::machine();
    for line in &proposal.lines {
        let ran = paste(line);
        assert_eq!(ran.code, Some(0), "{}: {line}, proposed by {:?}: {ran:#?}", situation.name, proposal.sources);
    }
    machine.discard();
}

/// What is left of the reason for a proposal; `None` if it is gone.
fn remains(situation: &Situation, machine: &Machine, proposal: &Proposal, source: &Source) -> Option<Value> {
    match source {
        Source::Doctor(id, systems) => {
            machine.findings().into_iter().find(|finding| finding["id"] == *id && finding["systems"] == *systems)
        }
        Source::Test(what) => {
            let proofs = machine.proofs(situation.system).unwrap();
            proofs.into_iter().find(|proof| proof["what"] == *what && proof["result"] != "proven")
        }
        Source::Status => machine.status(situation.system).filter(|status| status["state"] != "works"),
        // The command itself runs the file.
        Source::Explain if proposal.lines.iter().any(|line| line.starts_with("QEMU_LD_PREFIX=")) => None,
        Source::Explain => {
            let is_copied = proposal.lines.iter().any(|line| line.starts_with("cp "));
            let explanation = if is_copied { copy_of(machine).explanation() } else { machine.explanation() };
            Some(explanation).filter(|explanation| explanation["runs"] == false)
        }
        // The exit status of the command itself is the answer.
        Source::ExplainOnce => None,
    }
}

/// A directory for copies of files.
const COPIES: &str = "/scratch/copies";

/// The copy that a command made of the program.
fn copy_of(machine: &Machine) -> Machine {
    Machine { tree: None, program: Path::new(COPIES).join(machine.program.file_name().unwrap()) }
}

/// The line with values of this machine in its placeholders.
pub(super) fn filled(line: &str) -> String {
    let code = line.split_once("    # DIR: ").map_or(line, |(code, _)| code);
    if code.len() == line.len() {
        return line.to_owned();
    }
    let root = Path::new(SCRATCH).join("root");
    fs::create_dir_all(root.join("lib")).unwrap();
    fs::write(root.join("lib/ld-none.so.1"), "").unwrap();
    fs::create_dir_all(COPIES).unwrap();
    let line = code.replace("=DIR ", &format!("={} ", root.display()));
    line.strip_suffix(" DIR").map_or(line.clone(), |start| format!("{start} {COPIES}"))
}

/// Registers the system. If that is refused with a command that helps, the command is run first. Then the registration is
/// undone with the command that it prints.
#[track_caller]
pub(super) fn check_registration(situation: &Situation) {
    let machine = (situation.make)();
    let root = machine.tree.as_ref().map_or(String::new(), |_| "--root /tree ".to_owned());
    let mut command = format!("binfmt-nix {root}register {}", situation.system);
    for _ in 0..3 {
        let done = paste(&command);
        match (done.code, help(&done)) {
            (Some(0), _) => {
                let undo = done.out.lines().find_map(|line| line.strip_prefix("undo with: "));
                if let Some(undo) = undo {
                    let undone = paste(undo);
                    assert_eq!(undone.code, Some(0), "{}: {undo}: {undone:#?}", situation.name);
                    let again = paste(undo);
                    assert!(again.out.contains("was not registered"), "{}: {again:#?}", situation.name);
                }
                return machine.discard();
            }
            (_, Some(Help::Command(line))) => {
                let ran = paste(&line);
                assert_eq!(ran.code, Some(0), "{}: {line}, proposed by {command}: {ran:#?}", situation.name);
            }
            (_, Some(Help::Option(option))) => command = format!("{command} {option}"),
            // The machine runs the programs natively: no command helps, and none is needed.
            (Some(2), None) if verdict(&machine.explanation()).starts_with("native") => return machine.discard(),
            _ if situation.explain.starts_with("native") || situation.test.starts_with("exit") => {
                return machine.discard();
            }
            _ => panic!("{}: {command} gives no help: {done:#?}", situation.name),
        }
    }
    panic!("{}: {command} is still refused", situation.name);
}

/// The help of an error.
pub(super) enum Help {
    /// A whole command: "…, run: COMMAND".
    Command(String),
    /// An option for the command that failed: "use --force …".
    Option(String),
}

pub(super) fn help(done: &Done) -> Option<Help> {
    let lines: Vec<&str> = done.err.lines().filter_map(|line| line.strip_prefix("help: ")).collect();
    let command =
        lines.iter().find_map(|line| line.split_once("run: ")).map(|(_, line)| Help::Command(line.to_owned()));
    let option = || {
        let line = lines.iter().find_map(|line| line.strip_prefix("use --"))?;
        Some(Help::Option(format!("--{}", line.split_whitespace().next()?)))
    };
    command.or_else(option)
}

/// Runs a line in `sh`, with the tool in PATH. There is no network: what would be downloaded is in the cache.
#[track_caller]
pub(crate) fn paste(line: &str) -> Done {
    let placeholders = ["SYSTEM", "DIR", "COMMAND", "USER"];
    let code = line.split_once("    # ").map_or(line, |(code, _)| code);
    let is_word = |word: &&&str| code.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|found| found == **word);
    assert_eq!(placeholders.iter().find(is_word), None, "{line}");
    report_executed(line);
    shell(line)
}

/// Runs a line that no output proposes.
pub(super) fn shell(line: &str) -> Done {
    let bin = Path::new(tool_path()).parent().unwrap().display();
    let mut command = Command::new("/bin/sh");
    let path = format!("{}:{bin}:/usr/sbin:/usr/bin:/sbin:/bin", stand_ins().display());
    command.args(["-ec", line]).env_clear().env("PATH", path).env("XDG_CACHE_HOME", CACHE);
    fill_cache(line);
    command.current_dir(SCRATCH).stdin(Stdio::null()).output().unwrap().into()
}

/// A stand-in for sudo: the sandbox's user is root.
const SUDO: &str = "#!/bin/sh\nwhile :; do case $1 in -u) shift 2;; -*) shift;; *) exec \"$@\";; esac; done\n";

/// A stand-in for sysctl(8), which not every machine has.
const SYSCTL: &str = r#"#!/bin/sh
for setting; do
    printf %s "${setting#*=}" > "/proc/sys/$(printf %s "${setting%%=*}" | tr . /)" || exit 1
done
"#;

/// A directory with stand-ins for programs that a sandbox does not have.
fn stand_ins() -> PathBuf {
    let dir = Path::new(SCRATCH).join("bin");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        for (name, script) in [("sudo", SUDO), ("systemctl", systemctl::SCRIPT), ("sysctl", SYSCTL)] {
            fs::write(dir.join(name), script).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    dir
}

/// The cache of downloads, below the root directory that the line names.
const CACHE: &str = "/scratch/cache";

/// If the line downloads, puts the pinned emulator into the cache.
pub(crate) fn fill_cache(line: &str) {
    let root = if line.contains(" --root ") { ROOT } else { "/" };
    let member = Catalog::embedded().unwrap().package_for("x86_64").unwrap().find_member("aarch64").unwrap();
    let place = Path::new(root).join(&CACHE[1..]).join("binfmt-nix").join(member.sha256.to_string());
    let downloads = ["--source download", "--source fallback", " upgrade"].iter().any(|part| line.contains(part));
    if downloads && !place.exists() {
        fs::create_dir_all(&place).unwrap();
        fs::copy(qemu("aarch64"), place.join("qemu-aarch64")).unwrap();
    }
}

impl Machine {
    /// Removes the machine with its table and all files.
    pub(super) fn discard(self) {
        match self.tree {
            Some(tree) => Tree::discard(tree),
            None => super::live::discard(),
        }
    }
}
