//! The effective settings of the installed Nix, as `nix config show` prints them. All statements of the tool about what
//! Nix is configured for are based on them.

use std::path::PathBuf;

use crate::host::{self, Host};
use crate::nix::conf;

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
    /// The value of `system-features`: the features that builds may require; null if Nix does not print them.
    #[serde(rename = "system_features")]
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

    /// Returns those features that nixpkgs requires for `systems` and that Nix lacks. Nothing is missing if Nix does
    /// not print its features.
    pub fn missing_features(&self, systems: &[&str]) -> Vec<&'static str> {
        let is_missing = |feature: &&str| self.features.as_ref().is_some_and(|all| all.iter().all(|f| f != feature));
        conf::required_features(systems).into_iter().filter(is_missing).collect()
    }

    /// Whether Nix accepts every derivation of nixpkgs for these systems.
    pub fn is_complete_for(&self, systems: &[&str]) -> bool {
        self.missing_systems(systems).is_empty() && self.missing_features(systems).is_empty()
    }
}

/// Whether a platform is a level of the processor of `own`, as `x86_64-v3-linux` is of `x86_64-linux`. Nix has them in
/// its default platforms (2.36, `globals.cc`, `computeLevels`; seen with 2.8).
pub fn is_processor_level(own: &str, name: &str) -> bool {
    let processor = own.split('-').next().unwrap_or_default();
    name.strip_prefix(processor).is_some_and(|level| level.starts_with("-v"))
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

    #[test]
    fn missing_features_are_those_that_nixpkgs_requires() {
        let config =
            |features: &str| parse_config(&format!("extra-platforms = armv7l-linux\n{features}")).unwrap_or_default();
        let systems = ["armv7l-linux", "aarch64-linux"];
        assert_eq!(config("system-features = kvm\n").missing_features(&systems), ["gccarch-armv7-a"]);
        assert!(!config("system-features =\n").is_complete_for(&systems[..1]));
        for complete in ["system-features = kvm gccarch-armv7-a\n", ""] {
            assert!(config(complete).is_complete_for(&systems[..1]), "{complete}");
        }
    }

    #[test]
    fn levels_of_the_processor_are_no_systems() {
        assert!(is_processor_level("x86_64-linux", "x86_64-v4-linux"));
        assert!(!is_processor_level("x86_64-linux", "i686-linux"));
        assert!(!is_processor_level("x86_64-linux", "x86_64-linux"));
    }
}
