//! A package of a few small blocks, and the catalogue's words on it.

use binfmt_nix::catalog::{Block, Catalog, Member, Package, STREAM_HEADER, Span, VERSION};
use binfmt_nix::digest::Sha256;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// The file, and what the catalogue says about it.
pub struct Deb {
    pub bytes: Vec<u8>,
    pub package: Package,
}

impl Deb {
    pub fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let mut bytes = b"not looked at".to_vec();
        let data_at = bytes.len() as u64;
        bytes.extend(STREAM_HEADER);
        let (mut blocks, mut content) = (Vec::new(), Vec::new());
        for _ in 0..input.int_in_range(1..=3)? {
            // Blocks need not lie side by side.
            bytes.resize(bytes.len() + input.int_in_range(0..=4)?, 0);
            let (encoded, plain) = block(input)?;
            blocks.push(Block {
                offset: bytes.len() as u64,
                length: encoded.len() as u64,
                unpacked_offset: content.len() as u64,
                unpacked_length: plain.len() as u64,
                sha256: Sha256::of(&encoded),
            });
            bytes.extend(encoded);
            content.extend(plain);
        }
        let package = Package {
            host: "x86_64".to_owned(),
            qemu_version: "10.0.13".to_owned(),
            path: "pool/main/q/qemu/qemu-user_10.0.13+ds-0+deb13u1_amd64.deb".to_owned(),
            size: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
            sha1: "0123456789".repeat(4),
            data: Span { offset: data_at, length: bytes.len() as u64 - data_at },
            blocks,
            members: members(input, &content)?,
        };
        let catalog = Catalog { version: VERSION, packages: vec![package] };
        let json = catalog.to_json().expect("a catalogue is JSON");
        let package = Catalog::from_json(&json).expect("a consistent catalogue").packages.remove(0);
        Ok(Self { bytes, package })
    }
}

/// Stretches of the content, in order; at least one byte each.
fn members(input: &mut Unstructured<'_>, content: &[u8]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut at = 0;
    for target in ["aarch64", "arm", "riscv64"] {
        if at >= content.len() || (!members.is_empty() && input.arbitrary()?) {
            break;
        }
        let from = input.int_in_range(at..=content.len() - 1)?;
        let to = input.int_in_range(from + 1..=content.len())?;
        let sha256 = Sha256::of(&content[from..to]);
        members.push(Member { target: target.to_owned(), offset: from as u64, size: (to - from) as u64, sha256 });
        at = to;
    }
    Ok(members)
}

/// A block as it is in the file, and what the catalogue takes it to hold: xz that is right, or bytes that need not be.
fn block(input: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let plain = vec![input.arbitrary()?; input.int_in_range(1..=5000)?];
    if input.ratio(2, 3)? {
        return Ok((stored(&plain), plain));
    }
    let length = input.int_in_range(1..=300)?;
    let mut odd = input.bytes(length.min(input.len()))?.to_vec();
    odd.push(0);
    Ok((odd, plain))
}

/// An xz block that holds this content as it is (The .xz File Format 1.2.1, §3; one uncompressed LZMA2 chunk).
fn stored(content: &[u8]) -> Vec<u8> {
    let mut block = vec![2, 0, 0x21, 1, 0, 0, 0, 0];
    block.extend(crc(&block, 0xedb8_8320, u32::MAX.into()).to_le_bytes()[..4].iter());
    block.push(1);
    block.extend(u16::try_from(content.len() - 1).expect("a short content").to_be_bytes());
    block.extend(content);
    block.push(0);
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend(crc(content, 0xc96c_5795_d787_0f42, u64::MAX).to_le_bytes());
    block
}

/// CRC32 and CRC64 as xz has them.
fn crc(bytes: &[u8], polynomial: u64, ones: u64) -> u64 {
    let step = |crc: u64, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
    bytes.iter().fold(ones, |crc, byte| (0..8).fold(crc ^ u64::from(*byte), step)) ^ ones
}
