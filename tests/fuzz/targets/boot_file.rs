//! A file of binfmt.d.
#![no_main]

use binfmt_nix::binfmt::boot::{own_rule, parse, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Some(rule) = own_rule(content) {
        assert_eq!(text(&rule).ok().as_deref(), Some(content));
    }
    for rule in parse(&String::from_utf8_lossy(content)) {
        // Only a path that holds every plain separator is written with one that the line's ends would lose.
        let Ok(line) = rule.to_line() else { continue };
        if line[0].is_ascii_graphic() {
            let written = text(&rule).expect("a rule that has a line");
            assert_eq!(own_rule(&written), Some(rule));
        }
    }
});
