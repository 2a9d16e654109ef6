//! The arguments of `doctor`.

use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// An error message to explain; "-" reads it from standard input
    #[arg(value_name = "ERROR TEXT")]
    pub message: Vec<String>,
    /// Repair what can be repaired safely
    ///
    /// Does what register would do: removed entries are registered again, the nix-daemon is restarted. Findings that
    /// need a decision are reported.
    #[arg(long, conflicts_with = "message")]
    pub fix: bool,
    /// Wait at most SECONDS for another binfmt-nix to finish
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}
