//! Debian's signed lists: arbitrary files are never accepted, and the values of accepted lists are within bounds.

use binfmt_nix::qemu::debian::{
    Date, DebianVersion, IndexQuery, IndexResult, Keyring, MAX_INDEX_SIZE, PoolPackage, SuiteRelease, answer_query,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::NOW;
use super::forge::{Forger, UNTIL, cleartext_signed, release, stanza};
use crate::support::config;
use crate::support::texts::{files, texts};

const FRAMES: &[&str] = &[
    "-----BEGIN PGP SIGNED MESSAGE-----",
    "-----BEGIN PGP SIGNATURE-----",
    "-----END PGP SIGNATURE-----",
    "-----BEGIN PGP MESSAGE-----",
    "- ",
    "Hash: SHA256",
    "Comment: x",
    "Codename: trixie",
    "=abcd",
    "iHUEARYIAB0WIQRBWH99uMd0vM8TFBZ2L2egssOd5AUCawFh0gAKCRB2L2egssOd",
    "AAAA",
    "",
];

const FIELDS: &[&str] = &[
    "Codename: trixie",
    "Suite: stable",
    "Date: Mon, 23 Nov 2026 02:09:33 UTC",
    "Valid-Until: Mon, 30 Nov 2026 02:09:33 UTC",
    "Acquire-By-Hash: yes",
    "SHA256:",
    "MD5Sum:",
    " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 5 main/binary-amd64/Packages.xz",
    " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    " 18446744073709551616 ",
    "main/binary-amd64/Packages.xz",
    "-",
    ":",
    "\t",
];

const STANZAS: &[&str] = &[
    "Package: qemu-user",
    "Package: qemu",
    "Architecture: amd64",
    "Version: 1:11.1.3+ds-1",
    "Version: 1:11.1.3~rc1",
    "Filename: pool/main/q/qemu/qemu-user_1_amd64.deb",
    "Filename: pool/../qemu-user_1_amd64.deb",
    "Size: 71089852",
    "SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "SHA256:",
    " more",
    ":",
    "\n",
];

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn an_arbitrary_file_is_never_accepted(file in files(FRAMES)) {
        prop_assert!(SuiteRelease::verify_and_parse(&file, "amd64", &Keyring::debian_archive(), NOW).is_err());
    }

    #[test]
    fn accepted_release_values_stay_within_bounds(text in texts(FIELDS), before in any::<bool>()) {
        let good = release("trixie", Some(UNTIL), true, b"x");
        let text = if before { format!("{good}\n{text}") } else { text };
        let forger = Forger::new(1);
        let keys = Keyring::from_certificates(&[&forger.certificate()]);
        if let Ok(release) = SuiteRelease::verify_and_parse(forger.sign(&text).as_bytes(), "amd64", &keys, NOW) {
            prop_assert!((1..=MAX_INDEX_SIZE).contains(&release.index.size));
            prop_assert!(text.contains(&release.codename) && text.contains(&release.index.sha256.to_string()));
            prop_assert_eq!(release.key, forger.name());
        }
    }

    /// A signature with replaced or added bytes is accepted only if it is equal to the good signature.
    #[test]
    fn an_altered_signature_is_never_accepted(
        at in any::<prop::sample::Index>(),
        length in 0..4_usize,
        other in vec(any::<u8>(), 0..4),
    ) {
        let forger = Forger { algorithm: 27, ..Forger::new(1) };
        let text = release("trixie", Some(UNTIL), true, b"x");
        let good = forger.signature_over(&text);
        let at = at.index(good.len());
        let end = (at + length).min(good.len());
        let harmed = [&good[..at], &other, &good[end..]].concat();
        let keys = Keyring::from_certificates(&[&forger.certificate()]);
        if SuiteRelease::verify_and_parse(cleartext_signed(&text, &harmed).as_bytes(), "amd64", &keys, NOW).is_ok() {
            // Only the left 16 bits of the digest have no effect.
            let same = |range: std::ops::Range<usize>| harmed.get(range.clone()) == good.get(range);
            prop_assert!(harmed.len() == good.len() && same(0..good.len() - 66) && same(good.len() - 64..good.len()));
        }
    }

    #[test]
    fn damaged_certificates_yield_at_most_one_key(
        cuts in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut certificate = Forger::new(1).certificate();
        for (at, byte) in cuts {
            let at = at.index(certificate.len());
            certificate[at] = byte;
        }
        certificate.truncate(end.index(certificate.len() + 1));
        prop_assert!(Keyring::from_certificates(&[&certificate]).list_keys().len() <= 1);
    }

    #[test]
    fn accepted_packages_have_paths_in_the_pool(list in files(STANZAS)) {
        if let Ok(Some(package)) = PoolPackage::find(list.as_slice(), "amd64") {
            prop_assert!(package.checked_version("amd64").is_ok());
            prop_assert!(package.path.starts_with("pool/") && !package.path.contains("/.") && package.size > 0);
            prop_assert!(package.path.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        prop_assert!(matches!(PoolPackage::find_packed(list.as_slice(), "amd64"), Err(_) | Ok(None)));
    }

    #[test]
    fn the_package_is_found_in_every_well_formed_index(
        before in vec("[a-z]{2,9}", 0..9),
        version in "[1-9]{1,3}(\\.[0-9]{1,3}){1,2}",
        after in 0..3_usize,
    ) {
        let debian = format!("1:{version}+ds-1");
        let mut list: String = before.iter().map(|name| stanza(&format!("x{name}"), "1.0-1", "amd64")).collect();
        list += &stanza("qemu-user", &debian, "amd64");
        list += &"\n".repeat(after);
        let package = PoolPackage::find(list.as_bytes(), "amd64").unwrap().unwrap();
        let release = package.checked_version("amd64").unwrap().qemu_version().unwrap().to_string();
        prop_assert!(release.starts_with(&version) || version.split('.').any(|number| number.starts_with('0')));
        prop_assert_eq!(package.version, debian);
    }

    #[test]
    fn answers_stay_short_for_arbitrary_files(file in files(FRAMES)) {
        for question in [
            IndexQuery::Release { architecture: "amd64".into(), now: NOW },
            IndexQuery::Package { architecture: "amd64".into() },
        ] {
            let json = serde_json::to_string(&question).unwrap();
            prop_assert_eq!(serde_json::from_str::<IndexQuery>(&json).unwrap(), question.clone());
            let said = answer_query(&question, &mut file.as_slice(), &Keyring::debian_archive());
            prop_assert!(matches!(&said, IndexResult::Refused(why) if why.len() < 1000) || said == IndexResult::Package(None));
        }
    }

    #[test]
    fn versions_are_totally_ordered(texts in vec("([0-9]:)?[0-9][0-9a-c.+~-]{0,8}", 3)) {
        let versions: Vec<DebianVersion> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        for (version, text) in versions.iter().zip(texts.iter().filter(|text| text.parse::<DebianVersion>().is_ok())) {
            prop_assert_eq!(&version.to_string(), text);
            prop_assert!(version.qemu_version().is_none_or(|release| text.contains(&release.0.to_string())));
        }
        if let [a, b, c] = versions.as_slice() {
            prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
            prop_assert!(!(a <= b && b <= c) || a <= c, "{} {} {}", a, b, c);
        }
    }

    #[test]
    fn arbitrary_versions_and_dates_never_cause_a_panic(text in any::<String>(), moment in any::<u64>()) {
        drop(text.parse::<DebianVersion>());
        prop_assert!(Date::parse(&text).is_none());
        prop_assert!(!Date(moment).to_string().is_empty());
    }
}
