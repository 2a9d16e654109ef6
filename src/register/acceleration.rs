//! Acceleration of a system: guest programs, and the native programs that are started instead. Pure.
//!
//! Each guest program has an own rule whose interpreter is the system's emulator with a launcher. The rules are registered
//! after the entry of the system, because the kernel uses the newest entry.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Pattern, Recognition, Rule};
use serde::{Deserialize, Serialize};

use crate::accelerate::audit::AUDIT_COMMAND;
use crate::accelerate::bundle::{self, BundleFile, NativeStart};
use crate::accelerate::prove::{PairProof, ProofSubject};
use crate::accelerate::tools::TOOLS;
use crate::binfmt::launcher::{self, FileIdentity, LauncherAudit, LauncherPair};
use crate::error::Result;
use crate::host::INTERNAL;
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
    /// Digest of the launcher and of what it knows.
    pub launcher: Sha256,
    /// Programs by the name of their entry.
    pub tools: BTreeMap<String, AcceleratedTool>,
    /// Copies of the native programs and of the files that they need, by their paths.
    pub files: Vec<BundleFile>,
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
    /// Guest program.
    pub guest: FileIdentity,
    /// Native program, or its copy.
    pub native: FileIdentity,
    /// Loader of the copy, in the directory of its libraries; absent if the native program is executed itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loader: Option<PathBuf>,
    /// Proof that both programs make the same output.
    pub proof: PairProof,
    /// Starts in which both programs run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub audit: Option<ToolAudit>,
}

/// Starts of a guest program in which both programs run, and are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ToolAudit {
    /// Number of starts, of which one is compared, at random.
    pub every: u32,
    /// How a copy of this program is started, which compares them.
    pub start: NativeStart,
}

impl AcceleratedTool {
    /// Describes a proven pair.
    pub fn new(subject: &ProofSubject, proof: PairProof, root: Option<PathBuf>) -> Self {
        let ProofSubject { pair, guest, native, bundle } = subject;
        let native = FileIdentity { path: bundle.start.program.clone(), inode: None, ..native.identity.clone() };
        Self {
            tool: pair.tool.name.to_owned(),
            root,
            guest: guest.identity.clone(),
            native,
            loader: bundle.start.loader.clone(),
            proof,
            audit: None,
        }
    }

    fn start(&self) -> NativeStart {
        NativeStart { program: self.native.path.clone(), loader: self.loader.clone() }
    }

    /// What the launcher needs to know; `None` if the list of tools does not have the program any more.
    fn launcher_pair(&self, arch: &Arch) -> Option<LauncherPair> {
        let tool = TOOLS.iter().find(|tool| tool.name == self.tool)?;
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let start = self.start();
        Some(LauncherPair {
            guest: self.guest.clone(),
            native: self.native.clone(),
            start: start.path().to_owned(),
            words: start.words(),
            arguments: self.proof.arguments.clone(),
            environment: self.proof.environment.clone(),
            names: texts(tool.names),
            refused_arguments: texts(tool.refused_arguments),
            refused_variables: texts(tool.refused_variables),
            // The proof ran in the C locale. Also compilers translate their messages, and print other quotes in UTF-8.
            c_locale: true,
            audit: self.audit.as_ref().map(|audit| self.launcher_audit(arch, audit)),
        })
    }

    /// The command of a copy of this program that runs both programs.
    fn launcher_audit(&self, arch: &Arch, audit: &ToolAudit) -> LauncherAudit {
        let (native, words) = (self.start(), self.start().words());
        let program = audit.start.program.as_text();
        let own = audit.start.words().into_iter().map(|word| word.unwrap_or_else(|| program.clone()));
        let fixed = [
            INTERNAL.to_owned(),
            AUDIT_COMMAND.to_owned(),
            paths::interpreter_path(arch).as_text(),
            self.guest.path.as_text(),
        ];
        // What is executed comes before its words.
        let counts = [words.len().saturating_add(1), self.proof.arguments.len()].map(|count| Some(count.to_string()));
        let fixed = own.chain(fixed).map(Some).chain([None]).chain(counts).chain([Some(native.path().as_text())]);
        let words = fixed.chain(words).collect();
        LauncherAudit { every: audit.every, start: audit.start.path().to_owned(), words }
    }

    /// Whether the native program needs a copy at this path.
    fn needs(&self, path: &Path) -> bool {
        self.start().needs(path) || self.audit.as_ref().is_some_and(|audit| audit.start.needs(path))
    }
}

impl Acceleration {
    /// Describes the acceleration of an emulator. `files` may have others than the programs need.
    pub fn new(emulator: Sha256, arch: &Arch, tools: BTreeMap<String, AcceleratedTool>, files: &[BundleFile]) -> Self {
        let is_needed = |file: &&BundleFile| tools.values().any(|tool| tool.needs(&file.target));
        // Programs share libraries.
        let files = sorted::map(files.iter().filter(is_needed).map(|file| (file.target.clone(), file.clone())));
        let launcher = launcher::digest(&launcher_pairs(arch, &tools));
        Self { emulator, launcher, tools, files: files.into_values().collect() }
    }

    /// What the launcher needs to know.
    pub fn pairs(&self, arch: &Arch) -> Vec<LauncherPair> {
        launcher_pairs(arch, &self.tools)
    }

    /// Path of the native program that was proven, which may be the original of a copy.
    pub fn source<'a>(&'a self, tool: &'a AcceleratedTool) -> &'a Path {
        let program = &tool.native.path;
        let copy = self.files.iter().find(|file| file.target == *program);
        copy.map_or(program, |file| &file.source)
    }

    /// Paths that Nix's sandbox needs.
    pub fn sandbox_paths(&self, arch: &Arch) -> BTreeSet<PathBuf> {
        let in_store = self.tools.values().filter_map(|tool| bundle::store_path(&tool.native.path));
        // One directory has all copies of the system.
        sorted::set(in_store.chain((!self.files.is_empty()).then(|| paths::native_dir(arch))))
    }
}

fn launcher_pairs(arch: &Arch, tools: &BTreeMap<String, AcceleratedTool>) -> Vec<LauncherPair> {
    tools.values().filter_map(|tool| tool.launcher_pair(arch)).collect()
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
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(Pattern::new(0, head, None)?),
        interpreter: paths::accelerator_path(arch).as_os_str().as_bytes().to_vec(),
        flags: Flags { preserve_argv0: true, fix_binary: true, ..Flags::default() },
    })
}

/// Whether this is a path of a copy that `accelerate` makes, or of a directory above one.
pub fn is_native_path(path: &Path) -> bool {
    let is_plain = |part: Component| matches!(part, Component::Normal(name) if !name.as_bytes().contains(&0));
    let rest = path.strip_prefix(paths::NATIVE_DIR).ok();
    rest.is_some_and(|rest| rest.components().all(is_plain))
}
