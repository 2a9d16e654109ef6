//! Writer of bundles, which are archives of emulators. The output is reproducible: it depends on the emulators alone,
//! not on the user, the machine or the time.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};

use super::manifest::{self, Manifest};

/// Returns a header with owner 0 and time 0.
fn tar_header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Writes the manifest and then the emulators. `files` has the emulators in the order of the manifest.
pub fn write_bundle<W: Write, R: Read>(out: W, manifest: &Manifest, files: Vec<R>) -> io::Result<W> {
    // In the header, a time of 0 means "none" and the system 255 means "unknown" (RFC 1952, §2.3.1).
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
