//! Downloads one whole file, and goes on where an earlier run was cut short.
//!
//! With a digest, what there is of it is kept in the cache until it is complete ([`crate::cache`]). Without one, or where
//! nothing can be kept, it is in memory.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use super::{go_on, manner, with_bar};
use crate::cache::{Cache, Partial};
use crate::digest::Sha256;
use crate::download::Network;
use crate::download::{self, DownloadError, Fetched, FileUrl, Part};
use crate::error::{Error, Result};
use crate::fetcher;
use crate::host::{self, Host};
use crate::mirrors;
use crate::ui::Ui;

/// A file that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Who may have it, in this order.
    pub urls: &'a [FileUrl],
    /// Whether it is Debian's, which has more mirrors.
    pub mirrored: bool,
    /// How many bytes it has, where that is known.
    pub size: Option<u64>,
    /// How many bytes it has at most.
    pub most: u64,
    /// Its digest, where that is known.
    pub sha256: Option<Sha256>,
    /// Whether it is kept for the next time.
    pub keep: bool,
}

/// A file that was downloaded.
#[derive(Debug)]
pub struct Got {
    /// It is open at its beginning, and nobody else can change it. If it had to have a digest, it has.
    pub file: File,
    /// Who gave it, for people.
    pub url: String,
    /// What the user should know of this kernel.
    pub note: Option<String>,
}

/// Downloads it.
pub fn get(host: &Host, ui: &Ui, network: &Network, wanted: &Wanted<'_>) -> Result<Got> {
    if network.offline {
        return Err(Error::Offline { what: wanted.name.to_owned() });
    }
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let kept = wanted.sha256.and_then(|sha256| Some((sha256, Cache::of_user(host)?.partial(host, sha256)?)));
    match kept {
        Some((sha256, partial)) => match resume(host, ui, wanted, sha256, partial) {
            // The cache helps where it can, and is in nobody's way where it cannot.
            Err(error) if is_unwritten(&error) => in_memory(host, ui, wanted),
            done => done,
        },
        None => in_memory(host, ui, wanted),
    }
}

fn in_memory(host: &Host, ui: &Ui, wanted: &Wanted<'_>) -> Result<Got> {
    let mut file = host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", wanted.name.as_ref(), e))?;
    let (fetched, note) = ask(host, ui, wanted, &mut file, 0)?;
    if let Some(sha256) = wanted.sha256 {
        compare(&mut file, wanted, sha256)?;
    }
    Ok(Got { file: rewound(file, wanted)?, url: fetched.url, note })
}

fn resume(host: &Host, ui: &Ui, wanted: &Wanted<'_>, sha256: Sha256, mut partial: Partial) -> Result<Got> {
    let there = length(&partial.file, wanted)?;
    let attempt = match ask(host, ui, wanted, &mut partial.file, there) {
        Ok(done) => compare(&mut partial.file, wanted, sha256).map(|()| done),
        failed => failed,
    };
    let attempt = match attempt {
        // What an earlier run left may be what is wrong: all of it once more.
        Err(Error::Digest { .. }) if there > 0 => {
            let again = ask(host, ui, wanted, &mut partial.file, 0);
            again.and_then(|done| compare(&mut partial.file, wanted, sha256).map(|()| done))
        }
        attempt => attempt,
    };
    match attempt {
        Ok((fetched, note)) => {
            let file = if wanted.keep { partial.file } else { partial.end(host, sha256)? };
            Ok(Got { file: rewound(file, wanted)?, url: fetched.url, note })
        }
        Err(error) if matches!(error, Error::Digest { .. }) || is_unwritten(&error) => {
            partial.end(host, sha256)?;
            Err(error)
        }
        Err(error) => {
            if partial.leave(host, sha256)? {
                ui.note("what there is of it is kept, and a next run goes on there (binfmt-nix cache shows it)");
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
fn ask(host: &Host, ui: &Ui, wanted: &Wanted<'_>, file: &mut File, there: u64) -> Result<(Fetched, Option<String>)> {
    let io = |e| Error::io("write", wanted.name.as_ref(), e);
    // More than there can be is of something else.
    let there = if there > wanted.size.unwrap_or(wanted.most) { 0 } else { there };
    file.set_len(there).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
    if there > 0 && wanted.size == Some(there) {
        return Ok((Fetched { url: wanted.urls.first().map(ToString::to_string).unwrap_or_default(), moved: 0 }, None));
    }
    let asked = download::Wanted {
        name: wanted.name.to_owned(),
        size: wanted.size,
        most: wanted.most,
        sha256: wanted.sha256,
        mirrored: wanted.mirrored,
        there,
    };
    let urls = mirrors::with_logins(host, wanted.urls);
    let mut write = |part: Part<'_>| -> io::Result<()> {
        match part {
            Part::Bytes(bytes) => file.write_all(bytes),
            Part::Anew => {
                file.set_len(0)?;
                file.rewind()
            }
        }
    };
    let done = with_bar(ui, |tell| fetcher::file(&asked, &urls, &manner(), &mut write, tell, &mut go_on(host)))?;
    ui.fetched(done.0.moved, there.saturating_add(done.0.moved), &done.0.url);
    Ok(done)
}

fn compare(file: &mut File, wanted: &Wanted<'_>, sha256: Sha256) -> Result<()> {
    let is = file.rewind().and_then(|()| Sha256::of_reader(file));
    match is.map_err(|e| Error::io("read", wanted.name.as_ref(), e))? {
        is if is == sha256 => Ok(()),
        is => Err(Error::Digest { what: wanted.name.to_owned(), is, wanted: sha256 }),
    }
}

fn length(file: &File, wanted: &Wanted<'_>) -> Result<u64> {
    file.metadata().map(|meta| meta.len()).map_err(|e| Error::io("look at", wanted.name.as_ref(), e))
}

fn rewound(mut file: File, wanted: &Wanted<'_>) -> Result<File> {
    file.rewind().map_err(|e| Error::io("read", wanted.name.as_ref(), e))?;
    Ok(file)
}
