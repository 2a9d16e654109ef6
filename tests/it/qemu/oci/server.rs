//! A registry on loopback that follows or breaks the protocol and records its requests.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Linger;

use super::image::{Image, NAME};

/// A received request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Wrong value of `Content-Length`.
    pub(crate) says: Option<u64>,
    /// Number of bytes, with the head, after which the connection is reset.
    pub(crate) reset: Option<usize>,
    /// Whether the body is repeated forever, without a length.
    pub(crate) endless: bool,
    /// Pause after the response.
    pub(crate) pause: Duration,
}

type Manner = dyn Fn(&Request) -> Answer + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(manner: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (manner, kept): (Arc<Manner>, _) = (Arc::new(manner), Arc::clone(&log));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, log) = (Arc::clone(&manner), Arc::clone(&kept));
                thread::spawn(move || {
                    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                    let mut input = BufReader::new(stream.try_clone().unwrap());
                    while let Ok(Some(request)) = read(&mut input) {
                        log.lock().unwrap().push(request.clone());
                        let answer = manner(&request);
                        if !matches!(write(&mut &stream, &answer), Ok(true)) {
                            if answer.reset.is_some() {
                                setsockopt(&stream, Linger, &linger).unwrap();
                            }
                            break;
                        }
                    }
                });
            }
        });
        Self { address, log }
    }

    /// Starts a registry that has this image and changes its responses with `bend`.
    pub(crate) fn modified(image: Image, bend: impl Fn(&Request, &mut Answer) + Send + Sync + 'static) -> Self {
        Self::start(move |request| {
            let mut answer = image.answer(request);
            bend(request, &mut answer);
            answer
        })
    }

    pub(crate) fn honest(image: &Image) -> Self {
        Self::modified(image.clone(), |_, _| {})
    }

    /// The reference of the image with this digest.
    pub(crate) fn image(&self, digest: &str) -> String {
        format!("oci://{}/{NAME}@{digest}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_for(&self, digest: &str) -> bool {
        self.path.ends_with(digest)
    }
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub(crate) fn header(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }
}

impl Image {
    /// Answers like a correct registry: manifests also by tag, blobs also in ranges.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let Some(rest) = request.path.strip_prefix(&format!("/v2/{NAME}/")) else { return Answer::status(404) };
        let (kind, digest) = rest.split_once('/').unwrap();
        let digest = if digest == "v1" { &self.index } else { digest };
        let document = digest == self.index || digest == self.manifest;
        let Some(blob) = self.blobs.get(digest).filter(|_| document == (kind == "manifests")) else {
            return Answer::status(404);
        };
        let from =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let Some(from) = from.filter(|from| *from < blob.len()) else { return Answer::ok(blob.clone()) };
        let range = format!("Content-Range: bytes {from}-{}/{}", blob.len() - 1, blob.len());
        Answer { status: 206, ..Answer::ok(&blob[from..]) }.header(range)
    }
}

pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request { method: words.next().unwrap(), path: words.next().unwrap(), ..Request::default() };
    loop {
        let mut header = String::new();
        input.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    request.body = String::from_utf8(body).unwrap();
    Ok(Some(request))
}

/// Writes a response. Returns whether the connection stays open.
pub(crate) fn write(out: &mut impl Write, answer: &Answer) -> io::Result<bool> {
    let Answer { status, headers, body, says, reset, endless, pause } = answer;
    let length = match (*endless, *status) {
        (true, _) => "Connection: close\r\n".to_owned(),
        (false, 204 | 304) => String::new(),
        _ => format!("Content-Length: {}\r\n", says.unwrap_or(body.len() as u64)),
    };
    let lines = headers.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
    let head = format!("HTTP/1.1 {status} X\r\n{length}{lines}\r\n");
    let mut all = [head.as_bytes(), body].concat();
    all.truncate(reset.unwrap_or(usize::MAX));
    out.write_all(&all)?;
    out.flush()?;
    if *endless {
        loop {
            out.write_all(body)?;
        }
    }
    thread::sleep(*pause);
    Ok(reset.is_none() && says.is_none())
}
