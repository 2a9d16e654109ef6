//! Search for static QEMUs on the host, and the choice of the best one for each system.
//!
//! The newest usable candidate is chosen. Within one release, a file that a package manager maintains has priority over a file
//! in /usr/local, which has priority over the interpreter of another entry.
//!
//! A profile of Nix or Guix leads into a store, in which every file belongs to root and is read-only. This does not show who
//! made a file, because the daemon builds for every user of the machine and gives the result to root. So a file is used if a
//! profile of root leads to it, with every link on the way owned by root. Other files in the store are reported, but never
//! started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::host::{self, Host};
use crate::paths;
use crate::qemu::candidate::{self, Candidate, CandidateError, ValidatedBinary};
use crate::qemu::known_bad;
use crate::sanitize::AsText as _;

/// Directories that are searched, in this order. Debian, Fedora, Arch, Alpine and Void use the first, with one of two file
/// names. NixOS uses the second, and Nix on other systems the next three. Guix System and Guix on other systems use two more.
/// The last one is where earlier versions of this tool installed emulators.
pub const DIRS: [&str; 9] = [
    "/usr/bin",
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
    "/root/.nix-profile/bin",
    "/root/.local/state/nix/profile/bin",
    "/run/current-system/profile/bin",
    "/root/.guix-profile/bin",
    "/usr/local/bin",
    paths::OWN_DIR,
];

/// Profiles of a user, below the home directory.
const USER_DIRS: [&str; 3] = [".nix-profile/bin", ".local/state/nix/profile/bin", ".guix-profile/bin"];

const STORE: &str = "/nix/store";
/// Length of the hash and the dash at the start of a name in the store (Nix manual, "Store Path").
const HASH_LENGTH: usize = 33;

/// A search for emulators of several systems.
#[derive(Debug)]
pub struct HostSearch<'a> {
    host: &'a Host,
    machine: &'a str,
    home: Option<PathBuf>,
    store: Vec<PathBuf>,
}

impl<'a> HostSearch<'a> {
    /// Prepares a search of the usual directories. `with_store` adds the store of Nix, which is listed once for all systems.
    /// `for_caller` adds the profiles of the caller unless the caller is root; they may only be used by programs that run as
    /// the caller.
    pub fn new(host: &'a Host, machine: &'a str, with_store: bool, for_caller: bool) -> Self {
        // A store that cannot be listed has no file that could be used.
        let names = if with_store { host.list_dir(Path::new(STORE)).unwrap_or_default() } else { Vec::new() };
        let store = names.iter().filter(|name| is_static_qemu_package(name)).map(|name| Path::new(STORE).join(name));
        let is_user = for_caller && host::env::effective_ids().0 != 0;
        let home = host::env::var("HOME").filter(|_| is_user).map(PathBuf::from).filter(|home| home.is_absolute());
        Self { host, machine, home, store: store.collect() }
    }

    /// Finds and validates all candidates for one system. At most one of them has a good verdict. `interpreters` are those
    /// of other entries for the system.
    pub fn find_candidates(&self, arch: &Arch, interpreters: &[PathBuf]) -> Vec<Candidate> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        let mut add = |path: PathBuf, validate: &dyn Fn(&Path, &Path) -> Result<ValidatedBinary, CandidateError>| {
            if !self.host.exists(&path) {
                return;
            }
            let real = self.host.resolve_symlinks(&path).unwrap_or_else(|_| path.clone());
            // Debian's -static names are links to the other names, and several profiles lead to the same file.
            if !seen.contains(&real) && real != paths::interpreter_path(arch) {
                found.push(Candidate { verdict: validate(&path, &real), path });
                seen.push(real);
            }
        };
        let user_dirs = self.home.iter().flat_map(|home| USER_DIRS.map(|profile| home.join(profile)));
        let dirs = DIRS.iter().map(PathBuf::from).chain(user_dirs);
        for path in dirs.flat_map(|dir| binary_names(&dir, arch)).chain(self.registered_interpreters(interpreters)) {
            add(path, &|path, real| self.validate_found(arch, path, real));
        }
        for path in self.store.iter().map(|dir| dir.join("bin").join(crate::paths::emulator_name(arch))) {
            add(path, &|path, _| Err(self.reason_not_trusted(path)));
        }
        keep_newest(&mut found);
        found
    }

    fn validate_found(&self, arch: &Arch, path: &Path, real: &Path) -> Result<ValidatedBinary, CandidateError> {
        let crash = |error| match (known_bad::find_crash_report(self.machine, real), error) {
            (Some(thread), CandidateError::Version(error)) if error.is_crash() => {
                CandidateError::KnownCrash { error, thread }
            }
            (_, error) => error,
        };
        let validated = candidate::validate_candidate(self.host, arch, self.machine, path).map_err(crash)?;
        match known_bad::find_flaw(validated.version, self.machine, arch.target, validated.fixed_address) {
            Some(flaw) => {
                Err(CandidateError::KnownFlaw { version: validated.version, what: flaw.what, thread: flaw.thread })
            }
            None => Ok(validated),
        }
    }

    /// Converts paths from the kernel to paths below `--root`. The kernel reports real paths; those outside the tree are
    /// dropped.
    fn registered_interpreters(&self, interpreters: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
        let root = self.host.real_path(Path::new("/"));
        let paths: Vec<_> =
            interpreters.iter().filter_map(|path| Some(Path::new("/").join(path.strip_prefix(&root).ok()?))).collect();
        paths.into_iter()
    }

    /// Returns the reason why a file in the store is not used.
    fn reason_not_trusted(&self, path: &Path) -> CandidateError {
        self.host
            .open_trusted_through_links(path)
            .map_or_else(CandidateError::from, |_| CandidateError::NotInRootProfile)
    }
}

fn binary_names(dir: &Path, arch: &Arch) -> [PathBuf; 2] {
    let name = crate::paths::emulator_name(arch);
    [dir.join(&name), dir.join(format!("{name}-static"))]
}

/// Whether a name in the store is that of a static QEMU. `pkgsStatic.qemu-user` is called
/// `qemu-user-static-x86_64-unknown-linux-musl-10.2.1` after the hash; other packages have similar names.
fn is_static_qemu_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.get(HASH_LENGTH..).unwrap_or_default();
    name.starts_with("qemu") && name.contains("user") && name.contains("static")
}

/// Keeps the good verdict of the best candidate, and replaces those of the others by the reason why they are not used.
fn keep_newest(found: &mut [Candidate]) {
    let mut best: Option<(usize, &Candidate, &ValidatedBinary)> = None;
    for (number, copy) in found.iter().enumerate() {
        if let Ok(validated) = &copy.verdict
            && best.is_none_or(|(_, _, best_so_far)| validated.version > best_so_far.version)
        {
            best = Some((number, copy, validated));
        }
    }
    let Some((chosen, path, version)) =
        best.map(|(number, copy, validated)| (number, copy.path.clone(), validated.version))
    else {
        return;
    };
    for (_, copy) in found.iter_mut().enumerate().filter(|(number, _)| *number != chosen) {
        if let Ok(validated) = &copy.verdict {
            copy.verdict = Err(if validated.version == version {
                CandidateError::LowerPriority { version, first: path.clone() }
            } else {
                CandidateError::NotNewest { version: validated.version, newer: path.clone(), newest: version }
            });
        }
    }
}

/// Describes why one candidate is used, and why each of the others is not. Returns nothing if there was no choice.
pub fn describe_choice(found: &[Candidate]) -> Vec<String> {
    let good = |copy: &&Candidate| copy.verdict.is_ok();
    if found.len() < 2 || !found.iter().any(|copy| good(&copy)) {
        return Vec::new();
    }
    let describe = |copy: &Candidate| match &copy.verdict {
        Ok(validated) => {
            format!(
                "{} is used: QEMU {}, the newest usable one of {}",
                copy.path.as_text(),
                validated.version,
                found.len()
            )
        }
        Err(why) => format!("{} is not used: {why}", copy.path.as_text()),
    };
    found.iter().filter(good).chain(found.iter().filter(|copy| !good(copy))).map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_qemu_packages_are_recognized_by_their_store_names() {
        let is = |name: &str| is_static_qemu_package(OsStr::new(&format!("{}-{name}", "x".repeat(32))));
        assert!(is("qemu-user-static-x86_64-unknown-linux-musl-10.2.1"));
        assert!(is("qemu-user-static-7.2"));
        for name in ["qemu-user-10.2.1", "qemu-10.2.1", "busybox-static", ""] {
            assert!(!is(name), "{name}");
        }
        assert!(!is_static_qemu_package(OsStr::new("qemu-user-static")));
        assert!(!is_static_qemu_package(OsStr::new(&"ä".repeat(40))));
    }
}
