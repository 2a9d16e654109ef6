//! The options that say where QEMU comes from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where an emulator comes from: arguments of `register` and `run`.
#[derive(Debug, Args)]
pub struct Origin {
    /// Use this static QEMU (for one system)
    #[arg(long, value_name = "PATH", conflicts_with = "source")]
    pub qemu: Option<PathBuf>,
    /// Take QEMU from this archive (.deb, .apk, .tar.gz, ...), directory, file, or
    /// image (oci://HOST/NAME@sha256:HEX)
    #[arg(long, value_name = "PATH|URL|IMAGE", conflicts_with_all = ["source", "qemu", "mirror"])]
    pub from: Option<PathBuf>,
    /// Refuse what --from names if it has another SHA-256
    #[arg(long, value_name = "HEX", requires = "from")]
    pub sha256: Option<String>,
    /// Take what the URL or image of --from gives, whatever that is
    #[arg(long, requires = "from")]
    pub insecure_no_digest: bool,
    /// Download this release of QEMU: 11.1.3, 7.2, ..., or "latest", the newest that
    /// Debian signed
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from", "qemu"])]
    pub qemu_version: Option<String>,
    /// Use what is on this machine; download nothing
    #[arg(long)]
    pub offline: bool,
    /// Where QEMU comes from
    #[arg(long, value_enum, default_value_t = Source::Auto)]
    pub source: Source,
    /// Ask this Debian mirror first (also: BINFMT_NIX_MIRROR)
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// The values of `--source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Ours if installed, else a good one on the host, else a download
    Auto,
    /// The newest good one on the host
    Host,
    /// The one that this release pins
    Download,
    /// As auto; if no Debian mirror works, an archive of another publisher
    Fallback,
}
