//! Where the user wants emulators from.

use std::path::Path;

use crate::cli;
use crate::digest::Sha256;
use crate::download::BaseUrl;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::mirrors;
use crate::request::Source;

/// What the options say, for so many systems.
pub(super) fn wanted(origin: &cli::Origin, host: &Host, systems: usize) -> Result<(Source, Option<BaseUrl>)> {
    if let Some(path) = &origin.from {
        return Ok((from(path, origin.sha256.as_deref())?, None));
    }
    let source = match (&origin.qemu, origin.source) {
        (Some(_), _) if systems != 1 => {
            return Err(Error::Usage("--qemu names one emulator, so it goes with one system".into()));
        }
        (Some(path), _) => Source::File(path.clone()),
        (None, cli::Source::Auto) => Source::Auto,
        (None, cli::Source::Host) => Source::Host,
        (None, cli::Source::Download) => Source::Download,
    };
    Ok((source, mirrors::named(host, origin.mirror.as_deref())?))
}

fn from(path: &Path, sha256: Option<&str>) -> Result<Source> {
    let text = path.to_string_lossy();
    if text.contains("://") {
        let what = "--from takes what is on this machine: download it first (curl -fLO";
        return Err(Error::Usage(format!("{what} {text}), and name the file")));
    }
    let digest = |text: &str| text.to_ascii_lowercase().parse::<Sha256>().map_err(|e| Error::Usage(e.to_string()));
    Ok(Source::From { path: path.to_owned(), sha256: sha256.map(digest).transpose()? })
}
