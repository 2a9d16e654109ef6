//! The worker that reads Debian's signed lists: an honest worker answers with their values, and a worker that breaks the
//! protocol is detected and reported.

use binfmt_nix::qemu::debian::verify;
use binfmt_nix::qemu::debian::worker;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use binfmt_nix::error::Error;
use binfmt_nix::qemu::debian::protocol::VerifyMessage;
use binfmt_nix::qemu::debian::{Date, IndexQuery, IndexResult};
use binfmt_nix::sandbox::frame;
use binfmt_nix::sandbox::session::Handshake;
use lzma_rust2::{XzOptions, XzReader, XzWriter};
use nix::sys::signal::{Signal, raise};

use crate::support::skip;

const LIST: &[u8] = include_bytes!("../../../recorded/debian/trixie-backports.InRelease.xz");

/// Plays the worker. The first five bytes of the list select how it behaves.
pub(crate) fn child(parent: &str, question: &str) -> ExitCode {
    // Only five bytes are read, without a buffer: an honest worker reads the file again from its beginning.
    let mut play = [0; 5];
    let stdin = io::stdin();
    let read = nix::unistd::read(&stdin, &mut play).unwrap();
    nix::unistd::lseek(&stdin, 0, nix::unistd::Whence::SeekSet).unwrap();
    let mut out = io::stdout();
    let ready = |out: &mut io::Stdout| frame::write_message(out, &Handshake::Ready { lacks: vec![] }).unwrap();
    match &play[..read] {
        b"mute " => {}
        b"moans" => {
            eprintln!("oh \u{1b}[31mno\nwhat now");
            return ExitCode::from(3);
        }
        b"dies " => raise(Signal::SIGABRT).unwrap(),
        b"panic" => {
            ready(&mut out);
            panic!("there is no such packet");
        }
        b"raves" => out.write_all(b"Hello, world! How are you?").unwrap(),
        b"hasty" => frame::write_message(&mut out, &VerifyMessage::Read(IndexResult::Package(None))).unwrap(),
        b"twice" => {
            ready(&mut out);
            ready(&mut out);
        }
        b"gives" => {
            ready(&mut out);
            while frame::write_bytes(&mut out, &vec![7; 1 << 20]).is_ok() {}
        }
        b"sleep" => sleep(Duration::from_secs(600)),
        _ => {
            let done = worker::run_worker(parent.parse().unwrap(), question);
            return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    out.flush().unwrap();
    ExitCode::SUCCESS
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn list() -> Vec<u8> {
    let mut list = Vec::new();
    XzReader::new(LIST, false).read_to_end(&mut list).unwrap();
    list
}

fn release() -> IndexQuery {
    let now = Date::parse("Tue, 24 Nov 2026 12:00:00 UTC").unwrap();
    IndexQuery::Release { architecture: "amd64".into(), now }
}

fn package() -> IndexQuery {
    IndexQuery::Package { architecture: "amd64".into() }
}

fn read(question: &IndexQuery, bytes: &[u8]) -> Result<IndexResult, Error> {
    match verify::query_index(question, file(bytes), &mut || Ok(()))? {
        (_, Some(note)) => skip("kernel", note),
        (answer, None) => Ok(answer),
    }
}

#[track_caller]
fn complaint(bytes: &[u8]) -> String {
    let error = read(&package(), bytes).unwrap_err();
    assert_eq!(error.exit_code() as u8, 1);
    assert!(error.hint().unwrap().contains("please report it"));
    error.to_string().strip_prefix("the verify worker ").unwrap().to_owned()
}

#[test]
fn an_honest_worker_reads_list_and_index() {
    let IndexResult::Release(release) = read(&release(), &list()).unwrap() else { panic!("it is refused") };
    assert_eq!((release.codename.as_str(), release.index.size), ("trixie-backports", 311_844));
    let stanza = "Package: qemu-user\nArchitecture: amd64\nVersion: 1:11.1.3+ds-1\nSize: 5\n\
                  Filename: pool/main/q/qemu/qemu-user_11.1.3+ds-1_amd64.deb\n";
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let other = format!("Package: other\nDescription: {}\n\n", "x".repeat(100_000)).repeat(30);
    // The largest dictionary of xz(1), 64 MiB.
    let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(9)).unwrap();
    write!(xz, "{other}{stanza}SHA256: {digest}\n\n").unwrap();
    let IndexResult::Package(Some(found)) = read(&package(), &xz.finish().unwrap()).unwrap() else {
        panic!("not found")
    };
    assert_eq!((found.version.as_str(), found.size, found.sha256.to_string().as_str()), ("1:11.1.3+ds-1", 5, digest));
}

#[test]
fn malformed_files_are_refused_through_the_worker() {
    let mut list = list();
    list[2000] ^= 1;
    let IndexResult::Refused(why) = read(&release(), &list).unwrap() else { panic!("it is believed") };
    assert!(why.contains("is not one of this text"), "{why}");
    for nonsense in [b"x".as_slice(), b"", &[0; 5000], b"\x1b[2J"] {
        for question in [release(), package()] {
            assert!(matches!(read(&question, nonsense), Ok(IndexResult::Refused(_))));
        }
    }
}

#[test]
fn a_worker_that_breaks_the_protocol_is_refused() {
    for play in ["raves", "hasty", "twice", "gives"] {
        let said = complaint(play.as_bytes());
        assert!(said.starts_with("broke the protocol"), "{play}: {said}");
    }
}

#[test]
fn a_worker_that_ends_early_is_reported() {
    assert_eq!(complaint(b"mute "), "ended too early, with exit status: 0");
    let said = complaint(b"moans");
    assert!(said.contains("exit status: 3: oh") && !said.contains('\u{1b}'), "{said}");
}

/// A panic unwinds in a test program and aborts in a release (`panic` in Cargo.toml). Both are reported.
#[test]
fn a_worker_that_panics_is_reported() {
    let said = complaint(b"panic");
    assert!(said.starts_with("ended too early, with exit status: 101") && said.contains("no such packet"), "{said}");
    assert_eq!(complaint(b"dies "), "was killed by signal 6 SIGABRT");
}

/// The worker sleeps for ten minutes, and the interrupt does not wait for it.
#[test]
fn an_interrupt_ends_a_worker_that_hangs() {
    let since = Instant::now();
    let mut turns = 0;
    let mut go_on = || {
        turns += 1;
        if turns < 4 { Ok(()) } else { Err(Error::Interrupted { signal: 2 }) }
    };
    let error = verify::query_index(&package(), file(b"sleep"), &mut go_on).unwrap_err();
    assert!(matches!(error, Error::Interrupted { signal: 2 }) && since.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_wrong_index_and_a_stale_list_are_refused_through_the_worker() {
    let at = |now: &str| {
        let mut get = |_: &_| Ok(file(&list()));
        verify::find_latest("x86_64", Date::parse(now).unwrap(), &mut get, &mut || Ok(())).unwrap_err()
    };
    // The list is genuine. The mirror delivers the same list as the index.
    let error = at("Tue, 24 Nov 2026 12:00:00 UTC");
    assert!(error.to_string().contains("instead of 311844"), "{error}");
    let error = at("Tue, 01 Dec 2026 12:00:00 UTC");
    assert!(error.to_string().contains("it expired on 2026-11-30 02:09:33 UTC, 1 days ago"), "{error}");
    assert_eq!(error.exit_code() as u8, 5);
}
