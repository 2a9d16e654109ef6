//! Turns a message into advice: what it means, the state of this machine, and commands that fit that state. Pure.

use binfmt_magic::Arch;

use super::{Advice, Message, Reading, SystemName, UNKNOWN};
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::doctor::messages::catalog::{KnownMessage, Remedy};
use crate::diagnose::doctor::messages::host_state::{
    build_trial, describe_machine, describe_system, is_configured, is_native, ran_here, runs_here, works_here,
};
use crate::diagnose::doctor::messages::pattern::Role;
use crate::diagnose::doctor::nix_features::available_features;
use crate::diagnose::doctor::nix_sandbox::{PATHS, parse_sandbox_path};
use crate::diagnose::doctor::snapshot::{BuildTrial, NixSnapshot, interpreter_path, system_named_by};
use crate::diagnose::doctor::table::mount_commands;
use crate::diagnose::doctor::{Finding, Snapshot};
use crate::nix::conf::required_features;
use crate::nix::settings::SettingLine;
use crate::sanitize::{AsText as _, command, shell_quote};
use crate::ui::quantity::count;

/// The maximum number of findings about systems that are listed if the text names no system.
const MAX_OTHERS: usize = 3;

/// What to do, and what was found out for it.
#[derive(Default)]
struct Todo {
    here: Vec<String>,
    lines: Vec<String>,
}

impl Todo {
    fn lines<S: Into<String>>(lines: impl IntoIterator<Item = S>) -> Self {
        Self { here: Vec::new(), lines: lines.into_iter().map(Into::into).collect() }
    }

    fn new(here: impl Into<String>, lines: Vec<String>) -> Self {
        Self { here: vec![here.into()], lines }
    }
}

/// The things that an explanation is about.
struct AdviceSubject<'a> {
    known: &'static KnownMessage,
    message: &'a Message,
    snapshot: &'a Snapshot,
    /// The system that is needed.
    wanted: Option<&'a SystemName>,
    /// The same, if QEMU can run it; or a system that the text names.
    arch: Option<&'static Arch>,
}

/// Explains a message on this machine.
pub(super) fn explain_message(
    known: &'static KnownMessage,
    message: &Message,
    reading: &Reading,
    snapshot: &Snapshot,
    findings: &[Finding],
) -> Advice {
    let wanted = reading.wanted_by(message).filter(|_| !known.of_machine);
    let named = || reading.named_system(snapshot).filter(|_| !known.of_machine);
    let arch = wanted.map_or_else(named, SystemName::arch);
    let subject = AdviceSubject { known, message, snapshot, wanted, arch };
    let machine = subject.other_machine(reading.host_of(message));
    let Todo { here, lines } = match &machine {
        Some(machine) => subject.advise_for_other_machine(machine, reading.host_of(message)),
        None => subject.advise_here(findings),
    };
    Advice {
        id: known.id,
        by: known.printed_by,
        system: wanted
            .map(|name| name.arch().map_or_else(|| subject.wanted_text(), |arch| arch.target.to_owned()))
            .or_else(|| arch.map(|arch| arch.target.to_owned())),
        machine,
        means: subject.fill(known.meaning).text,
        here,
        repair: lines,
    }
}

/// Returns the system for which only a build shows whether the message still holds: it is about a build by Nix on this
/// machine, and no finding is its cause.
pub(super) fn system_to_build(
    known: &'static KnownMessage,
    message: &Message,
    reading: &Reading,
    snapshot: &Snapshot,
    findings: &[Finding],
) -> Option<&'static Arch> {
    let wanted = reading.wanted_by(message).filter(|_| !known.of_machine);
    let named = || reading.named_system(snapshot).filter(|_| !known.of_machine);
    let arch = wanted.map_or_else(named, SystemName::arch);
    let subject = AdviceSubject { known, message, snapshot, wanted, arch };
    let is_here = known.of_nix && snapshot.nix.is_some() && subject.other_machine(reading.host_of(message)).is_none();
    let has_cause = || findings.iter().any(|finding| subject.is_cause(finding));
    let is_open = |arch: &&'static Arch| !is_native(snapshot, arch) && works_here(snapshot, arch) && !has_cause();
    arch.filter(|_| is_here && matches!(known.remedy, Remedy::Register)).filter(is_open)
}

/// Describes the state of a system that a text names, in which nothing is known.
pub(super) fn describe_unknown(arch: &'static Arch, snapshot: &Snapshot, findings: &[Finding]) -> Advice {
    // The findings are listed below, with their repairs.
    let has_finding = findings.iter().any(|finding| finding.occurrence.systems.contains(&arch.target));
    let is_explained = has_finding || snapshot.table.is_switched_off();
    let repair = if works_here(snapshot, arch) || is_explained {
        Vec::new()
    } else {
        vec![snapshot.shell.register_command(arch)]
    };
    Advice {
        id: UNKNOWN,
        by: "",
        system: Some(arch.target.to_owned()),
        machine: None,
        means: "not a message that binfmt-nix knows".to_owned(),
        here: describe_system(snapshot, arch),
        repair,
    }
}

/// A line of advice with the values of the message in its placeholders.
struct FilledLine {
    text: String,
    /// Whether every placeholder has a value.
    is_complete: bool,
}

impl FilledLine {
    fn complete(self) -> Option<String> {
        self.is_complete.then_some(self.text)
    }
}

impl AdviceSubject<'_> {
    /// Returns the machine that printed the message, if that was not this one.
    fn other_machine(&self, host: Option<&SystemName>) -> Option<String> {
        if let Some(store) = self.message.store() {
            return Some(store.to_owned());
        }
        match host? {
            SystemName::Known(arch) if is_native(self.snapshot, arch) => None,
            SystemName::Known(arch) => Some(arch.nix_systems.first().unwrap_or(&arch.target).to_string()),
            SystemName::NotEmulated(name) => Some(name.clone()),
        }
    }

    /// Says what to do on the machine that printed the message. Commands of this machine's state do not apply there.
    fn advise_for_other_machine(&self, machine: &str, host: Option<&SystemName>) -> Todo {
        let own = &self.snapshot.machine;
        let mut todo = Todo::new(
            format!("the message is from another machine ({machine}), not from this one ({own})"),
            Vec::new(),
        );
        let is_foreign_system = self.message.store().is_none() && matches!(host, Some(SystemName::NotEmulated(_)));
        let builds_here = |arch: &&'static Arch| {
            self.known.of_nix && runs_here(self.snapshot, arch) && is_configured(self.snapshot, arch) == Some(true)
        };
        let builds_here = self.arch.filter(builds_here);
        todo.lines.extend(match &self.known.remedy {
            Remedy::Register | Remedy::NewerQemu if is_foreign_system => {
                Some("# that machine has no binfmt_misc: it needs a Linux builder".to_owned())
            }
            Remedy::Register => self.arch.map(|arch| format!("# on that machine: binfmt-nix register {}", arch.target)),
            Remedy::NewerQemu => self
                .arch
                .map(|arch| format!("# on that machine: binfmt-nix register {} --qemu-version latest", arch.target)),
            Remedy::AddFeatures => Some(format!("# in nix.conf of that machine: {}", self.feature_setting())),
            Remedy::AllowLocalBuilds => Some("# in nix.conf of that machine: max-jobs = auto".to_owned()),
            Remedy::Lines(_)
            | Remedy::MountTable
            | Remedy::CompareSandboxPaths
            | Remedy::NameHolders
            | Remedy::NameDetectors => None,
        });
        if let Remedy::Lines(lines) = &self.known.remedy {
            todo.lines.extend(lines.iter().filter(|line| line.starts_with('#')).map(|line| self.command(line)));
        }
        if let Some(arch) = builds_here {
            let system = arch.nix_systems.first().unwrap_or(&arch.target);
            todo.here.push(format!("Nix of this machine is configured for {system}, whose programs run here"));
            todo.lines.push(format!(
                "{}   # the line for /etc/nix/machines of that machine",
                self.read_command("nix-conf --builder")
            ));
        }
        todo
    }

    fn advise_here(&self, findings: &[Finding]) -> Todo {
        let here = match (self.wanted, self.arch) {
            (_, Some(arch)) => describe_system(self.snapshot, arch),
            (Some(SystemName::NotEmulated(name)), None) => vec![format!("no emulator of QEMU runs {name} programs")],
            _ if self.known.of_machine => Vec::new(),
            _ => describe_machine(self.snapshot),
        };
        let mut todo = Todo { here, lines: Vec::new() };
        if self.snapshot.nix.is_none() && self.known.of_nix {
            todo.here.push("Nix was not found on this machine".into());
        }
        let mut causes: Vec<&Finding> = findings.iter().filter(|finding| self.is_cause(finding)).collect();
        // A text that names no system may be about any of them.
        let others = causes.iter().filter(|finding| !finding.occurrence.systems.is_empty()).count();
        if self.arch.is_none() && others > MAX_OTHERS {
            causes.retain(|finding| finding.occurrence.systems.is_empty());
            let others = count(others, "finding");
            todo.here.push(format!("{others} about systems may be the cause, and the text names no system"));
            todo.lines.push(format!("{}   # all findings", self.read_command("doctor")));
        }
        for finding in causes {
            todo.here.push(format!("{} ({})", finding.occurrence.what, finding.id));
            for line in &finding.occurrence.repair {
                if !todo.lines.contains(line) {
                    todo.lines.push(line.clone());
                }
            }
        }
        if todo.lines.iter().all(|line| line.starts_with('#')) {
            let Todo { here, lines } = self.apply_remedy();
            todo.here.extend(here);
            todo.lines.extend(lines);
        }
        todo.lines.extend(self.known.next_steps.iter().filter_map(|line| self.fill(line).complete()));
        todo
    }

    /// Whether a finding may be the cause of the message. A finding about another system is not.
    fn is_cause(&self, finding: &Finding) -> bool {
        let systems = &finding.occurrence.systems;
        let same = self.arch.is_none_or(|arch| systems.is_empty() || systems.contains(&arch.target));
        // While the table is switched off, `register` refuses to change it.
        let registers =
            matches!(self.known.remedy, Remedy::Register | Remedy::NewerQemu) && finding.id == "switched-off";
        // The native system is not a foreign system, but if it is registered, every execution fails.
        (self.known.checks.contains(&finding.id) || registers) && (same || finding.id == "native-registered")
    }

    fn apply_remedy(&self) -> Todo {
        match (&self.known.remedy, self.arch) {
            (Remedy::Register | Remedy::NewerQemu, Some(arch)) if is_native(self.snapshot, arch) => {
                let why = "its programs need no emulator here; the cause is the program itself, or another machine";
                Todo::new(why, self.explain_file())
            }
            (Remedy::Register, Some(arch)) if self.works(arch) => self.advise_to_try_again(arch),
            (Remedy::Register, Some(arch)) => Todo::lines([self.snapshot.shell.register_command(arch)]),
            (Remedy::Register, None) if self.known.of_nix && self.message.captures.get(Role::File).is_none() => {
                Todo::lines(["# register the system of the build, as root: binfmt-nix register SYSTEM"])
            }
            (Remedy::Register, None) => match self.explain_file() {
                lines if lines.is_empty() => Todo::lines([
                    "# the text names no system; `binfmt-nix explain PROGRAM` finds that of a program, and \
                     `binfmt-nix register SYSTEM` registers it",
                ]),
                lines => Todo::lines(lines),
            },
            (Remedy::NewerQemu, Some(arch)) => Todo::lines([
                "# another release of QEMU may run it:".to_owned(),
                format!("{} --qemu-version latest", self.snapshot.shell.register_command(arch)),
            ]),
            (Remedy::NewerQemu, None) => {
                Todo::lines(["# another release of QEMU may run it: binfmt-nix register SYSTEM --qemu-version latest"])
            }
            (Remedy::Lines(lines), _) => Todo::lines(lines.iter().map(|line| self.command(line))),
            (Remedy::AddFeatures, _) => self.advise_features(),
            (Remedy::MountTable, _) => self.mount_table(),
            (Remedy::CompareSandboxPaths, _) => self.compare_sandbox_paths(),
            (Remedy::AllowLocalBuilds, _) => self.advise_local_builds(),
            (Remedy::NameHolders, _) => self.name_holders(),
            (Remedy::NameDetectors, _) => self.name_detectors(),
        }
    }

    fn works(&self, arch: &'static Arch) -> bool {
        if self.known.of_nix { works_here(self.snapshot, arch) } else { runs_here(self.snapshot, arch) }
    }

    /// Nothing is known that keeps such programs and builds from working here. Only what was tried is said to work.
    fn advise_to_try_again(&self, arch: &'static Arch) -> Todo {
        if !self.known.next_steps.is_empty() {
            return Todo::default();
        }
        let trial = if self.known.of_nix { build_trial(self.snapshot, arch) } else { None };
        let test = |option: &str| vec![self.read_command(&format!("test {}{option}", arch.target))];
        let worked = match trial {
            Some(BuildTrial::Built { .. }) => "such a build worked here just now",
            Some(BuildTrial::Failed { .. }) => {
                return Todo::new("nothing else was found that keeps Nix from building", test(" --nix"));
            }
            Some(BuildTrial::Untried(_)) => {
                return Todo::new(
                    "nothing was found that keeps Nix from building, but that was not tried",
                    test(" --nix"),
                );
            }
            None if self.known.of_nix => {
                return Todo::new(
                    "nothing was found that keeps Nix from building, but that was not tried",
                    test(" --nix"),
                );
            }
            None if ran_here(self.snapshot, arch) => "such a program ran here just now",
            None => return Todo::new("nothing was found that keeps such programs from running", test("")),
        };
        let why = format!(
            "{worked}: try it again. If it still fails, the message comes from another machine (a remote builder, \
             docker's VM), or another user's settings"
        );
        let lines = match self.known.if_works {
            [] => vec![self.read_command("status")],
            lines => lines.iter().map(|line| self.command(line)).collect(),
        };
        Todo::new(why, lines)
    }

    fn explain_file(&self) -> Vec<String> {
        self.fill(&self.read_command("explain {file}")).complete().into_iter().collect()
    }

    /// Returns a command of this tool that needs no root.
    fn read_command(&self, words: &str) -> String {
        match &self.snapshot.shell.root {
            Some(_) => self.snapshot.shell.tool_command(words),
            None => command::tool(words),
        }
    }

    /// The setting that lists the missing features.
    fn feature_setting(&self) -> String {
        format!("extra-system-features = {}", self.message.missing_features().join(" "))
    }

    /// Features are words of a setting. `kvm` is listed by Nix itself where it can open /dev/kvm.
    fn advise_features(&self) -> Todo {
        let missing = self.message.missing_features();
        let nix = self.snapshot.nix.as_ref();
        let view = nix.map(|nix| self.arch.map_or(&nix.machine, |arch| self.snapshot.view_for(nix, arch)));
        let available = view.map(available_features).unwrap_or_default();
        if missing.iter().all(|feature| available.contains(feature)) {
            return Todo::new(format!("Nix has {} now: try it again", missing.join(" ")), Vec::new());
        }
        // What nixpkgs requires of every builder of the system comes with its registration.
        let required = self.arch.map(|arch| required_features(arch.nix_systems)).unwrap_or_default();
        if let Some(arch) = self.arch.filter(|_| missing.iter().all(|feature| required.contains(&feature.as_str()))) {
            return Todo::lines(self.snapshot.repairs().register(arch, ""));
        }
        if missing.iter().any(|feature| feature == "kvm") {
            let why = "Nix lists kvm by itself where it can read and write /dev/kvm; without it such a build fails, or takes \
                       very long in an emulator of the whole machine. A build for an emulated system cannot use it at all";
            let line = format!("# where the build can do without /dev/kvm, in nix.conf: {}", self.feature_setting());
            let mut todo = Todo::new(why, vec![line]);
            if self.snapshot.environment.has_kvm {
                todo.lines.insert(0, "ls -l /dev/kvm".to_owned());
            } else {
                todo.here.push("this machine has no /dev/kvm".to_owned());
            }
            return todo;
        }
        let mut lines = self.append_setting(&self.feature_setting());
        lines.insert(0, "# all builds of this machine may use the features then:".to_owned());
        Todo::lines(lines)
    }

    fn mount_table(&self) -> Todo {
        if matches!(self.snapshot.table, Table::Mounted { .. }) {
            let why = "the table is mounted on this machine: the message is from another machine or a container, or no longer \
                       true";
            return Todo::new(why, Vec::new());
        }
        Todo::lines(mount_commands(self.snapshot))
    }

    /// Says whether Nix's settings have the path. One that they require and that is missing is a finding.
    fn compare_sandbox_paths(&self) -> Todo {
        let show = "nix --extra-experimental-features nix-command show-config | grep sandbox-paths".to_owned();
        let Some(path) = self.message.captures.get(Role::File) else { return Todo::lines([show]) };
        let settings =
            self.snapshot.nix.as_ref().map(|nix| nix.machine.settings.effective_lines(PATHS).1).unwrap_or_default();
        let has_path = |line: &&SettingLine| line.words.iter().any(|word| parse_sandbox_path(word).0 == path);
        match settings.into_iter().find(has_path) {
            Some(line) => {
                let place = format!("line {} of {}", line.number, line.file.as_text());
                Todo::new(
                    format!("{path}, which {place} adds to the sandbox, exists now or may be missing: try it again"),
                    vec![],
                )
            }
            None => Todo::new(format!("Nix's settings here do not add {path} to the sandbox"), vec![show]),
        }
    }

    fn advise_local_builds(&self) -> Todo {
        let value = |nix: &NixSnapshot| {
            let printed = nix.machine.effective.as_ref().and_then(|config| config.max_jobs.clone());
            printed.or_else(|| nix.machine.settings.last_word(&["max-jobs", "build-max-jobs"]).map(str::to_owned))
        };
        if self.snapshot.nix.as_ref().and_then(value).as_deref() == Some("0") {
            return Todo::new("max-jobs is 0 in Nix's settings", self.append_setting("max-jobs = auto"));
        }
        let line = "# start the build without --max-jobs 0 (-j0), and look for max-jobs in ~/.config/nix/nix.conf";
        Todo::new("Nix's settings do not set max-jobs to 0", vec![line.to_owned()])
    }

    /// Returns the commands that append a line to nix.conf.
    fn append_setting(&self, line: &str) -> Vec<String> {
        let Some(nix) = &self.snapshot.nix else {
            return vec![format!("# in nix.conf of the machine that builds: {line}")];
        };
        if nix.left_alone {
            return vec![format!("# {} is generated; in its source: {line}", nix.conf.as_text())];
        }
        let conf = self.snapshot.shell.quote_path(&nix.conf);
        let line = shell_quote(line);
        let append = if self.snapshot.shell.is_root {
            format!("echo {line} >> {conf}")
        } else {
            format!("echo {line} | sudo tee -a {conf}")
        };
        std::iter::once(append).chain(nix.restart.clone()).collect()
    }

    /// An entry with flag F holds the file system of its interpreter (measured on 6.18).
    fn name_holders(&self) -> Todo {
        let Some(place) = self.message.captures.get(Role::File) else { return Todo::default() };
        let entries = self.snapshot.table.entries().iter();
        let below = entries.filter(|entry| entry.rule.flags.fix_binary && interpreter_path(entry).starts_with(place));
        let mut todo = Todo::default();
        for entry in below {
            let name = entry_name(entry);
            todo.here.push(format!("the entry {name} (flag F) holds {}", interpreter_path(entry).as_text()));
            let own = system_named_by(entry).filter(|_| self.snapshot.is_ours(entry));
            todo.lines.push(match own {
                Some(arch) => self.snapshot.shell.tool_command(format_args!("unregister {}", arch.target)),
                None => self.snapshot.shell.write_command("-1", &name),
            });
        }
        if todo.lines.is_empty() {
            let what = format!("no entry of the table has its interpreter below {place}");
            let command = self.snapshot.shell.as_root(format_args!("fuser -vm {}", shell_quote(place)));
            return Todo::new(what, vec![command]);
        }
        todo.lines.insert(0, "# without the entry, programs of its system no longer start:".to_owned());
        todo
    }

    fn name_detectors(&self) -> Todo {
        let entries = self.snapshot.table.entries().iter();
        let mut todo = Todo::default();
        for entry in entries.filter(|entry| interpreter_path(entry).ends_with("run-detectors")) {
            let name = entry_name(entry);
            todo.here.push(format!("the entry {name} starts {}", interpreter_path(entry).as_text()));
            let command = format!("update-binfmts --disable {}", shell_quote(&name));
            todo.lines.push(self.snapshot.shell.as_root(command));
        }
        todo.here.push(if todo.lines.is_empty() {
            "no entry of this machine starts run-detectors".to_owned()
        } else {
            // Its unit starts `update-binfmts --enable` (binfmt-support 2.2.2).
            "that lasts until the machine restarts: binfmt-support then enables all its entries".to_owned()
        });
        todo
    }

    /// Fills the placeholders of a line, and writes it for the user's shell. A line with a placeholder that has no value
    /// becomes a comment.
    fn command(&self, line: &str) -> String {
        let own = line.strip_prefix("binfmt-nix ").map(|words| self.read_command(words));
        let own = own.or_else(|| Some(self.snapshot.shell.as_root(line.strip_prefix("sudo ")?)));
        let filled = self.fill(own.as_deref().unwrap_or(line));
        if filled.is_complete || filled.text.starts_with('#') { filled.text } else { format!("# {}", filled.text) }
    }

    /// Fills the placeholders of a line. Those without a value become words such as SYSTEM.
    fn fill(&self, line: &str) -> FilledLine {
        let shell = &self.snapshot.shell;
        let quoted = |role| self.message.captures.get(role).map(shell_quote);
        let nix = self.arch.and_then(|arch| arch.nix_systems.first()).map(|name| (*name).to_owned());
        let values = [
            ("{register}", self.arch.map(|arch| shell.register_command(arch)), "sudo binfmt-nix register SYSTEM"),
            ("{system}", self.arch.map(|arch| arch.target.to_owned()), "SYSTEM"),
            ("{nix}", nix, "SYSTEM"),
            ("{wanted}", Some(self.wanted_text()).filter(|text| !text.is_empty()), "SYSTEM"),
            ("{file}", quoted(Role::File), "FILE"),
            ("{line}", quoted(Role::Line), "LINE"),
            ("{drv}", quoted(Role::Derivation), "DERIVATION"),
            ("{name}", quoted(Role::Name), "NAME"),
        ];
        let mut is_complete = true;
        let mut text = line.to_owned();
        for (placeholder, value, word) in values {
            if line.contains(placeholder) {
                is_complete &= value.is_some();
                text = text.replace(placeholder, value.as_deref().unwrap_or(word));
            }
        }
        FilledLine { text, is_complete }
    }

    /// Returns the name of the system that is needed, as the message has it.
    fn wanted_text(&self) -> String {
        if let Some(SystemName::NotEmulated(name)) = self.wanted {
            return name.clone();
        }
        let named = self.message.captures.get(Role::Wanted).map(str::to_owned);
        named.or_else(|| self.arch.map(|arch| arch.target.to_owned())).unwrap_or_default()
    }
}
