//! Content of an entry's file below `/proc/sys/fs/binfmt_misc`.
#![no_main]

use binfmt_magic::Entry;
use binfmt_nix::binfmt::table::{describe_entry, entry_name, is_same_rule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(entry) = Entry::parse("qemu-x", text) else { return };
    assert_eq!(Entry::parse("qemu-x", &entry.to_text()).as_ref(), Ok(&entry));
    assert_eq!(entry_name(&entry), "qemu-x");
    assert!(is_same_rule(&entry.rule, &entry.rule));
    let _ = describe_entry(&entry);
    let _ = entry.rule.matches(text);
});
