//! Where the user wants emulators from.

use std::path::Path;

use crate::cli;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::host::env::kernel_release;
use crate::qemu::catalog::InvalidVersionRequest;
use crate::qemu::download::mirrors;
use crate::qemu::download::{InvalidFileUrl, Network};
use crate::qemu::obtain::source::{ExternalSource, Location, RequestedRelease, Source};
use crate::qemu::obtain::{Caching, ObtainContext, PipelineOptions, Purpose, ResolvedSource};
use crate::qemu::oci::InvalidReference;
use crate::register::request::RegisterRequest;
use crate::sha256::Sha256;
use crate::ui::Ui;

/// What the options say, for so many systems.
pub(super) fn parse_source(origin: &cli::SourceArgs, systems: usize) -> Result<(Source, Network)> {
    let network = |mirror| Network { mirror, offline: origin.offline };
    if let Some(path) = &origin.from {
        return Ok((Source::External(parse_external_source(path, origin)?), network(None)));
    }
    let source = match (&origin.qemu, origin.source) {
        (Some(_), _) if systems != 1 => {
            return Err(Error::Usage("--qemu names one emulator, so it goes with one system".into()));
        }
        (Some(path), _) => Source::File(path.clone()),
        (None, cli::SourceKind::Host) if origin.qemu_version.is_some() => {
            return Err(Error::Usage("--qemu-version is about downloads, and --source host forbids them".into()));
        }
        (None, cli::SourceKind::Fallback) if origin.qemu_version.is_some() => {
            return Err(no_release_of_others());
        }
        (None, _) if origin.qemu_version.is_some() => Source::Download(parse_release(origin.qemu_version.as_deref())?),
        (None, cli::SourceKind::Auto) => Source::Auto,
        (None, cli::SourceKind::Host) => Source::Host,
        (None, cli::SourceKind::Fallback) => Source::Fallback,
        (None, cli::SourceKind::Download) => Source::Download(RequestedRelease::Pinned),
    };
    Ok((source, network(mirrors::user_mirror(origin.mirror.as_deref())?)))
}

/// The error for `--qemu-version` with `--source fallback`.
pub(super) fn no_release_of_others() -> Error {
    Error::Usage(
        "--qemu-version names a release of Debian's, and --source fallback takes those of other publishers".into(),
    )
}

/// The source of a registration, resolved.
pub(super) fn supply(host: &Host, ui: &Ui, request: &RegisterRequest) -> Result<ResolvedSource> {
    let (machine, kernel) = kernel_release();
    let order = PipelineOptions {
        source: &request.source,
        machine: &machine,
        kernel,
        purpose: Purpose::Machine,
        caching: Caching::Read,
    };
    ResolvedSource::open(ObtainContext { host, ui, network: &request.network }, &order, &request.systems)
}

/// What `--qemu-version` says.
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

/// What is not on this machine needs a digest, or that the user says that he needs none.
fn parse_external_source(path: &Path, origin: &cli::SourceArgs) -> Result<ExternalSource> {
    let digest = |text: &String| {
        let text = text.to_ascii_lowercase();
        // As registries write it.
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        digits.parse::<Sha256>().map_err(|e| Error::Usage(e.to_string()))
    };
    let named = origin.sha256.as_ref().map(digest).transpose()?;
    let place = parse_location(path)?;
    let sha256 = match (&place, named) {
        (Location::Image(_), Some(_)) => {
            return Err(Error::Usage(
                "the digest of an image stands behind its name: oci://HOST/NAME@sha256:HEX".into(),
            ));
        }
        (Location::Image(image), None) => image.digest(),
        (_, named) => named,
    };
    match (&place, sha256, origin.insecure_no_digest) {
        (_, Some(_), true) => Err(Error::Usage("a digest and --insecure-no-digest exclude each other".into())),
        (Location::Path(_), _, true) => Err(Error::Usage(
            "--insecure-no-digest is about what comes over the network: a path needs no digest".into(),
        )),
        (Location::Url(url), None, false) => Err(missing_digest_error(&url.to_string(), "--sha256 HEX")),
        (Location::Image(image), None, false) => {
            Err(missing_digest_error(&image.to_string(), &format!("{image}@sha256:HEX")))
        }
        (_, sha256, _) => Ok(ExternalSource { location: place, sha256 }),
    }
}

fn parse_location(path: &Path) -> Result<Location> {
    let text = path.to_string_lossy();
    let odd = |why: &dyn std::fmt::Display| Error::Usage(format!("--from {text}: {why}"));
    Ok(match text.split_once("://") {
        None => Location::Path(path.to_owned()),
        Some(("oci", _)) => Location::Image(Box::new(text.parse().map_err(|e: InvalidReference| odd(&e))?)),
        Some(_) => Location::Url(text.parse().map_err(|e: InvalidFileUrl| odd(&e))?),
    })
}

fn missing_digest_error(what: &str, how: &str) -> Error {
    Error::Usage(format!(
        "root would run whatever {what} gives: name its digest ({how}, as its publisher says it), or say that you take it as \
         it comes (--insecure-no-digest)"
    ))
}
