//! The effective settings of the installed Nix, as `nix config show` prints them. All statements of the tool about what
//! Nix is configured for are based on them.

use std::path::PathBuf;

use crate::host::{self, Host};

/// The effective settings that this tool needs, as Nix printed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixConfig {
    /// The value of `extra-platforms`, from all files and the default.
    pub extra_platforms: Vec<String>,
    /// The value of `sandbox`: `true`, `false` or `relaxed`.
    pub sandbox: String,
    /// The value of `system`: the native system.
    #[serde(skip)]
    pub system: Option<String>,
    /// The value of `system-features`: the features that builds may require.
    #[serde(skip)]
    pub features: Option<Vec<String>>,
}

/// Runs the machine's Nix to get its settings. Returns `None` if no Nix is installed that root may run, or if it fails.
///
/// The environment is fixed. So the settings are those of root's own shell and of the daemon, not those of a user with
/// a nix.conf of their own.
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

/// Finds a Nix that only root could have installed.
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

/// Parses `name = value` lines; `None` if `extra-platforms` is not among them.
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
    /// Returns those of `systems` that Nix would not build.
    pub fn missing_systems<'a>(&self, systems: &[&'a str]) -> Vec<&'a str> {
        let is_configured = |system: &&str| self.extra_platforms.iter().any(|platform| platform == system);
        systems.iter().filter(|system| !is_configured(system)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_output_of_config_show() {
        let text = "extra-platforms = aarch64-linux i686-linux\nsandbox = true\nsandbox-paths = /a=/b\n\
                    system = x86_64-linux\nsystem-features = benchmark kvm\n";
        let config = parse_config(text).unwrap_or_default();
        assert_eq!(config.extra_platforms, ["aarch64-linux", "i686-linux"]);
        assert_eq!(config.sandbox, "true");
        assert_eq!(config.system.as_deref(), Some("x86_64-linux"));
        assert_eq!(config.features.clone().unwrap_or_default(), ["benchmark", "kvm"]);
        assert_eq!(config.missing_systems(&["aarch64-linux", "riscv64-linux"]), ["riscv64-linux"]);
        assert_eq!(parse_config("nothing of the kind"), None);
    }
}
