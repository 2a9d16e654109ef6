//! The parent's side of the unpack worker.
//!
//! The parent does not trust the worker, which has parsed an untrusted archive. It verifies the order of the messages,
//! the declared sizes, and that each emulator is complete before the next one begins.

use std::io;

use crate::qemu::archive::protocol::UnpackMessage;
use crate::qemu::archive::{MAX_MEMBER, MAX_TOTAL, Manifest};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// State of one archive that is being unpacked, as the parent has verified it.
#[derive(Debug)]
pub struct UnpackSupervisor<'a> {
    targets: &'a [&'a str],
    inbox: Inbox,
    manifest: Option<Manifest>,
    /// Targets whose emulators are complete.
    complete: Vec<&'a str>,
    /// Target of the current emulator, and the number of its missing bytes.
    current: Option<(&'a str, u64)>,
    /// Size of all emulators together.
    total: u64,
    /// Number of accepted bytes of emulators.
    accepted: u64,
}

/// Contents of an unpacked archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackSummary {
    /// Targets whose emulators are complete.
    pub targets: Vec<String>,
    /// Manifest of a bundle.
    pub manifest: Option<Manifest>,
}

/// Reason why unpacking ended early.
#[derive(Debug)]
pub enum UnpackWorkerError {
    /// The worker broke the protocol.
    Protocol(ProtocolError),
    /// The worker reports that the archive is malformed or unsupported.
    Refused(String),
    /// The sink failed to write the bytes of an emulator.
    Sink(io::Error),
}

impl From<ProtocolError> for UnpackWorkerError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl<'a> UnpackSupervisor<'a> {
    /// Creates the state before the first byte of the worker.
    pub fn new(targets: &'a [&'a str]) -> Self {
        Self {
            targets,
            inbox: Inbox::default(),
            manifest: None,
            complete: Vec::new(),
            current: None,
            total: 0,
            accepted: 0,
        }
    }

    /// Returns the protections that this kernel lacks, as the worker reported them.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Returns the number of accepted bytes of emulators.
    pub fn progress(&self) -> u64 {
        self.accepted
    }

    /// Handles bytes of the worker's output and gives the bytes of emulators to `sink`, with their targets. Returns
    /// `Some` when the archive is complete.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        while let Some(frame) = self.inbox.next_frame::<UnpackMessage>(&mut input)? {
            match frame {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink)?,
                Frame::Message(message) => {
                    if let Some(summary) = self.handle_message(message)? {
                        return Ok(Some(summary));
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
        let (target, left) = self.current.as_mut().ok_or_else(|| protocol_error("unexpected bytes"))?;
        *left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| protocol_error("more bytes than the size of the emulator"))?;
        self.accepted = self.accepted.saturating_add(bytes.len() as u64);
        sink(target, bytes).map_err(UnpackWorkerError::Sink)
    }

    fn handle_message(&mut self, message: UnpackMessage) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        match message {
            UnpackMessage::Refused(why) => Err(UnpackWorkerError::Refused(to_one_line(&why))),
            UnpackMessage::End => self.end_emulator().map(|()| None),
            _ if self.current.is_some() => Err(protocol_error("unexpected message within an emulator")),
            UnpackMessage::Manifest(manifest) => match self.manifest.replace(manifest) {
                None if self.complete.is_empty() => Ok(None),
                _ => Err(protocol_error("unexpected manifest")),
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
        let known = known.ok_or_else(|| protocol_error("an emulator that was not requested"))?;
        self.total = self.total.saturating_add(size);
        if self.complete.contains(known) || size > MAX_MEMBER || self.total > MAX_TOTAL {
            return Err(protocol_error("a duplicate or too large emulator"));
        }
        self.current = Some((known, size));
        Ok(())
    }

    fn end_emulator(&mut self) -> Result<(), UnpackWorkerError> {
        match self.current.take() {
            Some((target, 0)) => self.complete.push(target),
            _ => return Err(protocol_error("the end of an emulator before its last byte")),
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

    /// Handles these messages, with this number of bytes after each beginning of an emulator.
    fn handle(
        ready: bool,
        messages: &[UnpackMessage],
        bytes: usize,
    ) -> Result<Option<UnpackSummary>, UnpackWorkerError> {
        let mut output = Vec::new();
        if ready {
            drop(frame::write_message(&mut output, &Handshake::Ready { lacks: Vec::new() }));
        }
        for message in messages {
            drop(frame::write_message(&mut output, message));
            if matches!(message, UnpackMessage::Begin { .. }) && bytes > 0 {
                drop(frame::write_bytes(&mut output, &vec![7; bytes]));
            }
        }
        UnpackSupervisor::new(&["arm", "riscv64"]).handle_input(&output, &mut |_, _| Ok(()))
    }

    fn begin(target: &str, size: u64) -> UnpackMessage {
        UnpackMessage::Begin { target: target.into(), size }
    }

    #[test]
    fn messages_in_order_are_accepted() {
        let messages =
            [begin("arm", 3), UnpackMessage::End, begin("riscv64", 3), UnpackMessage::End, UnpackMessage::Done];
        let summary = handle(true, &messages, 3).ok().flatten();
        assert_eq!(summary.map(|summary| summary.targets), Some(vec!["arm".to_owned(), "riscv64".to_owned()]));
        assert!(matches!(handle(true, &messages[..4], 3), Ok(None)));
    }

    #[test]
    fn other_messages_are_protocol_errors() {
        let manifest = || Manifest { version: 1, host: String::new(), qemu: String::new(), files: Vec::new() };
        let wrong: [&[UnpackMessage]; 9] = [
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
        for messages in wrong {
            assert!(matches!(handle(true, messages, 3), Err(UnpackWorkerError::Protocol(_))), "{messages:?}");
        }
        assert!(matches!(handle(false, &[UnpackMessage::Done], 3), Err(UnpackWorkerError::Protocol(_))));
        assert!(matches!(handle(true, &[UnpackMessage::Refused("x".into())], 0), Err(UnpackWorkerError::Refused(_))));
    }
}
