//! An HTTP server on loopback that obeys, bends or breaks the rules of HTTP, and counts the bytes that it sends.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use binfmt_nix::qemu::download::Mirror;

/// The longest wait for a client; a silent server is silent for as long.
const LIMIT: Duration = Duration::from_secs(300);

/// The behaviour of a server.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Answers as RFC 9110 requires: 206 with the range.
    Ranges,
    /// Ignores `Range`: 200 with a file of this length, filled up with zeros.
    Whole(u64),
    /// Ignores `Range`, sends no length and never ends.
    Endless,
    /// 206, then closes the connection after this number of bytes of the body.
    Cut(usize),
    /// 206 with this `Content-Range`, or without one.
    Says(Option<&'static str>),
    /// 206 with its body and these additional header lines.
    With(&'static str),
    /// This status and this header line, without a body.
    Status(u16, String),
    /// Redirects requests whose path begins with the first text to the second one, in which ADDRESS is the address of this
    /// server, and answers others as `Ranges`.
    Moves(&'static str, String),
    /// Reads the request and sends nothing.
    Silent,
    /// Sends the headers with the length of the body, but not the body.
    HeadOnly,
    /// Sends one byte every 20 ms.
    Drip,
    /// Sends this number of bytes at once, and then one every 20 ms.
    Fade(usize),
    /// Sends this number of bytes every 50 ms.
    Slow(usize),
    /// Sends header lines without end.
    Headers,
    /// 206 with one flipped bit: `true` counts the bits from the start of the body, `false` from the start of the
    /// response.
    Flip(u64, bool),
}

pub(crate) struct Server {
    pub(crate) address: String,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    /// Request lines, each followed by the range.
    requests: Mutex<Vec<String>>,
    /// `Authorization` of each request, or an empty text.
    logins: Mutex<Vec<String>>,
    sent: AtomicU64,
    closed: AtomicBool,
}

struct Request {
    line: String,
    login: String,
    range: Option<(usize, usize)>,
}

impl Server {
    pub(crate) fn start(bytes: &Arc<Vec<u8>>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Log::default());
        let (bytes, shared) = (Arc::clone(bytes), Arc::clone(&log));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (bytes, manner, log) = (Arc::clone(&bytes), manner.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    let ended = serve(stream, &bytes, &manner, &log);
                    log.closed.store(ended.is_err(), Ordering::SeqCst);
                });
            }
        });
        Self { address, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/debian", self.address)
    }

    pub(crate) fn mirror(&self) -> Mirror {
        Mirror::Archive(self.url().parse().unwrap())
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().clone()
    }

    /// `Authorization` of each request, or an empty text.
    pub(crate) fn logins(&self) -> Vec<String> {
        self.log.logins.lock().unwrap().clone()
    }

    /// Number of bytes written into sockets, headers included.
    pub(crate) fn sent(&self) -> u64 {
        self.log.sent.load(Ordering::SeqCst)
    }

    /// Waits until the client closes the connection before the end of the response; false if it does not.
    pub(crate) fn was_closed(&self) -> bool {
        let deadline = Instant::now() + LIMIT;
        while !self.log.closed.load(Ordering::SeqCst) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.log.closed.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, bytes: &[u8], manner: &Manner, log: &Log) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = Counted { stream, log };
    while let Some(request) = read_request(&mut input)? {
        let line = format!("{} {:?}", request.line, request.range);
        log.requests.lock().unwrap().push(line);
        log.logins.lock().unwrap().push(request.login.clone());
        if !answer(&mut output, bytes, manner, &request)? {
            break;
        }
    }
    Ok(())
}

fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (mut range, mut login) = (None, String::new());
    loop {
        let mut header = String::new();
        input.read_line(&mut header)?;
        if let Some(value) = header.strip_prefix("authorization: ") {
            value.trim_end().clone_into(&mut login);
        }
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            let line = line.trim_end().to_owned();
            return Ok(Some(Request { line, login, range }));
        }
        if let Some(bounds) = header.strip_prefix("range: bytes=") {
            let (first, last) = bounds.split_once('-').unwrap();
            // Without a last byte, the range extends to the end.
            range = Some((first.parse().unwrap(), last.parse().unwrap_or(usize::MAX)));
        }
    }
}

/// Answers a request; returns whether the connection stays open.
fn answer(out: &mut Counted<'_>, bytes: &[u8], manner: &Manner, request: &Request) -> io::Result<bool> {
    let (first, last) = request.range.unwrap_or((0, usize::MAX));
    let last = last.min(bytes.len() - 1);
    let part = bytes.get(first..=last).unwrap_or_default();
    let head = |range: Option<&str>, more: &str| {
        let range = range.map_or(String::new(), |range| format!("Content-Range: {range}\r\n"));
        let length = part.len();
        format!("HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\n{range}{more}\r\n")
    };
    let correct_range = format!("bytes {first}-{last}/{}", bytes.len());
    let correct_head = match request.range {
        Some(_) => head(Some(&correct_range), ""),
        None => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", part.len()),
    };
    match manner {
        Manner::Moves(from, to) if request.line.starts_with(&format!("GET {from}")) => {
            let to = to.replace("ADDRESS", &out.stream.local_addr()?.to_string());
            out.all(&[format!("HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n").as_bytes()])?;
        }
        Manner::Ranges | Manner::Moves(..) => out.all(&[correct_head.as_bytes(), part])?,
        Manner::Cut(after) => {
            out.all(&[correct_head.as_bytes(), &part[..part.len().min(*after)]])?;
            return Ok(false);
        }
        Manner::Says(range) => out.all(&[head(*range, "").as_bytes(), part])?,
        Manner::With(more) => out.all(&[head(Some(&correct_range), more).as_bytes(), part])?,
        Manner::Whole(length) => send_whole(out, bytes, Some(*length))?,
        Manner::Endless => send_whole(out, bytes, None)?,
        Manner::Status(code, header) => {
            out.all(&[format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{header}\r\n\r\n").as_bytes()])?;
        }
        Manner::Silent => thread::sleep(LIMIT),
        Manner::HeadOnly => {
            out.all(&[correct_head.as_bytes()])?;
            thread::sleep(LIMIT);
        }
        Manner::Drip | Manner::Fade(_) => {
            let fast = if let Manner::Fade(bytes) = manner { *bytes } else { 0 };
            let (fast, slow) = part.split_at(fast.min(part.len()));
            out.all(&[correct_head.as_bytes(), fast])?;
            for byte in slow.chunks(1) {
                out.all(&[byte])?;
                thread::sleep(Duration::from_millis(20));
            }
        }
        Manner::Slow(bytes) => {
            out.all(&[correct_head.as_bytes()])?;
            for some in part.chunks(*bytes) {
                out.all(&[some])?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        Manner::Headers => {
            out.all(&[b"HTTP/1.1 200 OK\r\n"])?;
            loop {
                out.all(&[b"X-More: and more and more and more and more and more and more\r\n"])?;
            }
        }
        Manner::Flip(bit, in_body) => {
            let mut all = [correct_head.as_bytes(), part].concat();
            let bit = bit + if *in_body { correct_head.len() as u64 * 8 } else { 0 };
            all[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
            out.all(&[&all])?;
            // With a flipped bit in the length, the client would wait for more bytes.
            return Ok(false);
        }
    }
    Ok(true)
}

fn send_whole(out: &mut Counted<'_>, bytes: &[u8], length: Option<u64>) -> io::Result<()> {
    let framing = length.map_or("Connection: close".to_owned(), |n| format!("Content-Length: {n}"));
    out.all(&[format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()])?;
    let mut left = length.unwrap_or(u64::MAX);
    let zeros = [0; 1 << 14];
    for piece in bytes.chunks(zeros.len()).chain(std::iter::repeat(&zeros[..])) {
        let most = piece.len().min(usize::try_from(left).unwrap());
        out.all(&[&piece[..most]])?;
        left -= most as u64;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// A socket that counts the bytes sent.
struct Counted<'a> {
    stream: TcpStream,
    log: &'a Log,
}

impl Counted<'_> {
    fn all(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        for piece in pieces {
            self.stream.write_all(piece)?;
            self.log.sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Ok(())
    }
}
