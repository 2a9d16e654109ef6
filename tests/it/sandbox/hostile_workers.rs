//! Workers that violate the protocol. The parent is the real one, and starts this program instead of the tool; the URL
//! of the first mirror selects the behaviour of the worker.

use binfmt_nix::qemu::download::confined;
use binfmt_nix::qemu::download::worker;
use std::io::{self, Read as _, Write as _};
use std::process::{self, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use binfmt_nix::error::{Error, ExitCode as Code};
use binfmt_nix::host::INTERNAL;
use binfmt_nix::qemu::catalog::Catalog;
use binfmt_nix::qemu::download::confined::TransferOptions;
use binfmt_nix::qemu::download::protocol::{DownloadMessage, DownloadRequest};
use binfmt_nix::qemu::download::{ClientOptions, Mirror, Proxies};
use binfmt_nix::sandbox::frame;
use binfmt_nix::sandbox::pace::PaceLimits;
use binfmt_nix::sandbox::session::Handshake;
use nix::sys::signal::{Signal, raise};

use crate::support::fault_table;

/// Variable that is set for a worker with the correct behaviour.
const HONEST: &str = "BINFMT_NIX_TEST_HONEST";

/// The longest time that the tool takes for a worker which ends by itself, or to end one which does not. A worker that
/// says nothing stays for longer than that, so a tool that waited for its end would exceed the limit.
const LIMIT: Duration = Duration::from_secs(180);

/// A download by a worker with this behaviour, interrupted after `patience`. Returns the error and the number of bytes
/// that the sink received.
fn download_with(behavior: &str, extra_roots: &[u8], patience: Duration) -> (Error, u64) {
    download_within(PaceLimits::default(), behavior, extra_roots, patience)
}

/// Like [`download_with`], with these limits on the worker.
fn download_within(pace: PaceLimits, behavior: &str, extra_roots: &[u8], patience: Duration) -> (Error, u64) {
    let catalog = Catalog::embedded().unwrap();
    let package = catalog.package_for("x86_64").unwrap();
    let plan = package.plan_blocks(&["aarch64"]).unwrap();
    let mirrors = [Mirror::Archive(format!("http://behavior.invalid/{behavior}").parse().unwrap())];
    let options = ClientOptions { proxies: Proxies::None, ..ClientOptions::default() };
    let manner = TransferOptions { options, extra_roots: extra_roots.to_vec(), pace };
    let (since, mut received) = (Instant::now(), 0);
    let mut go_on = || if since.elapsed() < patience { Ok(()) } else { Err(Error::Interrupted { signal: 2 }) };
    let mut sink = |_: &_, bytes: &[u8]| {
        received += bytes.len() as u64;
        Ok(())
    };
    let error = confined::download_package(&plan, &mirrors, &manner, &mut sink, &mut |_| {}, &mut go_on).unwrap_err();
    assert!(since.elapsed() < patience + LIMIT, "{error} after {:?}", since.elapsed());
    (error, received)
}

fn error_of(behavior: &str) -> String {
    let (error, received) = download_with(behavior, b"", LIMIT);
    assert_eq!((error.exit_code(), received), (Code::Failed, 0));
    assert!(error.hint().unwrap().contains("please report it"));
    error.to_string()
}

/// The role of this program when it is started like the tool's own worker.
pub(crate) fn child() -> ExitCode {
    if std::env::var_os(HONEST).is_some() {
        return worker::run_worker().map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS);
    }
    // The start of the request: the worker `deaf` does not read the rest.
    let mut beginning = vec![0; 2000];
    let length = io::stdin().lock().read(&mut beginning).unwrap();
    let text = String::from_utf8_lossy(&beginning[..length]).into_owned();
    let behavior = text.split_once("http://behavior.invalid/").and_then(|(_, rest)| rest.split('"').next());
    let mut out = io::stdout();
    let say = |word: DownloadMessage| frame::write_message(&mut io::stdout(), &word).unwrap();
    match behavior {
        None => return honest(text),
        Some("mute") => {}
        Some("moaning") => {
            eprintln!("oh \u{1b}[31mno\nwhat now");
            return ExitCode::from(3);
        }
        Some("dying") => raise(Signal::SIGABRT).unwrap(),
        Some("mad") => out.write_all(b"Hello, world! How are you?").unwrap(),
        Some("boasting") => out.write_all(b"b\xff\xff\xff\xff").unwrap(),
        Some("generous" | "stingy") => {
            frame::write_message(&mut out, &Handshake::Ready { lacks: vec![] }).unwrap();
            frame::write_message(&mut out, &DownloadMessage::Asking { mirror: 0 }).unwrap();
            if behavior == Some("stingy") {
                say(DownloadMessage::Verified);
            }
            while frame::write_bytes(&mut out, &vec![7; 1 << 20]).is_ok() {}
        }
        Some(slow @ ("chattering" | "babbling" | "trickling" | "creeping")) => {
            frame::write_message(&mut out, &Handshake::Ready { lacks: vec![] }).unwrap();
            frame::write_message(&mut out, &DownloadMessage::Asking { mirror: 0 }).unwrap();
            if slow == "trickling" {
                // The header of a long message, whose text never ends.
                out.write_all(b"w\x00\x20\x00\x00").unwrap();
            }
            let send = |out: &mut io::Stdout| match slow {
                "trickling" => out.write_all(b" "),
                "creeping" => frame::write_bytes(out, &[7]),
                _ => frame::write_message(out, &DownloadMessage::Moved { bytes: 1, of: 2 }),
            };
            while send(&mut out).and_then(|()| out.flush()).is_ok() {
                if slow != "chattering" {
                    sleep(Duration::from_millis(10));
                }
            }
        }
        Some(_) => sleep(3 * LIMIT),
    }
    out.flush().unwrap();
    ExitCode::SUCCESS
}

/// Starts the correct worker as a child of this process.
fn honest(mut text: String) -> ExitCode {
    io::stdin().read_to_string(&mut text).unwrap();
    let mut job: DownloadRequest = serde_json::from_str(&text).unwrap();
    job.parent = process::id();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([INTERNAL, confined::DOWNLOAD_COMMAND])
        .env(HONEST, "1")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&job).unwrap()).unwrap();
    if child.wait().unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[test]
fn an_exit_without_a_word_is_reported() {
    assert_eq!(error_of("mute"), "the download worker ended too early, with exit status: 0");
}

#[test]
fn stderr_of_a_failed_worker_is_reported() {
    let message = error_of("moaning");
    assert_eq!(message, "the download worker ended too early, with exit status: 3: oh \\x1b[31mno\\nwhat now");
}

#[test]
fn a_killed_worker_is_reported() {
    assert_eq!(error_of("dying"), "the download worker was killed by signal 6 SIGABRT");
}

#[test]
fn an_unknown_frame_is_rejected() {
    assert_eq!(error_of("mad"), "the download worker broke the protocol: a frame of the kind 72");
}

#[test]
fn an_oversized_frame_is_rejected() {
    let message = error_of("boasting");
    assert_eq!(message, "the download worker broke the protocol: a frame of 4294967295 bytes");
}

#[test]
fn excess_bytes_are_rejected() {
    let (error, received) = download_with("generous", b"", LIMIT);
    let wanted = "the download worker broke the protocol: more bytes of qemu-aarch64 than it has";
    assert_eq!(error.to_string(), wanted);
    assert!(received > 0 && received <= 16_661_520, "{received}");
}

#[test]
fn missing_bytes_are_rejected() {
    let message = error_of("stingy");
    let wanted = "the download worker broke the protocol: the end of qemu-aarch64 before its last byte";
    assert_eq!(message, wanted);
}

#[track_caller]
fn assert_interrupted(behavior: &str, extra_roots: &[u8]) {
    let (error, _) = download_with(behavior, extra_roots, Duration::from_millis(300));
    assert!(matches!(error, Error::Interrupted { signal: 2 }), "{error}");
}

#[test]
fn a_silent_worker_can_be_interrupted() {
    assert_interrupted("silent", b"");
}

/// The worker never reads the rest of its request, which is longer than any pipe.
#[test]
fn a_worker_that_reads_nothing_can_be_interrupted() {
    assert_interrupted("deaf", &vec![b'x'; 4 << 20]);
}

#[test]
fn an_endless_worker_can_be_interrupted() {
    assert_interrupted("babbling", b"");
}

/// The limits are those of this test, and the worker never ends by itself.
#[test]
fn a_worker_without_progress_is_given_up() {
    let pace = PaceLimits { window: Duration::from_millis(500), ..PaceLimits::default() };
    for behavior in ["silent", "babbling", "trickling", "creeping"] {
        let (error, received) = download_within(pace, behavior, b"", LIMIT);
        let message = error.to_string();
        assert!(message.starts_with("the download worker made too little progress: "), "{behavior}: {message}");
        assert!(received < 1000, "{received}");
    }
    fault_table::line("workers that send one message for ever, or a byte now and then", 4);
}

#[test]
fn a_worker_has_a_time_limit() {
    let pace = PaceLimits { window: LIMIT, least: 1, whole: Duration::from_millis(500) };
    let (error, _) = download_within(pace, "creeping", b"", LIMIT);
    assert_eq!(error.to_string(), "the download worker did not finish within 0.5 s");
}

/// The default limits: the number of messages decides, not the time.
#[test]
fn a_worker_that_repeats_a_message_is_given_up() {
    let message = error_of("chattering");
    assert_eq!(message, "the download worker broke the protocol: too many messages about received bytes");
}
