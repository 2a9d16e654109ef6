//! The source of emulators that the command line selects.

use std::path::Path;

use binfmt_magic::Arch;

use crate::cli;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::host::env::kernel_release;
use crate::qemu::catalog::InvalidVersionRequest;
use crate::qemu::download::machine_config;
use crate::qemu::download::{InvalidFileUrl, Network};
use crate::qemu::obtain::source::{ExternalSource, Location, RequestedRelease, Source};
use crate::qemu::obtain::{Caching, ObtainContext, PipelineOptions, Purpose, ResolvedSource};
use crate::qemu::oci::InvalidReference;
use crate::qemu::version_query::VersionQuery;
use crate::register::request::RegisterRequest;
use crate::sanitize::AsText as _;
use crate::sanitize::secrets::{hide_secrets_of_word, looks_like_login};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// Parses the options about sources; `systems` is the number of requested systems.
pub(super) fn parse_source(args: &cli::SourceArgs, systems: usize) -> Result<(Source, Network)> {
    let network = |mirror| Network { mirror, offline: args.offline };
    if let Some(path) = &args.from {
        return Ok((Source::External(parse_external_source(path, args)?), network(None)));
    }
    let source = match (&args.qemu, args.source) {
        (Some(_), _) if systems != 1 => {
            return Err(Error::Usage("--qemu names one emulator, so exactly one system can be given".into()));
        }
        (Some(path), _) => Source::File(path.clone()),
        (None, cli::SourceKind::Host) if args.qemu_version.is_some() => {
            return Err(Error::Usage("--qemu-version selects a download, and --source host downloads nothing".into()));
        }
        (None, cli::SourceKind::Fallback) if args.qemu_version.is_some() => {
            return Err(fallback_release_error());
        }
        (None, _) if args.qemu_version.is_some() => Source::Download(parse_release(args.qemu_version.as_deref())?),
        (None, cli::SourceKind::Auto) => Source::Auto,
        (None, cli::SourceKind::Host) => Source::Host,
        (None, cli::SourceKind::Fallback) => Source::Fallback,
        (None, cli::SourceKind::Download) => Source::Download(RequestedRelease::Pinned),
    };
    Ok((source, network(machine_config::user_mirror(args.mirror.as_deref())?)))
}

/// The error for `--qemu-version` with `--source fallback`.
pub(super) fn fallback_release_error() -> Error {
    Error::Usage("--qemu-version selects a release of Debian, and --source fallback also uses other publishers".into())
}

/// Opens the source of a registration. `query` says how the releases of emulators are found out that the user named.
pub(super) fn supply(host: &Host, ui: &Ui, request: &RegisterRequest, query: VersionQuery) -> Result<ResolvedSource> {
    open_source(ObtainContext { host, ui, network: &request.network }, &request.source, &request.systems, query)
}

/// Opens a source for the systems of this machine.
pub(super) fn open_source(
    context: ObtainContext<'_>,
    source: &Source,
    systems: &[&'static Arch],
    query: VersionQuery,
) -> Result<ResolvedSource> {
    let (machine, kernel) = kernel_release();
    let order = PipelineOptions {
        source,
        machine: &machine,
        kernel,
        purpose: Purpose::Machine,
        caching: Caching::Read,
        version_query: query,
    };
    ResolvedSource::open(context, &order, systems)
}

/// Parses the value of `--qemu-version`.
pub(super) fn parse_release(version: Option<&str>) -> Result<RequestedRelease> {
    match version {
        None => Ok(RequestedRelease::Pinned),
        Some("latest") => Ok(RequestedRelease::Latest),
        Some(version) => version
            .parse()
            .map(RequestedRelease::Version)
            .map_err(|e: InvalidVersionRequest| Error::Usage(e.to_string())),
    }
}

/// Parses the value of `--from`. A file that is not on this machine needs a digest, or the explicit option to use none.
fn parse_external_source(path: &Path, args: &cli::SourceArgs) -> Result<ExternalSource> {
    let digest = |text: &String| {
        let text = text.to_ascii_lowercase();
        // Registries write digests with this prefix.
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        digits.parse::<Sha256>().map_err(|e| Error::Usage(e.to_string()))
    };
    let named = args.sha256.as_ref().map(digest).transpose()?;
    let place = parse_location(path)?;
    let sha256 = match (&place, named) {
        (Location::Image(_), Some(_)) => {
            return Err(Error::Usage("the digest of an image is part of its name: oci://HOST/NAME@sha256:HEX".into()));
        }
        (Location::Image(image), None) => image.digest(),
        (_, named) => named,
    };
    match (&place, sha256, args.insecure_no_digest) {
        (_, Some(_), true) => Err(Error::Usage("a digest and --insecure-no-digest cannot be combined".into())),
        (Location::Path(_), _, true) => {
            Err(Error::Usage("--insecure-no-digest applies to downloads only: a local path needs no digest".into()))
        }
        (Location::Url(url), None, false) => Err(missing_digest_error(&url.to_string(), "--sha256 HEX")),
        (Location::Image(image), None, false) => {
            Err(missing_digest_error(&image.to_string(), &format!("{image}@sha256:HEX")))
        }
        (_, sha256, _) => Ok(ExternalSource { location: place, sha256 }),
    }
}

fn parse_location(path: &Path) -> Result<Location> {
    let text = path.as_text();
    let shown = hide_secrets_of_word(&text);
    let invalid = |why: &dyn std::fmt::Display| Error::Usage(format!("--from {shown}: {why}"));
    Ok(match text.split_once("://") {
        None if looks_like_login(&text) => {
            return Err(invalid(
                &"a URL begins with https://, http:// or oci://; for a file of this name, write ./ first",
            ));
        }
        None => Location::Path(path.to_owned()),
        Some(("oci", _)) => Location::Image(Box::new(text.parse().map_err(|e: InvalidReference| invalid(&e))?)),
        Some(_) => Location::Url(text.parse().map_err(|e: InvalidFileUrl| invalid(&e))?),
    })
}

fn missing_digest_error(what: &str, digest_option: &str) -> Error {
    Error::Usage(format!(
        "root would run any program that {what} sends: give the digest that its publisher announces ({digest_option}), or \
         accept any content (--insecure-no-digest)"
    ))
}
