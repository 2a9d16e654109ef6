//! Generator of the catalogue from the real packages.
//!
//! Maintainers use it to pin a new QEMU. The hidden command `binfmt-nix gen catalog FILE.deb…` reads Debian's `.deb`
//! files and prints `catalog.json`. Before that, apt or the maintainer must have compared the digests of the files with
//! Debian's signed index. Every block is decoded, so a wrong index is found here and not by a user. The module reads
//! open files only; it opens none.
//!
//! All releases are supported. Since 1:9.1.0+ds-1 the static programs are `usr/bin/qemu-TARGET` of `qemu-user`
//! (Debian's changelog of qemu); names with `-static` and Debian's own names of guests are links to them, which are
//! ignored. Up to Debian 12 they are `usr/bin/qemu-TARGET-static` of `qemu-user-static`; the programs of `qemu-user`
//! are dynamic, and are refused. The first package of a host is the default, which is downloaded if the user requests
//! no version.

use std::io::{self, Read, Seek, SeekFrom};

use sha1::Digest as _;

use super::{Block, Catalog, CatalogError, DigestOrigin, Member, Package, Span, VERSION};
use crate::qemu::binary::{ELF_MAGIC, HEAD_SIZE, QemuVersion, detect_machine};
use crate::qemu::catalog::version_scan::VersionScan;
use crate::qemu::catalog::{validate, xz_index};
use crate::qemu::deb;
use crate::sha256::Sha256;

const DATA_MEMBER: &str = "data.tar.xz";
/// Prefix of the programs in Debian's package (`dpkg -L qemu-user`).
const PROGRAM_PREFIX: &str = "usr/bin/qemu-";
/// Suffix of the programs in Debian 12's package.
const STATIC_SUFFIX: &str = "-static";
/// Memory limit of the xz decoder, more than any preset needs (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;

/// Failure to make a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Failure for one package.
    #[error("cannot catalogue {path}: {source}")]
    Package {
        /// Path in the pool.
        path: String,
        /// Reason.
        #[source]
        source: Box<Self>,
    },
    /// Failure to read or decode the package.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Unexpected contents of the package.
    #[error("{0}")]
    Format(String),
    /// Generated catalogue that does not pass the validation.
    #[error(transparent)]
    Invalid(#[from] CatalogError),
}

impl GenerateError {
    pub(super) fn format(why: impl Into<String>) -> Self {
        Self::Format(why.into())
    }
}

/// Returns the path of a file on a mirror. Debian Policy has no rule for it, but the archive has
/// all packages of the source package `qemu` of component `main` in this directory.
pub fn pool_path(file_name: &str) -> String {
    format!("pool/main/q/qemu/{file_name}")
}

/// Makes the catalogue of these packages, each with its path below a mirror's base URL.
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
    let (identity, members) = scan_members(deb.take(data.length))?;
    Ok(Package {
        host: identity.host.to_owned(),
        qemu_version: identity.version.to_string(),
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
    for block in xz_index::read_blocks(deb, data)? {
        deb.seek(SeekFrom::Start(block.span.offset))?;
        let mut sha256 = sha2::Sha256::new();
        read_chunks(deb.take(block.span.length), |bytes| sha256.update(bytes))?;
        blocks.push(Block {
            offset: block.span.offset,
            length: block.span.length,
            unpacked_offset,
            unpacked_length: block.unpacked_length,
            sha256: finish_sha256(sha256),
        });
        unpacked_offset = blocks.last().map_or(0, Block::unpacked_end);
    }
    Ok(blocks)
}

/// Properties that all programs of a package have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackageIdentity {
    host: &'static str,
    version: QemuVersion,
}

fn scan_members(data: impl Read) -> Result<(PackageIdentity, Vec<Member>), GenerateError> {
    let decoder = lzma_rust2::XzReader::new_mem_limit(data, false, DECODER_KIB);
    let mut archive = tar::Archive::new(decoder);
    let mut package_identity = None;
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
        let Some((identity, member)) = scan_member(target, entry)? else {
            continue;
        };
        let common = *package_identity.get_or_insert(identity);
        if common != identity {
            let why = format!("qemu-{target} is {} for {}, ", identity.version, identity.host);
            return Err(GenerateError::format(why + &format!("another one {} for {}", common.version, common.host)));
        }
        members.push(member);
    }
    // The bytes after the archive's end are decoded, too, so that the checksums of all blocks are verified.
    read_chunks(archive.into_inner(), |_| ())?;
    let no_program = || GenerateError::format(format!("it has no {PROGRAM_PREFIX}* that is a program"));
    Ok((package_identity.ok_or_else(no_program)?, members))
}

/// Reads a program. Returns `None` for a file that is not ELF: older packages have scripts beside the programs.
fn scan_member(
    target: &str,
    mut entry: tar::Entry<'_, impl Read>,
) -> Result<Option<(PackageIdentity, Member)>, GenerateError> {
    let offset = entry.raw_file_position();
    let mut sha256 = sha2::Sha256::new();
    let mut head = Vec::new();
    let mut scan = VersionScan::for_target(target);
    let size = read_chunks(&mut entry, |bytes| {
        head.extend(bytes.iter().take(usize::try_from(HEAD_SIZE).unwrap_or(0).saturating_sub(head.len())));
        sha256.update(bytes);
        scan.scan_chunk(bytes);
    })?;
    if !head.starts_with(ELF_MAGIC) {
        return Ok(None);
    }
    let unusable = |why: &dyn std::error::Error| GenerateError::format(format!("qemu-{target} cannot be used: {why}"));
    let host = detect_machine(&head).map_err(|e| unusable(&e))?;
    let identity = PackageIdentity { host, version: scan.found_version().map_err(|e| unusable(&e))? };
    let member = Member { target: target.to_owned(), offset, size, sha256: finish_sha256(sha256) };
    Ok(Some((identity, member)))
}

/// Reads to the end and gives each chunk to `handle`. Returns the number of bytes.
fn read_chunks(mut from: impl Read, mut handle: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut total: u64 = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => {
                handle(buffer.get(..length).unwrap_or_default());
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
    fn files_that_are_not_packages_are_refused() {
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
