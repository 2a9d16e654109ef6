//! Rebuilds: builds a derivation again and compares its outputs, with other paths in the sandbox.

use std::time::{Duration, Instant};

use crate::host::{Host, ProcessOutput};
use crate::nix::build_user::{BuildUser, NixCommandError};

/// Result of building a derivation again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuild {
    /// Its outputs were those of the store.
    Same(Duration),
    /// An output differed from that of the store.
    Differs(Duration),
    /// Nix could not build it; what it printed.
    Failed(String),
    /// Nix ignored the paths of the sandbox, which it accepts from trusted users only.
    Untrusted,
}

/// Builds a derivation, or takes its outputs from a cache. Returns what Nix printed if it failed.
pub fn realise(host: &Host, user: &BuildUser, drv: &str) -> Result<Option<String>, NixCommandError> {
    let output = user.build(host, "nix-store", &["--realise", drv])?;
    Ok((!output.status.success()).then_some(output.stderr))
}

/// Builds a derivation again, and compares. `sandbox_paths` replaces the paths of the sandbox.
pub fn rebuild(
    host: &Host,
    user: &BuildUser,
    drv: &str,
    sandbox_paths: Option<&str>,
) -> Result<Rebuild, NixCommandError> {
    let start = Instant::now();
    let mut args = vec!["--realise", "--check", drv];
    args.extend(sandbox_paths.iter().flat_map(|paths| ["--option", "sandbox-paths", paths]));
    let output = user.build(host, "nix-store", &args)?;
    Ok(classify(&output, start.elapsed()))
}

/// `nix-store --check` ends with 104 if an output differs (Nix 2.8 to 2.34: `BuildResult::NotDeterministic`; nix-build(1)).
fn classify(output: &ProcessOutput, time: Duration) -> Rebuild {
    // `restrictedSettings` of Nix's daemon.cc: "ignoring the client-specified setting 'sandbox-paths', because it is a
    // restricted setting and you are not a trusted user".
    if output.stderr.contains("ignoring the") && output.stderr.contains("'sandbox-paths'") {
        return Rebuild::Untrusted;
    }
    match output.status.code() {
        Some(0) => Rebuild::Same(time),
        Some(104) => Rebuild::Differs(time),
        _ => Rebuild::Failed(output.stderr.clone()),
    }
}
