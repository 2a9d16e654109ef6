//! Where the user wants emulators from.

use crate::cli;
use crate::download::BaseUrl;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::mirrors;
use crate::request::Source;

/// What the options say, for so many systems.
pub(super) fn wanted(origin: &cli::Origin, host: &Host, systems: usize) -> Result<(Source, Option<BaseUrl>)> {
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
