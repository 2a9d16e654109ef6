//! Unusual texts, made of given pieces and of arbitrary bytes, with every kind of line end, with and without the last
//! one.

use proptest::collection::vec;
use proptest::prelude::*;

/// Files with lines of these pieces.
pub(crate) fn files(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
        1 => any::<String>().prop_map(String::into_bytes),
    ];
    let line = prop_oneof![
        4 => vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
        1 => Just(Vec::new()),
    ];
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\0", "\n "]);
    (vec((line, end), 0..30), 0..400_usize, any::<bool>()).prop_map(|(lines, times, ended)| {
        let mut file: Vec<u8> =
            lines.iter().flat_map(|(line, end)| [line.as_slice(), end.as_bytes()].concat()).collect();
        // Sometimes a huge file.
        if times > 390 {
            file = file.repeat(times);
        }
        if !ended && let Some(b'\n') = file.last() {
            file.pop();
        }
        file
    })
}

/// The same files as text.
pub(crate) fn texts(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    files(pieces).prop_map(|file| String::from_utf8_lossy(&file).into_owned())
}
