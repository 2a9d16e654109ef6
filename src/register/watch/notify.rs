//! Notifications of `register --watch`: to the log, to the service manager, and through the ready file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::{self, Host, ServiceManager};
use crate::register::watch::drift::Drift;
use crate::sanitize::AsText as _;
use crate::ui::Ui;
use crate::ui::event::LogEvent;

/// First word of a ready file. A file without it is not a ready file of this tool.
const READY_FILE_MARK: &str = "binfmt-nix";

/// File that exists only while all expected entries are registered.
#[derive(Debug)]
pub struct ReadyFile {
    host: Host,
    path: PathBuf,
    exists: bool,
}

impl ReadyFile {
    /// Validates the path and removes the ready file of an earlier run that was killed. The path is on the running system,
    /// even with `--root`.
    pub fn prepare(path: PathBuf) -> Result<Self> {
        let host = Host::live();
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(Error::Usage(format!("--ready-file needs an absolute path, not {}", path.as_text())));
        }
        if let Some(why) = host.check_creation_trust(&path)? {
            return Err(why.into());
        }
        let is_ready_file = |path: &PathBuf| {
            let bytes = host
                .open_nofollow(path)
                .and_then(|file| host::user_files::read_head(&file, 16).map_err(|e| Error::io("read", path, e)));
            bytes.is_ok_and(|bytes| bytes.starts_with(READY_FILE_MARK.as_bytes()))
        };
        if host.exists(&path) && !is_ready_file(&path) {
            return Err(Error::Conflict {
                what: format!("{} exists and is not a ready file of binfmt-nix", path.as_text()),
                hint: "choose a path that does not exist: the ready file exists only while all entries are registered"
                    .into(),
            });
        }
        host.remove_file(&path)?;
        Ok(Self { host, path, exists: false })
    }

    fn set_exists(&mut self, exists: bool) -> Result<()> {
        if exists == self.exists {
            return Ok(());
        }
        if exists {
            self.host.write_atomic(&self.path, format!("{READY_FILE_MARK} {}\n", std::process::id()).as_bytes())?;
        } else {
            self.host.remove_file(&self.path)?;
        }
        self.exists = exists;
        Ok(())
    }
}

/// Receivers of notifications.
#[derive(Debug)]
pub struct Notifier<'a> {
    /// Terminal that the log is written to.
    pub ui: &'a Ui,
    /// Service manager that started this process, if any.
    pub manager: ServiceManager,
    /// Ready file, if the user asked for one.
    pub ready: Option<ReadyFile>,
    ready_sent: bool,
}

impl<'a> Notifier<'a> {
    /// Creates a notifier that has sent nothing yet.
    pub fn new(ui: &'a Ui, manager: ServiceManager, ready: Option<ReadyFile>) -> Self {
        Self { ui, manager, ready, ready_sent: false }
    }

    /// Writes a line to the log.
    pub fn log_event(&self, event: &LogEvent) {
        self.ui.log_event(event);
    }

    /// Interval between keep-alive messages: half of the interval that the service manager requires
    /// (sd_watchdog_enabled(3)).
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.manager.watchdog.and_then(|interval| interval.checked_div(2))
    }

    /// Sends a keep-alive message to the service manager.
    pub(super) fn ping_watchdog(&self) {
        if self.manager.watchdog.is_some() {
            self.manager.notify("WATCHDOG=1");
        }
    }

    /// Reports the current drifts through the ready file and to the service manager.
    pub(super) fn report_state(&mut self, systems: &[&str], drifts: &BTreeSet<Drift>) {
        let is_complete = drifts.is_empty();
        if let Some(ready) = &mut self.ready
            && let Err(error) = ready.set_exists(is_complete)
        {
            self.ui.print_warning(&error.to_string());
        }
        let names: Vec<_> = drifts.iter().map(Drift::event_name).collect();
        let status = if is_complete { "all entries are registered".to_owned() } else { names.join(", ") };
        let ready = if is_complete && !self.ready_sent { "READY=1\n" } else { "" };
        self.ready_sent |= is_complete;
        self.manager.notify(&format!("{ready}STATUS=Watching {}: {status}", systems.join(" ")));
    }

    /// Reports that the process is stopping, and removes the ready file.
    pub(super) fn report_stopping(&mut self) {
        if let Some(ready) = &mut self.ready
            && let Err(error) = ready.set_exists(false)
        {
            self.ui.print_warning(&error.to_string());
        }
        self.manager.notify("STOPPING=1");
    }
}
