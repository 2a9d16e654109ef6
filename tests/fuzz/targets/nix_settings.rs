//! A nix.conf with the files that it includes, read by the rules of Nix. Reading always ends.
#![no_main]

use std::path::Path;

use binfmt_nix::nix::settings::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes).into_owned();
    // Every included file has the same text, so the includes are endless.
    let settings = Settings::read_files(Path::new("/etc/nix/nix.conf"), &|_| Some(text.clone()));
    assert!(settings.lines.iter().all(|line| line.number > 0 && !line.name.contains(char::is_whitespace)));
    let list = settings.effective_list(&["extra-platforms"], &["i686-linux"]);
    assert!(list.iter().all(|word| !word.is_empty() && !word.contains('#')));
});
