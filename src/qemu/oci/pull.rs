//! Pulls an image from a registry into memory.

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::qemu::download::Network;
use crate::qemu::download::machine_config;
use crate::qemu::oci;
use crate::qemu::oci::pull_client;
use crate::qemu::oci::pull_client::{PullRequest, PulledImage};
use crate::qemu::oci::{ImageReference, Platform};
use crate::ui::Ui;

use crate::qemu::download::progress::{interrupt_check, transfer_options};

/// Pulls it, for this machine (`uname -m`), and what the user should know of this kernel.
pub fn pull_image(
    host: &Host,
    ui: &Ui,
    network: &Network,
    image: &ImageReference,
    machine: &str,
) -> Result<(PulledImage, Option<String>)> {
    if network.offline {
        return Err(Error::Offline { what: image.to_string() });
    }
    let platform = Platform::for_machine(machine).ok_or_else(|| Error::Unsupported {
        what: format!("it is not known what images call {machine} machines"),
        hint: "take the emulator out of the image by hand, and name it: --qemu PATH".into(),
    })?;
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let login = oci::read_login(image);
    let order = PullRequest {
        image,
        platform,
        login: &login,
        options: transfer_options().options,
        extra_roots: &machine_config::extra_roots(),
    };
    let bar = ui.start_progress();
    bar.set_source(&image.to_string());
    let pulled = pull_client::pull_image(
        &order,
        &mut |progress| bar.set_position(progress.bytes, progress.of),
        &mut interrupt_check(host),
    );
    bar.clear();
    let (pulled, note) = pulled?;
    let whole = pulled.layers.lengths.iter().sum();
    ui.print_download_summary(pulled.moved, whole, &pulled.pinned.to_string());
    Ok((pulled, note))
}
