//! Downloads of emulators into open files, with a progress bar; and the parts that all downloads share.

use crate::qemu::download::confined;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::qemu::catalog::{Member, Package};
use crate::qemu::download::Network;
use crate::qemu::download::confined::TransferOptions;
use crate::qemu::download::machine_config;
use crate::qemu::download::{DownloadEvent, DownloadSummary};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// Downloads members of a package into `files`, by QEMU target, in a confined worker.
///
/// The caller must not trust any byte before [`check_member`] has compared the digest. Returns a summary, and a note about
/// protections that this kernel lacks.
pub fn download_into_files(
    host: &Host,
    ui: &Ui,
    package: &Package,
    mut files: BTreeMap<&str, &mut File>,
    network: &Network,
) -> Result<(DownloadSummary, Option<String>)> {
    if network.offline {
        return Err(Error::Offline { what: format!("QEMU {}", package.qemu_version) });
    }
    let targets: Vec<_> = files.keys().copied().collect();
    let plan = package.plan_blocks(&targets)?;
    let mirrors = machine_config::list_mirrors(host, network.mirror.clone());
    let mut write = |member: &Member, bytes: &[u8]| -> io::Result<()> {
        files.get_mut(member.target.as_str()).ok_or(ErrorKind::NotFound)?.write_all(bytes)
    };
    let (summary, note) = with_progress_bar(ui, |report| {
        confined::download_package(&plan, &mirrors, &transfer_options(), &mut write, report, &mut interrupt_check(host))
    })?;
    ui.print_download_summary(summary.moved, package.size, &summary.url);
    Ok((summary, note))
}

/// Shows the progress of `work`, if stderr is a terminal.
pub(crate) fn with_progress_bar<T>(
    ui: &Ui,
    work: impl FnOnce(&mut dyn FnMut(DownloadEvent<'_>)) -> Result<T>,
) -> Result<T> {
    let bar = ui.start_progress();
    let done = work(&mut |event: DownloadEvent<'_>| match event {
        DownloadEvent::Asking { url, .. } => bar.set_source(url),
        DownloadEvent::Moved { bytes, of } => bar.set_position(bytes, of),
        DownloadEvent::GaveUp { url, reason } => bar.print_above(&format!("{url}: {reason}")),
        DownloadEvent::Verified { .. } => {}
    });
    bar.clear();
    done
}

/// Returns a check that fails once a signal is pending.
pub(crate) fn interrupt_check(host: &Host) -> impl FnMut() -> Result<()> {
    || host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
}

/// Returns the default options, with the certificates that the environment names.
pub(crate) fn transfer_options() -> TransferOptions {
    TransferOptions { extra_roots: machine_config::named_roots(), ..TransferOptions::default() }
}

/// Reads a whole downloaded file, and compares it with its digest.
pub fn check_member(file: &mut File, member: &Member) -> Result<()> {
    let read = file.rewind().and_then(|()| Sha256::of_reader(file));
    let (binary, path) = (format!("qemu-{}", member.target), "the download".into());
    match read {
        Ok(sha256) if sha256 == member.sha256 => Ok(()),
        Ok(_) => Err(Error::Unfit { path, binary, why: "its bytes changed after the download".into() }),
        Err(e) => Err(Error::Unfit { path, binary, why: e.to_string() }),
    }
}
