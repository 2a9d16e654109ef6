//! Who is asked, who gave up, and what the child may therefore say next: the same for every kind of download.

use super::receive::Stop;
use super::wire::{Garbled, Lack};
use crate::download::{self, Event, Reason, Try, Turns};

/// The course of one download.
#[derive(Debug)]
pub(super) struct Course {
    /// Who may be asked, for people.
    shown: Vec<String>,
    turns: Turns,
    tries: Vec<Try>,
    /// What the kernel lacks, once the child said that it is ready.
    lacks: Option<Vec<Lack>>,
}

impl Course {
    pub(super) fn new(shown: Vec<String>) -> Self {
        // The child waits; here the pauses do not matter.
        let turns = Turns::new(shown.len(), std::time::Duration::ZERO);
        Self { shown, turns, tries: Vec::new(), lacks: None }
    }

    pub(super) fn lacks(&self) -> &[Lack] {
        self.lacks.as_deref().unwrap_or_default()
    }

    pub(super) fn ready(&mut self, lacks: Vec<Lack>) -> Result<(), Stop> {
        match self.lacks.replace(lacks) {
            None => Ok(()),
            Some(_) => Err(garbled("twice that it is ready")),
        }
    }

    pub(super) fn is_ready(&self) -> Result<(), Stop> {
        if self.lacks.is_some() { Ok(()) } else { Err(garbled("something before it was ready")) }
    }

    pub(super) fn ask(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Stop> {
        if self.turns.at_work().is_some() {
            return Err(garbled("that it asks a mirror while it asks another"));
        }
        let next = self.turns.turn().and_then(|turn| self.shown.get(turn.mirror));
        let url = next.ok_or_else(|| garbled("that it asks a mirror that there is not"))?;
        tell(Event::Asking { url });
        Ok(())
    }

    pub(super) fn gave_up(&mut self, reason: Reason, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Stop> {
        let url = self.at_work()?;
        tell(Event::GaveUp { url: &url, reason: &reason });
        self.turns.gave_up(&reason);
        self.tries.push(Try { url, reason });
        Ok(())
    }

    pub(super) fn failed(&mut self, what: String, mirrored: bool) -> Stop {
        if self.turns.at_work().is_some() || self.turns.turn().is_some() {
            return garbled("that all mirrors gave up, which they did not");
        }
        Stop::Failed(download::failure(what, mirrored, std::mem::take(&mut self.tries)))
    }

    /// The mirror that is at work, for people.
    pub(super) fn at_work(&self) -> Result<String, Stop> {
        let working = self.turns.at_work().and_then(|mirror| self.shown.get(mirror));
        working.cloned().ok_or_else(|| garbled("something of no mirror"))
    }
}

pub(super) fn garbled(what: &str) -> Stop {
    Stop::Garbled(Garbled(what.to_owned()))
}
