//! Writes an archive of emulators: the same bytes for the same emulators, whoever writes it, wherever and whenever.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};

use super::manifest::{self, Manifest};

/// Nobody's and no time's.
fn tar_header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Writes the manifest and then, in its order, each emulator, read from `files` of the same order.
pub fn write_bundle<W: Write, R: Read>(out: W, manifest: &Manifest, files: Vec<R>) -> io::Result<W> {
    // The header's time is 0, "none", and its system 255, "unknown" (RFC 1952, §2.3.1).
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::default());
    let mut tar = tar::Builder::new(gzip);
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    tar.append_data(&mut tar_header(text.len() as u64, 0o644), manifest::FILE_NAME, text.as_slice())?;
    for (listed, file) in manifest.files.iter().zip(files) {
        tar.append_data(&mut tar_header(listed.size, 0o755), &listed.name, file.take(listed.size))?;
    }
    tar.into_inner()?.finish()
}
