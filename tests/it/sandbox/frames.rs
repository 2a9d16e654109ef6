//! What the parent makes of any bytes at all: an error or a download, never a panic, and never more of a member than
//! it is long.

use std::collections::BTreeMap;
use std::time::Duration;

use binfmt_nix::catalog::{Block, Catalog, Member, Package, Span};
use binfmt_nix::digest::Sha256;
use binfmt_nix::download::{Event, Fetched, Mirror, Reason};
use binfmt_nix::fetcher::protocol_download::Word;
use binfmt_nix::fetcher::session::Handshake;
use binfmt_nix::fetcher::wire::{self, Lack};
use binfmt_nix::fetcher::{Receiver, Stop};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const TARGETS: [(&str, u64); 3] = [("aarch64", 100), ("arm", 1), ("riscv64", 5000)];

fn package() -> Package {
    let mut package = Catalog::embedded().unwrap().package_for("x86_64").unwrap().clone();
    let sha256 = Sha256::of(b"");
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

/// Gives a receiver these pieces, up to its first error, and looks over its shoulder.
fn receive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<Option<Fetched>, Stop>, BTreeMap<String, Vec<u8>>) {
    let (package, mirrors) = (package(), mirrors());
    let targets = TARGETS.map(|(target, _)| target);
    let plan = package.plan(&targets).unwrap();
    let mut receiver = Receiver::new(&plan, &mirrors);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut verified = Vec::new();
    let mut result = Ok(None);
    for piece in pieces {
        let mut sink = |member: &Member, bytes: &[u8]| {
            assert!(!bytes.is_empty());
            files.entry(member.target.clone()).or_default().extend_from_slice(bytes);
            Ok(())
        };
        let mut tell = |event: Event<'_>| match event {
            Event::Asking { url, .. } | Event::GaveUp { url, .. } => assert!(url.contains(".example/"), "{url}"),
            Event::Moved { .. } => {}
            Event::Verified { member } => verified.push(member.target.clone()),
        };
        result = receiver.take(piece, &mut sink, &mut tell);
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
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config).run(&strategy, test).unwrap();
}

#[test]
fn any_bytes() {
    check(4000, (vec(any::<u8>(), 0..2000), 1_usize..700), |(bytes, size)| {
        receive(bytes.chunks(size)).0.ok();
        Ok(())
    });
}

fn reason() -> impl Strategy<Value = Reason> {
    let digest = any::<[u8; 32]>().prop_map(Sha256::from);
    prop_oneof![
        "[ -~é€😀]{0,200}".prop_map(Reason::Unreachable),
        (any::<u32>(), 0..1_000_000_000_u32).prop_map(|(s, n)| Reason::Stalled(Duration::new(s.into(), n))),
        (any::<u64>(), any::<u32>())
            .prop_map(|(bytes, took)| Reason::Slow { bytes, took: Duration::from_millis(took.into()) }),
        "[ -~]{0,200}".prop_map(Reason::Broken),
        (any::<u64>(), any::<u64>()).prop_map(|(got, wanted)| Reason::Truncated { got, wanted }),
        any::<u16>().prop_map(|code| Reason::Status { code }),
        (any::<u16>(), any::<Option<u64>>()).prop_map(|(code, after)| Reason::Busy { code, after }),
        any::<u64>().prop_map(|most| Reason::Large { most }),
        "[ -~]{0,200}".prop_map(Reason::Redirect),
        ("[ -~]{0,200}", "[ -~]{0,200}").prop_map(|(wanted, got)| Reason::Range { wanted, got }),
        (any::<u64>(), any::<u64>()).prop_map(|(got, wanted)| Reason::Size { got, wanted }),
        "[ -~]{0,200}".prop_map(Reason::Encoded),
        (any::<u64>(), any::<u64>(), digest.clone(), digest).prop_map(|(first, last, got, wanted)| Reason::Digest {
            first,
            last,
            got,
            wanted
        }),
    ]
}

fn handshake() -> impl Strategy<Value = Handshake> {
    vec(select(vec![Lack::Landlock, Lack::Seccomp, Lack::User]), 0..4).prop_map(|lacks| Handshake::Ready { lacks })
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => (0..3_usize).prop_map(|mirror| Word::Asking { mirror }),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(bytes, of)| Word::Moved { bytes, of }),
        2 => reason().prop_map(Word::GaveUp),
        3 => Just(Word::Verified),
        1 => any::<u64>().prop_map(|moved| Word::Fetched { moved }),
        1 => Just(Word::Failed),
        1 => ".{0,300}".prop_map(Word::NoClient),
        1 => ".{0,300}".prop_map(Word::Inconsistent),
    ]
}

fn framed(word: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    wire::say(&mut out, word).unwrap();
    out
}

fn given(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    wire::give(&mut out, &vec![7; length]).unwrap();
    out
}

/// One frame: mostly one that could be, sometimes a head that lies.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => handshake().prop_map(|word| framed(&word)),
        5 => word().prop_map(|word| framed(&word)),
        3 => select(vec![1_usize, 2, 50, 99, 100, 101, 4999, 5000, 5001]).prop_map(given),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(kind, length)| [&[kind][..], &length.to_le_bytes()].concat()),
        1 => vec(any::<u8>(), 0..40).prop_map(|text| [&b"w"[..], &u32::try_from(text.len()).unwrap().to_le_bytes(), &text].concat()),
    ]
}

#[test]
fn any_frames() {
    check(4000, (vec(frame(), 0..40), 1_usize..900), |(frames, size)| {
        receive(frames.concat().chunks(size)).0.ok();
        Ok(())
    });
}

/// What an honest child would say, frame by frame, after a mirror that gave up.
fn download() -> Vec<Vec<u8>> {
    let mut frames = vec![
        framed(&Handshake::Ready { lacks: vec![] }),
        framed(&Word::Asking { mirror: 0 }),
        framed(&Word::GaveUp(Reason::Status { code: 404 })),
        framed(&Word::Asking { mirror: 1 }),
    ];
    for (_, size) in TARGETS {
        frames.push(framed(&Word::Moved { bytes: 1, of: 2 }));
        frames.push(given(usize::try_from(size).unwrap()));
        frames.push(framed(&Word::Verified));
    }
    frames.push(framed(&Word::Fetched { moved: 99 }));
    frames
}

/// One frame lost, doubled, moved or replaced: it is never taken for a download of something else.
#[test]
fn frames_that_nearly_are_a_download() {
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
fn a_download_in_any_pieces() {
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

/// Every reason crosses as it is.
#[test]
fn what_is_said_arrives() {
    check(2000, reason(), |reason| {
        let (package, mirrors) = (package(), mirrors());
        let plan = package.plan(&["arm"]).unwrap();
        let mut receiver = Receiver::new(&plan, &mirrors);
        let mut heard = None;
        let words = [
            framed(&Handshake::Ready { lacks: vec![] }),
            framed(&Word::Asking { mirror: 0 }),
            framed(&Word::GaveUp(reason.clone())),
        ];
        for word in words {
            let mut tell = |event: Event<'_>| {
                if let Event::GaveUp { reason, .. } = event {
                    heard = Some(reason.clone());
                }
            };
            receiver.take(&word, &mut |_, _| Ok(()), &mut tell).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        }
        prop_assert_eq!(heard, Some(reason));
        Ok(())
    });
}

#[test]
fn a_text_cannot_steer_a_terminal() {
    let evil = "\u{1b}[2Jall is well\nnote: \u{202e}";
    for word in [
        Word::GaveUp(Reason::Broken(evil.to_owned())),
        Word::NoClient(evil.to_owned()),
        Word::Inconsistent(evil.repeat(100)),
    ] {
        let said =
            [framed(&Handshake::Ready { lacks: vec![] }), framed(&Word::Asking { mirror: 0 }), framed(&word)].concat();
        let mut shown = String::new();
        let (package, mirrors) = (package(), mirrors());
        let plan = package.plan(&["arm"]).unwrap();
        let mut tell = |event: Event<'_>| {
            if let Event::GaveUp { reason, .. } = event {
                shown = reason.to_string();
            }
        };
        if let Err(Stop::Failed(error)) = Receiver::new(&plan, &mirrors).take(&said, &mut |_, _| Ok(()), &mut tell) {
            shown = error.to_string();
        }
        assert!(shown.contains("all is well\u{fffd}note: \u{fffd}") && !shown.contains(char::is_control), "{shown:?}");
    }
}
