//! What the parent makes of the child's words. It believes none of them: each has its turn, its size
//! and its end, and all text that people see is the parent's own or made printable.
//!
//! Knows no process: [`Receiver`] is given bytes, wherever they come from.

use std::io;

use super::course::{Course, garbled};
use super::protocol_download::Word;
use super::session::Inbox;
use super::wire::{Garbled, Lack, Piece};
use crate::catalog::{Member, Plan};
use crate::download::{DownloadError, Event, Fetched, Mirror};
use crate::text::one_line;

/// Follows one download.
#[derive(Debug)]
pub struct Receiver<'a> {
    plan: &'a Plan<'a>,
    inbox: Inbox,
    course: Course,
    /// How many members are complete.
    complete: usize,
    /// How many bytes of the next one there are.
    given: u64,
}

/// Why nothing more is read.
#[derive(Debug)]
pub enum Stop {
    /// The child breaks the rules.
    Garbled(Garbled),
    /// The download failed, as downloads do.
    Failed(DownloadError),
}

impl From<Garbled> for Stop {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled)
    }
}

impl<'a> Receiver<'a> {
    /// Nothing was said yet.
    pub fn new(plan: &'a Plan<'a>, mirrors: &'a [Mirror]) -> Self {
        let shown = mirrors.iter().map(|mirror| mirror.shown(plan.package())).collect();
        Self { plan, inbox: Inbox::default(), course: Course::new(shown), complete: 0, given: 0 }
    }

    /// What this kernel could not take from the child.
    pub fn lacks(&self) -> &[Lack] {
        self.inbox.lacks()
    }

    /// Takes what came, and gives members' bytes to `sink`, never more of one than it is long. Done when
    /// it returns what was fetched.
    pub fn take(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Fetched>, Stop> {
        while let Some(piece) = self.inbox.next(&mut input)? {
            let done = match piece {
                Piece::Bytes(bytes) => self.bytes(bytes, sink).map(|()| None)?,
                Piece::Word(word) => self.word(word, tell)?,
            };
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    fn bytes(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>) -> Result<(), Stop> {
        self.course.at_work()?;
        let member = self.member()?;
        let given = self.given.saturating_add(bytes.len() as u64);
        if given > member.size {
            return Err(garbled(&format!("more bytes of qemu-{} than it has", member.target)));
        }
        sink(member, bytes)
            .map_err(|source| Stop::Failed(DownloadError::Write { what: format!("qemu-{}", member.target), source }))?;
        self.given = given;
        Ok(())
    }

    fn word(&mut self, word: Word, tell: &mut dyn FnMut(Event<'_>)) -> Result<Option<Fetched>, Stop> {
        match word {
            Word::Asking { mirror } => self.course.ask(mirror, tell)?,
            Word::Moved { bytes, of } => {
                self.course.at_work()?;
                tell(Event::Moved { bytes, of });
            }
            Word::GaveUp(reason) => self.course.gave_up(reason, tell)?,
            Word::Verified => self.verified(tell)?,
            Word::Fetched { moved } => return self.fetched(moved).map(Some),
            Word::Failed => return Err(self.course.failed(self.plan.package().file_name().to_owned(), true)),
            Word::NoClient(why) => return Err(Stop::Failed(DownloadError::Client(one_line(&why)))),
            Word::Inconsistent(why) => {
                self.course.at_work()?;
                let (target, why) = (self.member()?.target.clone(), one_line(&why));
                return Err(Stop::Failed(DownloadError::Inconsistent { target, why }));
            }
        }
        Ok(None)
    }

    fn verified(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Stop> {
        self.course.at_work()?;
        let member = self.member()?;
        if self.given != member.size {
            return Err(garbled(&format!("that qemu-{} is complete, which it is not", member.target)));
        }
        tell(Event::Verified { member });
        self.complete = self.complete.saturating_add(1);
        self.given = 0;
        Ok(())
    }

    fn fetched(&self, moved: u64) -> Result<Fetched, Stop> {
        let url = self.course.at_work()?;
        if self.complete < self.plan.members().len() {
            return Err(garbled("that all is fetched, which it is not"));
        }
        Ok(Fetched { url, moved })
    }

    /// The member whose bytes come next.
    fn member(&self) -> Result<&'a Member, Stop> {
        let next = self.plan.members().get(self.complete).copied();
        next.ok_or_else(|| garbled("more members than were asked for"))
    }
}
