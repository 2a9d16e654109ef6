//! What the parent makes of the words of a child that downloads one file.

use std::io;

use super::course::{Course, garbled};
use super::protocol_download::Word;
use super::receive::Stop;
use super::session::Inbox;
use super::wire::{Lack, Piece};
use crate::download::{DownloadError, Event, Fetched, FileUrl, Part, Wanted};
use crate::text::one_line;

/// Follows the download of one file.
#[derive(Debug)]
pub struct FileReceiver<'a> {
    wanted: &'a Wanted,
    inbox: Inbox,
    course: Course,
    /// How many of its bytes there are.
    at: u64,
}

impl<'a> FileReceiver<'a> {
    /// Nothing was said yet.
    pub fn new(wanted: &'a Wanted, urls: &[FileUrl]) -> Self {
        let course = Course::new(urls.iter().map(ToString::to_string).collect());
        Self { wanted, inbox: Inbox::default(), course, at: wanted.there }
    }

    /// What this kernel could not take from the child.
    pub fn lacks(&self) -> &[Lack] {
        self.inbox.lacks()
    }

    /// Takes what came, and gives the file to `sink`, never more than it may have. Done when it returns what was fetched:
    /// as many bytes as it should have, whichever they are.
    pub fn take(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Fetched>, Stop> {
        while let Some(piece) = self.inbox.next(&mut input)? {
            let done = match piece {
                Piece::Bytes(bytes) => self.bytes(bytes, sink).map(|()| None)?,
                Piece::Word(word) => self.word(word, sink, tell)?,
            };
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    fn bytes(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>) -> Result<(), Stop> {
        self.course.at_work()?;
        let at = self.at.saturating_add(bytes.len() as u64);
        if at > self.wanted.size.unwrap_or(self.wanted.most) {
            return Err(garbled("more bytes than the file has"));
        }
        self.write(Part::Bytes(bytes), sink)?;
        self.at = at;
        Ok(())
    }

    fn write(&self, part: Part<'_>, sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>) -> Result<(), Stop> {
        sink(part).map_err(|source| Stop::Failed(DownloadError::Write { what: self.wanted.name.clone(), source }))
    }

    fn word(
        &mut self,
        word: Word,
        sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Fetched>, Stop> {
        match word {
            Word::Asking { mirror } => self.course.ask(mirror, tell)?,
            Word::Moved { bytes, of } => {
                self.course.at_work()?;
                tell(Event::Moved { bytes, of });
            }
            Word::GaveUp(reason) => {
                let anew = self.wanted.begins_anew(&reason) && self.at > 0;
                self.course.gave_up(reason, tell)?;
                if anew {
                    self.at = 0;
                    self.write(Part::Anew, sink)?;
                }
            }
            Word::Fetched { moved } => {
                let url = self.course.at_work()?;
                if self.wanted.size.is_some_and(|size| size != self.at) {
                    return Err(garbled("that all is fetched, which it is not"));
                }
                return Ok(Some(Fetched { url, moved }));
            }
            Word::Failed => return Err(self.course.failed(self.wanted.name.clone(), self.wanted.mirrored)),
            Word::NoClient(why) => return Err(Stop::Failed(DownloadError::Client(one_line(&why)))),
            Word::Verified | Word::Inconsistent(_) => {
                return Err(garbled("something of a package, and a file is asked for"));
            }
        }
        Ok(None)
    }
}
