//! Environment variables for the command of `run`. Pure.

use crate::nix::conf;

/// Returns `NIX_CONFIG` with the lines for these systems at its end, where they append to the user's own settings
/// (nix.conf(5): the variable is read after all files).
///
/// The interpreters are not added to the sandbox paths: the entries have flag F.
pub fn extend_nix_config(existing: Option<&str>, systems: &[&str]) -> Option<String> {
    let lines = conf::platform_lines(systems);
    if lines.is_empty() {
        return None;
    }
    let lines = lines.join("\n");
    Some(match existing {
        Some(existing) if existing.ends_with('\n') => format!("{existing}{lines}"),
        Some(existing) if !existing.is_empty() => format!("{existing}\n{lines}"),
        _ => lines,
    })
}

/// Returns the variables with which rootless podman and buildah use the current namespace as if they had created it
/// (containers/storage `pkg/unshare/unshare_linux.go`).
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
    fn keeps_the_users_own_settings() {
        let line = "extra-extra-platforms = aarch64-linux";
        let config = |existing| extend_nix_config(existing, &["aarch64-linux"]);
        assert_eq!(config(None).as_deref(), Some(line));
        assert_eq!(config(Some("")).as_deref(), Some(line));
        assert_eq!(config(Some("cores = 1")), Some(format!("cores = 1\n{line}")));
        assert_eq!(config(Some("cores = 1\n")), Some(format!("cores = 1\n{line}")));
        assert_eq!(extend_nix_config(None, &[]), None);
        let arm = "extra-extra-platforms = armv7l-linux\nextra-system-features = gccarch-armv7-a";
        assert_eq!(extend_nix_config(None, &["armv7l-linux"]).as_deref(), Some(arm));
    }
}
