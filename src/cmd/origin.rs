//! Where the user wants emulators from.

use std::path::Path;

use crate::catalog::NoVersion;
use crate::cli;
use crate::digest::Sha256;
use crate::download::{Network, NotAUrl};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::host::env::kernel;
use crate::mirrors;
use crate::oci::NotAnImage;
use crate::qemu::obtain::source::{From, Place, Release, Source};
use crate::qemu::obtain::{Caching, Context, Order, Purpose, Supply};
use crate::request::Register;
use crate::ui::Ui;

/// What the options say, for so many systems.
pub(super) fn wanted(origin: &cli::Origin, systems: usize) -> Result<(Source, Network)> {
    let network = |mirror| Network { mirror, offline: origin.offline };
    if let Some(path) = &origin.from {
        return Ok((Source::From(from(path, origin)?), network(None)));
    }
    let source = match (&origin.qemu, origin.source) {
        (Some(_), _) if systems != 1 => {
            return Err(Error::Usage("--qemu names one emulator, so it goes with one system".into()));
        }
        (Some(path), _) => Source::File(path.clone()),
        (None, cli::Source::Host) if origin.qemu_version.is_some() => {
            return Err(Error::Usage("--qemu-version is about downloads, and --source host forbids them".into()));
        }
        (None, cli::Source::Fallback) if origin.qemu_version.is_some() => {
            return Err(no_release_of_others());
        }
        (None, _) if origin.qemu_version.is_some() => Source::Download(release(origin.qemu_version.as_deref())?),
        (None, cli::Source::Auto) => Source::Auto,
        (None, cli::Source::Host) => Source::Host,
        (None, cli::Source::Fallback) => Source::Fallback,
        (None, cli::Source::Download) => Source::Download(Release::Pinned),
    };
    Ok((source, network(mirrors::named(origin.mirror.as_deref())?)))
}

/// The error for `--qemu-version` with `--source fallback`.
pub(super) fn no_release_of_others() -> Error {
    Error::Usage(
        "--qemu-version names a release of Debian's, and --source fallback takes those of other publishers".into(),
    )
}

/// The source of a registration, resolved.
pub(super) fn supply(host: &Host, ui: &Ui, request: &Register) -> Result<Supply> {
    let (machine, kernel) = kernel();
    let order =
        Order { source: &request.source, machine: &machine, kernel, purpose: Purpose::Machine, caching: Caching::Read };
    Supply::open(Context { host, ui, network: &request.network }, &order, &request.systems)
}

/// What `--qemu-version` says.
pub(super) fn release(version: Option<&str>) -> Result<Release> {
    match version {
        None => Ok(Release::Pinned),
        Some("latest") => Ok(Release::Latest),
        Some(version) => version.parse().map(Release::Version).map_err(|e: NoVersion| Error::Usage(e.to_string())),
    }
}

/// What is not on this machine needs a digest, or that the user says that he needs none.
fn from(path: &Path, origin: &cli::Origin) -> Result<From> {
    let digest = |text: &String| {
        let text = text.to_ascii_lowercase();
        // As registries write it.
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        digits.parse::<Sha256>().map_err(|e| Error::Usage(e.to_string()))
    };
    let named = origin.sha256.as_ref().map(digest).transpose()?;
    let place = place(path)?;
    let sha256 = match (&place, named) {
        (Place::Image(_), Some(_)) => {
            return Err(Error::Usage(
                "the digest of an image stands behind its name: oci://HOST/NAME@sha256:HEX".into(),
            ));
        }
        (Place::Image(image), None) => image.digest(),
        (_, named) => named,
    };
    match (&place, sha256, origin.insecure_no_digest) {
        (_, Some(_), true) => Err(Error::Usage("a digest and --insecure-no-digest exclude each other".into())),
        (Place::Path(_), _, true) => Err(Error::Usage(
            "--insecure-no-digest is about what comes over the network: a path needs no digest".into(),
        )),
        (Place::Url(url), None, false) => Err(undigested(&url.to_string(), "--sha256 HEX")),
        (Place::Image(image), None, false) => Err(undigested(&image.to_string(), &format!("{image}@sha256:HEX"))),
        (_, sha256, _) => Ok(From { place, sha256 }),
    }
}

fn place(path: &Path) -> Result<Place> {
    let text = path.to_string_lossy();
    let odd = |why: &dyn std::fmt::Display| Error::Usage(format!("--from {text}: {why}"));
    Ok(match text.split_once("://") {
        None => Place::Path(path.to_owned()),
        Some(("oci", _)) => Place::Image(Box::new(text.parse().map_err(|e: NotAnImage| odd(&e))?)),
        Some(_) => Place::Url(text.parse().map_err(|e: NotAUrl| odd(&e))?),
    })
}

fn undigested(what: &str, how: &str) -> Error {
    Error::Usage(format!(
        "root would run whatever {what} gives: name its digest ({how}, as its publisher says it), or say that you take it as \
         it comes (--insecure-no-digest)"
    ))
}
