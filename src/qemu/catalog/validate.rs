//! Validation of a catalogue. Its numbers determine reads and buffer sizes, so each has a limit that
//! is checked before use. Pure.

use std::collections::BTreeSet;

use super::error::{CatalogError, InvalidBlock, InvalidEntry, InvalidMember};
use super::{Block, Catalog, DigestOrigin, Member, Package, VERSION};
use crate::qemu::binary::QemuVersion;

/// Maximum size of a `.deb`, far above the real one (Debian's has 71 MB).
const MAX_PACKAGE: u64 = 1 << 30;
/// Maximum size of a block, which is kept in memory while its digest is computed (Debian's have 4.4 MB).
const MAX_BLOCK: u64 = 32 << 20;
/// Maximum size of a block's content (Debian's: 24 MiB).
const MAX_UNPACKED: u64 = 128 << 20;

pub(super) fn check_catalog(catalog: &Catalog) -> Result<(), CatalogError> {
    if catalog.version != VERSION {
        return Err(CatalogError::Version { found: catalog.version });
    }
    let mut seen = BTreeSet::new();
    for package in &catalog.packages {
        let (host, version) = (&package.host, &package.qemu_version);
        let unique = ensure(seen.insert((host, version)), || InvalidEntry::Second {
            host: host.clone(),
            version: version.clone(),
        });
        unique
            .and_then(|()| check_package(package))
            .map_err(|why| CatalogError::Invalid { package: package.path.escape_default().to_string(), why })?;
    }
    Ok(())
}

fn check_package(package: &Package) -> Result<(), InvalidEntry> {
    check_path(&package.path)?;
    ensure(is_name(&package.host), || InvalidEntry::Host)?;
    ensure(is_version(&package.qemu_version), || InvalidEntry::Version)?;
    ensure(package.vouched == DigestOrigin::HashedHere, || InvalidEntry::NotHashedHere)?;
    ensure(is_sha1(&package.sha1), || InvalidEntry::Sha1)?;
    ensure(package.size <= MAX_PACKAGE, || InvalidEntry::PackageSize(package.size))?;
    ensure(package.data.end() <= package.size, || InvalidEntry::DataBeyondEnd)?;
    let unpacked = check_blocks(package)?;
    check_members(&package.members, unpacked)
}

fn check_path(path: &str) -> Result<(), InvalidEntry> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-._~:".contains(c);
    let is_valid = path.starts_with("pool/")
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_allowed));
    ensure(is_valid, || InvalidEntry::Path)
}

fn check_blocks(package: &Package) -> Result<u64, InvalidEntry> {
    let mut at = package.data.offset;
    let mut unpacked = 0;
    for (number, block) in package.blocks.iter().enumerate() {
        check_lengths(block).map_err(|why| InvalidEntry::Block { number, why })?;
        ensure(block.offset >= at, || InvalidEntry::Block { number, why: InvalidBlock::Overlap })?;
        ensure(block.end() <= package.data.end(), || InvalidEntry::Block { number, why: InvalidBlock::BeyondData })?;
        ensure(block.unpacked_offset == unpacked, || InvalidEntry::Block { number, why: InvalidBlock::Gap })?;
        at = block.end();
        unpacked = block.unpacked_end();
    }
    Ok(unpacked)
}

fn check_lengths(block: &Block) -> Result<(), InvalidBlock> {
    if !(1..=MAX_BLOCK).contains(&block.length) {
        return Err(InvalidBlock::Length(block.length));
    }
    if !(1..=MAX_UNPACKED).contains(&block.unpacked_length) {
        return Err(InvalidBlock::Unpacked(block.unpacked_length));
    }
    Ok(())
}

fn check_members(members: &[Member], unpacked: u64) -> Result<(), InvalidEntry> {
    let mut targets = BTreeSet::new();
    let mut at = 0;
    for member in members {
        let target = &member.target;
        ensure(is_name(target), || InvalidEntry::TargetName(target.clone()))?;
        ensure(targets.insert(target), || InvalidEntry::Duplicate(format!("qemu-{target}")))?;
        ensure(member.size > 0, || InvalidEntry::Member { target: target.clone(), why: InvalidMember::Empty })?;
        ensure(member.offset >= at, || InvalidEntry::Member { target: target.clone(), why: InvalidMember::Overlap })?;
        ensure(member.end() <= unpacked, || InvalidEntry::Member {
            target: target.clone(),
            why: InvalidMember::BeyondBlocks,
        })?;
        at = member.end();
    }
    Ok(())
}

/// Whether a text is three numbers in the form that `--version` prints.
pub(super) fn is_version(text: &str) -> bool {
    QemuVersion::parse(text).is_some_and(|version| version.to_string() == text)
}

/// Whether a text is a SHA-1 in hexadecimal digits. It becomes part of a URL.
fn is_sha1(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text consists of letters, digits and `_` only. A target becomes part of file names.
pub(super) fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=32).contains(&text.len()) && text.chars().all(is_allowed)
}

pub(super) fn ensure(holds: bool, why: impl FnOnce() -> InvalidEntry) -> Result<(), InvalidEntry> {
    if holds { Ok(()) } else { Err(why()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error(change: impl FnOnce(&mut Catalog)) -> String {
        let mut catalog = Catalog::embedded().unwrap().clone();
        change(&mut catalog);
        check_catalog(&catalog).unwrap_err().to_string()
    }

    #[test]
    fn the_embedded_catalogue_is_accepted() {
        check_catalog(Catalog::embedded().unwrap()).unwrap();
    }

    #[test]
    fn another_version_is_refused() {
        assert!(error(|c| c.version = 1).contains("version 1"));
    }

    #[test]
    fn a_path_outside_of_the_pool_is_refused() {
        for path in
            ["pool/../etc/passwd", "/pool/a.deb", "pool//a.deb", "http://host/pool/a", "pool/a b.deb", "pool/a?b", ""]
        {
            let why = error(|c| path.clone_into(&mut c.packages[0].path));
            assert!(why.contains("mirror's pool/"), "{path}: {why}");
        }
    }

    #[test]
    fn absurd_numbers_are_refused() {
        let package = |change: fn(&mut Package)| error(|c| change(&mut c.packages[0]));
        assert!(package(|p| p.size = u64::MAX).contains("more than such a package"));
        assert!(package(|p| p.qemu_version.push('x')).contains("version"));
        assert!(package(|p| p.qemu_version.push_str(".1")).contains("version"));
        assert!(package(|p| p.qemu_version = "7.2".to_owned()).contains("version"));
        assert!(package(|p| p.vouched = DigestOrigin::Publisher).contains("hashed-here"));
        assert!(package(|p| p.sha1.push('0')).contains("SHA-1"));
        assert!(package(|p| p.data.length = u64::MAX).contains("beyond the end"));
        assert!(package(|p| p.blocks[1].offset -= 1).contains("block 1 overlaps"));
        assert!(package(|p| p.blocks[0].offset = 0).contains("block 0 overlaps"));
        assert!(package(|p| p.blocks[0].length = 0).contains("block 0 has no bytes"));
        assert!(package(|p| p.blocks[0].length = u64::MAX).contains("block 0 has"));
        assert!(package(|p| p.blocks[0].unpacked_length = 1 << 40).contains("unpacks to"));
        assert!(package(|p| p.blocks[1].unpacked_offset += 1).contains("block 1 does not"));
        assert!(package(|p| p.blocks[18].offset = p.size).contains("beyond data.tar.xz"));
        assert!(package(|p| p.members[1].offset = 0).contains("overlaps"));
        assert!(package(|p| p.members[32].size = u64::MAX).contains("beyond the last block"));
        assert!(package(|p| p.members[0].size = 0).contains("empty"));
        assert!(package(|p| p.members[0].target = "../x".to_owned()).contains("guest's name"));
        assert!(package(|p| p.members[1].target = "aarch64".to_owned()).contains("qemu-aarch64 is listed twice"));
        assert!(error(|c| c.packages[1].host = "x86_64".to_owned()).contains("second package of QEMU 10.0.13"));
    }

    #[test]
    fn text_that_is_not_a_catalogue_is_refused() {
        for text in ["", "null", "{\"version\":2}", "{\"version\":2,\"packages\":[],\"x\":1}"] {
            assert!(Catalog::from_json(text).is_err(), "{text}");
        }
    }
}
