//! Boot rules: the `binfmt.d` files from which entries are registered again after a reboot.
//!
//! systemd-binfmt reads these files (binfmt.d(5)), and so does OpenRC's `binfmt` service. The files of all directories
//! are sorted by name. A name in an earlier directory hides the same name in later directories. For each rule in that
//! order, the reader deletes the entry of that name and adds it again, so of two rules with one name the later one
//! stays. The names of our own files begin with `zz-`, so that they come late. Files named `zzz…` still override them,
//! and so does a manual `systemd-binfmt FILE` until the next restart.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Flags, Rule, RuleError, Syntax};

use crate::binfmt::boot_hook::HookState;
use crate::binfmt::boot_reader::{ReaderProblem, find_reader_problem};
use crate::binfmt::boot_sysctl::{SwitchOffLine, find_switch_off_lines};
use crate::binfmt::init_system::InitSystem;
use crate::binfmt::table::kernel_syntax;
use crate::error::Result;
use crate::host::{self, Host};
use crate::paths::{self, BINFMT_D};
use crate::sanitize::AsText as _;
use crate::sorted;

/// The directories, highest precedence first (binfmt.d(5)).
const DIRS: [&str; 4] = [BINFMT_D, "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d"];

/// The directory in which Debian's update-binfmts records its entries.
const UPDATE_BINFMTS: &str = "/var/lib/binfmts";

/// Content of a file of this tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnBootFile {
    /// The rule, with the logical path of its interpreter.
    pub rule: Rule,
    /// Whether the rule is registered at boot. Otherwise its line is a comment: binfmt.d(5) has no other form for an entry
    /// that is off, and systemd-binfmt registers each line that is not a comment (systemd `src/binfmt/binfmt.c`).
    pub enabled: bool,
}

impl OwnBootFile {
    /// Returns every byte of the file. The comments are part of the format.
    pub fn to_text(&self) -> Result<Vec<u8>> {
        let mut text = b"# Written by binfmt-nix; goes with `binfmt-nix unregister`.\n".to_vec();
        if !self.enabled {
            text.extend_from_slice(b"# Turned off by `binfmt-nix disable`; `binfmt-nix enable` turns it on.\n");
            text.extend_from_slice(OFF);
        }
        text.extend_from_slice(&self.rule.to_line()?);
        text.push(b'\n');
        Ok(text)
    }

    /// Parses a file, if every byte of it is as [`Self::to_text`] writes it.
    pub fn parse(content: &[u8]) -> Option<Self> {
        let line = content.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
        let rest = line.strip_prefix(OFF);
        let found = Self { rule: Rule::parse(rest.unwrap_or(line)).ok()?, enabled: rest.is_none() };
        found.to_text().is_ok_and(|text| text == content).then_some(found)
    }
}

/// Start of a line whose rule is not registered.
const OFF: &[u8] = b"# ";

/// A rule in a file that is read at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRule {
    /// The file that contains the rule.
    pub file: PathBuf,
    /// The line number in that file, from 1. It is 1 for the format of update-binfmts, which has one rule a file.
    pub number: usize,
    /// The rule.
    pub rule: Rule,
}

/// A line of binfmt.d that is refused at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// The file that contains the line.
    pub file: PathBuf,
    /// The line number in that file, from 1.
    pub number: usize,
    /// The line.
    pub text: String,
    /// The reason.
    pub reason: LineRefusal,
}

/// The reason why a line of binfmt.d is refused at boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineRefusal {
    /// The line is not a rule.
    #[error("{0}")]
    Rule(RuleError),
    /// The file has Debian's format for update-binfmts, which only that program reads.
    #[error("the file has the format of update-binfmts, and not one rule a line")]
    UpdateBinfmts,
    /// The rule has flag F, and its interpreter does not exist.
    #[error("with flag F its interpreter {} has to exist, and it does not", .0.as_text())]
    MissingInterpreter(PathBuf),
    /// The rule has flag F, and its interpreter may not be executed.
    #[error("with flag F its interpreter {} has to be executable, and it is not", .0.as_text())]
    NotExecutable(PathBuf),
}

/// What the machine does with boot rules.
#[derive(Debug, Clone, Default)]
pub struct Boot {
    /// The rules in the order in which they are registered, also those that the kernel refuses.
    pub rules: Vec<BootRule>,
    /// The lines that are refused, also those of rules that the kernel cannot register.
    pub refused: Vec<RefusedLine>,
    /// The reason why nothing reads binfmt.d at boot.
    pub reader_problem: Option<ReaderProblem>,
    /// The state of this tool's boot hook; `None` where binfmt.d is read.
    pub hook: Option<HookState>,
    /// Settings of sysctl that switch the table or entries off.
    pub switch_off: Vec<SwitchOffLine>,
}

impl Boot {
    /// Creates the boot rules of a machine whose reader is started at boot.
    pub fn from_rules(rules: Vec<BootRule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Returns the file that registers an entry of this name with this interpreter.
    pub fn file_registering(&self, name: &[u8], interpreter: &[u8]) -> Option<&Path> {
        let last = self.rules.iter().rfind(|boot| boot.rule.name.as_bytes() == name);
        last.filter(|boot| boot.rule.interpreter == interpreter).map(|boot| boot.file.as_path())
    }

    /// Finds a rule of another file that is read after `file` and takes precedence over a rule of it, because it has the
    /// same name, or takes programs of the system.
    ///
    /// The rules of all files are registered in the order of the files' names (systemd `src/binfmt/binfmt.c`). Of two
    /// rules with one name the later one stays; of two rules for the same programs the later one is the newest, which the
    /// kernel uses (measured with systemd 252).
    pub fn overriding_rule(&self, file: &Path, name: &[u8], arch: &Arch) -> Option<&BootRule> {
        // Debian's update-binfmts has its own list, for another service.
        let is_later = |boot: &&BootRule| {
            boot.file.file_name() > file.file_name() && boot.file.extension().is_some_and(|ext| ext == "conf")
        };
        let takes = |boot: &&BootRule| {
            boot.rule.name.as_bytes() == name || arch.headers().iter().any(|head| boot.rule.matches(head))
        };
        self.accepted_rules().filter(is_later).find(takes)
    }

    /// Returns the reason why the machine does not register its entries at boot: nothing reads binfmt.d, and no boot hook
    /// is installed.
    pub fn find_problem(&self) -> Option<&ReaderProblem> {
        self.reader_problem.as_ref().filter(|_| !self.hook.as_ref().is_some_and(HookState::is_installed))
    }

    /// Returns the rules that the kernel accepts at boot.
    pub fn accepted_rules(&self) -> impl Iterator<Item = &BootRule> {
        let is_refused =
            |boot: &BootRule| self.refused.iter().any(|line| (&line.file, line.number) == (&boot.file, boot.number));
        self.rules.iter().filter(move |boot| !is_refused(boot))
    }
}

/// The path of a rule is one of the machine that boots. The entries of a running machine below `--root` have paths of this
/// machine.
fn refused_interpreter(host: &Host, rule: &Rule) -> Option<LineRefusal> {
    let path = Path::new(OsStr::from_bytes(&rule.interpreter));
    let real = host.real_path(path);
    let found = [real.as_path(), path].into_iter().find(|path| host::user_files::path_exists(path));
    match found {
        _ if !rule.flags.fix_binary => None,
        // A link inside of the tree names a path of the machine that boots.
        None if host.exists(path) && !host.is_live() => None,
        None => Some(LineRefusal::MissingInterpreter(path.to_owned())),
        Some(found) => (!Host::live().has_mode(found, 0o111)).then(|| LineRefusal::NotExecutable(path.to_owned())),
    }
}

/// Reads the boot rules of binfmt.d, except in files whose names are left out, and those of update-binfmts.
pub fn read_boot_rules(host: &Host, is_left_out: impl Fn(&OsStr) -> bool) -> Result<Boot> {
    let (mut rules, mut refused) = (Vec::new(), Vec::new());
    let syntax = kernel_syntax(host);
    // Many rules may have one interpreter.
    let mut checked: Option<(Vec<u8>, Flags, Option<LineRefusal>)> = None;
    let mut refuse = |rule: &Rule| {
        let known = checked.take().filter(|(path, flags, _)| *path == rule.interpreter && *flags == rule.flags);
        let (path, flags, reason) =
            known.unwrap_or_else(|| (rule.interpreter.clone(), rule.flags, refused_interpreter(host, rule)));
        checked.insert((path, flags, reason)).2.clone()
    };
    for path in host.list_conf_files_where(DIRS, |name| !is_left_out(name))? {
        let text = host.read_lossy(&path).unwrap_or_default();
        let is_debians = text.lines().any(is_update_binfmts_line);
        for (number, line, parsed) in parse_lines(&text, syntax) {
            let file = path.clone();
            match parsed {
                Ok(rule) => {
                    // The kernel opens the interpreter when it registers the rule (ENOENT and EACCES, measured).
                    if let Some(reason) = refuse(&rule) {
                        refused.push(RefusedLine { file: file.clone(), number, text: line.to_owned(), reason });
                    }
                    rules.push(BootRule { file, number, rule });
                }
                Err(error) => {
                    let reason = if is_debians { LineRefusal::UpdateBinfmts } else { LineRefusal::Rule(error) };
                    refused.push(RefusedLine { file, number, text: line.to_owned(), reason });
                }
            }
        }
    }
    rules.extend(read_update_binfmts(host)?);
    let init = InitSystem::detect(host);
    let reader_problem = find_reader_problem(host, &init)?;
    let hook = reader_problem.is_some().then(|| HookState::inspect(host, &init));
    let by_rules = rules.iter().map(|boot| boot.rule.name.to_string());
    let names = sorted::set(Arch::ALL.iter().flat_map(paths::entry_names).chain(by_rules));
    let switch_off = find_switch_off_lines(host, &names)?;
    Ok(Boot { rules, refused, reader_problem, hook, switch_off })
}

/// Parses the rules in a file of binfmt.d.
pub fn parse_binfmt_d(text: &str) -> impl Iterator<Item = Rule> {
    parse_lines(text, Syntax::Linux7_3).filter_map(|(_, _, parsed)| parsed.ok())
}

/// Parses the lines of a file of binfmt.d: number, text and rule. Lines that start with `#` or `;` are comments. The
/// reader passes each other line to the kernel as it is, without the blanks around it (systemd `src/binfmt/binfmt.c`;
/// compared with systemd-binfmt 252).
pub fn parse_lines(
    text: &str,
    syntax: Syntax,
) -> impl Iterator<Item = (usize, &str, std::result::Result<Rule, RuleError>)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']));
    lines.map(move |(number, line)| (number, line, Rule::parse_as(line.as_bytes(), syntax)))
}

/// Whether a line is one of Debian's format files: `magic \\x7f…` (update-binfmts(8), "FORMAT FILES").
fn is_update_binfmts_line(line: &str) -> bool {
    const KEYS: [&str; 4] = ["package", "interpreter", "magic", "extension"];
    let line = line.trim_start();
    let rest = KEYS.iter().find_map(|key| line.strip_prefix(key));
    rest.is_some_and(|rest| rest.starts_with(char::is_whitespace) && !rest.trim_start().is_empty())
}

/// Reads Debian's administrative files: one value a line, in the order package, type, offset, magic, mask, interpreter,
/// … (update-binfmts(8)). The name of the entry is that of the file.
fn read_update_binfmts(host: &Host) -> Result<Vec<BootRule>> {
    let dir = Path::new(UPDATE_BINFMTS);
    let mut rules = Vec::new();
    for name in host.list_dir(dir)? {
        let path = dir.join(&name);
        let Some(text) = host.read_lossy(&path) else { continue };
        let values: Vec<&str> = text.lines().collect();
        if let ["magic", offset, magic, mask, interpreter, ..] = values.get(1..).unwrap_or_default() {
            let line = format!(":{}:M:{offset}:{magic}:{mask}:{interpreter}:", name.to_string_lossy());
            rules.extend(Rule::parse(line.as_bytes()).map(|rule| BootRule { file: path, number: 1, rule }));
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rules_and_skips_comments() {
        let text = "# :a:M::x::/a:\n; b\n\n:qemu-x:E::x::/bin/x:F\n";
        let names: Vec<_> = parse_binfmt_d(text).map(|rule| rule.name.as_bytes().to_vec()).collect();
        assert_eq!(names, [b"qemu-x".to_vec()]);
    }

    /// systemd-binfmt has no form for an entry that is off: it would register the line.
    #[test]
    fn a_rule_that_is_off_is_a_comment() {
        let Ok(rule) = Rule::parse(b":qemu-x:E::x::/bin/x:F") else { panic!("the rule is valid") };
        for enabled in [true, false] {
            let file = OwnBootFile { rule: rule.clone(), enabled };
            let text = file.to_text().unwrap_or_default();
            assert_eq!(OwnBootFile::parse(&text), Some(file));
            assert_eq!(parse_binfmt_d(&String::from_utf8_lossy(&text)).count(), usize::from(enabled));
            assert_eq!(OwnBootFile::parse(&[&text[..], b"# mine\n"].concat()), None);
        }
    }
}
