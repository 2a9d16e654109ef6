//! Keys of the tests and lists signed by them: lists that Debian could sign and never does.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binfmt_nix::qemu::debian::Date;
use binfmt_nix::sha256::{Sha256, to_hex};
use lzma_rust2::{CheckType, XzOptions, XzWriter};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha1::{Digest as _, Sha1};

use super::NOW;

/// A key, and how it signs.
#[derive(Debug, Clone)]
pub(crate) struct Forger {
    pub(crate) seed: [u8; 32],
    /// Number of the algorithm: Ed25519 in the old form, which gpg knows (22), or in the new form (27).
    pub(crate) algorithm: u8,
    /// Creation time of the key; [`Self::key_expires`] seconds later it expires.
    pub(crate) made: u32,
    pub(crate) key_expires: u32,
    /// Key flags (RFC 9580 §5.2.3.29): 1 certifies, 2 signs.
    pub(crate) flags: u8,
    /// Creation time of the signature; [`Self::expires`] seconds later it expires.
    pub(crate) signed: u32,
    pub(crate) expires: Option<u32>,
    /// Type of the signature. The next two fields are its version and its hash algorithm.
    pub(crate) kind: u8,
    pub(crate) version: u8,
    pub(crate) hash: u8,
    /// Further hashed subpackets.
    pub(crate) more: Vec<u8>,
}

impl Forger {
    pub(crate) fn new(seed: u8) -> Self {
        let now = u32::try_from(NOW.0).unwrap();
        Self {
            seed: [seed; 32],
            algorithm: 22,
            made: now - 1_000_000,
            key_expires: 2_000_000,
            flags: 2,
            signed: now - 1000,
            expires: None,
            kind: 1,
            version: 4,
            hash: 8,
            more: Vec::new(),
        }
    }

    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).unwrap()
    }

    fn key(&self) -> Vec<u8> {
        let pair = self.pair();
        let point = pair.public_key().as_ref();
        let point = match self.algorithm {
            22 => [&[9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1, 1, 7, 0x40], point].concat(),
            _ => point.to_vec(),
        };
        [&[4], &self.made.to_be_bytes()[..], &[self.algorithm], &point].concat()
    }

    fn fingerprint(&self) -> [u8; 20] {
        let key = self.key();
        Sha1::digest([&[0x99, 0, u8::try_from(key.len()).unwrap()], &key[..]].concat()).into()
    }

    /// The fingerprint as gpg prints it.
    pub(crate) fn name(&self) -> String {
        to_hex(&self.fingerprint()).to_uppercase()
    }

    /// The certificate of the key, as gpg would export it.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let key = self.key();
        let user = b"Forger";
        let hashed = [&[0x99, 0, u8::try_from(key.len()).unwrap()], &key[..], &[0xb4, 0, 0, 0, 6], user].concat();
        let about = [subpacket(9, &self.key_expires.to_be_bytes()), subpacket(27, &[self.flags])].concat();
        let own =
            Self { kind: 0x13, signed: self.made, more: about, expires: None, version: 4, hash: 8, ..self.clone() };
        [packet(6, &key), packet(13, user), own.signature(&hashed)].concat()
    }

    /// The packet of a signature over these bytes.
    pub(crate) fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        let mut subpackets = subpacket(33, &[&[4], &self.fingerprint()[..]].concat());
        // gpg before 2.4 also needs the key ID.
        subpackets.extend(subpacket(16, &self.fingerprint()[12..]));
        subpackets.extend(subpacket(2, &self.signed.to_be_bytes()));
        if let Some(expires) = self.expires {
            subpackets.extend(subpacket(3, &expires.to_be_bytes()));
        }
        subpackets.extend(&self.more);
        let length = u16::try_from(subpackets.len()).unwrap().to_be_bytes();
        let hashed = [&[self.version, self.kind, self.algorithm, self.hash], &length[..], &subpackets].concat();
        let end = u32::try_from(hashed.len()).unwrap().to_be_bytes();
        let message = [bytes, &hashed, &[4, 0xff], &end].concat();
        let digest = match self.hash {
            2 => Sha1::digest(&message).to_vec(),
            9 => ring::digest::digest(&ring::digest::SHA384, &message).as_ref().to_vec(),
            10 => ring::digest::digest(&ring::digest::SHA512, &message).as_ref().to_vec(),
            _ => ring::digest::digest(&ring::digest::SHA256, &message).as_ref().to_vec(),
        };
        let signature = self.pair().sign(&digest);
        let signature = match self.algorithm {
            22 => signature.as_ref().chunks(32).flat_map(integer).collect(),
            _ => signature.as_ref().to_vec(),
        };
        packet(2, &[&hashed, &[0, 0][..], &digest[..2], &signature].concat())
    }

    /// Signs a text: the result has this signature only.
    pub(crate) fn sign(&self, text: &str) -> String {
        cleartext_signed(text, &self.signature_over(text))
    }

    /// Returns the packet of a signature over a text.
    pub(crate) fn signature_over(&self, text: &str) -> Vec<u8> {
        let lines = text.split('\n').map(|line| line.trim_end_matches([' ', '\t']));
        self.signature(lines.collect::<Vec<_>>().join("\r\n").as_bytes())
    }
}

/// Combines a text and signature packets to a cleartext signature.
pub(crate) fn cleartext_signed(text: &str, signatures: &[u8]) -> String {
    let escaped = format!("\n{text}").replace("\n-", "\n- -");
    let armored = STANDARD.encode(signatures);
    let armored: Vec<_> = armored.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n{escaped}\n-----BEGIN PGP SIGNATURE-----\n\n{}\n\
         -----END PGP SIGNATURE-----\n",
        armored.join("\n")
    )
}

/// Encodes a multiprecision integer: the number of bits, then the bytes without leading zeros.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let number: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let bits = number.len() * 8 - number[0].leading_zeros() as usize;
    [&u16::try_from(bits).unwrap().to_be_bytes()[..], &number].concat()
}

/// Encodes a packet in the new format, with a length of one or two bytes.
pub(crate) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = match body.len() {
        short @ 0..192 => vec![u8::try_from(short).unwrap()],
        long => vec![u8::try_from(192 + ((long - 192) >> 8)).unwrap(), u8::try_from((long - 192) & 255).unwrap()],
    };
    [&[0xc0 | kind], &length[..], body].concat()
}

pub(crate) fn subpacket(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len() + 1).unwrap(), kind], body].concat()
}

/// The text of a list (`Release`).
pub(crate) fn release(codename: &str, until: Option<&str>, by_hash: bool, index: &[u8]) -> String {
    let until = until.map(|until| format!("Valid-Until: {until}\n")).unwrap_or_default();
    let by_hash = if by_hash { "Acquire-By-Hash: yes\n" } else { "" };
    format!(
        "Origin: Debian\nSuite: stable\nCodename: {codename}\nDate: Mon, 23 Nov 2026 02:09:33 UTC\n{until}{by_hash}\
         Architectures: all amd64 arm64\nDescription: a list\nMD5Sum:\n 0 1 main/binary-amd64/Packages.xz\n\
         SHA256:\n {} 5 main/Contents-amd64\n {} {} main/binary-amd64/Packages.xz",
        Sha256::of_bytes(b"other"),
        Sha256::of_bytes(index),
        index.len(),
    )
}

/// Expiry date of the lists of backports.
pub(crate) const UNTIL: &str = "Mon, 30 Nov 2026 02:09:33 UTC";

/// A stanza of an index of packages.
pub(crate) fn stanza(name: &str, version: &str, architecture: &str) -> String {
    let file = version.split_once(':').map_or(version, |(_, rest)| rest);
    format!(
        "Package: {name}\nSource: qemu\nVersion: {version}\nInstalled-Size: 465171\nArchitecture: {architecture}\n\
         Tag: admin::kernel,\n devel::lang:c\nFilename: pool/main/q/qemu/{name}_{file}_{architecture}.deb\n\
         Size: 71089852\nSHA256: {}\n\n",
        Sha256::of_bytes(version.as_bytes())
    )
}

pub(crate) fn xz(text: &[u8]) -> Vec<u8> {
    xz_with(&XzOptions::with_preset(1), text)
}

/// The checksum takes most of the time for a large file.
pub(crate) fn xz_without_checksum(text: &[u8]) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.set_check_sum_type(CheckType::None);
    xz_with(&options, text)
}

fn xz_with(options: &XzOptions, text: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), options.clone()).unwrap();
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// The date this number of seconds after [`NOW`].
pub(crate) fn from_now(seconds: i64) -> Date {
    Date(NOW.0.checked_add_signed(seconds).unwrap())
}
