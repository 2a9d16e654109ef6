//! Messages of the worker that downloads to the main process. A hostile server may control the worker, so they can be
//! any bytes.
#![no_main]

use std::sync::LazyLock;

use binfmt_nix::qemu::catalog::{Catalog, Member};
use binfmt_nix::qemu::download::supervise_package::{DownloadWorkerError, PackageSupervisor};
use binfmt_nix::qemu::download::{DownloadEvent, MAX_ATTEMPTS, Mirror};
use libfuzzer_sys::fuzz_target;

/// The embedded catalogue with members that are so short that an input can hold them.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog::embedded().expect("the embedded catalogue").clone();
    for member in &mut catalog.packages[0].members {
        member.size = 5;
    }
    catalog
});

fuzz_target!(|data: &[u8]| {
    let plan = CATALOG.packages[0].plan_blocks(&["aarch64", "arm"]).expect("its own members");
    let mirror = |url: &str| Mirror::Archive(url.parse().expect("a URL"));
    let mirrors = [mirror("http://a.example/debian"), mirror("http://b.example/debian")];
    let harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
    let mut supervisor = PackageSupervisor::new(&plan, &mirrors);
    let (mut given, mut verified, mut gave_up) = (0, Vec::new(), 0);
    // The first byte selects the length of the pieces in which the rest arrives.
    let Some((size, data)) = data.split_first() else { return };
    for piece in data.chunks(usize::from(*size) + 1) {
        let mut sink = |_: &Member, bytes: &[u8]| {
            given += bytes.len();
            Ok(())
        };
        let mut tell = |event: DownloadEvent<'_>| match event {
            DownloadEvent::Verified { member } => verified.push(member.target.clone()),
            DownloadEvent::GaveUp { reason, .. } => {
                gave_up += 1;
                assert!(!reason.to_string().contains(harmful), "{reason:?}");
            }
            _ => {}
        };
        let taken = supervisor.handle_input(piece, &mut sink, &mut tell);
        assert!(given <= 10 && given >= 5 * verified.len() && gave_up <= mirrors.len() * MAX_ATTEMPTS);
        match taken {
            Ok(None) => {}
            Ok(Some(_)) => return assert_eq!(verified, ["aarch64", "arm"]),
            Err(DownloadWorkerError::Protocol(why)) => return assert!(!why.to_string().contains(harmful)),
            Err(DownloadWorkerError::Failed(why)) => return assert!(!why.to_string().contains(harmful), "{why}"),
        }
    }
});
