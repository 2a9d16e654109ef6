//! The effective settings of the installed Nix, as `nix config show` prints them. All statements of the tool about what
//! Nix is configured for are based on them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::binfmt::userns::run_table::RunTable;
use crate::host::user_rights::User;
use crate::host::{self, Host, ProcessOutput, run_as_user};
use crate::nix::program::NoNixError;
use crate::nix::{conf, env, program};
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
    /// The value of `system-features`: the features that builds may require; null if Nix does not print them.
    #[serde(rename = "system_features")]
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
    #[error(transparent)]
    NoProgram(#[from] NoNixError),
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
    ask_nix(program::find_nix(host)?, host::process::run_program)
}

/// Runs Nix as the calling user, with that user's environment and files, to get that user's settings. `user` is the user
/// to change to; `None` if this process is the user's.
pub fn show_config_of_caller(host: &Host, user: Option<&User>, home: &Path) -> Result<NixConfig, ConfigError> {
    let program = program::find_nix_of_user(host, home)?;
    let config = env::config_for_root_in_run(host);
    ask_nix(program, |program, args| {
        run_as_user::run_for_caller(host, user, config.as_deref(), program, args, run_as_user::SHORT)
    })
}

/// Runs Nix to get the settings that count in this place: inside of `run` those of its user, with the lines that `run`
/// adds to `NIX_CONFIG`, and elsewhere those of the machine.
pub fn show_config_here(host: &Host) -> Result<NixConfig, ConfigError> {
    if RunTable::find(host).is_none() {
        return show_config(host);
    }
    show_config_of_caller(host, None, &host::user_rights::current_user().1)
}

fn ask_nix(
    program: PathBuf,
    run: impl Fn(&Path, &[&str]) -> io::Result<ProcessOutput>,
) -> Result<NixConfig, ConfigError> {
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

/// Returns the error of a command of Nix as one line, or its exit status.
pub fn error_of(output: &ProcessOutput) -> String {
    find_error(&output.stderr).unwrap_or_else(|| output.status.to_string())
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
