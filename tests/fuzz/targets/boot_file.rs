//! A file of rules in `binfmt.d`.
#![no_main]

use binfmt_nix::binfmt::boot::{boot_file_text, parse_binfmt_d, parse_own_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Some(rule) = parse_own_file(content) {
        assert_eq!(boot_file_text(&rule).ok().as_deref(), Some(content));
    }
    for rule in parse_binfmt_d(&String::from_utf8_lossy(content)) {
        // A separator that is not printable is used only if the path contains every printable one. Trimming the line
        // would remove such a separator.
        let Ok(line) = rule.to_line() else { continue };
        if line[0].is_ascii_graphic() {
            let written = boot_file_text(&rule).expect("a rule that has a line");
            assert_eq!(parse_own_file(&written), Some(rule));
        }
    }
});
