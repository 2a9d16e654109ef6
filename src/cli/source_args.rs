//! The options that select where QEMU comes from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of `register` and `run` that select the source of an emulator.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Use this static QEMU (for one system)
    ///
    /// The file must be a static QEMU user-mode emulator for the system. It is asked for its release (--version) by a
    /// process without rights. With --dry-run it is not started: the release is searched in its bytes.
    #[arg(long, value_name = "PATH", conflicts_with = "source")]
    pub qemu: Option<PathBuf>,
    /// Take QEMU from a package, archive, directory, file or image
    ///
    /// A .deb, an .apk, a .tar.gz, .tar.xz or .tar.zst, a directory, or a program: on this machine, at an https:// URL,
    /// or in an image of a registry (oci://HOST/NAME@sha256:HEX). Files called qemu-TARGET or qemu-TARGET-static are
    /// used, in any directory of it. With `all`, every system that it contains is registered. A URL needs --sha256, and
    /// an image needs the digest in its name; --insecure-no-digest allows both without one. No network is needed for a
    /// local path. run caches what it unpacks, by the digest of the file, and unpacks a changed file again.
    #[arg(long, value_name = "PATH|URL|IMAGE", conflicts_with_all = ["source", "qemu", "mirror"])]
    pub from: Option<PathBuf>,
    /// Reject the file of --from unless it has this SHA-256
    ///
    /// A file with another digest is rejected before anything in it is read. The exit status is then 5.
    #[arg(long, value_name = "HEX", requires = "from")]
    pub sha256: Option<String>,
    /// Do not verify the digest of --from
    ///
    /// The server, or an attacker on the connection, then chooses a program that root runs: it is asked for its release
    /// without any rights, but the registration starts a program with it as root, and so does every later use.
    #[arg(long, requires = "from")]
    pub insecure_no_digest: bool,
    /// Download this release of QEMU: 11.1.3, 7.2, ..., or "latest"
    ///
    /// Releases by number have pinned digests. `latest` is the newest release that Debian signed, in trixie-backports
    /// or trixie: Debian's keys are compiled in, and an expired list is rejected.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from", "qemu"])]
    pub qemu_version: Option<String>,
    /// Download nothing; use what is on this machine
    ///
    /// Uses an installed emulator, a cached download, or a local --from.
    #[arg(long)]
    pub offline: bool,
    /// Choose where QEMU comes from
    ///
    /// A download is Debian's qemu-user 10.0.13, verified against digests that are compiled in. Mirrors are tried in
    /// this order: --mirror or BINFMT_NIX_MIRROR, apt's own mirror on Debian, mirrors.kernel.org, snapshot.debian.org.
    /// Only with `fallback`, archives of other publishers are tried if none of them has the package; their digests are
    /// pinned too, but binfmt-nix has not verified them itself, so the origin of each digest is reported. A server that
    /// fails temporarily is tried again, and an interrupted download of a whole file continues where it stopped.
    #[arg(long, value_enum, default_value_t = SourceKind::Auto)]
    pub source: SourceKind,
    /// Try this Debian mirror first (also: BINFMT_NIX_MIRROR)
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// The values of `--source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "kebab-case"))]
pub enum SourceKind {
    /// The installed one, a good one of the host, the cache, or a download
    Auto,
    /// The newest good static QEMU of the host, or the reason against each
    Host,
    /// The release that this version pins
    Download,
    /// As auto; if no Debian mirror works, an archive of another publisher
    Fallback,
}
