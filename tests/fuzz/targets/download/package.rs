//! A package of a few small blocks, and its entry in the catalogue.

use binfmt_nix::qemu::catalog::{Block, Catalog, DigestOrigin, Member, Package, STREAM_HEADER, Span, VERSION};
use binfmt_nix::sha256::Sha256;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::xz;

/// A package file and its entry in the catalogue.
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
            // There may be gaps between blocks.
            bytes.resize(bytes.len() + input.int_in_range(0..=4)?, 0);
            let (encoded, plain) = block(input)?;
            blocks.push(Block {
                offset: bytes.len() as u64,
                length: encoded.len() as u64,
                unpacked_offset: content.len() as u64,
                unpacked_length: plain.len() as u64,
                sha256: Sha256::of_bytes(&encoded),
            });
            bytes.extend(encoded);
            content.extend(plain);
        }
        let package = Package {
            host: "x86_64".to_owned(),
            qemu_version: "10.0.13".to_owned(),
            path: "pool/main/q/qemu/qemu-user_10.0.13+ds-0+deb13u1_amd64.deb".to_owned(),
            size: bytes.len() as u64,
            vouched: DigestOrigin::HashedHere,
            sha256: Sha256::of_bytes(&bytes),
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

/// Returns members in the order of the content. Each has at least one byte.
fn members(input: &mut Unstructured<'_>, content: &[u8]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut at = 0;
    for target in ["aarch64", "arm", "riscv64"] {
        if at >= content.len() || (!members.is_empty() && input.arbitrary()?) {
            break;
        }
        let from = input.int_in_range(at..=content.len() - 1)?;
        let to = input.int_in_range(from + 1..=content.len())?;
        // The download must detect a wrong digest in the catalogue.
        let sha256 = Sha256::of_bytes(if input.ratio(1, 8)? { b"another" } else { &content[from..to] });
        members.push(Member { target: target.to_owned(), offset: from as u64, size: (to - from) as u64, sha256 });
        at = to;
    }
    Ok(members)
}

/// Returns a block as it is in the file, and the content that the catalogue pins. The block is valid xz or arbitrary
/// bytes.
fn block(input: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let plain = vec![input.arbitrary()?; input.int_in_range(1..=5000)?];
    if input.ratio(2, 3)? {
        return Ok((xz::block(&plain), plain));
    }
    let length = input.int_in_range(1..=300)?;
    let mut arbitrary = input.bytes(length.min(input.len()))?.to_vec();
    arbitrary.push(0);
    Ok((arbitrary, plain))
}
