//! The pairs that may be equal: those of a tree of Debian, those of one nixpkgs, and those that the user names.
//!
//! A pair that is found is not proven. A tool without a counterpart of the same version is left out, with the reason.

use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::accelerate::tools::{self, Listed, TOOLS, Tool, ToolKind};
use crate::error::{Error, Failure, Result};
use crate::host::Host;
use crate::sanitize::AsText;

mod dpkg;

use dpkg::Packages;

/// A tool of the guest, and the program of this host that may replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPair {
    /// The tool.
    pub tool: &'static Tool,
    /// Path in the guest's root directory.
    pub guest: PathBuf,
    /// Path on the native host.
    pub native: PathBuf,
    /// Version of both, as their packages name it. Empty if the user named the files.
    pub version: String,
    /// Value of `-imultiarch` that the guest's GCC passes to its compilers: Debian's name of the machine.
    pub multiarch: Option<String>,
}

/// A tool that is not paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Name of the tool, or path of its program.
    pub tool: String,
    /// Reason.
    pub reason: String,
}

/// The pairs of one guest system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundPairs {
    /// Pairs that may be equal.
    pub pairs: Vec<FoundPair>,
    /// Tools without a counterpart.
    pub left_out: Vec<LeftOut>,
}

impl FoundPairs {
    fn leave_out(&mut self, tool: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut { tool: tool.to_owned(), reason: reason.into() });
    }
}

/// Why pairs cannot be looked for, or why a named pair is refused.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The word is not two absolute paths.
    #[error("{0:?} is not GUEST=NATIVE, with two absolute paths")]
    NotPaths(String),
    /// The list does not allow the tool.
    #[error("{} cannot be paired: {reason}", path.as_text())]
    Refused {
        /// Path of the guest's program.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// Guest and native program have different names.
    #[error("{} and {} are different tools", guest.as_text(), native.as_text())]
    OtherTool {
        /// Path of the guest's program.
        guest: PathBuf,
        /// Path of the native program.
        native: PathBuf,
    },
    /// The tree is not one of Debian.
    #[error("{} is not a tree of Debian or Ubuntu for {system}: {why}", path.as_text())]
    NotDebian {
        /// Path of the tree.
        path: PathBuf,
        /// QEMU's name of the system.
        system: String,
        /// What is missing.
        why: String,
    },
}

impl Failure for PairError {}

/// Reads a pair that the user names: `GUEST=NATIVE`.
///
/// # Errors
/// The word does not have two paths, the tool is not on the list, or the programs have different names.
pub fn named_pair(word: &str) -> Result<FoundPair> {
    let not_paths = || Error::other(PairError::NotPaths(word.to_owned()));
    let (guest, native) = word.split_once('=').ok_or_else(not_paths)?;
    let (guest, native) = (PathBuf::from(guest), PathBuf::from(native));
    if !guest.is_absolute() || !native.is_absolute() {
        return Err(not_paths());
    }
    let tool = listed(&guest)?;
    if listed(&native)? != tool {
        return Err(Error::other(PairError::OtherTool { guest, native }));
    }
    // Debian's GCC is in a directory with the name of its machine, of which -imultiarch is the same.
    let above = guest.parent().and_then(Path::parent).and_then(Path::file_name).map(AsText::as_text);
    let multiarch = above.filter(|name| tool.has_include_directories() && name.split('-').count() == 3);
    Ok(FoundPair { tool, guest, native, version: String::new(), multiarch })
}

fn listed(path: &Path) -> Result<&'static Tool> {
    let name = path.file_name().unwrap_or_default().as_text();
    let reason = match tools::look_up(&name) {
        Listed::Yes(tool) => return Ok(tool),
        Listed::Never(reason) => reason,
        Listed::Unknown => tools::UNKNOWN,
    };
    Err(Error::other(PairError::Refused { path: path.to_owned(), reason: reason.to_owned() }))
}

/// Finds the pairs of a tree of Debian or Ubuntu and the packages of a native host. Packages of both have to be of the same
/// version, as dpkg lists them.
///
/// # Errors
/// The tree is not one of Debian for this system, or a list of packages cannot be read.
pub fn in_debian_tree(arch: &Arch, tree: &Host, native: &Host) -> Result<FoundPairs> {
    let not_debian = |why: &str| {
        let (path, system) = (tree.real_path(Path::new("/")), arch.target.to_owned());
        Error::other(PairError::NotDebian { path, system, why: why.to_owned() })
    };
    let theirs = Packages::read(tree)?.ok_or_else(|| not_debian("it has no list of packages of dpkg"))?;
    let Some(triplet) = arch.debian.iter().find(|name| theirs.has_architecture(name)).and_then(|_| gnu_triplet(arch))
    else {
        return Err(not_debian("its packages are for another machine"));
    };
    let mut found = FoundPairs::default();
    let Some(own) = Packages::read(native)? else {
        found.leave_out("all tools", "this host has no list of packages of dpkg, which names their versions");
        return Ok(found);
    };
    let places = DebianPlaces { triplet, tree, native, guest_packages: &theirs, native_packages: &own };
    for release in places.gcc_releases()? {
        for tool in TOOLS.iter().filter(|tool| tool.is_compiler() || tool.kind == ToolKind::Lto) {
            places.add_compiler(tool, &release, &mut found);
        }
    }
    for tool in TOOLS {
        match tool.kind {
            ToolKind::Assembler => places.add_assembler(tool, &mut found),
            ToolKind::Filter => places.add_filter(tool, &mut found),
            ToolKind::C | ToolKind::Cxx | ToolKind::Fortran | ToolKind::Lto => {}
        }
    }
    Ok(found)
}

/// Returns the name of a machine in Debian's paths: `aarch64-linux-gnu`.
fn gnu_triplet(arch: &Arch) -> Option<&'static str> {
    arch.triples.iter().copied().find(|triple| triple.split('-').count() == 3 && triple.contains("-linux-gnu"))
}

/// Where Debian has the tools of guest and host.
struct DebianPlaces<'a> {
    triplet: &'a str,
    tree: &'a Host,
    native: &'a Host,
    guest_packages: &'a Packages,
    native_packages: &'a Packages,
}

impl DebianPlaces<'_> {
    /// Returns the releases of GCC that the tree has: `14`.
    fn gcc_releases(&self) -> Result<Vec<String>> {
        let mut releases: Vec<String> = Vec::new();
        for dir in ["/usr/libexec/gcc", "/usr/lib/gcc"] {
            let names = self.tree.list_dir(&Path::new(dir).join(self.triplet))?;
            releases.extend(names.iter().map(|name| name.as_text()));
        }
        releases.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        releases.sort();
        releases.dedup();
        Ok(releases)
    }

    fn add_compiler(&self, tool: &'static Tool, release: &str, found: &mut FoundPairs) {
        // /usr/libexec since GCC 13 of Debian.
        let below = |dir: &str| Path::new(dir).join(self.triplet).join(release).join(tool.name);
        let first = |host: &Host, dirs: [&str; 2]| dirs.map(below).into_iter().find(|path| host.is_regular_file(path));
        let Some(guest) = first(self.tree, ["/usr/libexec/gcc", "/usr/lib/gcc"]) else { return };
        let native = first(self.native, ["/usr/libexec/gcc-cross", "/usr/lib/gcc-cross"]);
        let package = match tool.kind {
            ToolKind::C => "cpp",
            ToolKind::Cxx => "g++",
            ToolKind::Fortran => "gfortran",
            _ => "gcc",
        };
        let short = format!("{package}-{release}");
        let long = format!("{short}-{}", self.triplet);
        let multiarch = tool.has_include_directories().then(|| self.triplet.to_owned());
        self.add(tool, guest, native, &[&long, &short], &long, multiarch, found);
    }

    fn add_assembler(&self, tool: &'static Tool, found: &mut FoundPairs) {
        let path = Path::new("/usr/bin").join(format!("{}-{}", self.triplet, tool.name));
        if self.tree.is_regular_file(&path) {
            let native = self.native.is_regular_file(&path).then(|| path.clone());
            let package = format!("binutils-{}", self.triplet);
            self.add(tool, path, native, &[&package], &package, None, found);
        }
    }

    fn add_filter(&self, tool: &'static Tool, found: &mut FoundPairs) {
        let dirs = ["/usr/bin", "/bin"];
        let first =
            |host: &Host| dirs.iter().find_map(|dir| host.follow_links_in_tree(&Path::new(dir).join(tool.name)));
        let Some(guest) = first(self.tree) else { return };
        // A link leads to another program where the administrator chose one.
        if guest.file_name() != Some(tool.name.as_ref()) {
            return found.leave_out(tool.name, format!("it is {} in the tree", guest.as_text()));
        }
        let native = first(self.native).filter(|path| path.file_name() == Some(tool.name.as_ref()));
        self.add(tool, guest, native, &[tool.package], tool.package, None, found);
    }

    /// Adds a pair if both packages have the same version.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the pair")]
    fn add(
        &self,
        tool: &'static Tool,
        guest: PathBuf,
        native: Option<PathBuf>,
        guest_names: &[&str],
        native_name: &str,
        multiarch: Option<String>,
        found: &mut FoundPairs,
    ) {
        let Some(version) = guest_names.iter().find_map(|name| self.guest_packages.source_version(name)) else {
            return found.leave_out(
                &guest.as_text(),
                format!("no package {} is installed in the tree", guest_names.join(" or ")),
            );
        };
        let (Some(native), Some(own)) = (native, self.native_packages.source_version(native_name)) else {
            let reason = format!("this host lacks its counterpart: apt install {native_name} ({version})");
            return found.leave_out(&guest.as_text(), reason);
        };
        if own != version {
            let reason = format!("the tree has version {version}, and this host has {native_name} {own}");
            return found.leave_out(&guest.as_text(), reason);
        }
        found.pairs.push(FoundPair { tool, guest, native, version: version.to_owned(), multiarch });
    }
}

/// A question to Nix: an output of one nixpkgs that has tools of the guest, or their counterparts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixQuestion {
    /// Installable that `nix build --no-link --print-out-paths` answers with store paths.
    pub installable: String,
    /// Whether it has the native counterparts.
    pub is_native: bool,
}

/// Returns what to ask of one nixpkgs: the compiler and binutils that run on the guest, those of the native host for the
/// guest, and the other tools for both. They are the tools of the standard environment, with which packages are built.
pub fn nix_questions(flake: &str, guest: &Arch, native: &Arch) -> Vec<NixQuestion> {
    let system = |arch: &Arch| arch.nix_systems.first().copied().unwrap_or(arch.target);
    // lib/systems/examples.nix of nixpkgs: the names of these systems.
    let cross = match guest.target {
        "aarch64" => "aarch64-multiplatform".to_owned(),
        "x86_64" => "gnu64".to_owned(),
        other => other.to_owned(),
    };
    let mut questions: Vec<NixQuestion> = Vec::new();
    for tool in TOOLS.iter().filter(|tool| !tool.attribute.is_empty()) {
        let platform = format!("{flake}#legacyPackages.{}", system(native));
        let of_native = match tool.kind {
            ToolKind::Filter => format!("{platform}.{}", tool.attribute),
            _ => format!("{platform}.pkgsCross.{cross}.{}", tool.attribute),
        };
        let of_guest = format!("{flake}#legacyPackages.{}.{}", system(guest), tool.attribute);
        for (installable, is_native) in [(of_guest, false), (of_native, true)] {
            let question = NixQuestion { installable, is_native };
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
    }
    questions
}

/// Finds the pairs of the store paths that answer [`nix_questions`]. Both store paths of a pair have the same name and
/// version, apart from the prefix of a cross compiler.
///
/// # Errors
/// A directory of the store cannot be listed.
pub fn in_nix_store(host: &Host, guest: &[PathBuf], native: &[PathBuf]) -> Result<FoundPairs> {
    let mut found = FoundPairs::default();
    for tool in TOOLS {
        let mut programs = Vec::new();
        for path in guest {
            programs.extend(programs_in(host, path, tool)?);
        }
        if programs.is_empty() {
            found.leave_out(tool.name, "no store path of the guest has it");
        }
        for program in programs {
            add_store_pair(host, tool, program, native, &mut found)?;
        }
    }
    Ok(found)
}

fn add_store_pair(
    host: &Host,
    tool: &'static Tool,
    guest: PathBuf,
    native: &[PathBuf],
    found: &mut FoundPairs,
) -> Result<()> {
    let version = store_version(&guest);
    let mut others = Vec::new();
    for path in native {
        for program in programs_in(host, path, tool)? {
            // The machine and the release are parts of the path of a compiler.
            let is_same_place = tool.kind == ToolKind::Filter
                || tool.kind == ToolKind::Assembler
                || tail_of(&program) == tail_of(&guest);
            if is_same_place && store_version(&program) == version {
                found.pairs.push(FoundPair { tool, guest, native: program, version, multiarch: None });
                return Ok(());
            }
            others.push(store_version(&program));
        }
    }
    let reason = match others.first() {
        Some(other) => format!("the guest has version {version}, and its counterpart {other}"),
        None => "no store path of the native host has its counterpart".to_owned(),
    };
    found.leave_out(&guest.as_text(), reason);
    Ok(())
}

/// Returns the programs of a tool in a store path.
fn programs_in(host: &Host, store_path: &Path, tool: &Tool) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    match tool.kind {
        ToolKind::C | ToolKind::Cxx | ToolKind::Fortran | ToolKind::Lto => {
            // nixpkgs has one machine and one release in a store path of GCC.
            for dir in ["libexec/gcc", "lib/gcc"].map(|dir| store_path.join(dir)) {
                for machine in host.list_dir(&dir)? {
                    for release in host.list_dir(&dir.join(&machine))? {
                        programs.push(dir.join(&machine).join(&release).join(tool.name));
                    }
                }
            }
        }
        ToolKind::Assembler => {
            let bin = store_path.join("bin");
            let names = host.list_dir(&bin)?;
            let is_as = |name: &str| name == tool.name || name.ends_with("-as");
            programs
                .extend(names.iter().map(|name| name.as_text()).filter(|name| is_as(name)).map(|name| bin.join(name)));
        }
        ToolKind::Filter => programs.push(store_path.join("bin").join(tool.name)),
    }
    programs.retain(|path| host.is_regular_file(path));
    programs.sort();
    programs.truncate(1);
    Ok(programs)
}

/// Returns the version in the name of a store path: `gcc-14.3.0` of
/// `/nix/store/HASH-aarch64-unknown-linux-gnu-gcc-14.3.0/…` has 14.3.0.
fn store_version(program: &Path) -> String {
    let name = program.components().nth(3).map(|part| part.as_os_str().as_text()).unwrap_or_default();
    // Nix's `parseDrvName`: the version begins after the first hyphen that no letter follows.
    let mut parts = name.match_indices('-').map(|(at, _)| name.get(at.saturating_add(1)..).unwrap_or_default());
    // The first part is the hash.
    parts.next();
    let version = parts.find(|part| part.starts_with(|c: char| !c.is_ascii_alphabetic())).unwrap_or_default();
    // An output other than the first has its name at the end.
    version.trim_end_matches("-bin").to_owned()
}

/// Returns machine, release and name of a compiler.
fn tail_of(program: &Path) -> PathBuf {
    let parts: Vec<_> = program.components().collect();
    parts.iter().skip(parts.len().saturating_sub(3)).collect()
}

#[cfg(test)]
mod tests;
