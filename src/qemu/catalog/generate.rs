//! Makes the catalogue from the real packages.
//!
//! For whoever pins a new QEMU: the hidden command `binfmt-nix gen catalog FILE.deb…` reads
//! Debian's `.deb` files (their digests checked against Debian's signed index beforehand, by
//! apt or by hand) and prints `catalog.json`. Every block is decoded, so an index that lies is
//! found here and not by a user. Reads its arguments only; opens nothing.
//!
//! Any release will do. Since 1:9.1.0+ds-1 the static programs are `usr/bin/qemu-TARGET` of `qemu-user` (Debian's
//! changelog of qemu), and `-static` names and Debian's own names of guests are links to them, which are passed over; up
//! to Debian 12 they are `usr/bin/qemu-TARGET-static` of `qemu-user-static`, and `qemu-user` has dynamic ones, which are
//! refused. The first package of a host is the one that is fetched if nobody asks for a version.

use std::io::{self, Read, Seek, SeekFrom};

use sha1::Digest as _;

use super::{Block, Catalog, CatalogError, DigestOrigin, Member, Package, Span, VERSION};
use crate::qemu::binary::{ELF_MAGIC, HEAD_SIZE, QemuVersion, detect_machine};
use crate::qemu::catalog::version_scan::VersionScan;
use crate::qemu::catalog::{validate, xz_index};
use crate::qemu::deb;
use crate::sha256::Sha256;

const DATA_MEMBER: &str = "data.tar.xz";
/// Where Debian's package has the programs (`dpkg -L qemu-user`).
const PROGRAM_PREFIX: &str = "usr/bin/qemu-";
/// How the names of Debian 12's end.
const STATIC_SUFFIX: &str = "-static";
/// More than any preset of xz needs for decoding (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;

/// A package from which no catalogue can be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Something about this file.
    #[error("cannot catalogue {path}: {source}")]
    Package {
        /// Its place in the pool.
        path: String,
        /// What.
        #[source]
        source: Box<Self>,
    },
    /// Reading or decoding failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what it should be.
    #[error("{0}")]
    Format(String),
    /// What came out does not pass the checks that the program makes when it reads a catalogue.
    #[error(transparent)]
    Invalid(#[from] CatalogError),
}

impl GenerateError {
    pub(super) fn format(why: impl Into<String>) -> Self {
        Self::Format(why.into())
    }
}

/// Where a mirror has the file of this name: Debian Policy names no rule, but the archive puts
/// source package `qemu` of component `main` there.
pub fn pool_path(file_name: &str) -> String {
    format!("pool/main/q/qemu/{file_name}")
}

/// The catalogue of these packages, each given with its path below a mirror's base URL.
pub fn generate_catalog<R: Read + Seek>(debs: &mut [(String, R)]) -> Result<Catalog, GenerateError> {
    let mut packages = Vec::new();
    for (path, deb) in debs {
        let package = scan_package(path, deb)
            .map_err(|source| GenerateError::Package { path: path.clone(), source: Box::new(source) })?;
        packages.push(package);
    }
    let version = VERSION;
    let catalog = Catalog { version, packages };
    validate::check_catalog(&catalog)?;
    Ok(catalog)
}

fn scan_package(path: &str, deb: &mut (impl Read + Seek)) -> Result<Package, GenerateError> {
    let (size, sha256, sha1) = hash_file(deb)?;
    let data = deb::find_member(deb, DATA_MEMBER)?;
    let data = Span { offset: data.start, length: data.end.saturating_sub(data.start) };
    if data.end() > size {
        return Err(GenerateError::format("it ends too early"));
    }
    let blocks = hash_blocks(deb, data)?;
    deb.seek(SeekFrom::Start(data.offset))?;
    let (kind, members) = scan_members(deb.take(data.length))?;
    Ok(Package {
        host: kind.host.to_owned(),
        qemu_version: kind.version.to_string(),
        path: path.to_owned(),
        size,
        vouched: DigestOrigin::HashedHere,
        sha256,
        sha1,
        data,
        blocks,
        members,
    })
}

fn hash_file(deb: &mut (impl Read + Seek)) -> Result<(u64, Sha256, String), GenerateError> {
    let mut sha256 = sha2::Sha256::new();
    let mut sha1 = sha1::Sha1::new();
    deb.seek(SeekFrom::Start(0))?;
    let size = read_chunks(deb, |bytes| {
        sha256.update(bytes);
        sha1.update(bytes);
    })?;
    let sha1 = crate::sha256::to_hex(&sha1.finalize());
    Ok((size, finish_sha256(sha256), sha1))
}

fn finish_sha256(sha256: sha2::Sha256) -> Sha256 {
    Sha256::from(<[u8; 32]>::from(sha256.finalize()))
}

fn hash_blocks(deb: &mut (impl Read + Seek), data: Span) -> Result<Vec<Block>, GenerateError> {
    let mut unpacked_offset = 0;
    let mut blocks = Vec::new();
    for place in xz_index::read_blocks(deb, data)? {
        deb.seek(SeekFrom::Start(place.span.offset))?;
        let mut sha256 = sha2::Sha256::new();
        read_chunks(deb.take(place.span.length), |bytes| sha256.update(bytes))?;
        blocks.push(Block {
            offset: place.span.offset,
            length: place.span.length,
            unpacked_offset,
            unpacked_length: place.unpacked,
            sha256: finish_sha256(sha256),
        });
        unpacked_offset = blocks.last().map_or(0, Block::unpacked_end);
    }
    Ok(blocks)
}

/// What all programs of a package have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackageIdentity {
    host: &'static str,
    version: QemuVersion,
}

fn scan_members(data: impl Read) -> Result<(PackageIdentity, Vec<Member>), GenerateError> {
    let decoder = lzma_rust2::XzReader::new_mem_limit(data, false, DECODER_KIB);
    let mut archive = tar::Archive::new(decoder);
    let mut kind = None;
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let Some(name) = path.trim_start_matches("./").strip_prefix(PROGRAM_PREFIX) else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let target = name.strip_suffix(STATIC_SUFFIX).unwrap_or(name);
        let Some((is, member)) = scan_member(target, entry)? else {
            continue;
        };
        let common = *kind.get_or_insert(is);
        if common != is {
            let why = format!("qemu-{target} is {} for {}, ", is.version, is.host);
            return Err(GenerateError::format(why + &format!("another one {} for {}", common.version, common.host)));
        }
        members.push(member);
    }
    // What is behind the archive's end is decoded too: the checks of all blocks are made.
    read_chunks(archive.into_inner(), |_| ())?;
    let kind = kind.ok_or_else(|| GenerateError::format(format!("it holds no {PROGRAM_PREFIX}* that is a program")))?;
    Ok((kind, members))
}

/// Nothing of what is no ELF: older packages have scripts beside the programs.
fn scan_member(
    target: &str,
    mut entry: tar::Entry<'_, impl Read>,
) -> Result<Option<(PackageIdentity, Member)>, GenerateError> {
    let offset = entry.raw_file_position();
    let mut sha256 = sha2::Sha256::new();
    let mut head = Vec::new();
    let mut announced = VersionScan::for_target(target);
    let size = read_chunks(&mut entry, |bytes| {
        head.extend(bytes.iter().take(usize::try_from(HEAD_SIZE).unwrap_or(0).saturating_sub(head.len())));
        sha256.update(bytes);
        announced.scan_chunk(bytes);
    })?;
    if !head.starts_with(ELF_MAGIC) {
        return Ok(None);
    }
    let unfit = |why: &dyn std::error::Error| GenerateError::format(format!("qemu-{target} can't be used: {why}"));
    let host = detect_machine(&head).map_err(|e| unfit(&e))?;
    let kind = PackageIdentity { host, version: announced.found_version().map_err(|e| unfit(&e))? };
    let member = Member { target: target.to_owned(), offset, size, sha256: finish_sha256(sha256) };
    Ok(Some((kind, member)))
}

/// Reads all, handing over each piece; the number of bytes.
fn read_chunks(mut from: impl Read, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut total: u64 = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => {
                each(buffer.get(..length).unwrap_or_default());
                total = total.saturating_add(length as u64);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_no_package_is_told() {
        let header = b"debian-binary   0           0     0     100644  4         `\n2.0\n";
        let no_data = [b"!<arch>\n", header.as_slice()].concat();
        for (bytes, why) in [
            (b"garbage!".to_vec(), "not an ar archive"),
            (b"!<arch>\n".to_vec(), "no member data.tar.xz"),
            (b"!<arch>\n".repeat(9), "byte 8 is broken"),
            (no_data, "no member data.tar.xz"),
        ] {
            let mut debs = [(pool_path("qemu-user_1-1_amd64.deb"), Cursor::new(bytes))];
            let GenerateError::Package { source, .. } = generate_catalog(&mut debs).unwrap_err() else {
                panic!("the package is not named");
            };
            assert!(source.to_string().contains(why), "{source}");
        }
    }
}
