//! Messages of the worker that pulls images to the main process. A hostile registry may control the worker, so they can
//! be any bytes.
#![no_main]

use binfmt_nix::qemu::oci::supervise::{PullSupervisor, PullWorkerError};
use binfmt_nix::qemu::oci::{ImageReference, Platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The reference has a tag and no digest, so that an input can contain any index.
    let image: ImageReference = "oci://r.example/n/q:t".parse().expect("a reference");
    let mut supervisor = PullSupervisor::new(&image, Platform::for_machine("x86_64").expect("a platform"));
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
    let mut given = 0;
    // The first byte selects the length of the pieces in which the rest arrives.
    let Some((size, data)) = data.split_first() else { return };
    for piece in data.chunks(usize::from(*size) + 1) {
        let taken = supervisor.handle_input(piece, &mut |bytes| {
            given += bytes.len() as u64;
            Ok(())
        });
        let (bytes, of) = supervisor.digest_chain().progress().unwrap_or_default();
        assert!(given <= of && bytes <= of);
        match taken {
            Ok(None) => {}
            Ok(Some(_)) => {
                let lengths = supervisor.digest_chain().layer_lengths().expect("lengths of layers");
                return assert_eq!(lengths.iter().sum::<u64>(), given);
            }
            Err(PullWorkerError::Protocol(why)) => return assert!(!why.to_string().contains(harmful)),
            Err(PullWorkerError::Piece(what, why)) => {
                return assert!(!format!("{what}{why}").contains(harmful), "{why}");
            }
            Err(PullWorkerError::NoClient(why)) => return assert!(!why.contains(harmful)),
            Err(PullWorkerError::Sink(error)) => panic!("{error}"),
        }
    }
});
