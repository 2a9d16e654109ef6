//! The arguments of `doctor`.

use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// An error message to explain; "-" reads it from standard input
    #[arg(value_name = "ERROR TEXT")]
    pub message: Vec<String>,
    /// Repair what can be repaired safely, as register would
    #[arg(long, conflicts_with = "message")]
    pub fix: bool,
    /// How long another binfmt-nix is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}
