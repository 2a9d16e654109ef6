//! The files that a native program needs where no file of this host is visible: itself, its loader and its libraries.
//!
//! A plan only: nothing is written. The loader of the bundle is started with the directory of the libraries, so the program
//! finds them wherever it runs. The libraries are resolved as ld.so(8) does it, from the ELF files: no program is started.
//! A static program is its own bundle, and a program in the Nix store stays there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::elf::{EM_AARCH64, EM_X86_64};
use serde::{Deserialize, Serialize};

use crate::accelerate::elf::{self, Needs};
use crate::accelerate::identity::{ToolFile, read_tool};
use crate::binfmt::launcher::FileIdentity;
use crate::error::{Error, Failure, Result};
use crate::host::Host;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Largest number of libraries. GCC's compilers need about ten.
const MAX_LIBRARIES: usize = 64;

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    /// Path on the native host.
    pub source: PathBuf,
    /// Path to which it is copied.
    pub target: PathBuf,
    /// Digest of its content.
    pub sha256: Sha256,
    /// Permission bits of the copy.
    pub mode: u32,
}

/// How a native program is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NativeStart {
    /// Path of the program, which the launcher identifies.
    pub program: PathBuf,
    /// Path of its loader, in the directory of its libraries; absent if the program is executed itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loader: Option<PathBuf>,
}

impl NativeStart {
    /// Path that is executed: the program, or its loader.
    pub fn path(&self) -> &Path {
        self.loader.as_deref().unwrap_or(&self.program)
    }

    /// Words of the command before the caller's arguments. `None` stands for the caller's `argv[0]`.
    pub fn words(&self) -> Vec<Option<String>> {
        let Some(loader) = &self.loader else { return vec![None] };
        let libraries = loader.parent().unwrap_or(Path::new("/"));
        let [loader, libraries, program] = [loader, libraries, &self.program].map(|path| Some(path.as_text()));
        let [library_path, argv0] = ["--library-path", "--argv0"].map(|option| Some(option.to_owned()));
        vec![loader, library_path, libraries, argv0, None, program]
    }

    /// Whether a file at this path is needed for the start.
    pub fn needs(&self, path: &Path) -> bool {
        path == self.program || (self.loader.is_some() && path.parent() == self.path().parent())
    }
}

/// What has to be copied for a native program, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Files to copy. Empty for a program in the Nix store.
    pub files: Vec<BundleFile>,
    /// How the program is started.
    pub start: NativeStart,
}

/// Why a native program cannot be bundled.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is not a program of this host.
    #[error("{} cannot be bundled: {why}", path.as_text())]
    Unusable {
        /// Path of the program.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A library is missing.
    #[error("{} needs the library {library}, which is in none of {}", path.as_text(), searched.join(", "))]
    MissingLibrary {
        /// Path of the program or library that needs it.
        path: PathBuf,
        /// Name of the library.
        library: String,
        /// Directories that were searched.
        searched: Vec<String>,
    },
}

impl Failure for BundleError {}

/// Plans the bundle of a program of the host `native`, which is called `name`, in a directory.
///
/// # Errors
/// The program or a library cannot be read safely, is missing, or is not a 64-bit program.
pub fn plan(native: &Host, program: &Path, dir: &Path, name: &str) -> Result<Bundle> {
    let tool = read_tool(native, program)?;
    let path = &tool.identity.path;
    // Nix adds everything that a store path needs to a sandbox.
    if store_path(path).is_some() {
        return Ok(Bundle { files: Vec::new(), start: NativeStart { program: path.clone(), loader: None } });
    }
    let needs = needs_of(&tool)?;
    let own = if cfg!(target_arch = "aarch64") { EM_AARCH64 } else { EM_X86_64 };
    if needs.machine != own {
        return Err(unusable(path, "it is a program of another machine"));
    }
    let target = dir.join(format!("{name}-{}", short(tool.identity.sha256)));
    let mut start = NativeStart { program: target.clone(), loader: None };
    let mut files = vec![BundleFile { source: path.clone(), target, sha256: tool.identity.sha256, mode: 0o755 }];
    let Some(loader) = &needs.loader else {
        if needs.is_dynamic && !needs.libraries.is_empty() {
            return Err(unusable(path, "it needs libraries and names no loader"));
        }
        return Ok(Bundle { files, start });
    };
    let loader = read_tool(native, Path::new(loader))?;
    // The option exists since glibc 2.33, and in musl.
    if memchr::memmem::find(&loader.bytes, b"argv0").is_none() {
        return Err(unusable(&loader.identity.path, "it does not know --argv0: glibc has it since 2.33"));
    }
    let libraries = place_libraries(dir, &loader, resolve(native, &tool, &needs, &loader)?);
    start.loader = libraries.last().map(|loader| loader.target.clone());
    files.extend(libraries);
    Ok(Bundle { files, start })
}

/// Returns the store path of a program in the Nix store. A store elsewhere has no programs that its own sandboxes can run.
pub fn store_path(program: &Path) -> Option<PathBuf> {
    program.starts_with("/nix/store").then(|| program.components().take(4).collect())
}

/// Gives a loader, the last of the files, and libraries their place in a directory whose name has the digest of all of
/// them: programs with the same libraries share it.
fn place_libraries(dir: &Path, loader: &ToolFile, libraries: BTreeMap<String, ToolFile>) -> Vec<BundleFile> {
    let libraries = libraries.into_iter().map(|(name, file)| (name, file.identity, 0o644));
    let files: Vec<_> = libraries.chain([("ld.so".to_owned(), loader.identity.clone(), 0o755)]).collect();
    let list: Vec<String> = files.iter().map(|(name, file, _)| format!("{}  {name}", file.sha256)).collect();
    let dir = dir.join(format!("lib-{}", short(Sha256::of_bytes(list.join("\n").as_bytes()))));
    let place = |(name, file, mode): (String, FileIdentity, u32)| BundleFile {
        target: dir.join(name),
        source: file.path,
        sha256: file.sha256,
        mode,
    };
    files.into_iter().map(place).collect()
}

fn short(digest: Sha256) -> String {
    digest.to_string().get(..8).unwrap_or_default().to_owned()
}

fn needs_of(tool: &ToolFile) -> Result<Needs> {
    elf::read_needs(&tool.bytes).map_err(|e| unusable(&tool.identity.path, &e.to_string()))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::other(BundleError::Unusable { path: path.to_owned(), why: why.to_owned() })
}

/// Finds every library that the program and its libraries need. The loader is one of them.
fn resolve(native: &Host, tool: &ToolFile, needs: &Needs, loader: &ToolFile) -> Result<BTreeMap<String, ToolFile>> {
    let standard = standard_dirs(native, &loader.identity.path);
    let mut found: BTreeMap<String, ToolFile> = BTreeMap::new();
    let mut waiting = vec![(tool.identity.path.clone(), needs.clone())];
    while let Some((path, wanting)) = waiting.pop() {
        let origin = path.parent().unwrap_or(Path::new("/")).as_text();
        let own = wanting.search_path.iter().map(|dir| expand_origin(dir, &origin));
        let dirs: Vec<String> = own.chain(standard.iter().cloned()).collect();
        for library in wanting.libraries {
            if found.contains_key(&library) {
                continue;
            }
            let missing =
                || BundleError::MissingLibrary { path: path.clone(), library: library.clone(), searched: dirs.clone() };
            // A name with a slash is a path, which --library-path does not replace.
            if library.contains('/') || found.len() >= MAX_LIBRARIES {
                return Err(Error::other(missing()));
            }
            let file = find_library(native, &library, &dirs, needs).ok_or_else(|| Error::other(missing()))?;
            let file = read_tool(native, &file)?;
            waiting.push((file.identity.path.clone(), needs_of(&file)?));
            found.insert(library, file);
        }
    }
    Ok(found)
}

fn expand_origin(dir: &str, origin: &str) -> String {
    dir.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
}

/// Returns the first library of this name for the machine of the program. ld.so(8) ignores those of other machines.
fn find_library(native: &Host, name: &str, dirs: &[String], needs: &Needs) -> Option<PathBuf> {
    let paths = dirs.iter().map(|dir| Path::new(dir).join(name));
    paths.into_iter().find(|path| {
        let is_same = |tool: &ToolFile| elf::read_needs(&tool.bytes).is_ok_and(|found| found.machine == needs.machine);
        native.follow_links_in_tree(path).is_some() && read_tool(native, path).is_ok_and(|tool| is_same(&tool))
    })
}

/// Returns the directories in which ld.so(8) looks for libraries: those of /etc/ld.so.conf, and the standard ones. The
/// loader is in one of them, on distributions whose directories have the name of the machine.
fn standard_dirs(native: &Host, loader: &Path) -> Vec<String> {
    let mut dirs = Vec::new();
    read_conf(native, Path::new("/etc/ld.so.conf"), &mut dirs, 0);
    dirs.extend(loader.parent().map(Path::as_text));
    dirs.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    dirs
}

/// Reads a configuration file of ldconfig(8): a directory a line, and `include` with a pattern.
fn read_conf(native: &Host, path: &Path, dirs: &mut Vec<String>, depth: usize) {
    let text = native.read_lossy(path).unwrap_or_default();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(pattern) = line.strip_prefix("include ") {
            // Every distribution includes ld.so.conf.d/*.conf only.
            let dir = path.parent().unwrap_or(Path::new("/etc")).join(pattern.trim());
            let files = native.list_conf_files(dir.parent()).unwrap_or_default();
            if depth < 2 {
                for file in &files {
                    read_conf(native, file, dirs, depth.saturating_add(1));
                }
            }
        } else if line.starts_with('/') {
            dirs.push(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// /bin/sh of the machine that tests run on is a dynamic program of Debian, or of another distribution with glibc.
    #[test]
    fn a_program_of_this_machine_is_bundled_with_its_libraries() {
        let host = Host::live();
        let bundle = plan(&host, Path::new("/bin/sh"), Path::new("/native"), "sh").unwrap();
        let names: Vec<_> =
            bundle.files.iter().map(|file| file.target.file_name().unwrap().to_str().unwrap()).collect();
        assert!(
            names[0].starts_with("sh-") && names.ends_with(&["ld.so"]) && names.contains(&"libc.so.6"),
            "{names:?}"
        );
        assert!(bundle.files.iter().all(|file| file.target.starts_with("/native") && bundle.start.needs(&file.target)));
        assert!(!bundle.start.needs(Path::new("/native/lib-12345678/ld.so")));
        assert_eq!(bundle.start.words().iter().filter(|word| word.is_none()).count(), 1);
        assert_eq!(plan(&host, Path::new("/bin/sh"), Path::new("/native"), "sh").unwrap(), bundle);
        let other = plan(&host, Path::new("/bin/cat"), Path::new("/native"), "cat").unwrap();
        assert_ne!(other.start.program, bundle.start.program);
    }

    #[test]
    fn a_program_of_the_store_has_a_store_path() {
        let path = |program: &str| store_path(Path::new(program));
        assert_eq!(path("/nix/store/abc-gcc-14/libexec/gcc/cc1"), Some("/nix/store/abc-gcc-14".into()));
        assert_eq!(path("/usr/bin/gzip"), None);
    }

    #[test]
    fn a_text_is_not_bundled() {
        let error = plan(&Host::live(), Path::new("/etc/passwd"), Path::new("/native"), "passwd").unwrap_err();
        assert!(error.as_failure::<BundleError>().is_some(), "{error}");
    }
}
