//! HTTP, and the only place that knows which client library does it.
//!
//! Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
//! either case; `HTTP_PROXY` not under CGI), as the library reads them; socks5 and socks5h too.

use std::error::Error;
use std::io::{Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client as Reqwest, ClientBuilder, RequestBuilder, Response};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RANGE, RETRY_AFTER,
};
use reqwest::redirect::{Action, Attempt, Policy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{ClientOptions, DownloadError, MirrorFailure, Proxies};
use crate::sanitize::to_one_line;

const USER_AGENT_TEXT: &str = concat!("binfmt-nix/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 5;

/// A client for the mirrors of one call. It has a thread of its own from the start.
#[derive(Debug)]
pub struct HttpClient {
    http: Reqwest,
    stall: Duration,
    whole: Duration,
    slowest: u64,
    pause: Duration,
}

/// What a server is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) url: &'a str,
    /// The first byte, and the last one if it is not the file's: it is meant too (RFC 9110 §14.1.2).
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// Any other headers.
    pub(crate) headers: &'a [(HeaderName, String)],
}

/// What a server answered, before its body is read.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: HttpBody,
}

/// The body, whose reader is not kept waiting for ever.
pub(crate) struct HttpBody {
    response: Response,
    started: Instant,
    received: u64,
    stall: Duration,
    whole: Duration,
    slowest: u64,
}

impl HttpClient {
    /// A client that trusts these roots. It opens no file.
    pub fn new(options: &ClientOptions, roots: RootCertificates) -> Result<Self, DownloadError> {
        let told = |e: &dyn Error| DownloadError::Client(error_causes(e));
        let mut builder = ClientBuilder::new()
            .tls_backend_preconfigured(tls_config(roots).map_err(|e| told(&e))?)
            .user_agent(USER_AGENT_TEXT)
            .redirect(Policy::custom(redirect_policy))
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect)
            // The blocking client counts this anew for the answer and for each read.
            .timeout(options.stall);
        if options.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(|e| told(&e))?,
            stall: options.stall,
            whole: options.whole,
            slowest: options.slowest,
            pause: options.pause,
        })
    }

    /// How long is waited before those that may do better are asked again.
    pub(crate) fn retry_pause(&self) -> Duration {
        self.pause
    }

    /// Asks a server, without a coding for the way.
    pub(crate) fn send_get(&self, ask: HttpRequest<'_>) -> Result<HttpResponse, MirrorFailure> {
        let since = Instant::now();
        let mut request = self.http.get(ask.url).header(ACCEPT_ENCODING, "identity");
        if let Some((first, last)) = ask.range {
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        self.send_request(request, since)
    }

    /// Gives a server a form (application/x-www-form-urlencoded). It goes nowhere else: a redirect that would have it
    /// said again (RFC 9110 §15.4.8) is not followed, for this body cannot be read twice.
    pub(crate) fn post_form(&self, url: &str, form: String) -> Result<HttpResponse, MirrorFailure> {
        let since = Instant::now();
        let length = form.len() as u64;
        let body = reqwest::blocking::Body::sized(Cursor::new(form), length);
        self.send_request(
            self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body),
            since,
        )
    }

    fn send_request(&self, request: RequestBuilder, since: Instant) -> Result<HttpResponse, MirrorFailure> {
        let response = request.send().map_err(|e| describe_failure(e, self.stall))?;
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: HttpBody {
                response,
                started: since,
                received: 0,
                stall: self.stall,
                whole: self.whole,
                slowest: self.slowest,
            },
        })
    }
}

impl HttpResponse {
    /// A header, as far as it can be printed.
    pub(super) fn header_text(&self, name: &HeaderName) -> Option<String> {
        Some(to_one_line(&String::from_utf8_lossy(self.headers.get(name)?.as_bytes())))
    }

    /// All values of a header, as they came.
    pub(crate) fn header_values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    /// How long it says that its body is.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header_text(&CONTENT_LENGTH)?.parse().ok()
    }

    /// Which bytes of the file it says that its body is.
    pub(crate) fn content_range(&self) -> Option<String> {
        self.header_text(&CONTENT_RANGE)
    }

    /// Refuses a coding, for nobody asked for one.
    pub(crate) fn refuse_encoding(&self) -> Result<(), MirrorFailure> {
        match self.header_text(&CONTENT_ENCODING) {
            Some(coding) if !coding.eq_ignore_ascii_case("identity") => Err(MirrorFailure::Encoded(coding)),
            _ => Ok(()),
        }
    }
}

impl HttpBody {
    /// Reads what is there; 0 at the end.
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, MirrorFailure> {
        loop {
            self.check_speed()?;
            match self.response.read(buffer) {
                Ok(length) => {
                    self.received = self.received.saturating_add(length as u64);
                    return Ok(length);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let inner = e.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>());
                    let timed_out = inner.is_some_and(reqwest::Error::is_timeout);
                    return Err(if timed_out || e.kind() == ErrorKind::TimedOut {
                        MirrorFailure::Stalled(self.stall)
                    } else {
                        MirrorFailure::Broken(error_causes(&e))
                    });
                }
            }
        }
    }

    /// A server that gives a byte now and then never stalls, but never ends either.
    fn check_speed(&self) -> Result<(), MirrorFailure> {
        let took = self.started.elapsed();
        let due = self.slowest.saturating_mul(took.as_secs());
        if took > self.whole || (took > self.stall && self.received < due) {
            return Err(MirrorFailure::Slow { bytes: self.received, took });
        }
        Ok(())
    }
}

/// Why a mirror is not read any further.
pub(super) enum TransferError {
    /// The mirror's fault: another one may do better.
    Mirror(MirrorFailure),
    /// Not the mirror's fault.
    Local(DownloadError),
}

impl From<MirrorFailure> for TransferError {
    fn from(reason: MirrorFailure) -> Self {
        Self::Mirror(reason)
    }
}

/// A server that is busy may say for how long, in seconds (RFC 9110 §10.2.3); a date is not looked at.
pub(crate) fn status_failure(answer: &HttpResponse, code: u16) -> MirrorFailure {
    match code {
        429 | 503 => {
            let after = answer.header_text(&RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
            MirrorFailure::Busy { code, after }
        }
        code => MirrorFailure::Status { code },
    }
}

/// Reads up to `most` bytes; whether that was all.
pub(crate) fn read_up_to(
    body: &mut HttpBody,
    most: u64,
    into: &mut Vec<u8>,
    moved: &mut u64,
) -> Result<bool, MirrorFailure> {
    let mut buffer = [0; 16 << 10];
    loop {
        let length = body.read_some(&mut buffer)?;
        if length == 0 {
            return Ok(true);
        }
        *moved = moved.saturating_add(length as u64);
        let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(into.len());
        into.extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
        if length > room {
            return Ok(false);
        }
    }
}

/// Certificates of authorities. None at all stands for Mozilla's list as of this build.
#[derive(Debug, Clone, Default)]
pub struct RootCertificates(Vec<CertificateDer<'static>>);

impl RootCertificates {
    /// Those that this machine trusts: the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the
    /// distribution's. What cannot be read is left out.
    pub fn load_system() -> Self {
        Self(rustls_native_certs::load_native_certs().certs)
    }

    /// Those certificates too, in PEM; what is none of them is left out.
    #[must_use]
    pub fn with_pem(mut self, pem: &[u8]) -> Self {
        self.0.extend(CertificateDer::pem_slice_iter(pem).flatten());
        self
    }
}

/// TLS that trusts these roots, or, on a machine that has no list of authorities, Mozilla's list as
/// of this build.
fn tls_config(trusted: RootCertificates) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.0);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Mirrors redirect to other hosts, and http to https; never to what is not the web, nor from
/// https back.
fn redirect_policy(attempt: Attempt<'_>) -> Action {
    let to = attempt.url().scheme().to_owned();
    let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error(format!("more than {MAX_REDIRECTS} redirects"))
    } else if to == "https" || (to == "http" && !secure) {
        attempt.follow()
    } else {
        attempt.error(format!("redirects to {to}:, which is not followed"))
    }
}

fn describe_failure(error: reqwest::Error, stall: Duration) -> MirrorFailure {
    // The URL may hold a password, and is told by the caller.
    let error = error.without_url();
    if error.is_redirect() {
        MirrorFailure::Redirect(error_causes(&error))
    } else if error.is_connect() {
        MirrorFailure::Unreachable(error_causes(&error))
    } else if error.is_timeout() {
        MirrorFailure::Stalled(stall)
    } else {
        MirrorFailure::Broken(error_causes(&error))
    }
}

/// What the library's layers say of each other, which tells a person nothing.
const WRAPPER_PREFIXES: [&str; 4] = ["error sending request", "client error (", "error trying to connect", "dns error"];

/// The causes of an error, from what was tried to why it failed, each said once.
fn error_causes(error: &dyn Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last().is_none_or(|last| !last.ends_with(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    let wrapper = |text: &String| WRAPPER_PREFIXES.iter().any(|wrapper| text.starts_with(wrapper));
    let first_specific = causes.iter().position(|text| !wrapper(text)).unwrap_or(0);
    to_one_line(&causes.get(first_specific..).unwrap_or_default().join(": "))
}
