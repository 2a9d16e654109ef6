//! An `InRelease` file of Debian. The first byte selects what the rest is: the whole file, a text that a trusted key
//! then signs, OpenPGP packets that replace the signature of a valid text, or a certificate.
#![no_main]

use std::sync::LazyLock;

use binfmt_nix::qemu::debian::{Date, Keyring, MAX_INDEX_SIZE, SuiteRelease};
use libfuzzer_sys::fuzz_target;

#[path = "../../it/qemu/debian/forge.rs"]
#[allow(dead_code, reason = "the tests of signatures need more of it")]
mod forge;

use forge::{Forger, cleartext_signed, release};

/// Noon of 2026-11-24.
const NOW: Date = Date(1_795_521_600);

static FORGER: LazyLock<Forger> = LazyLock::new(|| Forger { algorithm: 27, ..Forger::new(1) });
static KEYS: LazyLock<Keyring> = LazyLock::new(|| Keyring::from_certificates(&[&FORGER.certificate()]));
static DEBIAN: LazyLock<Keyring> = LazyLock::new(Keyring::debian_archive);

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind {
        b'f' => {
            let accepted = SuiteRelease::verify_and_parse(data, "amd64", &KEYS, NOW).is_ok();
            assert!(!accepted || data.windows(9).any(|window| window == b"Codename:"));
            assert!(
                SuiteRelease::verify_and_parse(data, "amd64", &DEBIAN, NOW).is_err(),
                "a signature of Debian in so few bytes"
            );
        }
        b's' => {
            let Ok(text) = std::str::from_utf8(data) else { return };
            if let Ok(release) = SuiteRelease::verify_and_parse(FORGER.sign(text).as_bytes(), "amd64", &KEYS, NOW) {
                assert!((1..=MAX_INDEX_SIZE).contains(&release.index.size));
                assert!(text.contains(&release.codename) && text.contains(&release.index.sha256.to_string()));
            }
        }
        b'p' => {
            let text = release("trixie", None, true, b"x");
            if SuiteRelease::verify_and_parse(cleartext_signed(&text, data).as_bytes(), "amd64", &KEYS, NOW).is_ok() {
                let good = FORGER.signature_over(&text);
                assert!(data.windows(64).any(|window| window == &good[good.len() - 64..]));
            }
        }
        _ => {
            for (key, certificate, _) in Keyring::from_certificates(&[data]).list_keys() {
                assert!(key.len() == 40 && certificate.len() == 40);
            }
        }
    }
});
