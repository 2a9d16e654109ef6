//! Work that goes on in another thread while a test does its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Runs `other` in a thread, and `work` beside it. The flag that `other` gets is set as soon as `work` has returned or
/// panicked: a test that failed or was skipped must not wait for the thread forever.
pub(crate) fn run_alongside<Other: Send, Done>(
    other: impl FnOnce(&AtomicBool) -> Other + Send,
    work: impl FnOnce() -> Done,
) -> (Other, Done) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| other(&stop));
        let stops = StopOnDrop(&stop);
        let done = work();
        drop(stops);
        (running.join().unwrap(), done)
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
