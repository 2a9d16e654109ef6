//! Finds the programs of Nix that may be started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{self, Host, ProgramSearchError, UserFiles};

/// The reason why no program of Nix can be started.
#[derive(Debug, thiserror::Error)]
pub enum NoNixError {
    /// `--root` names a tree.
    #[error("--root names another machine, and only the Nix of this machine can be run")]
    OtherMachine,
    /// No Nix is at the usual places, or another user could replace it.
    #[error("no nix was found that can be run safely: {0}")]
    NotFound(ProgramSearchError),
}

impl From<ProgramSearchError> for NoNixError {
    fn from(error: ProgramSearchError) -> Self {
        match error {
            ProgramSearchError::OtherMachine => Self::OtherMachine,
            error => Self::NotFound(error),
        }
    }
}

/// Where a machine has Nix.
const PLACES: [&str; 5] = [
    "/nix/var/nix/profiles/default/bin/nix",
    "/root/.nix-profile/bin/nix",
    "/run/current-system/sw/bin/nix",
    "/usr/bin/nix",
    "/usr/local/bin/nix",
];

/// Asks the machine's Nix for its release, such as 2.34. `None` if it cannot be run, or is Lix, whose numbers mean other
/// sources.
pub fn nix_release(host: &Host) -> Option<(u32, u32)> {
    let output = host::process::run_program(&find_nix(host).ok()?, &["--version"]).ok()?;
    parse_release(&output.stdout)
}

/// Reads "nix (Nix) 2.34.1"; in the parentheses is the implementation.
fn parse_release(output: &str) -> Option<(u32, u32)> {
    let line = output.lines().next()?.split_once(" (")?.1;
    let (implementation, version) = line.split_once(") ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let release = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some(release).filter(|_| !implementation.starts_with("Lix"))
}

/// Where a user's own profile has Nix, below the home directory. The second is used with `use-xdg-base-directories`
/// (Nix 2.36, `nix-profile.sh.in`).
const USER_PROFILES: [&str; 2] = [".nix-profile/bin/nix", ".local/state/nix/profile/bin/nix"];

/// Finds a Nix that only root could have installed.
pub(super) fn find_nix(host: &Host) -> Result<PathBuf, NoNixError> {
    // Other users cannot enter root's home.
    let is_visible = |place: &&str| host::env::effective_ids().0 == 0 || !place.starts_with("/root/");
    Ok(host.search_trusted_program(&PLACES.into_iter().filter(is_visible).collect::<Vec<_>>())?)
}

/// Longest time for looking into a user's profile.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Finds a Nix for a process with the rights of an ordinary user, who may have installed one as well. The user's home
/// directory is searched with the rights of its owner, whose file system may never answer.
pub(super) fn find_nix_of_user(host: &Host, home: &Path) -> Result<PathBuf, NoNixError> {
    let in_profile = || {
        let places = USER_PROFILES.map(|place| home.join(place));
        let find = move |files: &UserFiles| places.into_iter().find(|place| files.exists(place));
        let found = || host.read_files_of_owner(home, host::process::later(TIMEOUT), find).ok().flatten();
        if host.is_live() { found() } else { None }
    };
    find_nix(host).or_else(|error| in_profile().ok_or(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_release_of_nix() {
        for (output, release) in [
            ("nix (Nix) 2.8.0\n", Some((2, 8))),
            ("nix (Nix) 2.34.1\n", Some((2, 34))),
            ("nix (Nix) 2.31pre20250712_b1245123\n", Some((2, 31))),
            ("nix (Determinate Nix 3.8.5) 2.30.2\n", Some((2, 30))),
            ("nix (Lix, like Nix) 2.93.3\n", None),
            ("nix (Nix)\n", None),
            ("", None),
        ] {
            assert_eq!(parse_release(output), release, "{output}");
        }
    }
}
