//! Tracking of a worker's attempts: which mirror is in use, which ones failed, and which messages are therefore allowed. Shared
//! by all kinds of downloads.

use crate::qemu::download;
use crate::qemu::download::supervise_package::DownloadWorkerError;
use crate::qemu::download::{DownloadEvent, FailedAttempt, MAX_ATTEMPTS, MirrorFailure};
use crate::sandbox::frame::ProtocolError;

/// Attempts of one download.
#[derive(Debug)]
pub(super) struct AttemptTracker {
    /// Mirrors of the job.
    mirrors: Vec<TrackedMirror>,
    /// Index of the mirror that is in use.
    current: Option<usize>,
    tries: Vec<FailedAttempt>,
}

/// A mirror of the job, and the number of attempts.
#[derive(Debug)]
struct TrackedMirror {
    /// URL for people, without a password.
    shown: String,
    /// Number of attempts so far.
    attempts: usize,
}

impl AttemptTracker {
    pub(super) fn new(shown: Vec<String>) -> Self {
        let mirrors = shown.into_iter().map(|shown| TrackedMirror { shown, attempts: 0 }).collect();
        Self { mirrors, current: None, tries: Vec::new() }
    }

    /// Records that the worker tries the mirror with this index. The number of attempts is bounded, so that the recorded
    /// failures need bounded memory.
    pub(super) fn start_attempt(
        &mut self,
        mirror: usize,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadWorkerError> {
        if self.current.is_some() {
            return Err(protocol_error("an attempt at a mirror during another attempt"));
        }
        let listed = self.mirrors.get_mut(mirror);
        let listed = listed.ok_or_else(|| protocol_error("an attempt at an unknown mirror"))?;
        if listed.attempts >= MAX_ATTEMPTS {
            return Err(protocol_error("too many attempts at one mirror"));
        }
        listed.attempts = listed.attempts.saturating_add(1);
        self.current = Some(mirror);
        report(DownloadEvent::Asking { mirror, url: &listed.shown });
        Ok(())
    }

    pub(super) fn record_failure(
        &mut self,
        reason: MirrorFailure,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadWorkerError> {
        let url = self.current_mirror()?;
        report(DownloadEvent::GaveUp { url: &url, reason: &reason });
        self.current = None;
        self.tries.push(FailedAttempt { url, reason });
        Ok(())
    }

    /// Builds the error for a download that all mirrors failed to provide. Each mirror must have been tried.
    pub(super) fn all_failed(&mut self, what: String, mirrored: bool) -> DownloadWorkerError {
        if self.current.is_some() || self.mirrors.iter().any(|listed| listed.attempts == 0) {
            return protocol_error("a failure of all mirrors before each was tried");
        }
        DownloadWorkerError::Failed(download::all_mirrors_failed(what, mirrored, std::mem::take(&mut self.tries)))
    }

    /// Returns the URL of the mirror that is in use, for people.
    pub(super) fn current_mirror(&self) -> Result<String, DownloadWorkerError> {
        let current = self.current.and_then(|mirror| self.mirrors.get(mirror));
        current.map(|listed| listed.shown.clone()).ok_or_else(|| protocol_error("a message outside of an attempt"))
    }
}

pub(super) fn protocol_error(what: &str) -> DownloadWorkerError {
    DownloadWorkerError::Protocol(ProtocolError(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_tried_three_times_at_most() {
        let mut tracker = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()]);
        let mut urls = Vec::new();
        let gone = || MirrorFailure::Broken("reset".to_owned());
        assert!(tracker.start_attempt(2, &mut |_| ()).is_err());
        for mirror in [0, 1, 1, 1] {
            let mut report = |event: DownloadEvent<'_>| {
                if let DownloadEvent::Asking { url, .. } = event {
                    urls.push(url.to_owned());
                }
            };
            assert!(
                tracker.start_attempt(mirror, &mut report).is_ok() && tracker.start_attempt(0, &mut |_| ()).is_err()
            );
            assert!(tracker.record_failure(gone(), &mut |_| ()).is_ok());
        }
        assert_eq!(urls, ["a", "b", "b", "b"]);
        assert!(tracker.record_failure(gone(), &mut |_| ()).is_err());
        assert!(tracker.start_attempt(1, &mut |_| ()).is_err());
        assert!(matches!(tracker.all_failed("x".to_owned(), true), DownloadWorkerError::Failed(_)));
    }

    #[test]
    fn all_mirrors_failed_only_after_each_was_tried() {
        let mut tracker = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()]);
        assert!(tracker.start_attempt(0, &mut |_| ()).is_ok());
        assert!(matches!(tracker.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
        assert!(tracker.record_failure(MirrorFailure::Status { code: 404 }, &mut |_| ()).is_ok());
        assert!(matches!(tracker.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
    }
}
