//! What the command finds in its environment. Pure.

use crate::nix::conf::{self, NixGuest};

/// `NIX_CONFIG` with the lines for these guests at its end, where they append to
/// whatever the user has set there (nix.conf(5): it is read last of all).
///
/// The interpreters are no sandbox paths: the entries have flag F.
pub fn extend_nix_config(before: Option<&str>, systems: &[&str]) -> Option<String> {
    let guest = NixGuest { systems, interpreter: std::path::Path::new("") };
    let line = conf::setting_lines(&[guest]).into_iter().next()?;
    Some(match before {
        Some(before) if before.ends_with('\n') => format!("{before}{line}"),
        Some(before) if !before.is_empty() => format!("{before}\n{line}"),
        _ => line,
    })
}

/// What rootless podman and buildah have to know, to take the namespace that
/// they are in for one that they made themselves (containers/storage
/// `pkg/unshare/unshare_linux.go`).
pub fn container_variables(uid: u32, gid: u32) -> [(&'static str, String); 3] {
    [
        ("_CONTAINERS_USERNS_CONFIGURED", "done".to_owned()),
        ("_CONTAINERS_ROOTLESS_UID", uid.to_string()),
        ("_CONTAINERS_ROOTLESS_GID", gid.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_settings_stay() {
        let line = "extra-extra-platforms = aarch64-linux";
        let config = |before| extend_nix_config(before, &["aarch64-linux"]);
        assert_eq!(config(None).as_deref(), Some(line));
        assert_eq!(config(Some("")).as_deref(), Some(line));
        assert_eq!(config(Some("cores = 1")), Some(format!("cores = 1\n{line}")));
        assert_eq!(config(Some("cores = 1\n")), Some(format!("cores = 1\n{line}")));
        assert_eq!(extend_nix_config(None, &[]), None);
    }
}
