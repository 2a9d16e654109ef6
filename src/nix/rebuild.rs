//! Rebuilds: builds a derivation again and compares its outputs, with other paths in the sandbox.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::nix::build_user::{BuildUser, NixCommandError};
use crate::nix::config_show::error_of;

/// Result of building a derivation again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuild {
    /// Its outputs were those of the store.
    Same(Duration),
    /// An output differed from that of the store.
    Differs(Duration),
    /// Nix could not build it; its error.
    Failed(String),
}

/// Builds a derivation, or takes its outputs from a cache. Returns the error of Nix if it failed.
pub fn realise(host: &Host, user: &BuildUser, drv: &str) -> Result<Option<String>, NixCommandError> {
    let output = user.build(host, "nix-store", &["--realise", drv])?;
    Ok((!output.status.success()).then(|| error_of(&output)))
}

/// Builds a derivation again on this machine, and compares. The user has to be one of [`BuildUser::choose_direct`].
/// `sandbox_paths` replaces the paths of the sandbox, without which they would have no effect.
pub fn rebuild(host: &Host, user: &BuildUser, drv: &str, sandbox_paths: &str) -> Result<Rebuild, NixCommandError> {
    let start = Instant::now();
    let mut args = vec!["--realise", "--check", drv];
    for (name, value) in [
        ("store", "local"),
        ("builders", ""),
        ("sandbox", "true"),
        ("sandbox-fallback", "false"),
        ("sandbox-paths", sandbox_paths),
    ] {
        args.extend(["--option", name, value]);
    }
    let output = user.build(host, "nix-store", &args)?;
    let time = start.elapsed();
    Ok(match output.status.code() {
        Some(0) => Rebuild::Same(time),
        // nix-build(1); `BuildResult::NotDeterministic` of Nix 2.8 to 2.34.
        Some(104) => Rebuild::Differs(time),
        _ => Rebuild::Failed(error_of(&output)),
    })
}
