//! Download of one whole file that continues where an earlier run was interrupted.
//!
//! If the file has a digest, its bytes are kept in the cache until it is complete ([`crate::qemu::download::cache`]). Without a
//! digest, or without a writable cache, they are kept in memory.

use crate::qemu::download::confined;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::qemu::download;
use crate::qemu::download::Network;
use crate::qemu::download::cache::{DownloadCache, PartialDownload};
use crate::qemu::download::machine_config;
use crate::qemu::download::progress::{interrupt_check, transfer_options, with_progress_bar};
use crate::qemu::download::{DownloadError, DownloadSummary, FileChunk, FileUrl};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// Request for a file.
#[derive(Debug, Clone, Copy)]
pub struct FileRequest<'a> {
    /// Name of the file, for people.
    pub name: &'a str,
    /// URLs of the file, in the order in which they are tried.
    pub urls: &'a [FileUrl],
    /// Whether the file is Debian's, which has more mirrors.
    pub mirrored: bool,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    /// Largest accepted size in bytes.
    pub max_size: u64,
    /// Digest, if known.
    pub sha256: Option<Sha256>,
    /// Whether the complete file stays in the cache.
    pub keep: bool,
}

/// A file that was downloaded.
#[derive(Debug)]
pub struct DownloadedFile {
    /// Open file, positioned at its start. Other users cannot change it, and the requested digest is verified.
    pub file: File,
    /// URL that provided the file, for people.
    pub url: String,
    /// Note about protections that this kernel lacks.
    pub note: Option<String>,
}

/// Downloads a file. Continues a partial download of an earlier run.
pub fn download_file(host: &Host, ui: &Ui, network: &Network, request: &FileRequest<'_>) -> Result<DownloadedFile> {
    if network.offline {
        return Err(Error::Offline { what: request.name.to_owned() });
    }
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let cached =
        request.sha256.and_then(|sha256| Some((sha256, DownloadCache::for_user(host)?.open_partial(host, sha256)?)));
    match cached {
        Some((sha256, partial)) => match resume_download(host, ui, request, sha256, partial) {
            // A cache that cannot be written must not prevent a download.
            Err(error) if is_unwritten(&error) => download_to_memory(host, ui, request),
            done => done,
        },
        None => download_to_memory(host, ui, request),
    }
}

fn download_to_memory(host: &Host, ui: &Ui, request: &FileRequest<'_>) -> Result<DownloadedFile> {
    let mut file = host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", request.name.as_ref(), e))?;
    let (summary, note) = request_rest(host, ui, request, &mut file, 0)?;
    if let Some(sha256) = request.sha256 {
        check_digest(&mut file, request, sha256)?;
    }
    Ok(DownloadedFile { file: rewind(file, request)?, url: summary.url, note })
}

fn resume_download(
    host: &Host,
    ui: &Ui,
    request: &FileRequest<'_>,
    sha256: Sha256,
    mut partial: PartialDownload,
) -> Result<DownloadedFile> {
    let offset = file_length(&partial.file, request)?;
    let attempt = match request_rest(host, ui, request, &mut partial.file, offset) {
        Ok(done) => check_digest(&mut partial.file, request, sha256).map(|()| done),
        failed => failed,
    };
    let attempt = match attempt {
        // The bytes of an earlier run may be wrong, so the whole file is downloaded again.
        Err(Error::Digest { .. }) if offset > 0 => {
            let retry = request_rest(host, ui, request, &mut partial.file, 0);
            retry.and_then(|done| check_digest(&mut partial.file, request, sha256).map(|()| done))
        }
        attempt => attempt,
    };
    match attempt {
        Ok((summary, note)) => {
            let file = if request.keep { partial.file } else { partial.finish(host, sha256)? };
            Ok(DownloadedFile { file: rewind(file, request)?, url: summary.url, note })
        }
        Err(error) if matches!(error, Error::Digest { .. }) || is_unwritten(&error) => {
            partial.finish(host, sha256)?;
            Err(error)
        }
        Err(error) => {
            if partial.keep_for_later(host, sha256)? {
                ui.print_note(
                    "the partial download is kept, and the next run continues it (binfmt-nix cache lists it)",
                );
            }
            Err(error)
        }
    }
}

/// Whether the received bytes could not be written.
fn is_unwritten(error: &Error) -> bool {
    matches!(error.as_failure(), Some(DownloadError::Write { .. }))
}

/// Requests the bytes after the first `offset` ones.
fn request_rest(
    host: &Host,
    ui: &Ui,
    request: &FileRequest<'_>,
    file: &mut File,
    offset: u64,
) -> Result<(DownloadSummary, Option<String>)> {
    let io = |e| Error::io("write", request.name.as_ref(), e);
    // A longer file cannot be a chunk of the requested one.
    let offset = if offset > request.size.unwrap_or(request.max_size) { 0 } else { offset };
    file.set_len(offset).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
    if offset > 0 && request.size == Some(offset) {
        return Ok((
            DownloadSummary { url: request.urls.first().map(ToString::to_string).unwrap_or_default(), moved: 0 },
            None,
        ));
    }
    let file_download = download::FileDownload {
        name: request.name.to_owned(),
        size: request.size,
        most: request.max_size,
        sha256: request.sha256,
        mirrored: request.mirrored,
        there: offset,
    };
    let urls = machine_config::add_logins(host, request.urls);
    let mut write = |chunk: FileChunk<'_>| -> io::Result<()> {
        match chunk {
            FileChunk::Bytes(bytes) => file.write_all(bytes),
            FileChunk::Restart => {
                file.set_len(0)?;
                file.rewind()
            }
        }
    };
    let done = with_progress_bar(ui, |report| {
        confined::download_file(
            &file_download,
            &urls,
            &transfer_options(),
            &mut write,
            report,
            &mut interrupt_check(host),
        )
    })?;
    ui.print_download_summary(done.0.moved, offset.saturating_add(done.0.moved), &done.0.url);
    Ok(done)
}

fn check_digest(file: &mut File, request: &FileRequest<'_>, sha256: Sha256) -> Result<()> {
    let is = file.rewind().and_then(|()| Sha256::of_reader(file));
    match is.map_err(|e| Error::io("read", request.name.as_ref(), e))? {
        is if is == sha256 => Ok(()),
        is => Err(Error::Digest { what: request.name.to_owned(), actual: is, expected: sha256 }),
    }
}

fn file_length(file: &File, request: &FileRequest<'_>) -> Result<u64> {
    file.metadata().map(|meta| meta.len()).map_err(|e| Error::io("look at", request.name.as_ref(), e))
}

fn rewind(mut file: File, request: &FileRequest<'_>) -> Result<File> {
    file.rewind().map_err(|e| Error::io("read", request.name.as_ref(), e))?;
    Ok(file)
}
