//! An encoder of xz without compression: it wraps content in blocks and streams (The .xz File Format 1.2.1).

use binfmt_nix::qemu::catalog::STREAM_HEADER;

/// Returns a block with this content in LZMA2 chunks that are not compressed (§3).
pub fn block(content: &[u8]) -> Vec<u8> {
    let mut block = vec![2, 0, 0x21, 1, 0, 0, 0, 0];
    block.extend(crc32(&block));
    for (number, chunk) in content.chunks(1 << 16).enumerate() {
        block.push(if number == 0 { 1 } else { 2 });
        block.extend((chunk.len() as u16).wrapping_sub(1).to_be_bytes());
        block.extend(chunk);
    }
    block.push(0);
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend(crc(content, 0xc96c_5795_d787_0f42, u64::MAX).to_le_bytes());
    block
}

/// Returns a stream of one such block.
#[allow(dead_code, reason = "not every target that includes this file uses each function")]
pub fn stream(content: &[u8]) -> Vec<u8> {
    let block = block(content);
    let padding = (4 - (13 + content.len() + 3 * content.len().div_ceil(1 << 16)) % 4) % 4;
    let mut index = vec![0, 1];
    index.extend(integer(block.len() - padding));
    index.extend(integer(content.len()));
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32(&index));
    let backward = u32::try_from(index.len() / 4 - 1).expect("a short index").to_le_bytes();
    let flags = [backward.as_slice(), &[0, 4]].concat();
    [&STREAM_HEADER, block.as_slice(), &index, &crc32(&flags), &flags, b"YZ"].concat()
}

/// Encodes an integer with seven bits in each byte, the lowest bits first (§1.2).
fn integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    (crc(bytes, 0xedb8_8320, u32::MAX.into()) as u32).to_le_bytes()
}

fn crc(bytes: &[u8], polynomial: u64, ones: u64) -> u64 {
    let step = |crc: u64, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
    bytes.iter().fold(ones, |crc, byte| (0..8).fold(crc ^ u64::from(*byte), step)) ^ ones
}
