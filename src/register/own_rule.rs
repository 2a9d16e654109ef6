//! Own rules of the user: their names, and what keeps one from being registered. Pure.

use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use crate::error::{Error, ExitCode, Failure, Result, TrustError};
use crate::paths;
use crate::register::acceleration;
use crate::register::emulated::EmulatedSystem;
use crate::sanitize::AsText as _;

/// Longest name of an own rule: its boot file has a name of 255 bytes then.
const MAX_NAME: usize = 231;

/// Reason why a rule is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleRefusal {
    /// The name cannot be part of a file's name everywhere.
    #[error(
        "its name may have letters, digits, '.', '_', '+' and '-', at most {MAX_NAME} of them, and begins with a letter or a digit"
    )]
    Name,
    /// The name stands for everything in other commands.
    #[error("its name means every system and rule in other commands")]
    All,
    /// The name is one of a system, by which `unregister` finds the system.
    #[error("its name belongs to the system {0}")]
    SystemName(&'static str),
    /// The interpreter's path is relative.
    #[error(
        "the path of its interpreter, {0}, is not absolute: the kernel would look for it in the caller's directory"
    )]
    Relative(String),
    /// A boot file has one rule in each line.
    #[error("a line end in it cannot be written to a file of binfmt.d")]
    LineEnd,
    /// The entry would have no effect.
    #[error("with flag D its entry would be disabled")]
    Disabled,
    /// Only a file that runs shows that the interpreter is made for flag T.
    #[error("with flag T it works only if its interpreter is made for that (AT_FLAGS_TRANSPARENT_INTERP)")]
    Transparent,
    /// No bit is compared.
    #[error("it takes every file: its mask has no bit that is compared")]
    TakesEverything,
    /// The name is one of a rule of `accelerate`.
    #[error("names that begin with accelerate- and the name of a system belong to the command accelerate")]
    Accelerated,
    /// The rule takes every script.
    #[error("it takes every script that begins with #!, those of this machine included")]
    TakesScripts,
    /// The rule takes a program that the machine runs natively.
    #[error("it takes {0}: every start of such a program would start the interpreter instead")]
    TakesNative(String),
    /// The rule takes its own interpreter.
    #[error("it takes its own interpreter, {0}, which could then not be started (ELOOP)")]
    TakesInterpreter(String),
    /// The rule takes a setuid program.
    #[error("it takes {0}, a setuid program of this machine")]
    TakesSetuid(String),
    /// The interpreter cannot be used.
    #[error("its interpreter {path} {why}")]
    Interpreter {
        /// Path of the interpreter.
        path: String,
        /// What is wrong with it.
        why: InterpreterProblem,
    },
}

/// Reason why a file cannot be the interpreter of an own rule. The text follows its path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpreterProblem {
    /// Nothing has the path.
    #[error("does not exist")]
    Missing,
    /// The path leads to a directory.
    #[error("is a directory")]
    Directory,
    /// Another user could replace the program that root runs.
    #[error("is not safe: {0}")]
    Untrusted(TrustError),
    /// The file may not be executed.
    #[error("may not be executed: its mode has no x")]
    NotExecutable,
    /// The file system forbids to execute files.
    #[error("is on a file system that is mounted noexec")]
    Noexec,
    /// The program is for another machine.
    #[error("is a program for {0}, and this machine does not run such programs itself")]
    OtherMachine(String),
    /// The kernel runs no such file.
    #[error("is neither a program nor a script with a #! line")]
    NotProgram,
    /// The interpreter of the script is missing.
    #[error("is a script, and its interpreter {0} does not exist")]
    NoScriptInterpreter(String),
    /// The loader of the program is missing.
    #[error("needs the loader {0}, which does not exist")]
    NoLoader(String),
    /// Another user could replace the loader, or the interpreter of the script.
    #[error("needs {0}, which is not safe: {1}")]
    NeedsUntrusted(String, TrustError),
    /// The file belongs to a container, and is deleted with it.
    #[error("is a file of a container, which ends with the container")]
    InContainer,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// Kind of an interpreter that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterpreterKind {
    /// A program that needs no other file.
    Static,
    /// A program that needs this loader.
    Dynamic(String),
    /// A script, which this program runs.
    Script(String),
}

impl InterpreterKind {
    /// Returns what flag F does not hold, if that is anything.
    pub fn describe_unheld(&self) -> Option<String> {
        match self {
            Self::Static => None,
            Self::Dynamic(loader) => Some(format!("is dynamically linked, and its loader {loader}")),
            Self::Script(shell) => Some(format!("is a script, and its interpreter {shell}")),
        }
    }
}

/// An own rule that is not registered.
#[derive(Debug, thiserror::Error)]
#[error("refusing the rule {name}: {why}")]
pub struct RefusedRuleError {
    name: String,
    why: RuleRefusal,
}

impl Failure for RefusedRuleError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Failed
    }

    fn hint(&self) -> Option<String> {
        Some(
            match &self.why {
                RuleRefusal::Name | RuleRefusal::All | RuleRefusal::SystemName(_) | RuleRefusal::Accelerated => {
                    "choose another name"
                }
                RuleRefusal::Relative(_) => "write the whole path of the interpreter",
                RuleRefusal::Disabled => "leave out D",
                RuleRefusal::Transparent => "name a file that shows it: --test FILE",
                RuleRefusal::LineEnd => "use a shorter magic, which is written as \\xHH",
                RuleRefusal::Interpreter { why: InterpreterProblem::InContainer, .. } => {
                    "install the interpreter on the machine itself"
                }
                RuleRefusal::Interpreter { .. } => "name a program of this machine that only root can change",
                _ => "write a rule that only the wanted files match",
            }
            .to_owned(),
        )
    }
}

/// Builds the error for a rule that is not registered.
pub fn refusal(name: &str, why: RuleRefusal) -> Error {
    Error::other(RefusedRuleError { name: name.to_owned(), why })
}

/// Checks the name of an own rule: it is part of a file's name, and no name of a system.
pub fn check_name(name: &str) -> std::result::Result<(), RuleRefusal> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || name.len() > MAX_NAME || !name.chars().all(is_plain) {
        return Err(RuleRefusal::Name);
    }
    // A receipt may have dozens of them, which no other name equals.
    if acceleration::system_of_rule(name).is_some() {
        return Ok(());
    }
    let owner = Arch::ALL
        .iter()
        .find(|arch| name.contains(arch.target) && paths::entry_names(arch).iter().any(|own| own == name));
    match owner.or_else(|| Arch::find(name).ok()) {
        Some(arch) => Err(RuleRefusal::SystemName(arch.target)),
        None if name == "all" => Err(RuleRefusal::All),
        None => Ok(()),
    }
}

/// Checks what the text of a rule shows, and returns its name.
pub fn check_text(rule: &Rule) -> Result<String> {
    let name = rule.name.to_string();
    let refuse = |why| refusal(&name, why);
    check_name(&name).map_err(refuse)?;
    if let Some(system) = EmulatedSystem::of_rule(&name) {
        return Err(refuse(RuleRefusal::SystemName(system.system())));
    }
    if acceleration::system_of_rule(&name).is_some() {
        return Err(refuse(RuleRefusal::Accelerated));
    }
    let path = interpreter_path(rule);
    if !path.is_absolute() {
        return Err(refuse(RuleRefusal::Relative(path.as_text())));
    }
    if rule.flags.disabled {
        return Err(refuse(RuleRefusal::Disabled));
    }
    if rule.to_line()?.contains(&b'\n') {
        return Err(refuse(RuleRefusal::LineEnd));
    }
    let compares_nothing = |byte: u8| rule.matches(&[byte; binfmt_magic::WINDOW]);
    if compares_nothing(0) && compares_nothing(0xff) {
        return Err(refuse(RuleRefusal::TakesEverything));
    }
    if rule.matches(b"#!/bin/sh\n") {
        return Err(refuse(RuleRefusal::TakesScripts));
    }
    Ok(name)
}

/// Returns the path of a rule's interpreter.
pub fn interpreter_path(rule: &Rule) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(&rule.interpreter)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(line: &[u8]) -> Option<String> {
        let Ok(rule) = Rule::parse(line) else { panic!("{line:?}") };
        check_text(&rule).err().map(|error| error.to_string())
    }

    #[test]
    fn names_of_files_and_not_of_systems() {
        for good in ["jar", "DOSWin", "python3.11", "a+b-c_d"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name("all"), Err(RuleRefusal::All));
        let long = "a".repeat(MAX_NAME + 1);
        for bad in ["", ".x", "-x", "a b", "a/b", "\u{e4}", "aarch64", "arm64", "qemu-arm", "binfmt-nix-arm", &long] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_that_would_be_disabled_is_refused() {
        assert_eq!(
            why(b":jar:E::jar::/usr/bin/java:D").as_deref(),
            Some("refusing the rule jar: with flag D its entry would be disabled")
        );
        assert_eq!(why(b":jar:E::jar::/usr/bin/java:T"), None);
    }

    #[test]
    fn rules_that_take_too_much_are_refused_with_the_reason() {
        assert_eq!(why(b":jar:E::jar::/usr/bin/java:"), None);
        assert_eq!(why(b":jar:M::PK\\x03\\x04::/usr/bin/java:"), None);
        for (line, part) in [
            (&b":a:M::x:\\x00:/usr/bin/java:"[..], "takes every file"),
            (b":a:M:9:xyz:\\x00\\x00\\x00:/usr/bin/java:", "takes every file"),
            (b":a:M::#!::/usr/bin/java:", "takes every script"),
            (b":a:E::jar::java -jar:", "not absolute"),
            (b":a:E::jar::/usr/bin/ja\nva:", "line end"),
        ] {
            assert!(why(line).is_some_and(|why| why.contains(part)), "{part}: {:?}", why(line));
        }
    }
}
