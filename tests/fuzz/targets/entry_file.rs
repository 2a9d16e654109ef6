//! What a file below `/proc/sys/fs/binfmt_misc` shows.
#![no_main]

use binfmt_magic::Entry;
use binfmt_nix::binfmt::table::{describe, name_of, same_rule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(entry) = Entry::parse("qemu-x", text) else { return };
    assert_eq!(Entry::parse("qemu-x", &entry.to_text()).as_ref(), Ok(&entry));
    assert_eq!(name_of(&entry), "qemu-x");
    assert!(same_rule(&entry.rule, &entry.rule));
    let _ = describe(&entry);
    let _ = entry.rule.matches(text);
});
