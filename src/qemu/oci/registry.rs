//! Client of a registry (distribution-spec v1.1, "Pull"), which fetches the documents and layers of an image in the
//! order of its chain of digests.
//!
//! A token is for the registry alone. Most registries redirect requests for layers to another host. Such a redirect is
//! followed without the token (`download::http` removes `Authorization`), and never from https to http.

use std::io;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};

use super::token::{self, Authorization};
use crate::qemu::download::http::{HttpRequest, HttpResponse, read_up_to, status_failure};
use crate::qemu::download::{HttpClient, MirrorFailure, RetrySchedule, TRIES_PER_MIRROR};
use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::{
    AuthChallenge, ChainError, Credentials, DigestChain, Expected, ImageReference, MAX_DOCUMENT_SIZE, Platform,
};

/// Bytes of an image.
#[derive(Debug, Clone, Copy)]
pub enum ImageChunk<'a> {
    /// Complete and verified index or manifest.
    Document(&'a [u8]),
    /// Some bytes of a layer, whose digest is compared after the last ones.
    Layer(&'a [u8]),
}

/// Reason why a pull ended early.
#[derive(Debug)]
pub enum PullStop {
    /// A document or layer could not be fetched or verified.
    Piece(RegistryFailure),
    /// The sink failed.
    Sink(io::Error),
}

impl From<MirrorFailure> for PullStop {
    fn from(reason: MirrorFailure) -> Self {
        Self::Piece(RegistryFailure::Registry(reason))
    }
}

impl From<ChainError> for PullStop {
    fn from(error: ChainError) -> Self {
        Self::Piece(RegistryFailure::Bad(error))
    }
}

/// Pulls the image and gives its documents and layers to `sink`, in their order. Returns the number of bytes in all
/// response bodies.
pub fn pull_image(
    client: &HttpClient,
    image: &ImageReference,
    platform: Platform,
    credentials: &Credentials,
    sink: &mut dyn FnMut(ImageChunk<'_>) -> io::Result<()>,
) -> Result<u64, PullStop> {
    let mut chain = DigestChain::new(image, platform);
    let mut registry = RegistryClient { client, image, credentials, authorization: None, moved: 0 };
    loop {
        match chain.expected() {
            Expected::Document { digest, size } => {
                let name = digest.map_or_else(|| image.tag_or_digest(), |digest| format!("sha256:{digest}"));
                let document = registry.get_document(&name, size)?;
                chain.add_document(&document)?;
                sink(ImageChunk::Document(&document)).map_err(PullStop::Sink)?;
            }
            Expected::Layer { .. } => registry.get_layer(&mut chain, sink)?,
            Expected::Nothing => return Ok(registry.moved),
        }
    }
}

struct RegistryClient<'a> {
    client: &'a HttpClient,
    image: &'a ImageReference,
    credentials: &'a Credentials,
    /// Value of `Authorization`, after the registry has asked for it.
    authorization: Option<String>,
    moved: u64,
}

impl RegistryClient<'_> {
    /// Fetches a whole document. Its length is limited before it is parsed.
    fn get_document(&mut self, name: &str, size: Option<u64>) -> Result<Vec<u8>, PullStop> {
        let url = format!("{}/manifests/{name}", self.image.base_url());
        let mut bytes = Vec::new();
        self.with_retries(|registry| {
            bytes.clear();
            registry.get_whole(&url, size, &mut bytes)
        })?;
        Ok(bytes)
    }

    /// Repeats `attempt` until it succeeds. After a transient failure it is repeated at once if some bytes came,
    /// otherwise after a pause.
    fn with_retries(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<(), PullStop>) -> Result<(), PullStop> {
        let (mut schedule, mut left) = (RetrySchedule::new(1, self.client.retry_pause()), TRIES_PER_MIRROR);
        schedule.next_attempt();
        loop {
            let moved_before = self.moved;
            self.client.start_attempt();
            let reason = match attempt(self) {
                Err(PullStop::Piece(RegistryFailure::Registry(reason))) => reason,
                other => return other,
            };
            left = left.saturating_sub(1);
            if left > 0 && self.moved > moved_before && reason.is_transient() {
                continue;
            }
            schedule.record_failure(&reason);
            match schedule.next_attempt() {
                Some(attempt) => std::thread::sleep(attempt.wait),
                None => return Err(reason.into()),
            }
        }
    }

    fn get_whole(&mut self, url: &str, size: Option<u64>, bytes: &mut Vec<u8>) -> Result<(), PullStop> {
        let mut answer = self.send_authorized(url, None, &[(ACCEPT, DigestChain::accept_header())])?;
        if answer.status != 200 {
            return Err(status_failure(&answer, answer.status).into());
        }
        let max = size.unwrap_or(MAX_DOCUMENT_SIZE);
        let declared = answer.content_length();
        if let Some(got) = declared.filter(|got| *got > max) {
            return Err(ChainError::Size { got, wanted: max }.into());
        }
        let whole = read_up_to(&mut answer.body, max, bytes, &mut self.moved)?;
        let got = bytes.len() as u64;
        match declared.or(size) {
            _ if !whole => Err(ChainError::Size { got, wanted: max }.into()),
            Some(wanted) if got < wanted => Err(MirrorFailure::Truncated { got, wanted }.into()),
            _ => Ok(()),
        }
    }

    /// Fetches the layer that the chain expects. After a cut connection the request starts at the first missing byte.
    fn get_layer(
        &mut self,
        chain: &mut DigestChain,
        sink: &mut dyn FnMut(ImageChunk<'_>) -> io::Result<()>,
    ) -> Result<(), PullStop> {
        let Expected::Layer { digest, size, .. } = chain.expected() else { return Ok(()) };
        let url = format!("{}/blobs/sha256:{digest}", self.image.base_url());
        self.with_retries(|registry| registry.get_rest(&url, size, chain, sink))
    }

    fn get_rest(
        &mut self,
        url: &str,
        size: u64,
        chain: &mut DigestChain,
        sink: &mut dyn FnMut(ImageChunk<'_>) -> io::Result<()>,
    ) -> Result<(), PullStop> {
        let Expected::Layer { got, .. } = chain.expected() else { return Ok(()) };
        // Support for ranges is optional for a registry (distribution-spec v1.1).
        let mut answer = self.send_authorized(url, (got > 0).then_some(got), &[])?;
        let mut at = first_byte(&answer, got, size)?;
        let mut buffer = vec![0; 128 << 10];
        while at < size {
            let max = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
            let length = answer.body.read_some(buffer.get_mut(..max).unwrap_or_default())?;
            if length == 0 {
                return Err(MirrorFailure::Truncated { got: at, wanted: size }.into());
            }
            self.moved = self.moved.saturating_add(length as u64);
            // Without ranges, the server repeats the bytes that the chain already has.
            let skip = usize::try_from(got.saturating_sub(at)).unwrap_or(usize::MAX).min(length);
            at = at.saturating_add(length as u64);
            let bytes = buffer.get(skip..length).unwrap_or_default();
            if !bytes.is_empty() {
                chain.add_layer_bytes(bytes)?;
                sink(ImageChunk::Layer(bytes)).map_err(PullStop::Sink)?;
            }
        }
        Ok(())
    }

    /// Sends a request. After an answer of 401 it answers the challenge and sends the request once more.
    fn send_authorized(
        &mut self,
        url: &str,
        from: Option<u64>,
        headers: &[(HeaderName, String)],
    ) -> Result<HttpResponse, PullStop> {
        let answer = self.send_once(url, from, headers)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let challenges: Vec<_> = answer.header_values(&WWW_AUTHENTICATE).flat_map(AuthChallenge::parse_all).collect();
        // This frees the connection for the next request.
        drop(answer);
        let Authorization { authorization, withheld } =
            token::answer_challenges(self.client, self.image, self.credentials, &challenges, &mut self.moved)
                .map_err(PullStop::Piece)?;
        self.authorization = Some(authorization);
        let answer = self.send_once(url, from, headers)?;
        if answer.status == 401 { Err(PullStop::Piece(RegistryFailure::Closed(withheld))) } else { Ok(answer) }
    }

    fn send_once(
        &self,
        url: &str,
        from: Option<u64>,
        headers: &[(HeaderName, String)],
    ) -> Result<HttpResponse, MirrorFailure> {
        let mut headers = headers.to_vec();
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let answer =
            self.client.send_get(HttpRequest { url, range: from.map(|from| (from, None)), headers: &headers })?;
        answer.refuse_encoding()?;
        Ok(answer)
    }
}

/// Returns the offset of the body's first byte: the requested one, or 0.
fn first_byte(answer: &HttpResponse, asked: u64, size: u64) -> Result<u64, MirrorFailure> {
    let (at, wanted) = match answer.status {
        200 => (0, size),
        206 if asked > 0 => {
            let range = format!("bytes {asked}-{}", size.saturating_sub(1));
            let (whole, open) = (format!("{range}/{size}"), format!("{range}/*"));
            match answer.content_range() {
                Some(got) if got == whole || got == open => {}
                got => {
                    return Err(MirrorFailure::Range { wanted: whole, got: got.unwrap_or("no Content-Range".into()) });
                }
            }
            (asked, size.saturating_sub(asked))
        }
        code => return Err(status_failure(answer, code)),
    };
    match answer.content_length() {
        Some(got) if got != wanted => Err(MirrorFailure::Size { got, wanted }),
        _ => Ok(at),
    }
}
