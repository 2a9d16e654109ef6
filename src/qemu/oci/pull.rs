//! Pulls of an image as a step of a command: login, progress bar, summary.

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

/// Pulls the image for this machine (`uname -m`) into memory. Returns a note for the user if this kernel lacks
/// protections of the worker.
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
        what: format!("the image platform of {machine} machines is not known"),
        hint: "extract the emulator from the image by hand and name it: --qemu PATH".into(),
    })?;
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let login = oci::read_login(image);
    let request = PullRequest {
        image,
        platform,
        login: &login,
        options: transfer_options().options,
        extra_roots: &machine_config::named_roots(),
    };
    let bar = ui.start_progress();
    bar.set_source(&image.to_string());
    let pulled = pull_client::pull_image(
        &request,
        &mut |progress| bar.set_position(progress.bytes, progress.total),
        &mut interrupt_check(host),
    );
    bar.clear();
    let (pulled, note) = pulled?;
    let whole = pulled.layers.lengths.iter().sum();
    ui.print_download_summary(pulled.moved, whole, &pulled.pinned.to_string());
    Ok((pulled, note))
}
