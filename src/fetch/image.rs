//! Pulls an image from a registry into memory.

use crate::download::Network;
use crate::error::{Error, Result};
use crate::fetcher::{self, PullOrder, Pulled};
use crate::host::{self, Host};
use crate::mirrors;
use crate::oci;
use crate::oci::{Platform, Reference};
use crate::ui::Ui;

use super::{go_on, manner};

/// Pulls it, for this machine (`uname -m`), and what the user should know of this kernel.
pub fn pull(
    host: &Host,
    ui: &Ui,
    network: &Network,
    image: &Reference,
    machine: &str,
) -> Result<(Pulled, Option<String>)> {
    if network.offline {
        return Err(Error::Offline { what: image.to_string() });
    }
    let platform = Platform::of_machine(machine).ok_or_else(|| Error::Unsupported {
        what: format!("it is not known what images call {machine} machines"),
        hint: "take the emulator out of the image by hand, and name it: --qemu PATH".into(),
    })?;
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let login = oci::login(image);
    let order =
        PullOrder { image, platform, login: &login, options: manner().options, extra_roots: &mirrors::extra_roots() };
    let bar = ui.progress();
    bar.from(&image.to_string());
    let pulled = fetcher::pull(&order, &mut |progress| bar.moved(progress.bytes, progress.of), &mut go_on(host));
    bar.end();
    let (pulled, note) = pulled?;
    let whole = pulled.layers.lengths.iter().sum();
    ui.fetched(pulled.moved, whole, &pulled.pinned.to_string());
    Ok((pulled, note))
}
