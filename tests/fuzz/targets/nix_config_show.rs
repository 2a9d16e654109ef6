//! Output of `nix config show`.
#![no_main]

use binfmt_nix::nix::config_show::parse_config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &str| {
    let Some(config) = parse_config(output) else { return };
    assert!(config.extra_platforms.iter().all(|word| !word.is_empty() && output.contains(word)));
    let platforms: Vec<&str> = config.extra_platforms.iter().map(String::as_str).collect();
    assert!(config.missing_systems(&platforms).is_empty());
    assert!(!config.sandbox.contains('\n'));
});
