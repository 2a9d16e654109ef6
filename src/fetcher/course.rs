//! Which mirror a worker asks, which ones gave up, and what the worker may therefore say next: the same for every kind
//! of download.

use super::receive::Stop;
use super::wire::Garbled;
use crate::download::{self, Event, MOST_ASKS, Reason, Try};

/// The course of one download.
#[derive(Debug)]
pub(super) struct Course {
    /// The mirrors that may be asked, as people may see them.
    mirrors: Vec<Listed>,
    /// The number of the one that is asked now.
    at_work: Option<usize>,
    tries: Vec<Try>,
}

/// One mirror.
#[derive(Debug)]
struct Listed {
    shown: String,
    /// How often it was asked.
    asked: usize,
}

impl Course {
    pub(super) fn new(shown: Vec<String>) -> Self {
        let mirrors = shown.into_iter().map(|shown| Listed { shown, asked: 0 }).collect();
        Self { mirrors, at_work: None, tries: Vec::new() }
    }

    /// The worker asks the mirror of this number. How often it may do so is bounded, so that its reasons to give up take
    /// bounded memory.
    pub(super) fn ask(&mut self, mirror: usize, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Stop> {
        if self.at_work.is_some() {
            return Err(garbled("that it asks a mirror while it asks another"));
        }
        let listed = self.mirrors.get_mut(mirror);
        let listed = listed.ok_or_else(|| garbled("that it asks a mirror that there is not"))?;
        if listed.asked >= MOST_ASKS {
            return Err(garbled("that it asks a mirror more often than it may"));
        }
        listed.asked = listed.asked.saturating_add(1);
        self.at_work = Some(mirror);
        tell(Event::Asking { mirror, url: &listed.shown });
        Ok(())
    }

    pub(super) fn gave_up(&mut self, reason: Reason, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Stop> {
        let url = self.at_work()?;
        tell(Event::GaveUp { url: &url, reason: &reason });
        self.at_work = None;
        self.tries.push(Try { url, reason });
        Ok(())
    }

    /// All mirrors gave up: so each was asked.
    pub(super) fn failed(&mut self, what: String, mirrored: bool) -> Stop {
        if self.at_work.is_some() || self.mirrors.iter().any(|listed| listed.asked == 0) {
            return garbled("that all mirrors gave up, which they did not");
        }
        Stop::Failed(download::failure(what, mirrored, std::mem::take(&mut self.tries)))
    }

    /// The mirror that is at work, for people.
    pub(super) fn at_work(&self) -> Result<String, Stop> {
        let working = self.at_work.and_then(|mirror| self.mirrors.get(mirror));
        working.map(|listed| listed.shown.clone()).ok_or_else(|| garbled("something of no mirror"))
    }
}

pub(super) fn garbled(what: &str) -> Stop {
    Stop::Garbled(Garbled(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_known_by_its_number_and_asked_three_times_at_most() {
        let mut course = Course::new(vec!["a".to_owned(), "b".to_owned()]);
        let mut asked = Vec::new();
        let gone = || Reason::Broken("reset".to_owned());
        assert!(course.ask(2, &mut |_| ()).is_err());
        for mirror in [0, 1, 1, 1] {
            let mut tell = |event: Event<'_>| {
                if let Event::Asking { url, .. } = event {
                    asked.push(url.to_owned());
                }
            };
            assert!(course.ask(mirror, &mut tell).is_ok() && course.ask(0, &mut |_| ()).is_err());
            assert!(course.gave_up(gone(), &mut |_| ()).is_ok());
        }
        assert_eq!(asked, ["a", "b", "b", "b"]);
        assert!(course.gave_up(gone(), &mut |_| ()).is_err());
        assert!(course.ask(1, &mut |_| ()).is_err());
        assert!(matches!(course.failed("x".to_owned(), true), Stop::Failed(_)));
    }

    #[test]
    fn all_gave_up_only_when_each_was_asked() {
        let mut course = Course::new(vec!["a".to_owned(), "b".to_owned()]);
        assert!(course.ask(0, &mut |_| ()).is_ok());
        assert!(matches!(course.failed("x".to_owned(), true), Stop::Garbled(_)));
        assert!(course.gave_up(Reason::Status { code: 404 }, &mut |_| ()).is_ok());
        assert!(matches!(course.failed("x".to_owned(), true), Stop::Garbled(_)));
    }
}
