//! Environment variables for the command of `run`, and what they mean for Nix inside of `run`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::binfmt::shell::{Shell, ShellPlace};
use crate::binfmt::userns::run_table::RunTable;
use crate::host::{self, Host};
use crate::nix::conf;
use crate::nix::settings::{Settings, VARIABLE};

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

/// The settings that `run` adds to `NIX_CONFIG`, and those that they append to. Nix executes nothing because of them.
const LISTS: [&str; 4] = ["extra-platforms", "extra-extra-platforms", "system-features", "extra-system-features"];

/// Returns those lines of `NIX_CONFIG` that root's own Nix gets inside of `run`: the lists that `run` extends, without
/// any other setting of the caller.
pub fn config_for_root_in_run(host: &Host) -> Option<String> {
    let is_machine_root = host::env::effective_ids().0 == 0 && !host::namespaces::is_root_an_ordinary_user();
    let text = host::env::var(VARIABLE).filter(|_| is_machine_root && RunTable::find(host).is_some())?;
    Some(keep_lists(&text))
}

fn keep_lists(text: &str) -> String {
    let mut settings = Settings::default();
    settings.add_text(Path::new(VARIABLE), text, &|_| None, &mut Vec::new());
    let lines = settings.lines.iter().filter(|line| LISTS.contains(&line.name.as_str()));
    lines.map(|line| format!("{} = {}", line.name, line.words.join(" "))).collect::<Vec<_>>().join("\n")
}

/// Whether the builds of this process are made by a nix-daemon outside of `run`, in which this process is: the store is
/// that of the machine, and only its root writes to it directly.
pub fn is_daemon_outside_of_run(host: &Host) -> bool {
    let store = host.lstat(Path::new("/nix/store"));
    let is_of_root = store.is_ok_and(|meta| meta.is_some_and(|meta| host::trust::is_machine_root(meta.uid())));
    is_of_root && Shell::for_host(host).place == ShellPlace::Run
}

/// Says that a nix-daemon outside of `run` does not build for these systems. [`own_store_command`] builds inside.
pub fn describe_daemon_outside(systems: &[&str]) -> String {
    format!(
        "the nix-daemon is outside of run, and does not build for {}: it builds for systems that are registered on the \
         machine itself. Inside, Nix builds in a store of your own",
        systems.join(" ")
    )
}

/// Returns the command that builds inside of `run`. `as_root` says that Nix runs as root of the namespace: it would then
/// look for build users, which only the machine's root may use.
pub fn own_store_command(as_root: bool) -> String {
    let option = if as_root { " --option build-users-group ''" } else { "" };
    format!("nix-build --store ~/store{option} FILE")
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
    fn root_gets_no_setting_that_executes_code() {
        let text = "plugin-files = /x.so\nextra-extra-platforms = aarch64-linux # ours\ninclude /y\n\
                    extra-system-features = a b\npost-build-hook = /z";
        assert_eq!(keep_lists(text), "extra-extra-platforms = aarch64-linux\nextra-system-features = a b");
        assert_eq!(keep_lists("x"), "");
    }

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
