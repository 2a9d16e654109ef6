//! Any bytes as nix.conf: the include line is added and removed, and every other byte stays as it was.
#![no_main]

use binfmt_nix::nix::conf::{OWN_FILE_NAME, add_include, has_include, is_own_file, remove_include};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let after = add_include(text);
    assert!(after.text.starts_with(text) && has_include(&after.text, OWN_FILE_NAME));
    let back = remove_include(&after.text, after.newline_added);
    if has_include(text, OWN_FILE_NAME) {
        // Every include line is removed, wherever it was. The other lines stay in their order.
        let others = |text: &[u8]| -> Vec<Vec<u8>> {
            let lines =
                text.split(|byte| *byte == b'\n').filter(|line| !has_include(line, OWN_FILE_NAME) && !line.is_empty());
            lines.map(<[u8]>::to_vec).collect()
        };
        assert_eq!(others(&back), others(text));
    } else {
        assert_eq!(back, text);
    }
    assert!(!has_include(&back, OWN_FILE_NAME));
    assert_eq!(remove_include(&back, false), back);
    let _ = is_own_file(text);
});
