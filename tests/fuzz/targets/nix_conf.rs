//! Any bytes as nix.conf: our line comes and goes, and everything else stays to the byte.
#![no_main]

use binfmt_nix::nix::conf::{OWN, exclude, include, includes, is_own_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let after = include(text);
    assert!(after.text.starts_with(text) && includes(&after.text, OWN));
    let back = exclude(&after.text, after.newline_added);
    if includes(text, OWN) {
        // Every line of ours goes, wherever it was; the others stay, in their order.
        let others = |text: &[u8]| -> Vec<Vec<u8>> {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !includes(line, OWN) && !line.is_empty());
            lines.map(<[u8]>::to_vec).collect()
        };
        assert_eq!(others(&back), others(text));
    } else {
        assert_eq!(back, text);
    }
    assert!(!includes(&back, OWN));
    assert_eq!(exclude(&back, false), back);
    let _ = is_own_file(text);
});
