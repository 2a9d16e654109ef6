//! Downloads one whole file, and goes on where an earlier run was cut short.
//!
//! With a digest, what there is of it is kept in the cache until it is complete ([`crate::qemu::download::cache`]). Without one, or where
//! nothing can be kept, it is in memory.

use crate::qemu::download::confined;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::qemu::download;
use crate::qemu::download::Network;
use crate::qemu::download::cache::{DownloadCache, PartialDownload};
use crate::qemu::download::mirrors;
use crate::qemu::download::progress::{interrupt_check, transfer_options, with_progress_bar};
use crate::qemu::download::{DownloadError, DownloadSummary, FileChunk, FileUrl};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// A file that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct FileRequest<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Who may have it, in this order.
    pub urls: &'a [FileUrl],
    /// Whether it is Debian's, which has more mirrors.
    pub mirrored: bool,
    /// How many bytes it has, where that is known.
    pub size: Option<u64>,
    /// How many bytes it has at most.
    pub max_size: u64,
    /// Its digest, where that is known.
    pub sha256: Option<Sha256>,
    /// Whether it is kept for the next time.
    pub keep: bool,
}

/// A file that was downloaded.
#[derive(Debug)]
pub struct DownloadedFile {
    /// It is open at its beginning, and nobody else can change it. If it had to have a digest, it has.
    pub file: File,
    /// Who gave it, for people.
    pub url: String,
    /// What the user should know of this kernel.
    pub note: Option<String>,
}

/// Downloads it.
pub fn download_file(host: &Host, ui: &Ui, network: &Network, wanted: &FileRequest<'_>) -> Result<DownloadedFile> {
    if network.offline {
        return Err(Error::Offline { what: wanted.name.to_owned() });
    }
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let cached =
        wanted.sha256.and_then(|sha256| Some((sha256, DownloadCache::for_user(host)?.open_partial(host, sha256)?)));
    match cached {
        Some((sha256, partial)) => match resume_download(host, ui, wanted, sha256, partial) {
            // The cache helps where it can, and is in nobody's way where it cannot.
            Err(error) if is_unwritten(&error) => download_to_memory(host, ui, wanted),
            done => done,
        },
        None => download_to_memory(host, ui, wanted),
    }
}

fn download_to_memory(host: &Host, ui: &Ui, wanted: &FileRequest<'_>) -> Result<DownloadedFile> {
    let mut file = host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", wanted.name.as_ref(), e))?;
    let (fetched, note) = request_rest(host, ui, wanted, &mut file, 0)?;
    if let Some(sha256) = wanted.sha256 {
        check_digest(&mut file, wanted, sha256)?;
    }
    Ok(DownloadedFile { file: rewind(file, wanted)?, url: fetched.url, note })
}

fn resume_download(
    host: &Host,
    ui: &Ui,
    wanted: &FileRequest<'_>,
    sha256: Sha256,
    mut partial: PartialDownload,
) -> Result<DownloadedFile> {
    let there = file_length(&partial.file, wanted)?;
    let attempt = match request_rest(host, ui, wanted, &mut partial.file, there) {
        Ok(done) => check_digest(&mut partial.file, wanted, sha256).map(|()| done),
        failed => failed,
    };
    let attempt = match attempt {
        // What an earlier run left may be what is wrong: all of it once more.
        Err(Error::Digest { .. }) if there > 0 => {
            let retry = request_rest(host, ui, wanted, &mut partial.file, 0);
            retry.and_then(|done| check_digest(&mut partial.file, wanted, sha256).map(|()| done))
        }
        attempt => attempt,
    };
    match attempt {
        Ok((fetched, note)) => {
            let file = if wanted.keep { partial.file } else { partial.finish(host, sha256)? };
            Ok(DownloadedFile { file: rewind(file, wanted)?, url: fetched.url, note })
        }
        Err(error) if matches!(error, Error::Digest { .. }) || is_unwritten(&error) => {
            partial.finish(host, sha256)?;
            Err(error)
        }
        Err(error) => {
            if partial.keep_for_later(host, sha256)? {
                ui.print_note("what there is of it is kept, and a next run goes on there (binfmt-nix cache shows it)");
            }
            Err(error)
        }
    }
}

/// Whether what came could not be written.
fn is_unwritten(error: &Error) -> bool {
    matches!(error.as_failure(), Some(DownloadError::Write { .. }))
}

/// Asks for the bytes after the first `there` ones.
fn request_rest(
    host: &Host,
    ui: &Ui,
    wanted: &FileRequest<'_>,
    file: &mut File,
    there: u64,
) -> Result<(DownloadSummary, Option<String>)> {
    let io = |e| Error::io("write", wanted.name.as_ref(), e);
    // More than there can be is of something else.
    let there = if there > wanted.size.unwrap_or(wanted.max_size) { 0 } else { there };
    file.set_len(there).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
    if there > 0 && wanted.size == Some(there) {
        return Ok((
            DownloadSummary { url: wanted.urls.first().map(ToString::to_string).unwrap_or_default(), moved: 0 },
            None,
        ));
    }
    let file_download = download::FileDownload {
        name: wanted.name.to_owned(),
        size: wanted.size,
        most: wanted.max_size,
        sha256: wanted.sha256,
        mirrored: wanted.mirrored,
        there,
    };
    let urls = mirrors::add_logins(host, wanted.urls);
    let mut write = |part: FileChunk<'_>| -> io::Result<()> {
        match part {
            FileChunk::Bytes(bytes) => file.write_all(bytes),
            FileChunk::Restart => {
                file.set_len(0)?;
                file.rewind()
            }
        }
    };
    let done = with_progress_bar(ui, |tell| {
        confined::download_file(
            &file_download,
            &urls,
            &transfer_options(),
            &mut write,
            tell,
            &mut interrupt_check(host),
        )
    })?;
    ui.print_download_summary(done.0.moved, there.saturating_add(done.0.moved), &done.0.url);
    Ok(done)
}

fn check_digest(file: &mut File, wanted: &FileRequest<'_>, sha256: Sha256) -> Result<()> {
    let is = file.rewind().and_then(|()| Sha256::of_reader(file));
    match is.map_err(|e| Error::io("read", wanted.name.as_ref(), e))? {
        is if is == sha256 => Ok(()),
        is => Err(Error::Digest { what: wanted.name.to_owned(), actual: is, expected: sha256 }),
    }
}

fn file_length(file: &File, wanted: &FileRequest<'_>) -> Result<u64> {
    file.metadata().map(|meta| meta.len()).map_err(|e| Error::io("look at", wanted.name.as_ref(), e))
}

fn rewind(mut file: File, wanted: &FileRequest<'_>) -> Result<File> {
    file.rewind().map_err(|e| Error::io("read", wanted.name.as_ref(), e))?;
    Ok(file)
}
