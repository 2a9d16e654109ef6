//! `binfmt-nix cache` and `binfmt-nix cache prune`

use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;

use super::table;
use crate::cache::{self, Cache, Kept};
use crate::cli;
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::outcome::{CacheLine, CacheList};
use crate::ui::Ui;

/// A download into the cache is not waited for: it is quicker to try again.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(args: &cli::Cache, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let cache =
        Cache::of_user(host).ok_or_else(|| Error::Usage("there is no cache without HOME or XDG_CACHE_HOME".into()))?;
    let kept = cache.list(host)?;
    match args.what {
        None => show(ui, &cache, &kept, false),
        Some(cli::CacheCommand::Prune) => {
            let lock = cache.dir().join(cache::LOCK);
            // Where only downloads were cut short, there is none; it stays, for others may be waiting for it.
            let _lock = if host.exists(&lock) { Some(host.lock(&lock, PATIENCE, &mut |_| {})?) } else { None };
            kept.iter().try_for_each(|kept| cache.remove(host, kept))?;
            cache.tidy(host);
            show(ui, &cache, &kept, true);
        }
    }
    Ok(ExitCode::Ok)
}

fn show(ui: &Ui, cache: &Cache, kept: &[Kept], removed: bool) {
    let bytes = kept.iter().map(|kept| kept.size).sum();
    if ui.is_json() {
        let files = kept.iter().map(line).collect();
        ui.json(&CacheList { version: 1, dir: cache.dir().to_owned(), bytes, removed, files });
        return;
    }
    let what = if removed { "removed" } else { "kept" };
    if !kept.is_empty() && !removed {
        let mut table = table::new(&["SHA256", "FILE", "SIZE", "AGE"]);
        for kept in kept {
            let sha256: String = kept.sha256.to_string().chars().take(12).collect();
            table.add_row([sha256, kept.name.clone(), HumanBytes(kept.size).to_string(), age(kept)]);
        }
        ui.result(&table);
    }
    ui.result(&format!("{what} in {}: {} files, {}", cache.dir().display(), kept.len(), HumanBytes(bytes)));
}

fn line(kept: &Kept) -> CacheLine {
    let since = kept.since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    CacheLine {
        sha256: kept.sha256,
        file: kept.name.clone(),
        bytes: kept.size,
        written: since.map(|since| since.as_secs()),
    }
}

fn age(kept: &Kept) -> String {
    let age = kept.since.and_then(|since| since.elapsed().ok()).unwrap_or_default();
    indicatif::HumanDuration(age).to_string()
}
