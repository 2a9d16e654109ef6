//! Properties of the parent's receiver for any bytes from a worker: the result is an error or a download, never a
//! panic, and never more bytes of a member than its size.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use binfmt_nix::qemu::catalog::{Block, Catalog, Member, Package, Span};
use binfmt_nix::qemu::download::protocol::DownloadMessage;
use binfmt_nix::qemu::download::supervise_package::{DownloadWorkerError, PackageSupervisor};
use binfmt_nix::qemu::download::{DownloadEvent, DownloadSummary, MAX_ATTEMPTS, Mirror, MirrorFailure};
use binfmt_nix::sandbox::frame;
use binfmt_nix::sandbox::frame::MissingProtection;
use binfmt_nix::sandbox::session::Handshake;
use binfmt_nix::sha256::Sha256;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::config;

const TARGETS: [(&str, u64); 3] = [("aarch64", 100), ("arm", 1), ("riscv64", 5000)];

static PACKAGE: LazyLock<Package> = LazyLock::new(package);

fn package() -> Package {
    let mut package = Catalog::embedded().unwrap().package_for("x86_64").unwrap().clone();
    let sha256 = Sha256::of_bytes(b"");
    let size = TARGETS.iter().map(|(_, size)| size).sum();
    let span = Span { offset: 0, length: 10 };
    package.blocks =
        vec![Block { offset: span.offset, length: span.length, unpacked_offset: 0, unpacked_length: size, sha256 }];
    let mut offset = 0;
    package.members.clear();
    for (target, size) in TARGETS {
        package.members.push(Member { target: target.to_owned(), offset, size, sha256 });
        offset += size;
    }
    package
}

fn mirrors() -> Vec<Mirror> {
    ["http://a.example/debian", "http://b.example/debian"].map(|url| Mirror::Archive(url.parse().unwrap())).to_vec()
}

/// Passes these pieces to a receiver up to its first error, and checks every event.
fn receive<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Result<Option<DownloadSummary>, DownloadWorkerError>, BTreeMap<String, Vec<u8>>) {
    let (package, mirrors) = (&*PACKAGE, mirrors());
    let targets = TARGETS.map(|(target, _)| target);
    let plan = package.plan_blocks(&targets).unwrap();
    let mut receiver = PackageSupervisor::new(&plan, &mirrors);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut verified = Vec::new();
    let mut result = Ok(None);
    for piece in pieces {
        let mut sink = |member: &Member, bytes: &[u8]| {
            assert!(!bytes.is_empty());
            files.entry(member.target.clone()).or_default().extend_from_slice(bytes);
            Ok(())
        };
        let mut tell = |event: DownloadEvent<'_>| match event {
            DownloadEvent::Asking { url, .. } | DownloadEvent::GaveUp { url, .. } => {
                assert!(url.contains(".example/"), "{url}");
            }
            DownloadEvent::Moved { .. } => {}
            DownloadEvent::Verified { member } => verified.push(member.target.clone()),
        };
        result = receiver.handle_input(piece, &mut sink, &mut tell);
        if !matches!(result, Ok(None)) {
            break;
        }
    }
    for (target, size) in TARGETS {
        let length = files.get(target).map_or(0, Vec::len) as u64;
        assert!(length <= size, "{target} has {length} bytes");
        assert!(length == size || !verified.iter().any(|done| done == target), "{target} is not complete");
    }
    assert!(targets.iter().zip(&verified).all(|(target, verified)| target == verified), "{verified:?}");
    if matches!(result, Ok(Some(_))) {
        assert_eq!(verified, targets);
    }
    (result, files)
}

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    proptest::test_runner::TestRunner::new(config(cases)).run(&strategy, test).unwrap();
}

#[test]
fn arbitrary_bytes_never_panic() {
    check(4000, (vec(any::<u8>(), 0..2000), 1_usize..700), |(bytes, size)| {
        receive(bytes.chunks(size)).0.ok();
        Ok(())
    });
}

fn failure() -> impl Strategy<Value = MirrorFailure> {
    let digest = any::<[u8; 32]>().prop_map(Sha256::from);
    prop_oneof![
        "[ -~é€😀]{0,200}".prop_map(MirrorFailure::Unreachable),
        (any::<u32>(), 0..1_000_000_000_u32).prop_map(|(s, n)| MirrorFailure::Stalled(Duration::new(s.into(), n))),
        (any::<u64>(), any::<u32>())
            .prop_map(|(bytes, took)| MirrorFailure::Slow { bytes, took: Duration::from_millis(took.into()) }),
        "[ -~]{0,200}".prop_map(MirrorFailure::Broken),
        (any::<u64>(), any::<u64>()).prop_map(|(got, wanted)| MirrorFailure::Truncated { got, wanted }),
        any::<u16>().prop_map(|code| MirrorFailure::Status { code }),
        (any::<u16>(), any::<Option<u64>>()).prop_map(|(code, after)| MirrorFailure::Busy { code, after }),
        any::<u64>().prop_map(|most| MirrorFailure::Large { most }),
        "[ -~]{0,200}".prop_map(MirrorFailure::Redirect),
        ("[ -~]{0,200}", "[ -~]{0,200}").prop_map(|(wanted, got)| MirrorFailure::Range { wanted, got }),
        (any::<u64>(), any::<u64>()).prop_map(|(got, wanted)| MirrorFailure::Size { got, wanted }),
        "[ -~]{0,200}".prop_map(MirrorFailure::Encoded),
        (any::<u64>(), any::<u64>(), digest.clone(), digest)
            .prop_map(|(first, last, got, wanted)| MirrorFailure::Digest { first, last, got, wanted }),
    ]
}

fn handshake() -> impl Strategy<Value = Handshake> {
    vec(select(vec![MissingProtection::Landlock, MissingProtection::Seccomp, MissingProtection::User]), 0..4)
        .prop_map(|lacks| Handshake::Ready { lacks })
}

fn message() -> impl Strategy<Value = DownloadMessage> {
    prop_oneof![
        3 => (0..3_usize).prop_map(|mirror| DownloadMessage::Asking { mirror }),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(bytes, of)| DownloadMessage::Moved { bytes, of }),
        2 => failure().prop_map(DownloadMessage::GaveUp),
        3 => Just(DownloadMessage::Verified),
        1 => any::<u64>().prop_map(|moved| DownloadMessage::Fetched { moved }),
        1 => Just(DownloadMessage::Failed),
        1 => ".{0,300}".prop_map(DownloadMessage::NoClient),
        1 => ".{0,300}".prop_map(DownloadMessage::Inconsistent),
    ]
}

fn message_frame(message: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_message(&mut out, message).unwrap();
    out
}

fn bytes_frame(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_bytes(&mut out, &vec![7; length]).unwrap();
    out
}

/// One frame: mostly a valid one, sometimes one with a wrong header.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => handshake().prop_map(|message| message_frame(&message)),
        5 => message().prop_map(|message| message_frame(&message)),
        3 => select(vec![1_usize, 2, 50, 99, 100, 101, 4999, 5000, 5001]).prop_map(bytes_frame),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(kind, length)| [&[kind][..], &length.to_le_bytes()].concat()),
        1 => vec(any::<u8>(), 0..40).prop_map(|text| [&b"w"[..], &u32::try_from(text.len()).unwrap().to_le_bytes(), &text].concat()),
    ]
}

#[test]
fn arbitrary_frames_never_panic() {
    check(4000, (vec(frame(), 0..40), 1_usize..900), |(frames, size)| {
        receive(frames.concat().chunks(size)).0.ok();
        Ok(())
    });
}

/// The frames of a correct worker, after a mirror that failed.
fn download() -> Vec<Vec<u8>> {
    let mut frames = vec![
        message_frame(&Handshake::Ready { lacks: vec![] }),
        message_frame(&DownloadMessage::Asking { mirror: 0 }),
        message_frame(&DownloadMessage::GaveUp(MirrorFailure::Status { code: 404 })),
        message_frame(&DownloadMessage::Asking { mirror: 1 }),
    ];
    for (_, size) in TARGETS {
        frames.push(message_frame(&DownloadMessage::Moved { bytes: 1, of: 2 }));
        frames.push(bytes_frame(usize::try_from(size).unwrap()));
        frames.push(message_frame(&DownloadMessage::Verified));
    }
    frames.push(message_frame(&DownloadMessage::Fetched { moved: 99 }));
    frames
}

/// One frame is lost, doubled, moved or replaced: the result is never accepted as a download of something else.
#[test]
fn a_damaged_download_is_never_accepted() {
    let honest = download();
    let last = honest.len();
    check(4000, (0..last, 0..last, 0..4, frame()), move |(from, to, what, other)| {
        let mut frames = honest.clone();
        match what {
            0 => drop(frames.remove(from)),
            1 => frames.insert(to, honest[from].clone()),
            2 => frames.swap(from, to),
            _ => frames[from] = other,
        }
        if let (Ok(Some(fetched)), files) = receive(frames.concat().chunks(4096)) {
            prop_assert!(fetched.url.starts_with("http://"), "{:?}", fetched);
            prop_assert_eq!(files.len(), TARGETS.len());
        }
        Ok(())
    });
}

#[test]
fn pieces_of_any_size_give_the_download() {
    let whole = download().concat();
    for size in [1, 2, 3, 4, 5, 6, 7, 100, 4096, whole.len()] {
        let (result, files) = receive(whole.chunks(size));
        let fetched = result.unwrap().unwrap();
        assert_eq!(fetched.moved, 99);
        assert!(fetched.url.starts_with("http://b.example/debian/pool/"), "{}", fetched.url);
        for (target, size) in TARGETS {
            assert_eq!(files[target], vec![7; usize::try_from(size).unwrap()]);
        }
    }
}

/// Every reason of a failure is received unchanged.
#[test]
fn every_failure_arrives_unchanged() {
    check(2000, failure(), |failure| {
        let (package, mirrors) = (&*PACKAGE, mirrors());
        let plan = package.plan_blocks(&["arm"]).unwrap();
        let mut receiver = PackageSupervisor::new(&plan, &mirrors);
        let mut received = None;
        let words = [
            message_frame(&Handshake::Ready { lacks: vec![] }),
            message_frame(&DownloadMessage::Asking { mirror: 0 }),
            message_frame(&DownloadMessage::GaveUp(failure.clone())),
        ];
        for message in words {
            let mut tell = |event: DownloadEvent<'_>| {
                if let DownloadEvent::GaveUp { reason, .. } = event {
                    received = Some(reason.clone());
                }
            };
            receiver
                .handle_input(&message, &mut |_, _| Ok(()), &mut tell)
                .map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        }
        prop_assert_eq!(received, Some(failure));
        Ok(())
    });
}

#[test]
fn worker_text_is_sanitized() {
    let unsafe_text = "\u{1b}[2Jall is well\nnote: \u{202e}";
    for message in [
        DownloadMessage::GaveUp(MirrorFailure::Broken(unsafe_text.to_owned())),
        DownloadMessage::NoClient(unsafe_text.to_owned()),
        DownloadMessage::Inconsistent(unsafe_text.repeat(100)),
    ] {
        let output = [
            message_frame(&Handshake::Ready { lacks: vec![] }),
            message_frame(&DownloadMessage::Asking { mirror: 0 }),
            message_frame(&message),
        ]
        .concat();
        let mut shown = String::new();
        let (package, mirrors) = (package(), mirrors());
        let plan = package.plan_blocks(&["arm"]).unwrap();
        let mut tell = |event: DownloadEvent<'_>| {
            if let DownloadEvent::GaveUp { reason, .. } = event {
                shown = reason.to_string();
            }
        };
        if let Err(DownloadWorkerError::Failed(error)) =
            PackageSupervisor::new(&plan, &mirrors).handle_input(&output, &mut |_, _| Ok(()), &mut tell)
        {
            shown = error.to_string();
        }
        assert!(shown.contains("all is well\\nnote: ") && !shown.contains(char::is_control), "{shown:?}");
    }
}

/// A mirror with a temporary failure is asked three times, and not more often.
#[test]
fn a_worker_gives_up_on_a_mirror_at_most_three_times() {
    let (package, mirrors) = (package(), mirrors());
    let plan = package.plan_blocks(&["arm"]).unwrap();
    // The number of reported failures before the end, and the end.
    let failures = |input: &[u8]| {
        let mut receiver = PackageSupervisor::new(&plan, &mirrors);
        let mut gave_up = 0;
        let result = receiver.handle_input(input, &mut |_, _| Ok(()), &mut |event| {
            gave_up += usize::from(matches!(event, DownloadEvent::GaveUp { .. }));
        });
        (gave_up, result)
    };
    // The fuzz target `download_messages` found this one: more failures than mirrors, and then a broken frame.
    let found = include_bytes!("../../fuzz/corpus/download_messages/gives_up_three_times");
    let (gave_up, result) = failures(&found[1..]);
    assert!(gave_up == 3 && matches!(result, Err(DownloadWorkerError::Protocol(_))), "{gave_up}: {result:?}");

    let mut input = Vec::new();
    frame::write_message(&mut input, &Handshake::Ready { lacks: vec![] }).unwrap();
    for mirror in [0, 1].into_iter().cycle().take(10) {
        frame::write_message(&mut input, &DownloadMessage::Asking { mirror }).unwrap();
        frame::write_message(&mut input, &DownloadMessage::GaveUp(MirrorFailure::Broken("reset".into()))).unwrap();
    }
    let (gave_up, result) = failures(&input);
    assert_eq!(gave_up, mirrors.len() * MAX_ATTEMPTS);
    let Err(DownloadWorkerError::Protocol(why)) = result else { panic!("{result:?}") };
    assert!(why.to_string().contains("mirror"), "{why}");
}
