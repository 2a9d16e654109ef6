//! Where static QEMUs are that nobody named, and which of them is taken.
//!
//! The newest good one is taken. Of the same release, what a package manager looks after comes before what somebody put
//! into /usr/local by hand, and that before what merely runs an entry.
//!
//! A profile of Nix or Guix leads into a store, where all is root's and read-only. That says nothing about who made it:
//! the daemon builds for every user of the machine, and gives the result to root. So what a profile of root's leads to is
//! taken, every link on the way being root's own; what merely lies in the store is named, and never started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::host::{self, Host};
use crate::paths;
use crate::qemu::candidate::{self, Candidate, CandidateError, ValidatedBinary};
use crate::qemu::known_bad;

/// Debian, Fedora, Arch, Alpine and Void use one of the two names in the first; NixOS the second, Nix elsewhere the next
/// three; Guix System and Guix elsewhere two more.
const DIRS: [&str; 8] = [
    "/usr/bin",
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
    "/root/.nix-profile/bin",
    "/root/.local/state/nix/profile/bin",
    "/run/current-system/profile/bin",
    "/root/.guix-profile/bin",
    "/usr/local/bin",
];

/// The profiles of a user, below his home.
const USER_DIRS: [&str; 3] = [".nix-profile/bin", ".local/state/nix/profile/bin", ".guix-profile/bin"];

const STORE: &str = "/nix/store";
/// A name in the store begins with so many characters of a hash and a dash (Nix manual, "Store Path").
const HASH_LENGTH: usize = 33;

/// A look for emulators of several systems.
#[derive(Debug)]
pub struct HostSearch<'a> {
    host: &'a Host,
    machine: &'a str,
    home: Option<PathBuf>,
    store: Vec<PathBuf>,
}

impl<'a> HostSearch<'a> {
    /// Prepares a search of the usual places. `everywhere` adds the store of Nix, which is listed once for all systems, and
    /// `for_caller` the profiles of the caller, if it is not root: they are only for what runs as the caller itself.
    pub fn new(host: &'a Host, machine: &'a str, everywhere: bool, for_caller: bool) -> Self {
        // A store that cannot be listed holds nothing that could be taken.
        let names = if everywhere { host.list_dir(Path::new(STORE)).unwrap_or_default() } else { Vec::new() };
        let store = names.iter().filter(|name| is_static_qemu_package(name)).map(|name| Path::new(STORE).join(name));
        let is_user = for_caller && host::env::effective_ids().0 != 0;
        let home = host::env::var("HOME").filter(|_| is_user).map(PathBuf::from).filter(|home| home.is_absolute());
        Self { host, machine, home, store: store.collect() }
    }

    /// All candidates for one system that exist, judged; at most one of them is to be taken. `interpreters` are those of
    /// other entries that run its programs.
    pub fn find_candidates(&self, arch: &Arch, interpreters: &[PathBuf]) -> Vec<Candidate> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        let mut look = |path: PathBuf, judge: &dyn Fn(&Path, &Path) -> Result<ValidatedBinary, CandidateError>| {
            if !self.host.exists(&path) {
                return;
            }
            let real = self.host.resolve_symlinks(&path).unwrap_or_else(|_| path.clone());
            // Debian's -static names are links to the other ones; profiles share what they lead to.
            if !seen.contains(&real) && real != paths::interpreter_path(arch) {
                found.push(Candidate { verdict: judge(&path, &real), path });
                seen.push(real);
            }
        };
        let own = self.home.iter().flat_map(|home| USER_DIRS.map(|profile| home.join(profile)));
        let dirs = DIRS.iter().map(PathBuf::from).chain(own);
        for path in dirs.flat_map(|dir| binary_names(&dir, arch)).chain(self.registered_interpreters(interpreters)) {
            look(path, &|path, real| self.validate_found(arch, path, real));
        }
        for path in self.store.iter().map(|dir| dir.join("bin").join(crate::paths::emulator_name(arch))) {
            look(path, &|path, _| Err(self.reason_not_trusted(path)));
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
        let fit = candidate::validate_candidate(self.host, arch, self.machine, path).map_err(crash)?;
        match known_bad::find_flaw(fit.version, self.machine, arch.target, fit.fixed_address) {
            Some(flaw) => Err(CandidateError::KnownFlaw { version: fit.version, what: flaw.what, thread: flaw.thread }),
            None => Ok(fit),
        }
    }

    /// The kernel's paths are real ones; below `--root`, those in the tree are meant.
    fn registered_interpreters(&self, interpreters: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
        let root = self.host.real_path(Path::new("/"));
        let paths: Vec<_> =
            interpreters.iter().filter_map(|path| Some(Path::new("/").join(path.strip_prefix(&root).ok()?))).collect();
        paths.into_iter()
    }

    /// Why one that lies in the store is not taken.
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

/// `qemu-user-static-x86_64-unknown-linux-musl-10.2.1` behind the hash: what `pkgsStatic.qemu-user` is called, and
/// others like it.
fn is_static_qemu_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.get(HASH_LENGTH..).unwrap_or_default();
    name.starts_with("qemu") && name.contains("user") && name.contains("static")
}

/// Leaves the best one, and says of the others why it is better.
fn keep_newest(found: &mut [Candidate]) {
    let mut best: Option<(usize, &Candidate, &ValidatedBinary)> = None;
    for (number, copy) in found.iter().enumerate() {
        if let Ok(fit) = &copy.verdict
            && best.is_none_or(|(_, _, before)| fit.version > before.version)
        {
            best = Some((number, copy, fit));
        }
    }
    let Some((taken, path, version)) = best.map(|(number, copy, fit)| (number, copy.path.clone(), fit.version)) else {
        return;
    };
    for (_, copy) in found.iter_mut().enumerate().filter(|(number, _)| *number != taken) {
        if let Ok(fit) = &copy.verdict {
            copy.verdict = Err(if fit.version == version {
                CandidateError::LowerPriority { version, first: path.clone() }
            } else {
                CandidateError::NotNewest { version: fit.version, newer: path.clone(), newest: version }
            });
        }
    }
}

/// Why the one that is taken is, and why each of the others is not; for people. Nothing where there is no choice.
pub fn describe_choice(found: &[Candidate]) -> Vec<String> {
    let good = |copy: &&Candidate| copy.verdict.is_ok();
    if found.len() < 2 || !found.iter().any(|copy| good(&copy)) {
        return Vec::new();
    }
    let told = |copy: &Candidate| match &copy.verdict {
        Ok(fit) => {
            format!("{} is taken: QEMU {}, the newest good one of {}", copy.path.display(), fit.version, found.len())
        }
        Err(why) => format!("{} is not taken: {why}", copy.path.display()),
    };
    found.iter().filter(good).chain(found.iter().filter(|copy| !good(copy))).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_qemus_are_known_by_their_names_in_the_store() {
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
