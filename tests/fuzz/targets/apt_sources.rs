//! apt's sources in both forms, and the mirror lists that they name: the result holds only web URLs.
//!
//! NUL bytes separate the one-line file, the deb822 file and the list.
#![no_main]

use binfmt_nix::qemu::download::{Mirror, mirrors_from_apt, order_mirrors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\0');
    let mut part = || parts.next().unwrap_or_default();
    let files = [("sources.list", part()), ("debian.sources", part()), ("other.save", text)];
    let list = part();
    let mut asked = Vec::new();
    let found = mirrors_from_apt(&files, &mut |path| {
        asked.push(path.to_owned());
        Some(list.to_owned())
    });
    assert!(asked.iter().all(|path| path.starts_with('/') && !path.starts_with("//")));
    for (i, base) in found.iter().enumerate() {
        let shown = base.to_string();
        assert!(shown.starts_with("http://") || shown.starts_with("https://"), "{shown}");
        assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown:?}");
        assert!(!found[..i].contains(base));
    }
    let all = order_mirrors(None, found.clone());
    assert!(all.len() >= 2 && found.iter().all(|base| all.contains(&Mirror::Archive(base.clone()))));
});
