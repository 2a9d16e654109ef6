//! `binfmt-nix cache` and `binfmt-nix cache prune`

use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;

use crate::cli;
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::qemu::download::cache;
use crate::qemu::download::cache::{CachedFile, DownloadCache};
use crate::register::report::{CacheFileReport, CacheReport};
use crate::ui::Ui;
use crate::ui::table;

/// A download into the cache is not waited for: it is quicker to try again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(args: &cli::CacheArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let cache = DownloadCache::for_user(host)
        .ok_or_else(|| Error::Usage("there is no cache without HOME or XDG_CACHE_HOME".into()))?;
    let kept = cache.list_files(host)?;
    match args.what {
        None => print_cache(ui, &cache, &kept, false),
        Some(cli::CacheCommand::Prune) => {
            let lock = cache.dir().join(cache::LOCK);
            // Where only downloads were cut short, there is none; it stays, for others may be waiting for it.
            let _lock = if host.exists(&lock) { Some(host.lock(&lock, LOCK_TIMEOUT, &mut |_| {})?) } else { None };
            kept.iter().try_for_each(|kept| cache.remove_file(host, kept))?;
            cache.remove_if_empty(host);
            print_cache(ui, &cache, &kept, true);
        }
    }
    Ok(ExitCode::Ok)
}

fn print_cache(ui: &Ui, cache: &DownloadCache, kept: &[CachedFile], removed: bool) {
    let bytes = kept.iter().map(|kept| kept.size).sum();
    if ui.is_json() {
        let files = kept.iter().map(file_report).collect();
        ui.print_json(&CacheReport { version: 1, dir: cache.dir().to_owned(), bytes, removed, files });
        return;
    }
    let what = if removed { "removed" } else { "kept" };
    if !kept.is_empty() && !removed {
        let mut table = table::new_table(&["SHA256", "FILE", "SIZE", "AGE"]);
        for kept in kept {
            let sha256: String = kept.sha256.to_string().chars().take(12).collect();
            table.add_row([sha256, kept.name.clone(), HumanBytes(kept.size).to_string(), format_age(kept)]);
        }
        ui.print_result(&table);
    }
    ui.print_result(&format!("{what} in {}: {} files, {}", cache.dir().display(), kept.len(), HumanBytes(bytes)));
}

fn file_report(kept: &CachedFile) -> CacheFileReport {
    let since = kept.modified.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    CacheFileReport {
        sha256: kept.sha256,
        file: kept.name.clone(),
        bytes: kept.size,
        written: since.map(|since| since.as_secs()),
    }
}

fn format_age(kept: &CachedFile) -> String {
    let age = kept.modified.and_then(|since| since.elapsed().ok()).unwrap_or_default();
    indicatif::HumanDuration(age).to_string()
}
