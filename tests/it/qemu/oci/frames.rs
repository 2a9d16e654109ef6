//! The supervisor on arbitrary output of its worker: it reports an error, or it delivers layers that match the digests.

use std::sync::LazyLock;

use binfmt_nix::qemu::oci::protocol::PullMessage;
use binfmt_nix::qemu::oci::supervise::{PullSupervisor, PullWorkerError};
use binfmt_nix::qemu::oci::{ChainError, ImageReference, Platform};
use binfmt_nix::sandbox::frame;
use binfmt_nix::sandbox::frame::MissingProtection;
use binfmt_nix::sandbox::session::Handshake;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::image::Image;

static IMAGE: LazyLock<Image> = LazyLock::new(Image::good);

fn reference(image: &Image) -> ImageReference {
    format!("oci://r.example/x@{}", image.index).parse().unwrap()
}

/// Feeds these bytes to a supervisor in pieces of this size. Returns the bytes of the layers, and the result.
fn supervise(said: &[u8], size: usize) -> (Vec<u8>, Result<Option<u64>, PullWorkerError>) {
    let mut follower = PullSupervisor::new(&reference(&IMAGE), Platform::for_machine("x86_64").unwrap());
    let mut came = Vec::new();
    for piece in said.chunks(size) {
        let taken = follower.handle_input(piece, &mut |bytes| {
            came.extend_from_slice(bytes);
            Ok(())
        });
        if !matches!(taken, Ok(None)) {
            return (came, taken);
        }
    }
    (came, Ok(None))
}

fn message_frame(word: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_message(&mut out, word).unwrap();
    out
}

fn bytes_frame(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_bytes(&mut out, bytes).unwrap();
    out
}

/// The messages of an honest worker, in order.
fn honest() -> Vec<Vec<u8>> {
    let image = &*IMAGE;
    let document = |digest| {
        let bytes = &image.blobs[digest];
        [message_frame(&PullMessage::Document { size: bytes.len() as u64 }), bytes_frame(bytes)]
    };
    let mut said = vec![message_frame(&Handshake::Ready { lacks: vec![MissingProtection::User] })];
    said.extend(document(&image.index));
    said.extend(document(&image.manifest));
    said.extend(image.layers.iter().map(|digest| bytes_frame(&image.blobs[digest])));
    said.push(message_frame(&PullMessage::Done { moved: 7 }));
    said
}

fn layers() -> Vec<u8> {
    IMAGE.layers.iter().flat_map(|digest| IMAGE.blobs[digest].clone()).collect()
}

/// Checks that there are never more bytes than the layers have, that success implies all layers, and that no error
/// contains a control character.
fn check_supervisor(said: &[u8], size: usize) {
    let (came, end) = supervise(said, size);
    assert!(came.len() <= layers().len());
    match end {
        Ok(Some(_)) => assert!(came == layers()),
        Ok(None) => {}
        Err(PullWorkerError::Protocol(why)) => assert!(!why.to_string().contains(char::is_control)),
        Err(PullWorkerError::Piece(what, why)) => assert!(!format!("{what}{why}").contains(char::is_control)),
        Err(PullWorkerError::NoClient(why)) => assert!(!why.contains(char::is_control)),
        Err(PullWorkerError::Sink(error)) => panic!("{error}"),
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

#[test]
fn the_supervisor_survives_arbitrary_bytes() {
    proptest!(config(500), |(said in vec(any::<u8>(), 0..300), size in 1..50_usize)| check_supervisor(&said, size));
}

#[test]
fn the_supervisor_survives_arbitrary_frames() {
    let word = select(vec![
        &br#"{"Ready":{"lacks":[]}}"#[..],
        br#"{"Document":{"size":3}}"#,
        br#"{"Document":{"size":99999999999}}"#,
        br#"{"Done":{"moved":1}}"#,
        br#"{"NoClient":"\u001b[31m"}"#,
        br#"{"Failed":{"Closed":"\u001b"}}"#,
        br#"{"Failed":{"Bad":{"Refused":"\u202e"}}}"#,
        br#"{"Failed":{"Tokens":{"server":"\n","reason":{"Broken":"\n"}}}}"#,
    ]);
    let frame = (select(b"bwx".to_vec()), prop_oneof![word.prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..40)]);
    proptest!(config(1000), |(frames in vec(frame, 0..8), size in 1..200_usize)| {
        let said: Vec<_> = frames.into_iter().flat_map(|(kind, bytes)| {
            let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
            [&[kind][..], &length, &bytes].concat()
        }).collect();
        check_supervisor(&said, size);
    });
}

/// One message is missing, duplicated, swapped with another, or has a wrong byte.
#[test]
fn the_supervisor_survives_almost_valid_frames() {
    proptest!(config(300), |(at in 0..8_usize, to in 0..8_usize, way in 0..4, bit in any::<u32>())| {
        let mut said = honest();
        match way {
            0 => drop(said.remove(at)),
            1 => said.insert(to, said[at].clone()),
            2 => said.swap(at, to),
            _ => {
                let byte = bit as usize % said[at].len();
                said[at][byte] ^= 1 << (bit % 8);
            }
        }
        check_supervisor(&said.concat(), 4096);
    });
}

#[test]
fn an_image_is_accepted_in_pieces_of_any_size() {
    proptest!(config(100), |(size in 1..5000_usize)| {
        let (came, end) = supervise(&honest().concat(), size);
        prop_assert!(came == layers());
        prop_assert!(matches!(end, Ok(Some(7))));
    });
}

/// A worker under the control of an attacker can send anything. The supervisor compares the digests itself.
#[test]
fn the_supervisor_checks_every_digest_of_the_worker() {
    let digest = |at: usize, byte: usize| {
        let mut said = honest();
        let length = said[at].len();
        said[at][5 + byte % (length - 5)] ^= 1;
        matches!(supervise(&said.concat(), 4096).1, Err(PullWorkerError::Piece(_, why))
            if matches!(*why, binfmt_nix::qemu::oci::error::RegistryFailure::Bad(ChainError::Digest { .. })))
    };
    // The index, the manifest and both layers.
    for at in [2, 4, 5, 6] {
        assert!([0, 7, 99, 1000].iter().all(|byte| digest(at, *byte)), "{at}");
    }
    let garbled = |said: &[Vec<u8>]| matches!(supervise(&said.concat(), 4096).1, Err(PullWorkerError::Protocol(_)));
    let said = honest();
    assert!(garbled(&said[1..]) && garbled(&[&said[..1], &said[7..]].concat()));
    assert!(garbled(&[&said[..6], &said[7..]].concat()) && garbled(&[&said[..1], &said[5..]].concat()));
    assert!(garbled(&[&said[..2], &said[3..]].concat()));
}
