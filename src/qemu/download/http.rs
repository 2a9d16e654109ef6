//! HTTP client. Only this module depends on the client library.
//!
//! The library reads proxies from the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case,
//! but not `HTTP_PROXY` under CGI. It supports socks5 and socks5h too.

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

use super::{CERT_DIR_VARIABLE, CERT_FILE_VARIABLE, ClientOptions, DownloadError, MirrorFailure, Proxies};
use crate::host;
use crate::sanitize::to_one_line;

const USER_AGENT_TEXT: &str = concat!("binfmt-nix/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 5;

/// A client for the mirrors of one download. It starts a thread when it is created.
#[derive(Debug)]
pub struct HttpClient {
    http: Reqwest,
    stall: Duration,
    whole: Duration,
    slowest: u64,
    pause: Duration,
}

/// A GET request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) url: &'a str,
    /// Offset of the first byte, and of the last one unless the range extends to the end of the file. The last byte is
    /// included (RFC 9110 §14.1.2).
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// Additional headers.
    pub(crate) headers: &'a [(HeaderName, String)],
}

/// A response of a server whose body is not read yet.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: HttpBody,
}

/// The body of a response. Reading it fails if the server stalls or is too slow.
pub(crate) struct HttpBody {
    response: Response,
    started: Instant,
    received: u64,
    stall: Duration,
    whole: Duration,
    slowest: u64,
}

impl HttpClient {
    /// Creates a client that trusts these roots. Opens no file.
    pub fn new(options: &ClientOptions, roots: RootCertificates) -> Result<Self, DownloadError> {
        let client_error = |e: &dyn Error| DownloadError::Client(error_causes(e));
        let mut builder = ClientBuilder::new()
            .tls_backend_preconfigured(tls_config(roots).map_err(|e| client_error(&e))?)
            .user_agent(USER_AGENT_TEXT)
            .redirect(Policy::custom(redirect_policy))
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect)
            // The blocking client starts this limit again for the response and for each read.
            .timeout(options.stall);
        if options.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(|e| client_error(&e))?,
            stall: options.stall,
            whole: options.whole,
            slowest: options.slowest,
            pause: options.pause,
        })
    }

    /// Returns the pause before mirrors with a transient failure are tried again.
    pub(crate) fn retry_pause(&self) -> Duration {
        self.pause
    }

    /// Sends a GET request that permits no content coding.
    pub(crate) fn send_get(&self, get: HttpRequest<'_>) -> Result<HttpResponse, MirrorFailure> {
        let since = Instant::now();
        let mut request = self.http.get(get.url).header(ACCEPT_ENCODING, "identity");
        if let Some((first, last)) = get.range {
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        for (name, value) in get.headers {
            request = request.header(name, value);
        }
        self.send_request(request, since)
    }

    /// Sends a form (application/x-www-form-urlencoded) to a server. The form reaches no other server: a redirect that would
    /// repeat it (RFC 9110 §15.4.8) is not followed, because this body cannot be read twice.
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
    /// Returns a header as printable text.
    pub(super) fn header_text(&self, name: &HeaderName) -> Option<String> {
        Some(to_one_line(&String::from_utf8_lossy(self.headers.get(name)?.as_bytes())))
    }

    /// Returns all values of a header, unchanged.
    pub(crate) fn header_values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    /// Returns the length of the body that the server states.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header_text(&CONTENT_LENGTH)?.parse().ok()
    }

    /// Returns the range of the file that the body contains, as the server states it.
    pub(crate) fn content_range(&self) -> Option<String> {
        self.header_text(&CONTENT_RANGE)
    }

    /// Rejects a content coding, because none was requested.
    pub(crate) fn refuse_encoding(&self) -> Result<(), MirrorFailure> {
        match self.header_text(&CONTENT_ENCODING) {
            Some(coding) if !coding.eq_ignore_ascii_case("identity") => Err(MirrorFailure::Encoded(coding)),
            _ => Ok(()),
        }
    }
}

impl HttpBody {
    /// Reads the bytes that are available. Returns 0 at the end of the body.
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

    /// Fails if the transfer is too slow. A server that sends a single byte now and then never stalls, but never finishes
    /// either.
    fn check_speed(&self) -> Result<(), MirrorFailure> {
        let took = self.started.elapsed();
        let due = self.slowest.saturating_mul(took.as_secs());
        if took > self.whole || (took > self.stall && self.received < due) {
            return Err(MirrorFailure::Slow { bytes: self.received, took });
        }
        Ok(())
    }
}

/// Why a transfer from one mirror ended.
pub(super) enum TransferError {
    /// A failure of the mirror; another mirror may succeed.
    Mirror(MirrorFailure),
    /// A failure that does not depend on the mirror.
    Local(DownloadError),
}

impl From<MirrorFailure> for TransferError {
    fn from(reason: MirrorFailure) -> Self {
        Self::Mirror(reason)
    }
}

/// Converts an HTTP status to a failure. A busy server may state a delay in seconds (RFC 9110 §10.2.3); a date is ignored.
pub(crate) fn status_failure(response: &HttpResponse, code: u16) -> MirrorFailure {
    match code {
        429 | 503 => {
            let after = response.header_text(&RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
            MirrorFailure::Busy { code, after }
        }
        code => MirrorFailure::Status { code },
    }
}

/// Reads up to `limit` bytes. Returns whether the body ended there.
pub(crate) fn read_up_to(
    body: &mut HttpBody,
    limit: u64,
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
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(into.len());
        into.extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
        if length > room {
            return Ok(false);
        }
    }
}

/// Certificates of authorities. An empty list stands for Mozilla's list as of this build.
#[derive(Debug, Clone, Default)]
pub struct RootCertificates(Vec<CertificateDer<'static>>);

impl RootCertificates {
    /// Loads the certificates that this machine trusts: those of the distribution. If the environment names others, it
    /// opens no file, and the parent process supplies them ([`named_roots`](super::machine_config::named_roots)).
    pub fn load_system() -> Self {
        if [CERT_FILE_VARIABLE, CERT_DIR_VARIABLE].iter().any(|name| host::env::var(name).is_some()) {
            return Self::default();
        }
        Self(rustls_native_certs::load_native_certs().certs)
    }

    /// Adds certificates in PEM. Other blocks are ignored.
    #[must_use]
    pub fn with_pem(mut self, pem: &[u8]) -> Self {
        self.0.extend(CertificateDer::pem_slice_iter(pem).flatten());
        self
    }
}

/// Configures TLS that trusts these roots. On a machine without a list of authorities it trusts Mozilla's list as of this
/// build.
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

/// Follows redirects to other hosts and from http to https. Redirects to other schemes and from https to http fail.
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
    // The URL may contain a password, and the caller prints it.
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

/// Prefixes of messages from the library's layers that contain no useful information.
const WRAPPER_PREFIXES: [&str; 4] = ["error sending request", "client error (", "error trying to connect", "dns error"];

/// Joins the causes of an error, from the outermost to the innermost, without duplicates.
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
