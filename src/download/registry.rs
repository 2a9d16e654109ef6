//! Pulls an image from a registry (distribution-spec v1.1, "Pull"), a piece after the other, as its chain of digests
//! wants them.
//!
//! A token is for the registry alone: a redirect to another host, as most have for their layers, is followed without it
//! (the client library takes `Authorization` away), and never from https to http.

use std::io;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};

use super::http::{Answer, Ask, read_all, status};
use super::pulling::Piece;
use super::token::{self, Told};
use super::{Client, Reason, TURNS, Turns};
use crate::oci::{Bad, Chain, Challenge, Credentials, LARGEST_DOCUMENT, Platform, Reference, Want};

/// A piece of the image, as it comes.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// An index or manifest, complete and as its digest says.
    Document(&'a [u8]),
    /// Some bytes of a layer; its digest is compared when the last ones come.
    Layer(&'a [u8]),
}

/// Why a pull ended before it was done.
#[derive(Debug)]
pub enum Stopped {
    /// A piece could not be had.
    Piece(Piece),
    /// The sink would not take more.
    Sink(io::Error),
}

impl From<Reason> for Stopped {
    fn from(reason: Reason) -> Self {
        Self::Piece(Piece::Registry(reason))
    }
}

impl From<Bad> for Stopped {
    fn from(bad: Bad) -> Self {
        Self::Piece(Piece::Bad(bad))
    }
}

/// Pulls the image and gives its pieces to `sink`, in their order. Returns how many bytes of bodies came.
pub fn pull(
    client: &Client,
    image: &Reference,
    platform: Platform,
    credentials: &Credentials,
    sink: &mut dyn FnMut(Given<'_>) -> io::Result<()>,
) -> Result<u64, Stopped> {
    let mut chain = Chain::new(image, platform);
    let mut registry = Registry { client, image, credentials, authorization: None, moved: 0 };
    loop {
        match chain.want() {
            Want::Document { digest, size } => {
                let name = digest.map_or_else(|| image.asked(), |digest| format!("sha256:{digest}"));
                let document = registry.document(&name, size)?;
                chain.document(&document)?;
                sink(Given::Document(&document)).map_err(Stopped::Sink)?;
            }
            Want::Layer { .. } => registry.layer(&mut chain, sink)?,
            Want::Nothing => return Ok(registry.moved),
        }
    }
}

struct Registry<'a> {
    client: &'a Client,
    image: &'a Reference,
    credentials: &'a Credentials,
    /// What the registry wants to hear, once it has said so.
    authorization: Option<String>,
    moved: u64,
}

impl Registry<'_> {
    /// A whole document, bounded before anything of it is looked at.
    fn document(&mut self, name: &str, size: Option<u64>) -> Result<Vec<u8>, Stopped> {
        let url = format!("{}/manifests/{name}", self.image.base());
        let mut bytes = Vec::new();
        self.patiently(|registry| {
            bytes.clear();
            registry.whole(&url, size, &mut bytes)
        })?;
        Ok(bytes)
    }

    /// Until it is there: once more at once if some of it came, else after a pause, if the reason may pass.
    fn patiently(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<(), Stopped>) -> Result<(), Stopped> {
        let (mut turns, mut left) = (Turns::new(1, self.client.pause()), TURNS);
        turns.turn();
        loop {
            let before = self.moved;
            let reason = match attempt(self) {
                Err(Stopped::Piece(Piece::Registry(reason))) => reason,
                end => return end,
            };
            left = left.saturating_sub(1);
            if left > 0 && self.moved > before && reason.is_passing() {
                continue;
            }
            turns.gave_up(&reason);
            match turns.turn() {
                Some(turn) => std::thread::sleep(turn.wait),
                None => return Err(reason.into()),
            }
        }
    }

    fn whole(&mut self, url: &str, size: Option<u64>, bytes: &mut Vec<u8>) -> Result<(), Stopped> {
        let mut answer = self.ask(url, None, &[(ACCEPT, Chain::accepted())])?;
        if answer.status != 200 {
            return Err(status(&answer, answer.status).into());
        }
        let most = size.unwrap_or(LARGEST_DOCUMENT);
        let said = answer.content_length();
        if let Some(got) = said.filter(|got| *got > most) {
            return Err(Bad::Size { got, wanted: most }.into());
        }
        let whole = read_all(&mut answer.body, most, bytes, &mut self.moved)?;
        let got = bytes.len() as u64;
        match said.or(size) {
            _ if !whole => Err(Bad::Size { got, wanted: most }.into()),
            Some(wanted) if got < wanted => Err(Reason::Truncated { got, wanted }.into()),
            _ => Ok(()),
        }
    }

    /// The layer that the chain wants, asked for again from where it broke.
    fn layer(&mut self, chain: &mut Chain, sink: &mut dyn FnMut(Given<'_>) -> io::Result<()>) -> Result<(), Stopped> {
        let Want::Layer { digest, size, .. } = chain.want() else { return Ok(()) };
        let url = format!("{}/blobs/sha256:{digest}", self.image.base());
        self.patiently(|registry| registry.rest(&url, size, chain, sink))
    }

    fn rest(
        &mut self,
        url: &str,
        size: u64,
        chain: &mut Chain,
        sink: &mut dyn FnMut(Given<'_>) -> io::Result<()>,
    ) -> Result<(), Stopped> {
        let Want::Layer { got, .. } = chain.want() else { return Ok(()) };
        // The server may have no ranges, which distribution-spec v1.1 leaves to it.
        let mut answer = self.ask(url, (got > 0).then_some(got), &[])?;
        let mut at = begin(&answer, got, size)?;
        let mut buffer = vec![0; 128 << 10];
        while at < size {
            let most = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
            let length = answer.body.read(buffer.get_mut(..most).unwrap_or_default())?;
            if length == 0 {
                return Err(Reason::Truncated { got: at, wanted: size }.into());
            }
            self.moved = self.moved.saturating_add(length as u64);
            // What is there already comes again.
            let skip = usize::try_from(got.saturating_sub(at)).unwrap_or(usize::MAX).min(length);
            at = at.saturating_add(length as u64);
            let bytes = buffer.get(skip..length).unwrap_or_default();
            if !bytes.is_empty() {
                chain.layer(bytes)?;
                sink(Given::Layer(bytes)).map_err(Stopped::Sink)?;
            }
        }
        Ok(())
    }

    /// Asks, and says who we are if the registry wants to know: once for every time that it does not know any more.
    fn ask(&mut self, url: &str, from: Option<u64>, headers: &[(HeaderName, String)]) -> Result<Answer, Stopped> {
        let answer = self.ask_once(url, from, headers)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let challenges: Vec<_> = answer.values(&WWW_AUTHENTICATE).flat_map(Challenge::parse).collect();
        // Its connection is free again.
        drop(answer);
        let Told { authorization, withheld } =
            token::answer(self.client, self.image, self.credentials, &challenges, &mut self.moved)
                .map_err(Stopped::Piece)?;
        self.authorization = Some(authorization);
        let answer = self.ask_once(url, from, headers)?;
        if answer.status == 401 { Err(Stopped::Piece(Piece::Closed(withheld))) } else { Ok(answer) }
    }

    fn ask_once(&self, url: &str, from: Option<u64>, headers: &[(HeaderName, String)]) -> Result<Answer, Reason> {
        let mut headers = headers.to_vec();
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let answer = self.client.ask(Ask { url, range: from.map(|from| (from, None)), headers: &headers })?;
        answer.check_coding()?;
        Ok(answer)
    }
}

/// From which byte on the body is: the one that was asked for, or the first.
fn begin(answer: &Answer, asked: u64, size: u64) -> Result<u64, Reason> {
    let (at, wanted) = match answer.status {
        200 => (0, size),
        206 if asked > 0 => {
            let range = format!("bytes {asked}-{}", size.saturating_sub(1));
            let (whole, open) = (format!("{range}/{size}"), format!("{range}/*"));
            match answer.content_range() {
                Some(got) if got == whole || got == open => {}
                got => return Err(Reason::Range { wanted: whole, got: got.unwrap_or("no Content-Range".into()) }),
            }
            (asked, size.saturating_sub(asked))
        }
        code => return Err(status(answer, code)),
    };
    match answer.content_length() {
        Some(got) if got != wanted => Err(Reason::Size { got, wanted }),
        _ => Ok(at),
    }
}
