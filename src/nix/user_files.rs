//! The files in which a user has settings of Nix.
//!
//! Nix reads them after the files in /etc/nix (2.36, `globals.cc`, `getUserConfigFiles`): those that
//! `NIX_USER_CONF_FILES` names, or else `nix/nix.conf` in `XDG_CONFIG_HOME` and in `XDG_CONFIG_DIRS`. The first one of a
//! list takes precedence, so Nix reads the list from its end.

use std::path::{Path, PathBuf};

use crate::host::env::var;

/// Returns the paths of the caller's files, in the order in which Nix reads them.
pub fn config_files(home: &Path) -> Vec<PathBuf> {
    files_by_variables(home, &var)
}

fn files_by_variables(home: &Path, var: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let paths = |list: &str| list.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect::<Vec<_>>();
    let default_files = || {
        let own = var("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        let dirs = var("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        let dirs = std::iter::once(own).chain(paths(&dirs));
        dirs.map(|dir| dir.join("nix/nix.conf")).collect()
    };
    let mut files = var("NIX_USER_CONF_FILES").map_or_else(default_files, |list| paths(&list));
    files.retain(|file| file.is_absolute());
    files.reverse();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_a_list_is_read_last() {
        let files = |variables: &[(&str, &str)]| {
            let var =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let files = files_by_variables(Path::new("/home/joe"), &var);
            files.iter().map(|file| file.to_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(files(&[]), "/etc/xdg/nix/nix.conf /home/joe/.config/nix/nix.conf");
        let xdg = [("XDG_CONFIG_HOME", "/x"), ("XDG_CONFIG_DIRS", "/a:/b")];
        assert_eq!(files(&xdg), "/b/nix/nix.conf /a/nix/nix.conf /x/nix/nix.conf");
        assert_eq!(files(&[xdg[0], ("NIX_USER_CONF_FILES", "/1.conf::2.conf:/3.conf")]), "/3.conf /1.conf");
    }
}
