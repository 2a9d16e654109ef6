//! The worker that unpacks archives: a worker that breaks the protocol is detected, reported and ended. An honest worker
//! is confined.

use binfmt_nix::qemu::archive::worker;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use binfmt_nix::error::Error;
use binfmt_nix::qemu::archive::protocol::UnpackMessage;
use binfmt_nix::qemu::archive::supervise::UnpackSummary;
use binfmt_nix::sandbox::frame;
use binfmt_nix::sandbox::session::Handshake;
use nix::sys::signal::{Signal, raise};

use crate::support::skip;

/// Plays the worker. The first five bytes of the archive select how it behaves.
pub(crate) fn child(parent: &str, targets: &[&str]) -> ExitCode {
    let mut play = [0; 5];
    let mut stdin = io::stdin().lock();
    stdin.read_exact(&mut play).unwrap();
    let mut out = io::stdout();
    let say = |word: UnpackMessage| frame::write_message(&mut io::stdout(), &word).unwrap();
    match &play {
        b"mute " => {}
        b"moans" => {
            eprintln!("oh \u{1b}[31mno\nwhat now");
            return ExitCode::from(3);
        }
        b"dies " => raise(Signal::SIGABRT).unwrap(),
        b"raves" => out.write_all(b"Hello, world! How are you?").unwrap(),
        b"hasty" => say(UnpackMessage::Done),
        b"gives" => {
            frame::write_message(&mut out, &Handshake::Ready { lacks: vec![] }).unwrap();
            say(UnpackMessage::Begin { target: "arm".into(), size: 5 << 20 });
            while frame::write_bytes(&mut out, &vec![7; 1 << 20]).is_ok() {}
        }
        b"other" => {
            frame::write_message(&mut out, &Handshake::Ready { lacks: vec![] }).unwrap();
            say(UnpackMessage::Begin { target: "ppc".into(), size: 5 });
        }
        b"sleep" => sleep(Duration::from_secs(600)),
        _ => {
            let targets: Vec<_> = targets.iter().map(|target| (*target).to_owned()).collect();
            let done = worker::run_worker(parent.parse().unwrap(), &targets);
            return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    out.flush().unwrap();
    ExitCode::SUCCESS
}

fn unpack(archive: &[u8], go_on: &mut dyn FnMut() -> Result<(), Error>) -> (Result<UnpackSummary, Error>, Vec<u8>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    file.rewind().unwrap();
    let mut came = Vec::new();
    let mut sink = |_: &str, bytes: &[u8]| {
        came.extend_from_slice(bytes);
        Ok(())
    };
    let done = binfmt_nix::qemu::archive::unpack::unpack_archive(
        file,
        Path::new("the-archive"),
        &["arm", "aarch64"],
        &mut sink,
        go_on,
    );
    match done {
        Ok((_, Some(note))) => skip("kernel", note),
        Ok((unpacked, None)) => (Ok(unpacked), came),
        Err(error) => (Err(error), came),
    }
}

#[track_caller]
fn complaint(archive: &[u8]) -> String {
    let error = unpack(archive, &mut || Ok(())).0.unwrap_err();
    assert_eq!(error.exit_code() as u8, 1);
    let text = error.to_string();
    text.strip_prefix("cannot extract an emulator from the-archive: ").unwrap().to_owned()
}

fn emulator() -> Vec<u8> {
    [b"\x7fELF".as_slice(), &[8; 1996]].concat()
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2000);
    tar.append_data(&mut header, "usr/bin/qemu-arm-static", emulator().as_slice()).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn an_honest_worker_unpacks_the_archive() {
    let (unpacked, came) = unpack(&tar(), &mut || Ok(()));
    assert_eq!(unpacked.unwrap(), UnpackSummary { targets: vec!["arm".to_owned()], manifest: None });
    assert_eq!(came, emulator());
}

#[test]
fn a_worker_that_breaks_the_protocol_is_refused() {
    for play in ["raves", "hasty", "gives", "other"] {
        let said = complaint(play.as_bytes());
        assert!(said.starts_with("the unpack worker broke the protocol"), "{play}: {said}");
    }
}

#[test]
fn a_worker_that_ends_early_is_reported() {
    assert_eq!(complaint(b"mute "), "the unpack worker ended too early, with exit status: 0");
    let said = complaint(b"moans");
    assert!(said.contains("exit status: 3: oh") && !said.contains('\u{1b}'), "{said}");
    assert!(complaint(b"dies ").contains("was killed by signal 6 SIGABRT"));
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
    let error = unpack(b"sleep", &mut go_on).0.unwrap_err();
    assert!(matches!(error, Error::Interrupted { signal: 2 }) && since.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_broken_archive_is_refused_through_the_worker() {
    let mut broken = tar();
    broken[3] ^= 1;
    assert!(complaint(&broken).contains("not a tar archive"));
}
