//! What the parent makes of the words of the child that unpacks. As in `receive`, it believes none of them: each has its
//! turn, and each emulator its size and its end.

use std::io;

use super::protocol_archive::Found;
use super::session::Inbox;
use super::wire::{Garbled, Lack, Piece};
use crate::archive::{LARGEST_MEMBER, LARGEST_TOTAL, Manifest};
use crate::text::one_line;

/// Follows one archive being unpacked.
#[derive(Debug)]
pub struct Listener<'a> {
    targets: &'a [&'a str],
    inbox: Inbox,
    manifest: Option<Manifest>,
    /// The emulators that are complete.
    complete: Vec<&'a str>,
    /// The one that is coming, and how many bytes of it are.
    coming: Option<(&'a str, u64)>,
    /// How many bytes all have together.
    total: u64,
}

/// What an archive had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The targets whose emulators are complete.
    pub targets: Vec<String>,
    /// What a bundle says of itself.
    pub manifest: Option<Manifest>,
}

/// Why nothing more is heard.
#[derive(Debug)]
pub enum Deaf {
    /// The child breaks the rules.
    Garbled(Garbled),
    /// It takes the archive for a bad one.
    Refused(String),
    /// There is no room for what it gives.
    Sink(io::Error),
}

impl From<Garbled> for Deaf {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled)
    }
}

impl<'a> Listener<'a> {
    /// Nothing was said yet.
    pub fn new(targets: &'a [&'a str]) -> Self {
        Self { targets, inbox: Inbox::default(), manifest: None, complete: Vec::new(), coming: None, total: 0 }
    }

    /// What this kernel could not take from the child.
    pub fn lacks(&self) -> &[Lack] {
        self.inbox.lacks()
    }

    /// Takes what came, and gives emulators' bytes to `sink`, with their targets. Done when it returns something.
    pub fn take(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> Result<Option<Unpacked>, Deaf> {
        while let Some(piece) = self.inbox.next::<Found>(&mut input)? {
            match piece {
                Piece::Bytes(bytes) => self.bytes(bytes, sink)?,
                Piece::Word(word) => {
                    if let Some(unpacked) = self.word(word)? {
                        return Ok(Some(unpacked));
                    }
                }
            }
        }
        Ok(None)
    }

    fn bytes(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>) -> Result<(), Deaf> {
        let (target, left) = self.coming.as_mut().ok_or_else(|| garbled("bytes of no emulator"))?;
        *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| garbled("more bytes than an emulator has"))?;
        sink(target, bytes).map_err(Deaf::Sink)
    }

    fn word(&mut self, word: Found) -> Result<Option<Unpacked>, Deaf> {
        match word {
            Found::Refused(why) => Err(Deaf::Refused(one_line(&why))),
            Found::End => self.end().map(|()| None),
            _ if self.coming.is_some() => Err(garbled("something amidst an emulator")),
            Found::Manifest(manifest) => match self.manifest.replace(manifest) {
                None if self.complete.is_empty() => Ok(None),
                _ => Err(garbled("a manifest that does not come first")),
            },
            Found::Begin { target, size } => self.begin(&target, size).map(|()| None),
            Found::Done => {
                let targets = self.complete.iter().map(|target| (*target).to_owned()).collect();
                Ok(Some(Unpacked { targets, manifest: self.manifest.take() }))
            }
        }
    }

    fn begin(&mut self, target: &str, size: u64) -> Result<(), Deaf> {
        let known = self.targets.iter().find(|known| **known == target);
        let known = known.ok_or_else(|| garbled("an emulator that nobody asked for"))?;
        self.total = self.total.saturating_add(size);
        if self.complete.contains(known) || size > LARGEST_MEMBER || self.total > LARGEST_TOTAL {
            return Err(garbled("an emulator twice, or a larger one than there is"));
        }
        self.coming = Some((known, size));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Deaf> {
        match self.coming.take() {
            Some((target, 0)) => self.complete.push(target),
            _ => return Err(garbled("that an emulator is complete, which it is not")),
        }
        Ok(())
    }
}

fn garbled(what: &str) -> Deaf {
    Deaf::Garbled(Garbled(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetcher::session::Handshake;
    use crate::fetcher::wire;

    /// What comes of these words, with so many bytes behind each beginning.
    fn heard(ready: bool, words: &[Found], bytes: usize) -> Result<Option<Unpacked>, Deaf> {
        let mut said = Vec::new();
        if ready {
            drop(wire::say(&mut said, &Handshake::Ready { lacks: Vec::new() }));
        }
        for word in words {
            drop(wire::say(&mut said, word));
            if matches!(word, Found::Begin { .. }) && bytes > 0 {
                drop(wire::give(&mut said, &vec![7; bytes]));
            }
        }
        Listener::new(&["arm", "riscv64"]).take(&said, &mut |_, _| Ok(()))
    }

    fn begin(target: &str, size: u64) -> Found {
        Found::Begin { target: target.into(), size }
    }

    #[test]
    fn an_honest_child_is_heard() {
        let words = [begin("arm", 3), Found::End, begin("riscv64", 3), Found::End, Found::Done];
        let unpacked = heard(true, &words, 3).ok().flatten();
        assert_eq!(unpacked.map(|unpacked| unpacked.targets), Some(vec!["arm".to_owned(), "riscv64".to_owned()]));
        assert!(matches!(heard(true, &words[..4], 3), Ok(None)));
    }

    #[test]
    fn another_is_not() {
        let manifest = || Manifest { version: 1, host: String::new(), qemu: String::new(), files: Vec::new() };
        let lies: [&[Found]; 9] = [
            &[Found::End],
            &[begin("ppc", 3)],
            &[begin("arm", 2)],
            &[begin("arm", 4), Found::End],
            &[begin("arm", 4), Found::Done],
            &[begin("arm", LARGEST_MEMBER + 1)],
            &[begin("arm", 3), Found::End, begin("arm", 3)],
            &[begin("arm", 3), Found::End, Found::Manifest(manifest())],
            &[Found::Manifest(manifest()), Found::Manifest(manifest())],
        ];
        for lie in lies {
            assert!(matches!(heard(true, lie, 3), Err(Deaf::Garbled(_))), "{lie:?}");
        }
        assert!(matches!(heard(false, &[Found::Done], 3), Err(Deaf::Garbled(_))));
        assert!(matches!(heard(true, &[Found::Refused("x".into())], 0), Err(Deaf::Refused(_))));
    }
}
