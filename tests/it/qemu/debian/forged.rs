//! Lists with a signature by an unknown key, or with an invalid signature by a trusted key.

use binfmt_nix::qemu::debian::{Keyring, SuiteRelease};

use super::NOW;
use super::forge::{Forger, UNTIL, cleartext_signed, from_now, packet, release, subpacket};

fn text() -> String {
    release("trixie", None, true, b"index")
}

fn read(file: &str, keys: &Keyring) -> Result<SuiteRelease, String> {
    SuiteRelease::verify_and_parse(file.as_bytes(), "amd64", keys, NOW).map_err(|e| e.to_string())
}

/// Signs a list, trusts the certificate of the signer, and returns why the list is refused.
#[track_caller]
fn refused(forger: &Forger) -> String {
    read(&forger.sign(&text()), &Keyring::from_certificates(&[&forger.certificate()])).unwrap_err()
}

#[test]
fn only_signatures_by_trusted_keys_count() {
    let (one, other) = (Forger::new(1), Forger::new(2));
    let list = one.sign(&text());
    assert_eq!(read(&list, &Keyring::from_certificates(&[&one.certificate()])).unwrap().key, one.name());
    let unknown = format!("the key {} is not one of the keys of Debian that binfmt-nix knows", one.name());
    assert_eq!(read(&list, &Keyring::from_certificates(&[&other.certificate()])), Err(unknown.clone()));
    assert_eq!(read(&list, &Keyring::debian_archive()), Err(unknown));
    // One good signature is enough at any position.
    let both = cleartext_signed(&text(), &[one.signature_over(&text()), other.signature_over(&text())].concat());
    assert_eq!(read(&both, &Keyring::from_certificates(&[&other.certificate()])).unwrap().key, other.name());
    assert_eq!(read(&both, &Keyring::from_certificates(&[&one.certificate()])).unwrap().key, one.name());
}

/// The signature carries the fingerprint of a trusted key and was made by another key.
#[test]
fn a_forged_issuer_fingerprint_is_refused() {
    let (one, other) = (Forger::new(1), Forger::new(2));
    let at = |packet: &[u8], name: &str| {
        let name: Vec<u8> = (0..20).map(|i| u8::from_str_radix(&name[2 * i..2 * i + 2], 16).unwrap()).collect();
        packet.windows(20).position(|window| window == name).unwrap()
    };
    let mut signature = one.signature_over(&text());
    let (from, name) = (at(&signature, &one.name()), other.certificate());
    let trusted = other.signature_over(&text());
    let to = at(&trusted, &other.name());
    signature[from..from + 20].copy_from_slice(&trusted[to..to + 20]);
    let error = read(&cleartext_signed(&text(), &signature), &Keyring::from_certificates(&[&name])).unwrap_err();
    assert_eq!(error, format!("the signature of {} is not one of this text", other.name()));
}

#[test]
fn weak_hashes_are_refused() {
    for (hash, good) in [(1, false), (2, false), (3, false), (8, true), (9, true), (10, true), (11, false), (0, false)]
    {
        let forger = Forger { hash, ..Forger::new(1) };
        let read = read(&forger.sign(&text()), &Keyring::from_certificates(&[&forger.certificate()]));
        assert_eq!(read.is_ok(), good, "{hash}: {read:?}");
        if !good {
            let wanted =
                format!("the signature of {} has a weak or unknown hash algorithm (number {hash})", forger.name());
            assert_eq!(read, Err(wanted));
        }
    }
}

#[test]
fn signatures_outside_their_validity_are_refused() {
    let now = u32::try_from(NOW.0).unwrap();
    let one = Forger::new(1);
    let early = Forger { signed: one.made - 1, ..one.clone() };
    assert!(refused(&early).contains("and this machine's clock shows 2026-11-24 12:00:00 UTC"));
    let late = Forger { signed: now + 90_000, ..one.clone() };
    assert!(refused(&late).contains("and this machine's clock shows 2026-11-24 12:00:00 UTC"));
    let ended = Forger { expires: Some(999), ..one.clone() };
    assert!(refused(&ended).contains("expired on"), "{}", refused(&ended));
    let old = Forger { key_expires: 1_000_000, ..one.clone() };
    assert!(refused(&old).contains(&format!("or the key expired on {}", from_now(0))));
    for good in [
        Forger { signed: now + 80_000, ..one.clone() },
        Forger { expires: Some(1001), ..one.clone() },
        Forger { expires: Some(0), ..one.clone() },
        Forger { key_expires: 1_000_001, ..one.clone() },
        Forger { key_expires: 0, ..one },
    ] {
        let read = read(&good.sign(&text()), &Keyring::from_certificates(&[&good.certificate()]));
        assert!(read.is_ok(), "{good:?}: {read:?}");
    }
}

#[test]
fn only_signatures_over_texts_count() {
    for kind in [0, 2, 0x10, 0x13, 0x18, 0x40, 0x50] {
        assert!(refused(&Forger { kind, ..Forger::new(1) }).contains("is not for a text"), "{kind}");
    }
    // A critical notation, and one that is not critical.
    let strange = Forger { more: subpacket(0x94, b"x"), ..Forger::new(1) };
    assert!(refused(&strange).contains("is not for a text"));
    let plain = Forger { more: subpacket(0x14, b"x"), ..Forger::new(1) };
    assert!(read(&plain.sign(&text()), &Keyring::from_certificates(&[&plain.certificate()])).is_ok());
    let twice = Forger { more: subpacket(2, &[0; 4]), ..Forger::new(1) };
    assert_eq!(refused(&twice), "one of its signatures is malformed");
    let newer = Forger { version: 6, ..Forger::new(1) };
    assert_eq!(refused(&newer), "one of its signatures has an unsupported version");
    // A key that may only certify.
    assert!(refused(&Forger { flags: 1, ..Forger::new(1) }).contains("not one of the keys of Debian"));
}

#[test]
fn packets_other_than_signatures_are_refused() {
    let one = Forger::new(1);
    let keys = Keyring::from_certificates(&[&one.certificate()]);
    let signature = one.signature_over(&text());
    for strange in [packet(11, b"t"), packet(10, b"PGP"), packet(8, &signature), vec![0xcb, 0xe0], vec![0x8b], vec![0]]
    {
        assert!(read(&cleartext_signed(&text(), &[strange, signature.clone()].concat()), &keys).is_err());
    }
    assert!(read(&cleartext_signed(&text(), &[]), &keys).is_err());
    assert!(read(&cleartext_signed(&text(), &signature.repeat(17)), &keys).unwrap_err().contains("17 signatures"));
    assert!(read(&cleartext_signed(&text(), &signature.repeat(16)), &keys).is_ok());
    for end in 0..signature.len() {
        assert!(read(&cleartext_signed(&text(), &signature[..end]), &keys).is_err(), "{end}");
    }
}

/// Each bit of a signature matters, except the bits of the left 16 bits of the digest.
#[test]
fn a_flipped_bit_of_a_signature_is_refused() {
    let one = Forger { algorithm: 27, ..Forger::new(1) };
    let keys = Keyring::from_certificates(&[&one.certificate()]);
    let good = one.signature_over(&text());
    let free = good.len() - 66..good.len() - 64;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut harmed = good.clone();
            harmed[at] ^= 1 << bit;
            let read = read(&cleartext_signed(&text(), &harmed), &keys);
            assert_eq!(read.is_ok(), free.contains(&at), "byte {at}, bit {bit}: {read:?}");
        }
    }
}

/// The signature is good, and the text is not a valid list.
#[test]
fn a_signed_text_that_is_not_a_list_is_refused() {
    let one = Forger::new(1);
    let keys = Keyring::from_certificates(&[&one.certificate()]);
    let good = release("trixie", Some(UNTIL), true, b"index");
    assert!(read(&one.sign(&good), &keys).is_ok());
    for (from, to, why) in [
        ("Codename: trixie\n", "", "name its suite"),
        ("Codename: trixie\n", "Codename: trixie\nCodename: trixie\n", "twice"),
        ("Codename: trixie\n", "Codename: trixie\ncodename: sid\n", "twice"),
        ("Codename: trixie\n", "Codename: trixie\n\nCodename: sid\n", "more than one part"),
        ("Codename: trixie\n", "Codename trixie\n", "not one of a control file"),
        ("Codename: trixie\n", "Codename: trixie\n: x\n", "without a name"),
        ("Date: Mon", "Dates: Mon", "no date"),
        ("Date: Mon, 23", "Date: Mon, 32", "a malformed date"),
        ("Until: Mon, 30", "Until: Mon, 31", "a malformed date"),
        ("SHA256:\n", "SHA512:\n", "no SHA-256 of"),
        ("SHA256:\n", "SHA256:\nDescription: x\n", "no SHA-256 of"),
        ("SHA256:\n", "SHA256:\n 0 1 main/binary-amd64/Packages.xz\n", "no size or digest"),
        ("SHA256:\n", "SHA256:\n x\n", "a malformed line in its SHA256"),
        (" 5 main/binary-amd64/Packages.xz", " +5 main/binary-amd64/Packages.xz", "no size or digest"),
        (" 5 main/binary-amd64/Packages.xz", " 0 main/binary-amd64/Packages.xz", "has no bytes"),
        (" 5 main/binary-amd64/Packages.xz", " 67108865 main/binary-amd64/Packages.xz", "has 67108865 bytes"),
        (" 5 main/binary-amd64/Packages.xz", " 5 main/binary-amd64/Packages", "no SHA-256 of"),
    ] {
        let harmed = good.replacen(from, to, 1);
        assert_ne!(harmed, good);
        let error = read(&one.sign(&harmed), &keys).unwrap_err();
        assert!(error.contains(why), "{error}: {harmed}");
    }
    let line = good.lines().last().unwrap();
    assert!(read(&one.sign(&format!("{good}\n{line}")), &keys).unwrap_err().contains("twice"));
}
