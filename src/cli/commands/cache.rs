//! The commands `cache` and `cache prune`: show or remove cached downloads.

use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;

use crate::cli;
use crate::cli::json::{CacheFileReport, CacheReport};
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::qemu::download::cache;
use crate::qemu::download::cache::{CachedFile, DownloadCache};
use crate::sanitize::AsText as _;
use crate::ui::Ui;
use crate::ui::quantity::count;
use crate::ui::table::TextTable;

/// Time to wait for a process that downloads into the cache. It is short, because the user can simply try again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(args: &cli::CacheArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let cache = DownloadCache::for_user(host)
        .ok_or_else(|| Error::Usage("there is no cache without HOME or XDG_CACHE_HOME".into()))?;
    let cached = cache.list_files(host)?;
    match args.what {
        None => print_cache(ui, &cache, &cached, false),
        Some(cli::CacheCommand::Prune) => {
            let lock = cache.dir().join(cache::LOCK);
            if cache.exists(host) {
                let _lock = host.lock(&lock, LOCK_TIMEOUT, &mut |_| {})?;
                cache.remove_stale(host)?;
                cached.iter().try_for_each(|file| cache.remove_file(host, file))?;
            }
            // The lock file is gone by now.
            cache.remove_if_empty(host);
            print_cache(ui, &cache, &cached, true);
        }
    }
    Ok(ExitCode::Ok)
}

fn print_cache(ui: &Ui, cache: &DownloadCache, cached: &[CachedFile], removed: bool) {
    let bytes = cached.iter().map(|file| file.size).sum();
    if ui.is_json() {
        let files = cached.iter().map(file_report).collect();
        ui.print_json(&CacheReport { version: 1, dir: cache.dir().as_text(), bytes, removed, files });
        return;
    }
    let what = if removed { "removed" } else { "cached" };
    if !cached.is_empty() && !removed {
        let mut table = TextTable::new(&["SHA256", "FILE", "SIZE", "AGE"]);
        for file in cached {
            let sha256: String = file.sha256.to_string().chars().take(12).collect();
            table.add_row([sha256, file.name.clone(), HumanBytes(file.size).to_string(), format_age(file)]);
        }
        ui.print_table(&table);
    }
    let files = count(cached.len(), "file");
    ui.print_result(&format!("{what} in {}: {files}, {}", cache.dir().as_text(), HumanBytes(bytes)));
}

fn file_report(cached: &CachedFile) -> CacheFileReport {
    let since = cached.modified.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    CacheFileReport {
        sha256: cached.sha256,
        file: cached.name.clone(),
        bytes: cached.size,
        written: since.map(|since| since.as_secs()),
    }
}

fn format_age(cached: &CachedFile) -> String {
    let age = cached.modified.and_then(|since| since.elapsed().ok()).unwrap_or_default();
    indicatif::HumanDuration(age).to_string()
}
