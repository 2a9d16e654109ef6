//! Comparison with Debian's own programs: gpg, gpgv, dpkg and date give the same answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binfmt_nix::qemu::debian::{Date, DebianVersion, Keyring, SuiteRelease};
use proptest::prelude::*;
use tempfile::TempDir;

use super::forge::{Forger, release};
use super::{NOW, list};
use crate::support::skip;

/// Skips the test if the program is missing. `what` is its key in BINFMT_NIX_REQUIRE.
fn needs(program: &str, what: &'static str) {
    if !Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success()) {
        skip(what, format!("there is no {program}"));
    }
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn certificates() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qemu/debian/keys");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn gpg(home: &TempDir) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(home.path()).args([
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
    ]);
    gpg
}

/// gpg checks the self-signatures of each certificate and reports the same fingerprint, expiry date and usage of every
/// key.
#[test]
fn gpg_lists_the_same_keys() {
    needs("gpg", "gpg");
    let home = tempfile::tempdir().unwrap();
    done(gpg(&home).arg("--import").args(certificates()));
    let listed = done(gpg(&home).args(["--list-keys", "--with-colons", "--with-subkey-fingerprint"])).stdout;
    let (mut seen, mut certificate, mut row) = (Vec::new(), String::new(), None);
    for line in String::from_utf8(listed).unwrap().lines() {
        let fields: Vec<_> = line.split(':').collect();
        match fields[0] {
            "pub" | "sub" => {
                assert!(!["r", "e", "i"].contains(&fields[1]), "{line}");
                row = fields[11].contains('s').then(|| fields[6].parse().ok().map(Date));
                if fields[0] == "pub" {
                    certificate.clear();
                }
            }
            "fpr" => {
                if certificate.is_empty() {
                    fields[9].clone_into(&mut certificate);
                }
                seen.extend(row.take().map(|expires| (fields[9].to_owned(), certificate.clone(), expires)));
            }
            _ => {}
        }
    }
    let mut ours = Keyring::debian_archive().list_keys();
    ours.sort();
    seen.sort();
    assert_eq!(ours, seen);
}

#[test]
fn gpgv_accepts_the_same_lists() {
    needs("gpgv", "gpg");
    let dir = tempfile::tempdir().unwrap();
    let keyring = dir.path().join("keyring.pgp");
    let keys: Vec<u8> = certificates().iter().flat_map(|file| fs::read(file).unwrap()).collect();
    fs::write(&keyring, keys).unwrap();
    let believed = |list: &[u8]| {
        let file = dir.path().join("InRelease");
        fs::write(&file, list).unwrap();
        Command::new("gpgv").arg("--keyring").arg(&keyring).arg(&file).output().unwrap().status.success()
    };
    for suite in ["trixie", "trixie-backports"] {
        let good = list(suite);
        let changed = String::from_utf8(good.clone()).unwrap().replacen("Codename: trixie", "Codename: trixif", 1);
        assert_eq!((believed(&good), believed(changed.as_bytes())), (true, false));
    }
    let forger = Forger::new(1);
    assert!(!believed(forger.sign(&release("trixie", None, true, b"x")).as_bytes()));
}

/// Edits after which a list may still be a list: the second text replaces the first. A wrong checksum of the armor is
/// not among them: gpg rejects it, although RFC 9580 (§6.1) says that implementations should ignore it. The same holds
/// for `Hash` (§7).
const EDITS: &[(&str, &str)] = &[
    ("\n", " \n"),
    ("\n", "\t \n"),
    ("\n", "\n\n"),
    ("\n", "\r\n"),
    ("\n", "\n- "),
    ("\n", "\n-"),
    ("\n", "\nComment: x\n"),
    ("\n", "\nHash: SHA512\n"),
    ("\n ", "\n"),
    (": ", ":  "),
    ("SHA256", "SHA1"),
    ("SHA256\n", ""),
    ("=", ""),
    ("A", "B"),
    ("-----", "----- "),
    ("-----BEGIN PGP SIGNATURE-----\n", "-----BEGIN PGP SIGNATURE-----\nVersion: 1\n"),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// gpgv accepts every list that is accepted here, and reads the same text.
    #[test]
    fn gpgv_accepts_every_edited_list_that_is_accepted_here(
        edits in prop::collection::vec((prop::sample::select(EDITS), any::<prop::sample::Index>()), 1..3),
    ) {
        needs("gpgv", "gpg");
        let forger = Forger { made: 1_700_000_000, signed: 1_700_000_001, key_expires: 0, ..Forger::new(3) };
        let keys = Keyring::from_certificates(&[&forger.certificate()]);
        let mut list = forger.sign(&release("trixie", None, true, b"x"));
        for ((from, to), at) in edits {
            let places: Vec<_> = list.match_indices(from).map(|(place, _)| place).collect();
            if let Some(place) = places.get(at.index(places.len().max(1))) {
                list.replace_range(*place..place + from.len(), to);
            }
        }
        let Ok(read) = SuiteRelease::verify_and_parse(list.as_bytes(), "amd64", &keys, NOW) else { return Ok(()) };
        if list.lines().nth(1) != Some("Hash: SHA256") {
            return Ok(());
        }
        let dir = tempfile::tempdir().unwrap();
        let (keyring, file) = (dir.path().join("keyring.pgp"), dir.path().join("InRelease"));
        fs::write(&keyring, forger.certificate()).unwrap();
        fs::write(&file, &list).unwrap();
        let text = done(Command::new("gpgv").arg("--keyring").arg(&keyring).args(["--output", "-"]).arg(&file)).stdout;
        let text = String::from_utf8(text).unwrap();
        let again = forger.sign(text.strip_suffix('\n').unwrap_or(&text));
        prop_assert_eq!(SuiteRelease::verify_and_parse(again.as_bytes(), "amd64", &keys, NOW), Ok(read), "{}", list);
    }
}

/// Keys that gpg generates: RSA and Ed25519, with every hash.
#[test]
fn lists_signed_by_gpg_are_verified() {
    needs("gpg", "gpg");
    needs("gpg-agent", "gpg");
    let now = Date::from(std::time::SystemTime::now());
    let text = release("trixie", None, true, b"x").replace("a list", "a list \t") + "\n";
    for algorithm in ["rsa2048", "rsa4096", "ed25519"] {
        let home = tempfile::tempdir().unwrap();
        done(gpg(&home).args(["--quick-gen-key", "Test <test@example.org>", algorithm, "sign", "1y"]));
        let certificate = done(gpg(&home).arg("--export")).stdout;
        let keys = Keyring::from_certificates(&[&certificate]);
        assert_eq!(keys.list_keys().len(), 1, "{algorithm}");
        for (hash, good) in [("SHA1", false), ("SHA256", true), ("SHA384", true), ("SHA512", true), ("SHA224", false)] {
            let file = home.path().join("Release");
            fs::write(&file, &text).unwrap();
            let sign = ["--yes", "--digest-algo", hash, "--clearsign"];
            done(gpg(&home).args(sign).arg(&file));
            let signed = fs::read(home.path().join("Release.asc")).unwrap();
            let read = SuiteRelease::verify_and_parse(&signed, "amd64", &keys, now);
            assert_eq!(read.is_ok(), good, "{algorithm} {hash}: {read:?}");
            assert!(
                SuiteRelease::verify_and_parse(&signed, "amd64", &Keyring::debian_archive(), now)
                    .unwrap_err()
                    .to_string()
                    .contains("not one of the keys of Debian")
            );
        }
    }
}

/// gpgv accepts the lists that the tests forge. So each refusal in these tests is caused by its modification alone.
#[test]
fn gpgv_accepts_forged_lists_with_the_key_of_the_forger() {
    needs("gpgv", "gpg");
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..20 {
        let forger = Forger { made: 1_700_000_000, signed: 1_700_000_001, key_expires: 0, ..Forger::new(seed) };
        let (keyring, file) = (dir.path().join("keyring.pgp"), dir.path().join("InRelease"));
        fs::write(&keyring, forger.certificate()).unwrap();
        let good = forger.sign(&format!("- {}\nblanks \t", release("trixie", None, true, b"x")));
        for (list, is_good) in [(good.clone(), true), (good.replacen("blanks", "blinks", 1), false)] {
            fs::write(&file, &list).unwrap();
            let gpgv = Command::new("gpgv").arg("--keyring").arg(&keyring).arg(&file).output().unwrap();
            assert_eq!(gpgv.status.success(), is_good, "{seed}: {}", String::from_utf8_lossy(&gpgv.stderr));
            let error = SuiteRelease::verify_and_parse(
                list.as_bytes(),
                "amd64",
                &Keyring::from_certificates(&[&forger.certificate()]),
                NOW,
            )
            .unwrap_err()
            .to_string();
            // The signature is good, and the text is not a list.
            assert_eq!(error.contains("is not one of this text"), !is_good, "{error}");
        }
    }
}

fn versions() -> impl Strategy<Value = String> {
    let part = "[0-9]{1,3}([.+~a-zB-D-]?[0-9a-z~+.]{0,4}){0,3}";
    let revision = prop_oneof![Just(String::new()), "-[0-9a-z~+.]{1,5}"];
    let epoch = prop_oneof![4 => Just(String::new()), 1 => "[0-9]:", 1 => Just("0:".to_owned())];
    (epoch, part, revision).prop_map(|(epoch, upstream, revision)| format!("{epoch}{upstream}{revision}"))
}

/// Pairs of versions, many of which differ in a few characters only.
fn pairs() -> impl Strategy<Value = (String, String)> {
    let near = (versions(), any::<prop::sample::Index>(), "[0-9a-z~+.-]{0,2}").prop_map(|(version, at, piece)| {
        let at = at.index(version.len());
        let other = format!("{}{piece}{}", &version[..at], &version[at + 1..]);
        (version, other)
    });
    prop_oneof![(versions(), versions()), near]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn dpkg_orders_versions_the_same_way((a, b) in pairs()) {
        needs("dpkg", "dpkg");
        let (Ok(one), Ok(other)) = (a.parse::<DebianVersion>(), b.parse::<DebianVersion>()) else { return Ok(()) };
        let dpkg = |how| Command::new("dpkg").args(["--compare-versions", &a, how, &b]).output().unwrap();
        let holds = |how| dpkg(how).status.success();
        prop_assert_eq!(one < other, holds("lt"), "{} < {}", a, b);
        prop_assert_eq!(one == other, holds("eq"), "{} = {}", a, b);
        prop_assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
    }
}

/// One moment of every month of more than a hundred years.
#[test]
fn date_formats_the_same_moments() {
    let moments: Vec<u64> = (0..1600).map(|i| i * 2_629_746 + i * i).collect();
    let lines: Vec<_> = moments.iter().map(|moment| format!("@{moment}")).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), lines.join("\n")).unwrap();
    let date = |format: &str| {
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["--utc", format, "--file"]).arg(file.path());
        String::from_utf8(done(&mut date).stdout).unwrap()
    };
    for (line, moment) in date("+%a, %d %b %Y %H:%M:%S UTC").lines().zip(&moments) {
        assert_eq!(Date::parse(line), Some(Date(*moment)), "{line}");
    }
    for (line, moment) in date("+%Y-%m-%d %H:%M:%S UTC").lines().zip(&moments) {
        assert_eq!(line, Date(*moment).to_string());
    }
}
