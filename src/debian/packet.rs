//! OpenPGP packets, as far as a signed list needs them: public keys and signatures of version 4 (RFC 9580; RSA, and
//! Ed25519 in its old and its new form). Pure.
//!
//! Why by hand: the two libraries that there are bring more than a hundred crates each, to decrypt, to sign, to make
//! keys, for algorithms nobody uses here; all of it would stand before bytes of the network. What is to be known of the
//! format is these few pages, and the mathematics is done by ring, which does it for TLS already.

use ring::digest;
use ring::signature::{self as scheme, RsaPublicKeyComponents, UnparsedPublicKey};
use sha1::Digest as _;

/// Types of packets (RFC 9580 §5).
pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const PUBLIC_SUBKEY: u8 = 14;

/// Algorithms of keys (§9.1).
const RSA: u8 = 1;
const EDDSA_LEGACY: u8 = 22;
const ED25519: u8 = 27;

/// The curve of the old form (§9.2, Ed25519Legacy), with its length before it.
const CURVE: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// The bytes are not what OpenPGP has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

type Result<T> = std::result::Result<T, Broken>;

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Broken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self, bytes: usize) -> Result<usize> {
        let number = self.take(bytes)?.iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
        usize::try_from(number).map_err(|_| Broken)
    }

    /// A length of one, two or five bytes (§4.2.1, §5.2.3.7); `two` is where the first kind of two bytes begins to be
    /// another kind.
    fn length(&mut self, two: u8) -> Result<usize> {
        match self.byte()? {
            255 => self.number(4),
            first @ 192.. if first < two => {
                let high = usize::from(first).saturating_sub(192) << 8;
                Ok(high.saturating_add(self.number(1)?).saturating_add(192))
            }
            first @ 0..192 => Ok(first.into()),
            _ => Err(Broken),
        }
    }

    /// A number of any length, without the zeros before it (§3.2).
    fn integer(&mut self) -> Result<&'a [u8]> {
        let bits = self.number(2)?;
        let bytes = self.take(bits.div_ceil(8))?;
        Ok(bytes.iter().position(|byte| *byte != 0).and_then(|first| bytes.get(first..)).unwrap_or_default())
    }

    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken) }
    }
}

/// The packets in these bytes, each with its type (§4.2). Those whose length is not said before them are not taken.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>> {
    let (mut rest, mut packets) = (Bytes(bytes), Vec::new());
    while !rest.0.is_empty() {
        let head = rest.byte()?;
        let (kind, length) = match head {
            0xc0.. => (head & 0x3f, rest.length(224)?),
            0x80.. => match head & 3 {
                0 => (head >> 2 & 15, rest.number(1)?),
                1 => (head >> 2 & 15, rest.number(2)?),
                2 => (head >> 2 & 15, rest.number(4)?),
                _ => return Err(Broken),
            },
            _ => return Err(Broken),
        };
        packets.push((kind, rest.take(length)?));
    }
    Ok(packets)
}

/// What a public key is, for its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519([u8; 32]),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) fingerprint: [u8; 20],
    pub(super) created: u32,
    material: Material,
}

impl PublicKey {
    /// Reads a packet's body (§5.5.2).
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let mut rest = Bytes(body);
        let (4, created, algorithm) = (rest.byte()?, u32::from_be_bytes(rest.array()?), rest.byte()?) else {
            return Err(Broken);
        };
        let material = match algorithm {
            RSA => Material::Rsa { n: rest.integer()?.to_vec(), e: rest.integer()?.to_vec() },
            EDDSA_LEGACY if rest.take(CURVE.len())? == CURVE => match rest.integer()? {
                [0x40, point @ ..] => Material::Ed25519(point.try_into().map_err(|_| Broken)?),
                _ => return Err(Broken),
            },
            ED25519 => Material::Ed25519(rest.array()?),
            _ => return Err(Broken),
        };
        rest.end()?;
        // §5.5.4.2. SHA-1 names a key here, it proves nothing.
        let length = u16::try_from(body.len()).map_err(|_| Broken)?.to_be_bytes();
        let fingerprint = sha1::Sha1::new().chain_update([0x99]).chain_update(length).chain_update(body).finalize();
        Ok(Self { fingerprint: fingerprint.into(), created, material })
    }
}

/// The hashes that count (§9.5): SHA-256, SHA-384, SHA-512. For MD5 and SHA-1 others can be found that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A signature. What is not hashed of it, and so could be anybody's, is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    /// What it is about (§5.2.1).
    pub(super) kind: u8,
    algorithm: u8,
    hash: u8,
    /// All that is hashed of it.
    hashed: &'a [u8],
    numbers: &'a [u8],
    pub(super) created: Option<u32>,
    /// So many seconds after `created`.
    pub(super) expires: Option<u32>,
    /// Of the key that it is about, so many seconds after the key's own creation.
    pub(super) key_expires: Option<u32>,
    pub(super) key_flags: Option<u8>,
    pub(super) issuer: Option<[u8; 20]>,
    /// It has something that must be understood, and is not.
    pub(super) strange: bool,
}

/// Why a signature says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Void {
    /// By a hash that does not count.
    Hash(u8),
    /// It is not of this key over these bytes.
    Wrong,
}

impl<'a> Signature<'a> {
    /// Reads a packet's body (§5.2.3); nothing for versions that are not known.
    pub(super) fn read(body: &'a [u8]) -> Result<Option<Self>> {
        let mut rest = Bytes(body);
        if rest.byte()? != 4 {
            return Ok(None);
        }
        let (kind, algorithm, hash) = (rest.byte()?, rest.byte()?, rest.byte()?);
        let length = rest.number(2)?;
        let subpackets = rest.take(length)?;
        let hashed = body.get(..length.saturating_add(6)).ok_or(Broken)?;
        let unhashed = rest.number(2)?;
        rest.take(unhashed)?;
        // Two bytes of the hash, which tell sooner that it does not fit: not needed.
        rest.take(2)?;
        let mut signature = Self {
            kind,
            algorithm,
            hash,
            hashed,
            numbers: rest.0,
            created: None,
            expires: None,
            key_expires: None,
            key_flags: None,
            issuer: None,
            strange: false,
        };
        signature.subpackets(subpackets)?;
        Ok(Some(signature))
    }

    /// What is hashed of it (§5.2.3.7). None may be there twice that says when or whose.
    fn subpackets(&mut self, bytes: &[u8]) -> Result<()> {
        fn once<T>(place: &mut Option<T>, value: T) -> Result<()> {
            if place.replace(value).is_some() { Err(Broken) } else { Ok(()) }
        }
        let mut rest = Bytes(bytes);
        while !rest.0.is_empty() {
            let length = rest.length(255)?;
            let mut body = Bytes(rest.take(length)?);
            let kind = body.byte()?;
            match kind & 0x7f {
                2 => once(&mut self.created, u32::from_be_bytes(body.array()?))?,
                3 => once(&mut self.expires, u32::from_be_bytes(body.array()?))?,
                9 => once(&mut self.key_expires, u32::from_be_bytes(body.array()?))?,
                27 => once(&mut self.key_flags, body.byte()?)?,
                33 if body.byte()? == 4 => once(&mut self.issuer, body.array()?)?,
                // Exportable, preferences, issuer, server, primary, policy, features: change nothing here.
                4 | 11 | 16 | 21..=26 | 30 | 33 => {}
                _ => self.strange |= kind & 0x80 != 0,
            }
        }
        Ok(())
    }

    /// Whether this key made it over these bytes (§5.2.4).
    pub(super) fn verify(&self, key: &PublicKey, bytes: &[u8]) -> std::result::Result<(), Void> {
        let hash = match self.hash {
            8 => Hash::Sha256,
            9 => Hash::Sha384,
            10 => Hash::Sha512,
            weak => return Err(Void::Hash(weak)),
        };
        let length = u32::try_from(self.hashed.len()).map_err(|_| Void::Wrong)?.to_be_bytes();
        let message = [bytes, self.hashed, &[4, 0xff], &length].concat();
        let is = match (&key.material, self.algorithm) {
            (Material::Rsa { n, e }, RSA) => self.rsa(n, e, hash, &message),
            (Material::Ed25519(point), EDDSA_LEGACY | ED25519) => self.ed25519(point, hash, &message),
            _ => Err(Broken),
        };
        is.map_err(|_| Void::Wrong)
    }

    fn rsa(&self, n: &[u8], e: &[u8], hash: Hash, message: &[u8]) -> Result<()> {
        let mut rest = Bytes(self.numbers);
        let number = rest.integer()?;
        rest.end()?;
        let padded = [&vec![0; n.len().saturating_sub(number.len())], number].concat();
        let parameters = match hash {
            Hash::Sha256 => &scheme::RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 => &scheme::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &scheme::RSA_PKCS1_2048_8192_SHA512,
        };
        RsaPublicKeyComponents { n, e }.verify(parameters, message, &padded).map_err(|_| Broken)
    }

    /// What is signed is the hash (§5.2.3.2, §5.2.3.3).
    fn ed25519(&self, point: &[u8; 32], hash: Hash, message: &[u8]) -> Result<()> {
        let algorithm = match hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        let mut rest = Bytes(self.numbers);
        let signature = match self.algorithm {
            ED25519 => rest.take(64)?.to_vec(),
            _ => [half(rest.integer()?)?, half(rest.integer()?)?].concat(),
        };
        rest.end()?;
        let key = UnparsedPublicKey::new(&scheme::ED25519, point);
        key.verify(digest::digest(algorithm, message).as_ref(), &signature).map_err(|_| Broken)
    }
}

/// A number of 32 bytes whose zeros are there again.
fn half(number: &[u8]) -> Result<[u8; 32]> {
    let zeros = 32_usize.checked_sub(number.len()).ok_or(Broken)?;
    [&vec![0; zeros], number].concat().try_into().map_err(|_| Broken)
}
