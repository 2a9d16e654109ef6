//! Lists that Debian signed, recorded on 2026-11-24.

use binfmt_nix::qemu::debian::{Date, InvalidRelease, Keyring, SuiteRelease};
use proptest::prelude::*;

use super::{NOW, list};

/// The certificate of Debian 12's archive, whose signature comes first.
const AUTOMATIC_12: &str = "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8";

fn read(file: &[u8]) -> Result<SuiteRelease, InvalidRelease> {
    SuiteRelease::verify_and_parse(file, "amd64", &Keyring::debian_archive(), NOW)
}

#[track_caller]
fn refused(file: &[u8]) -> String {
    read(file).unwrap_err().to_string()
}

#[test]
fn the_recorded_lists_are_accepted() {
    let backports = read(&list("trixie-backports")).unwrap();
    assert_eq!(backports.codename, "trixie-backports");
    assert_eq!(backports.date, Date::parse("Mon, 23 Nov 2026 02:09:33 UTC").unwrap());
    assert_eq!(backports.valid_until, Date::parse("Mon, 30 Nov 2026 02:09:33 UTC"));
    assert_eq!((backports.by_hash, backports.index.size, backports.key.as_str()), (true, 311_844, AUTOMATIC_12));
    let stable = read(&list("trixie")).unwrap();
    assert_eq!((stable.codename.as_str(), stable.valid_until, stable.index.size), ("trixie", None, 9_679_304));
    let digest = "be3d7d96a040eda0505c1808cccc67f183bbc05dff0842c50f88e6c396557412";
    assert_eq!(stable.index.sha256.to_string(), digest);
    let other = SuiteRelease::verify_and_parse(&list("trixie"), "arm64", &Keyring::debian_archive(), NOW).unwrap();
    assert_eq!(other.index.size, 9_614_816);
    assert!(
        SuiteRelease::verify_and_parse(&list("trixie"), "alpha", &Keyring::debian_archive(), NOW)
            .unwrap_err()
            .to_string()
            .contains("no SHA-256 of")
    );
}

/// `gpg --list-packets` lists the signers: the archive keys of Debian 12 and 13, and for trixie also the stable key of
/// Debian 13.
#[test]
fn each_signature_is_accepted_with_its_key_alone() {
    let file = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qemu/debian/keys").join(name);
    for (suite, name, good) in [
        ("trixie", "bookworm-automatic", true),
        ("trixie", "bookworm-stable", false),
        ("trixie", "trixie-automatic", true),
        ("trixie", "trixie-stable", true),
        ("trixie-backports", "bookworm-automatic", true),
        ("trixie-backports", "bookworm-stable", false),
        ("trixie-backports", "trixie-automatic", true),
        ("trixie-backports", "trixie-stable", false),
    ] {
        #[expect(clippy::disallowed_methods, reason = "tests read files themselves")]
        let certificate = std::fs::read(file(&format!("debian-archive-{name}.pgp"))).unwrap();
        let read =
            SuiteRelease::verify_and_parse(&list(suite), "amd64", &Keyring::from_certificates(&[&certificate]), NOW);
        assert_eq!(read.is_ok(), good, "{suite} by {name}: {read:?}");
    }
}

/// In 2031 the keys of Debian 12 have expired, and in 2035 all keys have.
#[test]
fn expired_keys_are_ignored() {
    let at = |date: &str| {
        SuiteRelease::verify_and_parse(&list("trixie"), "amd64", &Keyring::debian_archive(), Date::parse(date).unwrap())
    };
    assert_eq!(at("Sun, 19 Jan 2031 11:44:20 UTC").unwrap().key, AUTOMATIC_12);
    assert_eq!(at("Sun, 19 Jan 2031 11:44:21 UTC").unwrap().key, "04B54C3CDCA79751B16BC6B5225629DF75B188BD");
    let error = at("Wed, 28 Mar 2035 12:50:29 UTC").unwrap_err().to_string();
    assert!(error.contains("or the key expired on 2035-03-28 12:50:29 UTC"), "{error}");
    // No signature is older than its list, so that a clock before the list is reported.
    assert!(
        at("Fri, 20 Nov 2026 09:00:00 UTC")
            .unwrap_err()
            .to_string()
            .contains("was made on 2026-11-21 09:16:20 UTC, and this machine's clock shows 2026-11-20")
    );
}

#[test]
fn text_outside_the_signed_part_is_refused() {
    let good = String::from_utf8(list("trixie-backports")).unwrap();
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    let signature = &good[good.find("-----BEGIN PGP SIGNATURE").unwrap()..];
    let other = String::from_utf8(list("trixie")).unwrap();
    let other_signature = &other[other.find("-----BEGIN PGP SIGNATURE").unwrap()..];
    for harmed in [
        format!("Codename: sid\n\n{good}"),
        format!("\n{good}"),
        format!("\u{feff}{good}"),
        format!("{good}Codename: sid\n"),
        format!("{good}\n"),
        format!("{good}{good}"),
        format!("{good}{other}"),
        format!("{good}{signature}"),
        format!("{good}{other_signature}"),
        format!("{begin}{good}"),
        format!("{begin}Hash: SHA256\n\n{good}"),
        good.replace("Hash: SHA256\n", "Hash: SHA256\nCodename: sid\n"),
        good.replace("Hash: SHA256\n\n", "Hash: SHA256\n\nCodename: sid\n"),
        good.replace("Hash: SHA256\n\n", "Hash: SHA256\n\n\n"),
        good.replace("Hash: SHA256\n\n", "Hash: SHA256\n\n- \n"),
        good.replace(begin, "-----BEGIN PGP SIGNED MESSAGE----- \n"),
        good.replace(begin, "-----BEGIN PGP MESSAGE-----\n"),
        good.replace('\n', "\r\n"),
        good.replace("\n-----BEGIN PGP SIGNATURE", "\nCodename: sid\n-----BEGIN PGP SIGNATURE"),
        good.replace("\n-----BEGIN PGP SIGNATURE", "\n\n-----BEGIN PGP SIGNATURE"),
        good.replace(signature, other_signature),
        good.replace("-----END PGP SIGNATURE-----\n", ""),
    ] {
        assert_ne!(harmed, good);
        refused(harmed.as_bytes());
    }
}

/// Blanks at the ends of lines are not signed (RFC 9580 §7.2), so that they must not have an effect.
#[test]
fn unsigned_trailing_blanks_change_nothing() {
    let good = String::from_utf8(list("trixie-backports")).unwrap();
    let blank = good.replacen("trixie-backports\n", "trixie-backports \t\n", 1);
    assert_eq!(read(blank.as_bytes()), read(good.as_bytes()));
    let escaped = good.replacen("\nCodename", "\n- Codename", 1);
    assert_eq!(read(escaped.as_bytes()), read(good.as_bytes()));
}

#[test]
fn a_list_beyond_the_limit_is_refused() {
    let mut long = list("trixie");
    long.resize((1 << 20) + 1, b'x');
    assert_eq!(refused(&long), "it has more than 1048576 bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// The list has two signatures. A bit of one of them, or of the armor, may flip; the values of the list stay the same.
    #[test]
    fn a_flipped_bit_never_changes_the_result(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let good = list("trixie-backports");
        let mut harmed = good.clone();
        let at = at.index(good.len());
        harmed[at] ^= 1 << bit;
        let signature = good.windows(24).position(|window| window == b"-----BEGIN PGP SIGNATURE").unwrap();
        match read(&harmed) {
            Err(_) => {}
            Ok(_) if (55..signature).contains(&at) => prop_assert!(false, "the text was changed at {at}"),
            Ok(release) => {
                let before = read(&good).unwrap();
                prop_assert_eq!(SuiteRelease { key: before.key.clone(), ..release }, before);
            }
        }
    }

    #[test]
    fn a_truncated_list_is_refused(at in any::<prop::sample::Index>()) {
        let good = list("trixie-backports");
        prop_assert!(read(&good[..at.index(good.len())]).is_err());
    }
}

/// Both signatures are damaged in their last bytes, which are the numbers of the signature.
#[test]
fn a_list_without_a_good_signature_is_refused() {
    let good = String::from_utf8(list("trixie-backports")).unwrap();
    let (text, signature) = good.split_once("-----BEGIN PGP SIGNATURE-----\n").unwrap();
    let lines: Vec<_> = signature.lines().collect();
    // Two signatures of 563 bytes and their headers take about 24 lines.
    let flip = |line: &str| line.chars().rev().collect::<String>();
    let harmed = |at: &[usize]| {
        let lines = lines.iter().enumerate();
        let lines: Vec<_> =
            lines.map(|(i, line)| if at.contains(&i) { flip(line) } else { (*line).to_owned() }).collect();
        format!("{text}-----BEGIN PGP SIGNATURE-----\n{}\n", lines.join("\n"))
    };
    assert_eq!(read(harmed(&[8]).as_bytes()).unwrap().key, "04B54C3CDCA79751B16BC6B5225629DF75B188BD");
    assert_eq!(read(harmed(&[20]).as_bytes()).unwrap().key, AUTOMATIC_12);
    let error = refused(harmed(&[8, 20]).as_bytes());
    assert!(error.contains("4CB50190207B4758A3F73A796ED0E7B82643E131 is not one of this text"), "{error}");
    assert!(error.contains("B8E5F13176D2A7A75220028078DBA3BC47EF2265 is not one of this text"), "{error}");
}
