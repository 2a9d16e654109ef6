//! Which mirror a worker asks, which ones gave up, and what the worker may therefore say next: the same for every kind
//! of download.

use crate::qemu::download;
use crate::qemu::download::supervise_package::DownloadWorkerError;
use crate::qemu::download::{DownloadEvent, FailedAttempt, MAX_ATTEMPTS, MirrorFailure};
use crate::sandbox::frame::ProtocolError;

/// The course of one download.
#[derive(Debug)]
pub(super) struct AttemptTracker {
    /// The mirrors that may be asked, as people may see them.
    mirrors: Vec<TrackedMirror>,
    /// The number of the one that is asked now.
    current: Option<usize>,
    tries: Vec<FailedAttempt>,
}

/// One mirror.
#[derive(Debug)]
struct TrackedMirror {
    shown: String,
    /// How often it was asked.
    attempts: usize,
}

impl AttemptTracker {
    pub(super) fn new(shown: Vec<String>) -> Self {
        let mirrors = shown.into_iter().map(|shown| TrackedMirror { shown, attempts: 0 }).collect();
        Self { mirrors, current: None, tries: Vec::new() }
    }

    /// The worker asks the mirror of this number. How often it may do so is bounded, so that its reasons to give up take
    /// bounded memory.
    pub(super) fn start_attempt(
        &mut self,
        mirror: usize,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadWorkerError> {
        if self.current.is_some() {
            return Err(protocol_error("that it asks a mirror while it asks another"));
        }
        let listed = self.mirrors.get_mut(mirror);
        let listed = listed.ok_or_else(|| protocol_error("that it asks a mirror that there is not"))?;
        if listed.attempts >= MAX_ATTEMPTS {
            return Err(protocol_error("that it asks a mirror more often than it may"));
        }
        listed.attempts = listed.attempts.saturating_add(1);
        self.current = Some(mirror);
        tell(DownloadEvent::Asking { mirror, url: &listed.shown });
        Ok(())
    }

    pub(super) fn record_failure(
        &mut self,
        reason: MirrorFailure,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadWorkerError> {
        let url = self.current_mirror()?;
        tell(DownloadEvent::GaveUp { url: &url, reason: &reason });
        self.current = None;
        self.tries.push(FailedAttempt { url, reason });
        Ok(())
    }

    /// All mirrors gave up: so each was asked.
    pub(super) fn all_failed(&mut self, what: String, mirrored: bool) -> DownloadWorkerError {
        if self.current.is_some() || self.mirrors.iter().any(|listed| listed.attempts == 0) {
            return protocol_error("that all mirrors gave up, which they did not");
        }
        DownloadWorkerError::Failed(download::all_mirrors_failed(what, mirrored, std::mem::take(&mut self.tries)))
    }

    /// The mirror that is at work, for people.
    pub(super) fn current_mirror(&self) -> Result<String, DownloadWorkerError> {
        let working = self.current.and_then(|mirror| self.mirrors.get(mirror));
        working.map(|listed| listed.shown.clone()).ok_or_else(|| protocol_error("something of no mirror"))
    }
}

pub(super) fn protocol_error(what: &str) -> DownloadWorkerError {
    DownloadWorkerError::Protocol(ProtocolError(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_known_by_its_number_and_asked_three_times_at_most() {
        let mut course = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()]);
        let mut asked = Vec::new();
        let gone = || MirrorFailure::Broken("reset".to_owned());
        assert!(course.start_attempt(2, &mut |_| ()).is_err());
        for mirror in [0, 1, 1, 1] {
            let mut tell = |event: DownloadEvent<'_>| {
                if let DownloadEvent::Asking { url, .. } = event {
                    asked.push(url.to_owned());
                }
            };
            assert!(course.start_attempt(mirror, &mut tell).is_ok() && course.start_attempt(0, &mut |_| ()).is_err());
            assert!(course.record_failure(gone(), &mut |_| ()).is_ok());
        }
        assert_eq!(asked, ["a", "b", "b", "b"]);
        assert!(course.record_failure(gone(), &mut |_| ()).is_err());
        assert!(course.start_attempt(1, &mut |_| ()).is_err());
        assert!(matches!(course.all_failed("x".to_owned(), true), DownloadWorkerError::Failed(_)));
    }

    #[test]
    fn all_gave_up_only_when_each_was_asked() {
        let mut course = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()]);
        assert!(course.start_attempt(0, &mut |_| ()).is_ok());
        assert!(matches!(course.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
        assert!(course.record_failure(MirrorFailure::Status { code: 404 }, &mut |_| ()).is_ok());
        assert!(matches!(course.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
    }
}
