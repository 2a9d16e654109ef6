//! The effective settings of the installed Nix, as `nix config show` prints them. All statements of the tool about what
//! Nix is configured for are based on them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::host::user_rights::User;
use crate::host::{self, Host, ProcessOutput, ProgramSearchError};
use crate::sanitize::AsText as _;

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
    /// The value of `max-jobs`: the number of builds on this machine, without those of remote builders.
    #[serde(skip)]
    pub max_jobs: Option<String>,
    /// The value of `sandbox-paths`: what a build sees of the machine.
    #[serde(skip)]
    pub sandbox_paths: Vec<String>,
}

/// The reason why Nix did not print its settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No nix was found that this process may start.
    #[error("no nix was found that can be run safely: {0}")]
    NoProgram(#[from] ProgramSearchError),
    /// Nix could not be started, or did not end in time.
    #[error("{} could not be run: {source}", program.as_text())]
    NotStarted {
        /// Path of the program.
        program: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Nix failed with a message. It reads its settings before it does anything else.
    #[error("{} fails: {message}", program.as_text())]
    Rejected {
        /// Path of the program.
        program: PathBuf,
        /// The message of Nix, in one line.
        message: String,
    },
    /// Nix failed without a message.
    #[error("{} ended with {status}", program.as_text())]
    Failed {
        /// Path of the program.
        program: PathBuf,
        /// Exit status of the program.
        status: ExitStatus,
    },
    /// Nix printed something else than its settings.
    #[error("{} prints no extra-platforms", program.as_text())]
    WithoutPlatforms {
        /// Path of the program.
        program: PathBuf,
    },
}

impl ConfigError {
    /// Returns Nix's own message, if it was run and printed one.
    pub fn rejection(&self) -> Option<&str> {
        match self {
            Self::Rejected { message, .. } => Some(message),
            Self::NoProgram(_) | Self::NotStarted { .. } | Self::Failed { .. } | Self::WithoutPlatforms { .. } => None,
        }
    }
}

/// Runs the machine's Nix to get its settings.
///
/// The environment is fixed. So the settings are those of root's own shell and of the daemon, not those of a user with
/// a nix.conf of their own.
pub fn show_config(host: &Host) -> Result<NixConfig, ConfigError> {
    ask_nix(host, host::process::run_program)
}

/// Runs Nix as the calling user, with that user's environment and files, to get that user's settings.
pub fn show_config_of_caller(host: &Host, user: Option<&User>) -> Result<NixConfig, ConfigError> {
    ask_nix(host, |program, args| host::run_as_user::run_for_caller(user, program, args))
}

fn ask_nix(host: &Host, run: impl Fn(&Path, &[&str]) -> io::Result<ProcessOutput>) -> Result<NixConfig, ConfigError> {
    let program = find_nix(host)?;
    // `config show` since Nix 2.20; `show-config` is the older name.
    let spellings: [&[&str]; 2] = [&["config", "show"], &["show-config"]];
    let mut messages = Vec::new();
    for words in spellings {
        let args = [&["--extra-experimental-features", "nix-command"], words].concat();
        let output = match run(&program, &args) {
            Ok(output) => output,
            Err(source) => return Err(ConfigError::NotStarted { program, source }),
        };
        if output.status.success() {
            return parse_config(&output.stdout).ok_or(ConfigError::WithoutPlatforms { program });
        }
        let Some(message) = find_error(&output.stderr) else {
            return Err(ConfigError::Failed { program, status: output.status });
        };
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    Err(ConfigError::Rejected { program, message: messages.join("; ") })
}

/// Returns the error of Nix as one line. Nix prints its warnings before, and a reference to its help after it.
fn find_error(stderr: &str) -> Option<String> {
    let text = anstream::adapter::strip_str(stderr).to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.skip_while(|line| !line.starts_with("error:")).collect();
    let lines = lines.iter().take_while(|line| !line.starts_with("Try '"));
    let parts = lines.map(|line| line.trim_start_matches("error:").trim()).filter(|part| !part.is_empty());
    let message = parts.collect::<Vec<_>>().join(" ");
    (!message.is_empty()).then_some(message)
}

/// Finds a Nix that only root could have installed. An ordinary user may have installed one as well.
pub(super) fn find_nix(host: &Host) -> Result<PathBuf, ProgramSearchError> {
    let places = [
        "/nix/var/nix/profiles/default/bin/nix",
        "/root/.nix-profile/bin/nix",
        "/run/current-system/sw/bin/nix",
        "/usr/bin/nix",
        "/usr/local/bin/nix",
    ];
    let mut places: Vec<PathBuf> = places.into_iter().map(PathBuf::from).collect();
    if host::env::effective_ids().0 != 0 {
        // Such a user cannot enter root's home.
        places.retain(|place| !place.starts_with("/root"));
        let home = host::env::var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let profiles = [".nix-profile/bin/nix", ".local/state/nix/profile/bin/nix"];
        places.extend(home.iter().flat_map(|home| profiles.map(|profile| home.join(profile))));
    }
    host.search_trusted_program(&places)
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
        max_jobs: value("max-jobs"),
        sandbox_paths: words(value("sandbox-paths").unwrap_or_default()),
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
        let text = "extra-platforms = aarch64-linux i686-linux\nmax-jobs = 0\nsandbox = true\nsandbox-paths = /a=/b /c\n\
                    system = x86_64-linux\nsystem-features = benchmark kvm\n";
        let config = parse_config(text).unwrap_or_default();
        assert_eq!(config.extra_platforms, ["aarch64-linux", "i686-linux"]);
        assert_eq!((config.sandbox.as_str(), config.max_jobs.as_deref()), ("true", Some("0")));
        assert_eq!(config.system.as_deref(), Some("x86_64-linux"));
        assert_eq!(config.features.clone().unwrap_or_default(), ["benchmark", "kvm"]);
        assert_eq!(config.sandbox_paths, ["/a=/b", "/c"]);
        assert_eq!(config.missing_systems(&["aarch64-linux", "riscv64-linux"]), ["riscv64-linux"]);
        assert_eq!(parse_config("nothing of the kind"), None);
    }

    /// Texts of Nix 2.8.0 and 2.34.8.
    #[test]
    fn the_error_of_nix_is_one_line() {
        let message = |stderr: &str| find_error(stderr).unwrap_or_default();
        let old = "warning: unknown setting 'x'\nerror: illegal configuration line 'foo bar' in '/etc/nix/nix.conf'\n\
                   Try 'nix --help' for more information.\n";
        assert_eq!(message(old), "illegal configuration line 'foo bar' in '/etc/nix/nix.conf'");
        let new =
            "\u{1b}[31;1merror:\u{1b}[0m\n       file \"/x.conf\" included from \"/etc/nix/nix.conf\" not found\n";
        assert_eq!(message(new), "file \"/x.conf\" included from \"/etc/nix/nix.conf\" not found");
        assert_eq!(find_error("sh: 1: awk: not found\n"), None);
    }
}
