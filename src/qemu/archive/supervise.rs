//! What the parent makes of the words of the child that unpacks. As in `receive`, it believes none of them: each has its
//! turn, and each emulator its size and its end.

use std::io;

use crate::qemu::archive::protocol::UnpackMessage;
use crate::qemu::archive::{MAX_MEMBER, MAX_TOTAL, Manifest};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Follows one archive being unpacked.
#[derive(Debug)]
pub struct UnpackSupervisor<'a> {
    targets: &'a [&'a str],
    inbox: Inbox,
    manifest: Option<Manifest>,
    /// The emulators that are complete.
    complete: Vec<&'a str>,
    /// The one that is coming, and how many bytes of it are.
    current: Option<(&'a str, u64)>,
    /// How many bytes all have together.
    total: u64,
}

/// What an archive had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackSummary {
    /// The targets whose emulators are complete.
    pub targets: Vec<String>,
    /// What a bundle says of itself.
    pub manifest: Option<Manifest>,
}

/// Why nothing more is heard.
#[derive(Debug)]
pub enum UnpackWorkerError {
    /// The child breaks the rules.
    Protocol(ProtocolError),
    /// It takes the archive for a bad one.
    Refused(String),
    /// There is no room for what it gives.
    Sink(io::Error),
}

impl From<ProtocolError> for UnpackWorkerError {
    fn from(garbled: ProtocolError) -> Self {
        Self::Protocol(garbled)
    }
}

impl<'a> UnpackSupervisor<'a> {
    /// Nothing was said yet.
    pub fn new(targets: &'a [&'a str]) -> Self {
        Self { targets, inbox: Inbox::default(), manifest: None, complete: Vec::new(), current: None, total: 0 }
    }

    /// What this kernel could not take from the child.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Takes what came, and gives emulators' bytes to `sink`, with their targets. Done when it returns something.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        while let Some(piece) = self.inbox.next_frame::<UnpackMessage>(&mut input)? {
            match piece {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink)?,
                Frame::Message(word) => {
                    if let Some(unpacked) = self.handle_message(word)? {
                        return Ok(Some(unpacked));
                    }
                }
            }
        }
        Ok(None)
    }

    fn handle_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> Result<(), UnpackWorkerError> {
        let (target, left) = self.current.as_mut().ok_or_else(|| protocol_error("bytes of no emulator"))?;
        *left =
            left.checked_sub(bytes.len() as u64).ok_or_else(|| protocol_error("more bytes than an emulator has"))?;
        sink(target, bytes).map_err(UnpackWorkerError::Sink)
    }

    fn handle_message(&mut self, word: UnpackMessage) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        match word {
            UnpackMessage::Refused(why) => Err(UnpackWorkerError::Refused(to_one_line(&why))),
            UnpackMessage::End => self.end_emulator().map(|()| None),
            _ if self.current.is_some() => Err(protocol_error("something amidst an emulator")),
            UnpackMessage::Manifest(manifest) => match self.manifest.replace(manifest) {
                None if self.complete.is_empty() => Ok(None),
                _ => Err(protocol_error("a manifest that does not come first")),
            },
            UnpackMessage::Begin { target, size } => self.begin_emulator(&target, size).map(|()| None),
            UnpackMessage::Done => {
                let targets = self.complete.iter().map(|target| (*target).to_owned()).collect();
                Ok(Some(UnpackSummary { targets, manifest: self.manifest.take() }))
            }
        }
    }

    fn begin_emulator(&mut self, target: &str, size: u64) -> Result<(), UnpackWorkerError> {
        let known = self.targets.iter().find(|known| **known == target);
        let known = known.ok_or_else(|| protocol_error("an emulator that nobody asked for"))?;
        self.total = self.total.saturating_add(size);
        if self.complete.contains(known) || size > MAX_MEMBER || self.total > MAX_TOTAL {
            return Err(protocol_error("an emulator twice, or a larger one than there is"));
        }
        self.current = Some((known, size));
        Ok(())
    }

    fn end_emulator(&mut self) -> Result<(), UnpackWorkerError> {
        match self.current.take() {
            Some((target, 0)) => self.complete.push(target),
            _ => return Err(protocol_error("that an emulator is complete, which it is not")),
        }
        Ok(())
    }
}

fn protocol_error(what: &str) -> UnpackWorkerError {
    UnpackWorkerError::Protocol(ProtocolError(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::frame;
    use crate::sandbox::session::Handshake;

    /// What comes of these words, with so many bytes behind each beginning.
    fn heard(ready: bool, words: &[UnpackMessage], bytes: usize) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        let mut said = Vec::new();
        if ready {
            drop(frame::write_message(&mut said, &Handshake::Ready { lacks: Vec::new() }));
        }
        for word in words {
            drop(frame::write_message(&mut said, word));
            if matches!(word, UnpackMessage::Begin { .. }) && bytes > 0 {
                drop(frame::write_bytes(&mut said, &vec![7; bytes]));
            }
        }
        UnpackSupervisor::new(&["arm", "riscv64"]).handle_input(&said, &mut |_, _| Ok(()))
    }

    fn begin(target: &str, size: u64) -> UnpackMessage {
        UnpackMessage::Begin { target: target.into(), size }
    }

    #[test]
    fn an_honest_child_is_heard() {
        let words = [begin("arm", 3), UnpackMessage::End, begin("riscv64", 3), UnpackMessage::End, UnpackMessage::Done];
        let unpacked = heard(true, &words, 3).ok().flatten();
        assert_eq!(unpacked.map(|unpacked| unpacked.targets), Some(vec!["arm".to_owned(), "riscv64".to_owned()]));
        assert!(matches!(heard(true, &words[..4], 3), Ok(None)));
    }

    #[test]
    fn another_is_not() {
        let manifest = || Manifest { version: 1, host: String::new(), qemu: String::new(), files: Vec::new() };
        let lies: [&[UnpackMessage]; 9] = [
            &[UnpackMessage::End],
            &[begin("ppc", 3)],
            &[begin("arm", 2)],
            &[begin("arm", 4), UnpackMessage::End],
            &[begin("arm", 4), UnpackMessage::Done],
            &[begin("arm", MAX_MEMBER + 1)],
            &[begin("arm", 3), UnpackMessage::End, begin("arm", 3)],
            &[begin("arm", 3), UnpackMessage::End, UnpackMessage::Manifest(manifest())],
            &[UnpackMessage::Manifest(manifest()), UnpackMessage::Manifest(manifest())],
        ];
        for lie in lies {
            assert!(matches!(heard(true, lie, 3), Err(UnpackWorkerError::Protocol(_))), "{lie:?}");
        }
        assert!(matches!(heard(false, &[UnpackMessage::Done], 3), Err(UnpackWorkerError::Protocol(_))));
        assert!(matches!(heard(true, &[UnpackMessage::Refused("x".into())], 0), Err(UnpackWorkerError::Refused(_))));
    }
}
