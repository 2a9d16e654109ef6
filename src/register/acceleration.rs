//! Acceleration of a system: guest programs, and the native programs that are started instead. Pure.
//!
//! Each guest program has an own rule whose interpreter is the system's emulator with a launcher. The rules are registered
//! after the entry of the system, because the kernel uses the newest entry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Pattern, Recognition, Rule};
use serde::{Deserialize, Serialize};

use crate::accelerate::audit::AUDIT_COMMAND;
use crate::accelerate::bundle::{Bundle, BundleFile};
use crate::accelerate::prove::{PairProof, ProofSubject};
use crate::binfmt::launcher::{FileIdentity, LauncherAudit, LauncherPair};
use crate::error::Result;
use crate::host::{Host, INTERNAL};
use crate::paths;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;
use crate::sorted;

/// Guest programs of one system that native programs replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Acceleration {
    /// Digest of the emulator that the launcher was added to.
    pub emulator: Sha256,
    /// Programs by the name of their entry.
    pub tools: BTreeMap<String, AcceleratedTool>,
}

/// Guest program that a native program replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceleratedTool {
    /// Name of the program, such as `cc1`.
    pub tool: String,
    /// Tree in which the guest program was found; absent if that is the machine itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root: Option<PathBuf>,
    /// Both programs.
    pub pair: LauncherPair,
    /// Copies of the native program and of the files that it needs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<BundleFile>,
    /// Path that Nix's sandbox needs.
    pub sandbox_path: PathBuf,
    /// Proof that both programs make the same output.
    pub proof: PairProof,
}

impl AcceleratedTool {
    /// Describes a proven pair.
    pub fn new(subject: &ProofSubject, native_host: &Host, proof: PairProof, root: Option<PathBuf>) -> Self {
        let ProofSubject { pair, guest, native, bundle } = subject;
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let native = FileIdentity { path: bundle.program.clone(), inode: None, ..native.identity.clone() };
        Self {
            tool: pair.tool.name.to_owned(),
            root,
            pair: LauncherPair {
                guest: guest.identity.clone(),
                native,
                start: bundle.start.clone(),
                words: bundle.words.clone(),
                arguments: proof.arguments.clone(),
                environment: proof.environment.clone(),
                names: texts(pair.tool.names),
                refused_arguments: texts(pair.tool.refused_arguments),
                refused_variables: texts(pair.tool.refused_variables),
                // The proof ran in the C locale. Also compilers translate their messages, and print other quotes in UTF-8.
                c_locale: true,
                audit: None,
            },
            files: bundle
                .files
                .iter()
                .map(|file| BundleFile { source: native_host.real_path(&file.source), ..file.clone() })
                .collect(),
            sandbox_path: bundle.sandbox_path.clone(),
            proof,
        }
    }
}

impl AcceleratedTool {
    /// Path of the native program that was proven: that of the original, of which [`LauncherPair`] has the copy.
    pub fn source(&self) -> &Path {
        let program = &self.pair.native.path;
        let copy = self.files.iter().find(|file| file.target == *program);
        copy.map_or(program, |file| &file.source)
    }

    /// Lets one start in `every` run both programs, by a copy of this program.
    pub fn add_audit(&mut self, arch: &Arch, every: u32, program: &Bundle) {
        let LauncherPair { guest, start, words, arguments, .. } = &self.pair;
        let own = program.words.iter().map(|word| word.clone().unwrap_or_else(|| program.program.as_text()));
        let fixed = [
            INTERNAL.to_owned(),
            AUDIT_COMMAND.to_owned(),
            paths::interpreter_path(arch).as_text(),
            guest.path.as_text(),
        ];
        // What is executed comes before its words.
        let counts = [words.len().saturating_add(1), arguments.len()].map(|count| Some(count.to_string()));
        let fixed = own.chain(fixed).map(Some).chain([None]).chain(counts).chain([Some(start.as_text())]);
        let words = fixed.chain(words.iter().cloned()).collect();
        self.pair.audit = Some(LauncherAudit { every, start: program.start.clone(), words });
        self.files.extend(program.files.iter().cloned());
    }
}

impl Acceleration {
    /// What the launcher needs to know.
    pub fn pairs(&self) -> Vec<LauncherPair> {
        self.tools.values().map(|tool| tool.pair.clone()).collect()
    }

    /// Copies that the programs need, each once.
    pub fn files(&self) -> BTreeSet<&BundleFile> {
        sorted::set(self.tools.values().flat_map(|tool| &tool.files))
    }

    /// Paths that Nix's sandbox needs.
    pub fn sandbox_paths(&self, arch: &Arch) -> BTreeSet<PathBuf> {
        // One directory has all copies of the system.
        let path = |tool: &AcceleratedTool| {
            if tool.files.is_empty() { tool.sandbox_path.clone() } else { paths::native_dir(arch) }
        };
        sorted::set(self.tools.values().map(path))
    }
}

/// Name of the entry of a guest program: the same for the same file.
pub fn entry_name(arch: &Arch, tool: &str, guest: Sha256) -> String {
    let digest = guest.to_string();
    format!("{}{}-{tool}-{}", paths::ACCELERATED_PREFIX, arch.target, digest.get(..8).unwrap_or_default())
}

/// Returns the system of a rule that `accelerate` registers.
pub fn system_of_rule(name: &str) -> Option<&'static Arch> {
    let rest = name.strip_prefix(paths::ACCELERATED_PREFIX)?;
    Arch::ALL.iter().find(|arch| rest.strip_prefix(arch.target).is_some_and(|rest| rest.starts_with('-')))
}

/// Builds the rule of a guest program: it compares the first bytes of the file.
pub fn build_rule(arch: &Arch, name: &str, head: &[u8]) -> Result<Rule> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(Pattern::new(0, head, None)?),
        interpreter: paths::accelerator_path(arch).as_os_str().as_bytes().to_vec(),
        flags: Flags { preserve_argv0: true, fix_binary: true, ..Flags::default() },
    })
}

/// Whether this is a path of a copy that `accelerate` makes, or of a directory above one.
pub fn is_native_path(path: &Path) -> bool {
    let is_plain = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
    let rest = path.strip_prefix(paths::NATIVE_DIR).ok();
    rest.is_some_and(|rest| rest.components().all(is_plain))
}
