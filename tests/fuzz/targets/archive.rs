//! Archives that the user names. The first byte of the input selects the format that wraps the rest. The target
//! computes the checksums, so that every input reaches the code behind them.
#![no_main]

#[path = "xz.rs"]
mod xz;

use std::io::Cursor;

use binfmt_nix::qemu::archive::{ArchiveItem, MAX_MEMBER, unpack_archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let archive = match kind {
        b'x' => xz::stream(data),
        b'd' => deb("data.tar", data),
        b'z' => deb("data.tar.zst", data),
        _ => data.to_vec(),
    };
    let mut left = None;
    let done = unpack_archive(&mut Cursor::new(archive), &["arm", "aarch64"], &mut |piece| {
        left = match (piece, left) {
            (ArchiveItem::Manifest(_), None) => None,
            (ArchiveItem::Begin { size, .. }, None) if size <= MAX_MEMBER => Some(size),
            (ArchiveItem::Bytes(bytes), Some(left)) => Some(left - bytes.len() as u64),
            (ArchiveItem::End, Some(0)) => None,
            (piece, left) => panic!("{piece:?} with {left:?}"),
        };
        Ok(())
    });
    assert!(done.is_err() || left.is_none());
});

/// A Debian package as in deb(5), without the members that the tool does not read.
fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("!<arch>\n{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len());
    [header.as_bytes(), data].concat()
}
