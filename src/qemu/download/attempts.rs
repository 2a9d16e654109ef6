//! Tracking of a worker's attempts: which mirror is in use, which ones failed, and which messages are therefore allowed. Shared
//! by all kinds of downloads.

use crate::qemu::download;
use crate::qemu::download::supervise_package::DownloadWorkerError;
use crate::qemu::download::{DownloadEvent, FailedAttempt, MAX_ATTEMPTS, MirrorFailure, TRIES_PER_MIRROR};
use crate::sandbox::frame::ProtocolError;
use crate::sandbox::pace::MIN_PROGRESS;

/// Most messages about received bytes in one download: twice as many as a worker sends in an hour
/// (`session::PROGRESS_INTERVAL`).
pub const MAX_MOVED_MESSAGES: u32 = 180_000;

/// Attempts of one download.
#[derive(Debug)]
pub(super) struct AttemptTracker {
    /// Mirrors of the job.
    mirrors: Vec<TrackedMirror>,
    /// Index of the mirror that is in use.
    current: Option<usize>,
    tries: Vec<FailedAttempt>,
    /// Number of messages about received bytes.
    moved_messages: u32,
    /// Number of received bytes in the last message.
    moved: u64,
    /// Number of bytes that this attempt may still report as received. A server that ignores ranges sends the file from
    /// its first byte at each try.
    reportable: u64,
    /// Progress of all attempts, in bytes.
    progress: u64,
    /// Size of the file, or its limit.
    size: u64,
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
    /// Creates a tracker for these mirrors of a file that has up to `size` bytes.
    pub(super) fn new(shown: Vec<String>, size: u64) -> Self {
        let mirrors = shown.into_iter().map(|shown| TrackedMirror { shown, attempts: 0 }).collect();
        Self {
            mirrors,
            current: None,
            tries: Vec::new(),
            moved_messages: 0,
            moved: 0,
            reportable: 0,
            progress: 0,
            size,
        }
    }

    /// Returns the progress of all attempts: the reported bytes, and [`MIN_PROGRESS`] for each attempt. It is bounded.
    pub(super) fn progress(&self) -> u64 {
        self.progress
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
        self.moved = 0;
        self.reportable = self.size.saturating_mul(TRIES_PER_MIRROR as u64);
        self.progress = self.progress.saturating_add(MIN_PROGRESS);
        report(DownloadEvent::Asking { mirror, url: &listed.shown });
        Ok(())
    }

    /// Records how many bytes the worker has received from the current mirror.
    pub(super) fn record_moved(
        &mut self,
        bytes: u64,
        of: u64,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadWorkerError> {
        self.current_mirror()?;
        if bytes > of || of > self.size {
            return Err(protocol_error("more received bytes than the file has"));
        }
        self.moved_messages = self.moved_messages.saturating_add(1);
        if self.moved_messages > MAX_MOVED_MESSAGES {
            return Err(protocol_error("too many messages about received bytes"));
        }
        let more = bytes.saturating_sub(self.moved).min(self.reportable);
        self.moved = bytes;
        self.reportable = self.reportable.saturating_sub(more);
        self.progress = self.progress.saturating_add(more);
        report(DownloadEvent::Moved { bytes, of });
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
        self.progress = self.progress.saturating_add(MIN_PROGRESS);
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
        let mut tracker = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()], 1);
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
        let mut tracker = AttemptTracker::new(vec!["a".to_owned(), "b".to_owned()], 1);
        assert!(tracker.start_attempt(0, &mut |_| ()).is_ok());
        assert!(matches!(tracker.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
        assert!(tracker.record_failure(MirrorFailure::Status { code: 404 }, &mut |_| ()).is_ok());
        assert!(matches!(tracker.all_failed("x".to_owned(), true), DownloadWorkerError::Protocol(_)));
    }

    #[test]
    fn reported_bytes_are_progress_up_to_a_bound() {
        let mut tracker = AttemptTracker::new(vec!["a".to_owned()], 100);
        assert!(tracker.record_moved(1, 2, &mut |_| ()).is_err() && tracker.progress() == 0);
        assert!(tracker.start_attempt(0, &mut |_| ()).is_ok());
        let mut progress = |bytes| {
            assert!(tracker.record_moved(bytes, 100, &mut |_| ()).is_ok());
            tracker.progress() - MIN_PROGRESS
        };
        assert_eq!([0, 40, 40, 100].map(&mut progress), [0, 40, 40, 100]);
        // The bytes of a second and a third try count too, and no more.
        let repeated: Vec<_> = (0..20).map(|n| progress(if n % 2 == 0 { 0 } else { 100 })).collect();
        assert_eq!(repeated[..6], [100, 200, 200, 300, 300, 300]);
        assert!(repeated[6..].iter().all(|progress| *progress == 300));
        for (bytes, of) in [(2, 1), (1, 101)] {
            assert!(tracker.record_moved(bytes, of, &mut |_| ()).is_err());
        }
    }

    #[test]
    fn messages_about_received_bytes_are_counted() {
        let mut tracker = AttemptTracker::new(vec!["a".to_owned()], 100);
        assert!(tracker.start_attempt(0, &mut |_| ()).is_ok());
        assert!((0..MAX_MOVED_MESSAGES).all(|_| tracker.record_moved(1, 2, &mut |_| ()).is_ok()));
        assert!(tracker.record_moved(1, 2, &mut |_| ()).is_err());
    }
}
