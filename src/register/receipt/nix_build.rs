//! Record of a build by Nix.
//!
//! It says what a build did at that time. It does not say what a build would do now: the settings, the daemon and the
//! entry may have changed since.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Result of a build by Nix, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NixBuild {
    /// Name of the system in Nix.
    pub system: String,
    /// User that Nix ran as.
    pub user: String,
    /// Time of the build in UTC (RFC 3339).
    pub time: String,
    /// Result of the build.
    pub result: NixBuildResult,
    /// Lines in which Nix reported its error; empty if it built.
    pub message: Vec<String>,
}

/// Result of a build by Nix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NixBuildResult {
    /// Nix built, and the builder ran in Nix's sandbox.
    BuiltInSandbox,
    /// Nix built, and the builder did not run in Nix's sandbox.
    Built,
    /// Nix did not build.
    Failed,
}

impl NixBuild {
    /// Whether Nix built.
    pub fn is_built(&self) -> bool {
        self.result != NixBuildResult::Failed
    }

    /// Returns the time since the build in words: "3 min". `None` if the time is not valid or in the future.
    pub fn age(&self) -> Option<String> {
        let time = humantime::parse_rfc3339(&self.time).ok()?;
        Some(describe_age(SystemTime::now().duration_since(time).ok()?))
    }
}

impl fmt::Display for NixBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, user, message, .. } = self;
        match self.result {
            NixBuildResult::BuiltInSandbox => {
                write!(f, "Nix built a derivation for {system} in its sandbox (as {user})")
            }
            NixBuildResult::Built => write!(f, "Nix built a derivation for {system}, not in its sandbox (as {user})"),
            NixBuildResult::Failed => {
                write!(f, "Nix did not build a derivation for {system} (as {user}): {}", message.join(" "))
            }
        }
    }
}

fn describe_age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_units() {
        let age = |seconds| describe_age(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 60, 3_599, 3_600, 86_399, 86_400].map(age),
            ["0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d"]
        );
    }
}
