//! The content of one xz block whose digest was checked.

use std::io::{Cursor, Read};

use crate::catalog::STREAM_HEADER;

/// Debian's blocks need 8 MiB; a block that wants more than this does not get it.
const MOST_KIB: u32 = 48 << 10;

/// Decodes this block, and nothing behind it. The caller bounds how much is read.
///
/// A block alone is no xz stream, but becomes one with a stream's first 12 bytes before it. Its
/// end (index and footer) is missing, so reading beyond the content gives an error.
pub(super) fn content(block: &[u8]) -> impl Read {
    let stream = Cursor::new(STREAM_HEADER).chain(block);
    lzma_rust2::XzReader::new_mem_limit(stream, false, MOST_KIB)
}
