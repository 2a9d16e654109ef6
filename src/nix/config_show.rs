//! What Nix itself says its settings are. Claims about Nix come from here.

use std::path::PathBuf;

use crate::host::{self, Host};

/// The effective settings that matter here, as Nix printed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixConfig {
    /// `extra-platforms`, after every file and default.
    pub extra_platforms: Vec<String>,
    /// `sandbox`: `true`, `false` or `relaxed`.
    pub sandbox: String,
    /// `system`: its own.
    #[serde(skip)]
    pub system: Option<String>,
    /// `system-features`: what builds may require of it.
    #[serde(skip)]
    pub features: Option<Vec<String>>,
}

/// Asks the machine's Nix. `None`: there is none that root may run, or it did
/// not answer.
///
/// The environment is fixed, so the answer is that of root's own shell and of
/// the daemon, not of a user whose own nix.conf says otherwise.
pub fn show_config(host: &Host) -> Option<NixConfig> {
    let program = find_nix(host)?;
    // `config show` since Nix 2.20; `show-config` is the older name.
    let spellings: [&[&str]; 2] = [&["config", "show"], &["show-config"]];
    spellings.iter().find_map(|words| {
        let mut args = vec!["--extra-experimental-features", "nix-command"];
        args.extend_from_slice(words);
        let finished = host::process::run_program(&program, &args).ok()?;
        finished.status.success().then(|| parse_config(&finished.stdout)).flatten()
    })
}

/// A Nix that only root could have put there.
pub(super) fn find_nix(host: &Host) -> Option<PathBuf> {
    let places = [
        "/nix/var/nix/profiles/default/bin/nix",
        "/root/.nix-profile/bin/nix",
        "/run/current-system/sw/bin/nix",
        "/usr/bin/nix",
        "/usr/local/bin/nix",
    ];
    host.find_trusted_program(&places)
}

/// Reads `name = value` lines; `None` if the platforms are not among them.
pub fn parse_config(output: &str) -> Option<NixConfig> {
    let value = |name: &str| {
        output.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
    Some(NixConfig {
        extra_platforms: words(value("extra-platforms")?),
        sandbox: value("sandbox").unwrap_or_default(),
        system: value("system").filter(|name| !name.is_empty()),
        features: value("system-features").map(words),
    })
}

impl NixConfig {
    /// Those of `systems` that Nix would not build.
    pub fn missing_systems<'a>(&self, systems: &[&'a str]) -> Vec<&'a str> {
        let known = |system: &&str| self.extra_platforms.iter().any(|have| have == system);
        systems.iter().filter(|system| !known(system)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_nix_prints() {
        let text = "extra-platforms = aarch64-linux i686-linux\nsandbox = true\nsandbox-paths = /a=/b\n\
                    system = x86_64-linux\nsystem-features = benchmark kvm\n";
        let answer = parse_config(text).unwrap_or_default();
        assert_eq!(answer.extra_platforms, ["aarch64-linux", "i686-linux"]);
        assert_eq!(answer.sandbox, "true");
        assert_eq!(answer.system.as_deref(), Some("x86_64-linux"));
        assert_eq!(answer.features.clone().unwrap_or_default(), ["benchmark", "kvm"]);
        assert_eq!(answer.missing_systems(&["aarch64-linux", "riscv64-linux"]), ["riscv64-linux"]);
        assert_eq!(parse_config("nothing of the kind"), None);
    }
}
