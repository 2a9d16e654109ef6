//! A file of rules in `binfmt.d`.
#![no_main]

use binfmt_nix::binfmt::boot::{OwnBootFile, parse_binfmt_d};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Some(file) = OwnBootFile::parse(content) {
        assert_eq!(file.to_text().ok().as_deref(), Some(content));
    }
    for rule in parse_binfmt_d(&String::from_utf8_lossy(content)) {
        // A separator that is not printable is used only if the path contains every printable one. Trimming the line
        // would remove such a separator.
        let Ok(line) = rule.to_line() else { continue };
        if line[0].is_ascii_graphic() {
            for enabled in [true, false] {
                let file = OwnBootFile { rule: rule.clone(), enabled };
                let written = file.to_text().expect("a rule that has a line");
                assert_eq!(OwnBootFile::parse(&written), Some(file));
            }
        }
    }
});
