//! Who is told: the log, the service manager, and whoever looks for the ready file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::{self, Host, ServiceManager};
use crate::register::watch::drift::Drift;
use crate::ui::Ui;
use crate::ui::event::LogEvent;

/// The ready file's first word: one without it is not ours.
const READY_FILE_MARK: &str = "binfmt-nix";

/// A file that is there while all is in place.
#[derive(Debug)]
pub struct ReadyFile {
    host: Host,
    path: PathBuf,
    exists: bool,
}

impl ReadyFile {
    /// Takes away what a killed run left. The path is this machine's, whatever `--root` says.
    pub fn prepare(path: PathBuf) -> Result<Self> {
        let host = Host::live();
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(Error::Usage(format!("--ready-file {}: it takes an absolute path", path.display())));
        }
        if let Some(why) = host.check_creation_trust(&path)? {
            return Err(why.into());
        }
        let ours = |path: &PathBuf| {
            let bytes = host
                .open_nofollow(path)
                .and_then(|file| host::user_files::read_head(&file, 16).map_err(|e| Error::io("read", path, e)));
            bytes.is_ok_and(|bytes| bytes.starts_with(READY_FILE_MARK.as_bytes()))
        };
        if host.exists(&path) && !ours(&path) {
            return Err(Error::Conflict {
                what: format!("{} is there, and is no ready file of binfmt-nix", path.display()),
                hint: "--ready-file names a file that is there only while all is in place".into(),
            });
        }
        host.remove_file(&path)?;
        Ok(Self { host, path, exists: false })
    }

    fn set_exists(&mut self, there: bool) -> Result<()> {
        if there == self.exists {
            return Ok(());
        }
        if there {
            self.host.write_atomic(&self.path, format!("{READY_FILE_MARK} {}\n", std::process::id()).as_bytes())?;
        } else {
            self.host.remove_file(&self.path)?;
        }
        self.exists = there;
        Ok(())
    }
}

/// All of them.
#[derive(Debug)]
pub struct Notifier<'a> {
    /// The log.
    pub ui: &'a Ui,
    /// The service manager.
    pub manager: ServiceManager,
    /// The ready file, if one was asked for.
    pub ready: Option<ReadyFile>,
    ready_sent: bool,
}

impl<'a> Notifier<'a> {
    /// Nothing was told yet.
    pub fn new(ui: &'a Ui, manager: ServiceManager, ready: Option<ReadyFile>) -> Self {
        Self { ui, manager, ready, ready_sent: false }
    }

    /// A line of the log.
    pub fn log_event(&self, event: &LogEvent) {
        self.ui.log_event(event);
    }

    /// How often the manager wants a sign of life: twice as often it gets one (sd_watchdog_enabled(3)).
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.manager.watchdog.and_then(|interval| interval.checked_div(2))
    }

    /// A sign of life.
    pub(super) fn ping_watchdog(&self) {
        if self.manager.watchdog.is_some() {
            self.manager.notify("WATCHDOG=1");
        }
    }

    /// How it is now.
    pub(super) fn report_state(&mut self, systems: &[&str], findings: &BTreeSet<Drift>) {
        let all_in_place = findings.is_empty();
        if let Some(ready) = &mut self.ready
            && let Err(error) = ready.set_exists(all_in_place)
        {
            self.ui.print_warning(&error.to_string());
        }
        let names: Vec<_> = findings.iter().map(Drift::event_name).collect();
        let status = if all_in_place { "all in place".to_owned() } else { names.join(", ") };
        let ready = if all_in_place && !self.ready_sent { "READY=1\n" } else { "" };
        self.ready_sent |= all_in_place;
        self.manager.notify(&format!("{ready}STATUS=Holds {}: {status}", systems.join(" ")));
    }

    /// The end was asked for.
    pub(super) fn report_stopping(&mut self) {
        if let Some(ready) = &mut self.ready
            && let Err(error) = ready.set_exists(false)
        {
            self.ui.print_warning(&error.to_string());
        }
        self.manager.notify("STOPPING=1");
    }
}
