//! Parser of the index at the end of an xz stream, which lists its blocks.
//!
//! The .xz File Format 1.2.1 (tukaani.org/xz/xz-file-format.txt): stream footer §2.1.2, index §4,
//! multibyte integers §1.2. The decoder, which reads the whole stream again, verifies the checksums.

use std::io::{self, Read, Seek, SeekFrom};

use super::{STREAM_HEADER, Span};

const FOOTER_SIZE: u64 = 12;
/// Maximum size of an index, larger than the index of a hundred thousand blocks.
const MAX_INDEX: u64 = 1 << 20;

/// Position of a block in the file and the length of its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct XzBlock {
    pub(super) span: Span,
    pub(super) unpacked_length: u64,
}

/// Reads the list of blocks of the single xz stream that fills this part of the file.
pub(super) fn read_blocks(deb: &mut (impl Read + Seek), stream: Span) -> io::Result<Vec<XzBlock>> {
    let header = read_bytes(deb, stream.offset, STREAM_HEADER.len() as u64)?;
    if header != STREAM_HEADER {
        return Err(broken("data.tar.xz is not an xz stream with CRC64"));
    }
    let footer_at = stream.end().saturating_sub(FOOTER_SIZE);
    let index_length = parse_footer(&read_bytes(deb, footer_at, FOOTER_SIZE)?)
        .filter(|&length| length <= MAX_INDEX)
        .ok_or_else(|| broken("data.tar.xz does not end with the footer of an xz stream"))?;
    let index_at = footer_at.saturating_sub(index_length);
    let index = read_bytes(deb, index_at, index_length)?;
    let blocks = parse_index(&index, stream.offset.saturating_add(STREAM_HEADER.len() as u64))
        .ok_or_else(|| broken("the index of data.tar.xz is malformed"))?;
    match blocks.last() {
        Some(last) if last.span.end() == index_at => Ok(blocks),
        _ => Err(broken("data.tar.xz is not one xz stream")),
    }
}

fn read_bytes(deb: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    deb.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    if deb.take(length).read_to_end(&mut bytes)? as u64 == length {
        Ok(bytes)
    } else {
        Err(broken("it ends too early"))
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Returns the length of the index from the stream's footer, which consists of a CRC32, that length, flags, and magic.
fn parse_footer(footer: &[u8]) -> Option<u64> {
    match *footer {
        [_, _, _, _, a, b, c, d, 0, 4, b'Y', b'Z'] => {
            u64::from(u32::from_le_bytes([a, b, c, d])).checked_add(1)?.checked_mul(4)
        }
        _ => None,
    }
}

fn parse_index(index: &[u8], first: u64) -> Option<Vec<XzBlock>> {
    let mut rest = index.strip_prefix(&[0])?;
    let count = take_integer(&mut rest)?;
    let mut blocks = Vec::new();
    let mut offset = first;
    for _ in 0..count {
        let length = take_integer(&mut rest)?.checked_next_multiple_of(4)?;
        let unpacked_length = take_integer(&mut rest)?;
        let span = Span { offset, length };
        blocks.push(XzBlock { span, unpacked_length });
        offset = offset.checked_add(length)?;
    }
    Some(blocks)
}

/// Reads an integer of seven bits per byte, the lowest first. The top bit is set in all bytes but the last.
fn take_integer(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_an_index_include_their_padding() {
        let index = [0, 2, 0x85, 0x01, 0x80, 0x02, 8, 3, 0, 0, 0, 0];
        let block = |offset, length, unpacked_length| XzBlock { span: Span { offset, length }, unpacked_length };
        let expected = vec![block(12, 136, 256), block(148, 8, 3)];
        assert_eq!(parse_index(&index, 12), Some(expected));
    }

    #[test]
    fn malformed_indexes_are_refused() {
        assert_eq!(parse_index(&[], 0), None);
        assert_eq!(parse_index(&[1, 0], 0), None);
        assert_eq!(parse_index(&[0, 1, 4], 0), None);
        assert_eq!(parse_index(&[0, 0xff, 0xff, 0xff, 0x7f, 1], 0), None);
        assert_eq!(parse_index(&[0xff; 20], 0), None);
        let endless = [0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(parse_index(&endless, 0), None);
    }
}
