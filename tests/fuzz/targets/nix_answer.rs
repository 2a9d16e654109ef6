//! What `nix config show` prints.
#![no_main]

use binfmt_nix::nix::config_show::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &str| {
    let Some(answer) = parse(output) else { return };
    assert!(answer.extra_platforms.iter().all(|word| !word.is_empty() && output.contains(word)));
    let platforms: Vec<&str> = answer.extra_platforms.iter().map(String::as_str).collect();
    assert!(answer.missing(&platforms).is_empty());
    assert!(!answer.sandbox.contains('\n'));
});
