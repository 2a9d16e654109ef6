//! A server with one thread, which gives one answer on each connection.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;

use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// The answer on one connection.
pub enum Answer {
    /// The requested range
    Range,
    /// The whole file, whether a range was requested or not
    Whole,
    /// The requested range with every byte inverted
    Lie,
    /// The first bytes of the requested range
    Part(usize),
    /// This status together with the whole file
    Status(u16),
    /// These bytes
    Raw(Vec<u8>),
    /// The right header with this value of `Content-Range`
    Header(Vec<u8>),
}

impl Answer {
    pub fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let some_bytes = |input: &mut Unstructured<'_>| {
            let length = input.int_in_range(0..=200)?;
            Ok(input.bytes(length.min(input.len()))?.to_vec())
        };
        Ok(match input.int_in_range(0..=8)? {
            0 | 7 | 8 => Self::Range,
            1 => Self::Whole,
            2 => Self::Lie,
            3 => Self::Part(input.int_in_range(0..=4000)?),
            // The status 200 or 206 with the file would be an honest answer.
            4 => Self::Status(input.int_in_range(201..=599)?).not_206(),
            5 => Self::Raw(some_bytes(input)?),
            _ => Self::Header(some_bytes(input)?),
        })
    }

    fn not_206(self) -> Self {
        if matches!(self, Self::Status(206)) { Self::Status(404) } else { self }
    }
}

#[derive(Default)]
struct Script {
    file: Vec<u8>,
    answers: VecDeque<Answer>,
}

/// Whether the last answer was dishonest
pub static LIES: AtomicBool = AtomicBool::new(false);

static SCRIPT: Mutex<Option<Script>> = Mutex::new(None);

static BASE: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback address");
    let base = format!("http://{}/debian", listener.local_addr().expect("it is bound"));
    thread::spawn(move || listener.incoming().flatten().for_each(|connection| drop(answer(connection))));
    base
});

/// Gives the server a new file and its next answers, and returns the URL. After these answers the server closes
/// connections.
pub fn serve(file: Vec<u8>, answers: Vec<Answer>) -> String {
    *SCRIPT.lock().expect("a lock") = Some(Script { file, answers: answers.into() });
    serve_again()
}

/// Returns the URL of the server.
pub fn serve_again() -> String {
    BASE.clone()
}

fn answer(connection: TcpStream) -> std::io::Result<()> {
    let (mut first, mut last) = (0, 0);
    for line in BufReader::new(&connection).lines() {
        let line = line?.to_ascii_lowercase();
        if let Some((from, to)) = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-')) {
            (first, last) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
        }
        if line.is_empty() {
            break;
        }
    }
    let mut script = SCRIPT.lock().expect("a lock");
    let Some(script) = script.as_mut() else { return Ok(()) };
    let file = &script.file;
    let range = file.get(first..=last).unwrap_or_default();
    let content_range = format!("bytes {first}-{last}/{}", file.len());
    let mut out = &connection;
    let next = script.answers.pop_front();
    LIES.store(matches!(next, Some(Answer::Lie | Answer::Status(_))), Ordering::SeqCst);
    match next {
        None => Ok(()),
        Some(Answer::Range) => send(out, 206, content_range.as_bytes(), range),
        Some(Answer::Whole) => send(out, 200, b"", file),
        Some(Answer::Lie) => {
            let lie: Vec<u8> = range.iter().map(|byte| !byte).collect();
            send(out, 206, content_range.as_bytes(), &lie)
        }
        Some(Answer::Part(length)) => {
            let head =
                format!("HTTP/1.1 206 X\r\nContent-Range: {content_range}\r\nContent-Length: {}\r\n\r\n", range.len());
            out.write_all(&[head.as_bytes(), range.get(..length).unwrap_or(range)].concat())
        }
        Some(Answer::Status(code)) => send(out, code, b"", file),
        Some(Answer::Raw(bytes)) => out.write_all(&bytes),
        Some(Answer::Header(value)) => send(out, 206, &value, range),
    }
}

fn send(mut out: &TcpStream, code: u16, content_range: &[u8], body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Length: {}\r\nContent-Range: ", body.len());
    out.write_all(&[head.as_bytes(), content_range, b"\r\n\r\n", body].concat())
}
