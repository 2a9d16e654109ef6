//! What the process that pulls says to its parent: after it met a hostile registry, that may be anything.
#![no_main]

use binfmt_nix::sandbox::{Follower, Lost};
use binfmt_nix::qemu::oci::{Platform, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A tag: what an input says to be an index is one.
    let image: Reference = "oci://r.example/n/q:t".parse().expect("a reference");
    let mut follower = Follower::new(&image, Platform::of_machine("x86_64").expect("a platform"));
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
    let mut given = 0;
    // The first byte says in which pieces the rest comes.
    let Some((size, data)) = data.split_first() else { return };
    for piece in data.chunks(usize::from(*size) + 1) {
        let taken = follower.take(piece, &mut |bytes| {
            given += bytes.len() as u64;
            Ok(())
        });
        let (bytes, of) = follower.chain().progress().unwrap_or_default();
        assert!(given <= of && bytes <= of);
        match taken {
            Ok(None) => {}
            Ok(Some(_)) => {
                let lengths = follower.chain().lengths().expect("lengths of layers");
                return assert_eq!(lengths.iter().sum::<u64>(), given);
            }
            Err(Lost::Garbled(why)) => return assert!(!why.to_string().contains(harmful)),
            Err(Lost::Piece(what, why)) => return assert!(!format!("{what}{why}").contains(harmful), "{why}"),
            Err(Lost::NoClient(why)) => return assert!(!why.contains(harmful)),
            Err(Lost::Sink(error)) => panic!("{error}"),
        }
    }
});
