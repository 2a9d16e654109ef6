//! Work on several items at once. Most of it waits for other processes: probes, and emulators that report their release.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::sorted;

/// Applies `work` to every item, in as many threads as the machine has processors. Returns the results in the order of the
/// items. Where no other thread can be started, this one does everything.
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let work_off = || {
        let mut done = Vec::new();
        loop {
            // A statement of its own, so that the queue is free while the work is done.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, item)) = next else { return done };
            done.push((number, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, work_off).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = work_off();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    sorted::sort_by_key(&mut done, |(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Does `other` in another thread while this one does `own`. Where no other thread can be started, this one does both.
pub fn both<R: Send, S>(other: impl Fn() -> R + Sync, own: impl FnOnce() -> S) -> (R, S) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &other).ok();
        let result = own();
        (thread.map_or_else(&other, |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))), result)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{both, map};

    #[test]
    fn every_item_is_worked_on_once_and_results_keep_their_order() {
        let calls = AtomicUsize::new(0);
        let doubled = map((0..1000).collect(), |number: usize| {
            calls.fetch_add(1, Ordering::Relaxed);
            number * 2
        });
        assert_eq!(doubled, (0..1000).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(calls.into_inner(), 1000);
        assert!(map(Vec::<u8>::new(), |number| number).is_empty());
    }

    #[test]
    fn both_results_are_returned() {
        let calls = AtomicUsize::new(0);
        let call = || calls.fetch_add(1, Ordering::Relaxed) < 2;
        assert_eq!(both(call, call), (true, true));
        assert_eq!(calls.into_inner(), 2);
    }

    #[test]
    fn a_panic_of_a_thread_is_not_lost() {
        let panics = std::panic::catch_unwind(|| map((0..100).collect(), |number: u8| assert_ne!(number, 50)));
        assert!(panics.is_err());
    }
}
