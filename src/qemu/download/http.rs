//! HTTP client. Only this module and [`names`](super::names) depend on the client library.
//!
//! The library reads proxies from the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case,
//! but not `HTTP_PROXY` under CGI. It supports socks5 and socks5h too.

use std::error::Error;
use std::io::{Cursor, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::{Client as Reqwest, ClientBuilder, RequestBuilder, Response};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::names::NameResolver;
use super::{CERT_DIR_VARIABLE, CERT_FILE_VARIABLE, ClientOptions, DownloadError, MirrorFailure, Proxies};
use crate::host;
use crate::sanitize::to_one_line;

const USER_AGENT_TEXT: &str = concat!("binfmt-nix/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 5;

/// A client for the mirrors of one download. It starts all of its threads when it is created: one for the connections,
/// and those of `NameResolver`.
#[derive(Debug)]
pub struct HttpClient {
    http: Reqwest,
    limits: BodyLimits,
    pause: Duration,
    /// Start of the current attempt.
    attempt_start: Mutex<Instant>,
}

/// Limits on the transfer of a body.
#[derive(Debug, Clone, Copy)]
struct BodyLimits {
    stall: Duration,
    window: Duration,
    least: u64,
    whole: Duration,
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
    limits: BodyLimits,
    attempt_start: Instant,
    received: u64,
    /// Time spent on waiting for bytes of the current window, and their number.
    window: (Duration, u64),
}

impl HttpClient {
    /// Creates a client that trusts these roots. Opens no file.
    pub fn new(options: &ClientOptions, roots: RootCertificates) -> Result<Self, DownloadError> {
        let client_error = |e: &dyn Error| DownloadError::Client(error_causes(e));
        let names = NameResolver::start().map_err(|e| client_error(&e))?;
        let mut builder = ClientBuilder::new()
            .dns_resolver(Arc::new(names))
            .tls_backend_preconfigured(tls_config(roots).map_err(|e| client_error(&e))?)
            .user_agent(USER_AGENT_TEXT)
            .redirect(Policy::none())
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
            limits: BodyLimits {
                stall: options.stall,
                window: options.window,
                least: options.least,
                whole: options.whole,
            },
            pause: options.pause,
            attempt_start: Mutex::new(Instant::now()),
        })
    }

    /// Starts an attempt. All of its requests together have one time limit.
    pub(crate) fn start_attempt(&self) {
        *self.attempt_start.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns the pause before mirrors with a transient failure are tried again.
    pub(crate) fn retry_pause(&self) -> Duration {
        self.pause
    }

    /// Sends a GET request that permits no content coding.
    pub(crate) fn send_get(&self, get: HttpRequest<'_>) -> Result<HttpResponse, MirrorFailure> {
        let mut headers = HeaderMap::new();
        let header = |text: &str| HeaderValue::from_str(text).map_err(|e| MirrorFailure::Broken(error_causes(&e)));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((first, last)) = get.range {
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            headers.insert(RANGE, header(&format!("bytes={first}-{last}"))?);
        }
        for (name, value) in get.headers {
            headers.insert(name, header(value)?);
        }
        self.send_request(self.http.get(get.url).headers(headers.clone()), headers)
    }

    /// Sends a form (application/x-www-form-urlencoded) to a server. The form is sent once: a redirect that would repeat it
    /// (307 and 308, RFC 9110 §15.4.8) is not followed, and any other is followed by a GET request.
    pub(crate) fn post_form(&self, url: &str, form: String) -> Result<HttpResponse, MirrorFailure> {
        let length = form.len() as u64;
        let body = reqwest::blocking::Body::sized(Cursor::new(form), length);
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        self.send_request(request, HeaderMap::new())
    }

    /// Sends a request and follows redirects by GET requests with these headers.
    ///
    /// The login in a URL is sent with the first request only: the line of netrc that it came from may hold for one path,
    /// and the server chooses the path of a redirect. `Authorization` among the headers stays with its server.
    fn send_request(&self, request: RequestBuilder, mut headers: HeaderMap) -> Result<HttpResponse, MirrorFailure> {
        let send = |request: RequestBuilder| request.send().map_err(|e| describe_failure(e, self.limits.stall));
        let is_form = headers.is_empty();
        let mut response = send(request)?;
        let mut asked = vec![response.url().clone()];
        while let Some(target) = redirect_target(&response, is_form && asked.len() == 1) {
            let target = check_redirect(target, &asked)?;
            if asked.last().is_some_and(|from| !is_same_server(from, &target)) {
                headers.remove(AUTHORIZATION);
            }
            response = send(self.http.get(target.clone()).headers(headers.clone()))?;
            asked.push(target);
        }
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: HttpBody {
                response,
                limits: self.limits,
                attempt_start: *self.attempt_start.lock().unwrap_or_else(PoisonError::into_inner),
                received: 0,
                window: (Duration::ZERO, 0),
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
            let start = Instant::now();
            let result = self.response.read(buffer);
            let received = result.as_ref().map_or(0, |length| *length as u64);
            self.received = self.received.saturating_add(received);
            let (waited, in_window) = self.window;
            self.window = (waited.saturating_add(start.elapsed()), in_window.saturating_add(received));
            match result {
                // The end of the body is not too slow.
                Ok(0) => return Ok(0),
                Ok(length) => return self.check_speed().map(|()| length),
                Err(e) if e.kind() == ErrorKind::Interrupted => self.check_speed()?,
                Err(e) => {
                    let inner = e.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>());
                    let timed_out = inner.is_some_and(reqwest::Error::is_timeout);
                    return Err(if timed_out || e.kind() == ErrorKind::TimedOut {
                        MirrorFailure::Stalled(self.limits.stall)
                    } else {
                        MirrorFailure::Broken(error_causes(&e))
                    });
                }
            }
        }
    }

    /// Fails if the transfer is too slow. A server that sends a single byte now and then never stalls, but never finishes
    /// either. Only the time of waiting counts for a window: the rest is the time of the decoder and the disk.
    fn check_speed(&mut self) -> Result<(), MirrorFailure> {
        let took = self.attempt_start.elapsed();
        if took > self.limits.whole {
            return Err(MirrorFailure::Slow { bytes: self.received, took });
        }
        let (waited, bytes) = self.window;
        if bytes >= self.limits.least {
            self.window = (Duration::ZERO, 0);
        } else if waited > self.limits.window {
            return Err(MirrorFailure::Slow { bytes, took: waited });
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

/// Returns the URL that a response redirects to, without a login. An invalid one is ignored, so that the status of the
/// response is the error. The statuses are those of RFC 9110 §15.4; 307 and 308 would repeat a form.
fn redirect_target(response: &Response, is_form: bool) -> Option<Url> {
    match response.status().as_u16() {
        301..=303 => {}
        307 | 308 if !is_form => {}
        _ => return None,
    }
    let location = std::str::from_utf8(response.headers().get(LOCATION)?.as_bytes()).ok()?;
    let mut target = response.url().join(location).ok()?;
    // These fail only for URLs that have no host, and so no login.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    Some(target)
}

/// Permits redirects to other hosts and from http to https. Redirects to other schemes and from https to http fail.
fn check_redirect(target: Url, asked: &[Url]) -> Result<Url, MirrorFailure> {
    let secure = asked.iter().any(|url| url.scheme() == "https");
    if asked.len() > MAX_REDIRECTS {
        Err(MirrorFailure::Redirect(format!("more than {MAX_REDIRECTS} redirects")))
    } else if target.scheme() == "https" || (target.scheme() == "http" && !secure) {
        Ok(target)
    } else {
        let scheme = to_one_line(target.scheme());
        Err(MirrorFailure::Redirect(format!("redirects to {scheme}:, which is not followed")))
    }
}

fn is_same_server(one: &Url, other: &Url) -> bool {
    one.host_str() == other.host_str() && one.port_or_known_default() == other.port_or_known_default()
}

fn describe_failure(error: reqwest::Error, stall: Duration) -> MirrorFailure {
    // The URL may contain a password, and the caller prints it.
    let error = error.without_url();
    if error.is_connect() {
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
