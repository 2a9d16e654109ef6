//! Two layers of an image, one on top of the other. The first byte says where the first layer ends.
#![no_main]

use std::io::Cursor;

use binfmt_nix::qemu::archive::{ArchiveItem, MAX_MEMBER, unpack_layers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    // The boundary is at a block of a tar archive (512 bytes).
    let first = (usize::from(*cut) * 512).min(data.len());
    let lengths = [first as u64, (data.len() - first) as u64];
    let (mut left, mut complete) = (None, Vec::new());
    let done = unpack_layers(&mut Cursor::new(data), &lengths, &["arm", "aarch64"], &mut |piece| {
        left = match (piece, left) {
            (ArchiveItem::Begin { target, size, .. }, None) if size <= MAX_MEMBER => {
                assert!(!complete.contains(&target.to_owned()));
                complete.push(target.to_owned());
                Some(size)
            }
            (ArchiveItem::Bytes(bytes), Some(left)) => Some(left - bytes.len() as u64),
            (ArchiveItem::End, Some(0)) => None,
            (piece, left) => panic!("{piece:?} with {left:?}"),
        };
        Ok(())
    });
    assert!(done.is_err() || left.is_none());
});
