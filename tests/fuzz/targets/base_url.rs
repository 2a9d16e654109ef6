//! The URL of a mirror, from the command line, the environment or apt.
#![no_main]

use std::sync::LazyLock;

use binfmt_nix::qemu::catalog::Catalog;
use binfmt_nix::qemu::download::{BaseUrl, Mirror};
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<&Catalog> = LazyLock::new(|| Catalog::embedded().expect("the embedded catalogue"));

fuzz_target!(|text: &str| {
    let Ok(base) = text.parse::<BaseUrl>() else { return };
    let shown = base.to_string();
    let (scheme, rest) = shown.split_once("://").expect("a URL");
    assert!(matches!(scheme, "http" | "https"));
    assert!(!rest.split('/').next().unwrap_or_default().contains('@'), "a password is shown: {shown}");
    assert!(shown.chars().all(|c| c.is_ascii_graphic()) && !shown.contains(['?', '#']));
    // The displayed URL lacks only the password, so it parses and displays as itself.
    let again: BaseUrl = shown.parse().expect("what is shown is a URL");
    assert_eq!(again.to_string(), shown);
    let url = Mirror::Archive(again).display_url(&CATALOG.packages[0]);
    assert!(url.starts_with(&shown) && url.ends_with(".deb"));
});
