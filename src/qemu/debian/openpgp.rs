//! Parser of OpenPGP packets and verifier of signatures, limited to what a signed list needs: public keys and
//! signatures of version 4 (RFC 9580; RSA, and Ed25519 in its old and its new form). Pure.
//!
//! The two existing libraries are not used. Each brings more than a hundred crates, to decrypt, to sign and to generate
//! keys, for algorithms that are not needed here, and all of that code would process bytes from the network. The
//! required part of the format fits in this file, and ring, which is needed for TLS anyway, does the mathematics.

use ring::digest;
use ring::signature::{self as scheme, RsaPublicKeyComponents, UnparsedPublicKey};
use sha1::Digest as _;

/// Packet types (RFC 9580 §5).
pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const PUBLIC_SUBKEY: u8 = 14;

/// Key algorithms (§9.1).
const RSA: u8 = 1;
const EDDSA_LEGACY: u8 = 22;
const ED25519: u8 = 27;

/// Object identifier of the curve in the old form (§9.2, Ed25519Legacy), preceded by its length.
const CURVE: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// Malformed or unsupported bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidPacket;

type PacketResult<T> = std::result::Result<T, InvalidPacket>;

/// Reader of bytes from the front of a slice.
struct PacketReader<'a>(&'a [u8]);

impl<'a> PacketReader<'a> {
    fn take_slice(&mut self, length: usize) -> PacketResult<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(InvalidPacket)?;
        self.0 = rest;
        Ok(front)
    }

    fn take_array<const N: usize>(&mut self) -> PacketResult<[u8; N]> {
        self.take_slice(N)?.try_into().map_err(|_| InvalidPacket)
    }

    fn take_byte(&mut self) -> PacketResult<u8> {
        self.take_array().map(|[byte]| byte)
    }

    fn take_number(&mut self, bytes: usize) -> PacketResult<usize> {
        let number = self.take_slice(bytes)?.iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
        usize::try_from(number).map_err(|_| InvalidPacket)
    }

    /// Reads a length of one, two or five bytes (§4.2.1, §5.2.3.7). First bytes from 192 up to `two_byte_end`,
    /// exclusive, start a length of two bytes.
    fn take_length(&mut self, two_byte_end: u8) -> PacketResult<usize> {
        match self.take_byte()? {
            255 => self.take_number(4),
            first @ 192.. if first < two_byte_end => {
                let high = usize::from(first).saturating_sub(192) << 8;
                Ok(high.saturating_add(self.take_number(1)?).saturating_add(192))
            }
            first @ 0..192 => Ok(first.into()),
            _ => Err(InvalidPacket),
        }
    }

    /// Reads a number of any length and returns its bytes without leading zeros (§3.2).
    fn take_mpi(&mut self) -> PacketResult<&'a [u8]> {
        let bits = self.take_number(2)?;
        let bytes = self.take_slice(bits.div_ceil(8))?;
        Ok(bytes.iter().position(|byte| *byte != 0).and_then(|first| bytes.get(first..)).unwrap_or_default())
    }

    fn expect_end(&self) -> PacketResult<()> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidPacket) }
    }
}

/// Splits bytes into packets and returns their types and bodies (§4.2). Packets of partial or indeterminate length are
/// refused.
pub(super) fn split_packets(bytes: &[u8]) -> PacketResult<Vec<(u8, &[u8])>> {
    let (mut rest, mut packets) = (PacketReader(bytes), Vec::new());
    while !rest.0.is_empty() {
        let head = rest.take_byte()?;
        let (kind, length) = match head {
            0xc0.. => (head & 0x3f, rest.take_length(224)?),
            0x80.. => match head & 3 {
                0 => (head >> 2 & 15, rest.take_number(1)?),
                1 => (head >> 2 & 15, rest.take_number(2)?),
                2 => (head >> 2 & 15, rest.take_number(4)?),
                _ => return Err(InvalidPacket),
            },
            _ => return Err(InvalidPacket),
        };
        packets.push((kind, rest.take_slice(length)?));
    }
    Ok(packets)
}

/// Parameters of a public key for its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyMaterial {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519([u8; 32]),
}

/// Public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) fingerprint: [u8; 20],
    pub(super) created: u32,
    material: KeyMaterial,
}

impl PublicKey {
    /// Parses the body of a packet (§5.5.2).
    pub(super) fn parse(body: &[u8]) -> PacketResult<Self> {
        let mut rest = PacketReader(body);
        let (4, created, algorithm) = (rest.take_byte()?, u32::from_be_bytes(rest.take_array()?), rest.take_byte()?)
        else {
            return Err(InvalidPacket);
        };
        let material = match algorithm {
            RSA => KeyMaterial::Rsa { n: rest.take_mpi()?.to_vec(), e: rest.take_mpi()?.to_vec() },
            EDDSA_LEGACY if rest.take_slice(CURVE.len())? == CURVE => match rest.take_mpi()? {
                [0x40, point @ ..] => KeyMaterial::Ed25519(point.try_into().map_err(|_| InvalidPacket)?),
                _ => return Err(InvalidPacket),
            },
            ED25519 => KeyMaterial::Ed25519(rest.take_array()?),
            _ => return Err(InvalidPacket),
        };
        rest.expect_end()?;
        // The fingerprint (§5.5.4.2). SHA-1 only names a key here; nothing relies on its strength.
        let length = u16::try_from(body.len()).map_err(|_| InvalidPacket)?.to_be_bytes();
        let fingerprint = sha1::Sha1::new().chain_update([0x99]).chain_update(length).chain_update(body).finalize();
        Ok(Self { fingerprint: fingerprint.into(), created, material })
    }
}

/// Accepted hash algorithms (§9.5): SHA-256, SHA-384, SHA-512. MD5 and SHA-1 are not accepted, because collisions can
/// be found for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HashAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// Signature. The unhashed subpackets, which an attacker can change, are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    /// Signature type (§5.2.1).
    pub(super) kind: u8,
    algorithm: u8,
    hash: u8,
    /// Hashed part of the signature packet.
    hashed: &'a [u8],
    numbers: &'a [u8],
    pub(super) created: Option<u32>,
    /// Lifetime of the signature in seconds after `created`.
    pub(super) expires: Option<u32>,
    /// Lifetime of the signed key in seconds after the creation of that key.
    pub(super) key_expires: Option<u32>,
    pub(super) key_flags: Option<u8>,
    pub(super) issuer: Option<[u8; 20]>,
    /// Whether there is a critical subpacket of an unknown type.
    pub(super) has_unknown_critical: bool,
}

/// Reason why a signature is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadSignature {
    /// Hash algorithm that is not accepted.
    UnsupportedHash(u8),
    /// Signature by another key or over other bytes.
    Mismatch,
}

impl<'a> Signature<'a> {
    /// Parses the body of a packet (§5.2.3). Returns `None` for unknown versions.
    pub(super) fn parse(body: &'a [u8]) -> PacketResult<Option<Self>> {
        let mut rest = PacketReader(body);
        if rest.take_byte()? != 4 {
            return Ok(None);
        }
        let (kind, algorithm, hash) = (rest.take_byte()?, rest.take_byte()?, rest.take_byte()?);
        let length = rest.take_number(2)?;
        let subpackets = rest.take_slice(length)?;
        let hashed = body.get(..length.saturating_add(6)).ok_or(InvalidPacket)?;
        let unhashed = rest.take_number(2)?;
        rest.take_slice(unhashed)?;
        // Two bytes of the hash, for a quick check that is not needed here.
        rest.take_slice(2)?;
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
            has_unknown_critical: false,
        };
        signature.read_subpackets(subpackets)?;
        Ok(Some(signature))
    }

    /// Parses the hashed subpackets (§5.2.3.7). Duplicates of those that are kept are refused.
    fn read_subpackets(&mut self, bytes: &[u8]) -> PacketResult<()> {
        fn set_once<T>(place: &mut Option<T>, value: T) -> PacketResult<()> {
            if place.replace(value).is_some() { Err(InvalidPacket) } else { Ok(()) }
        }
        let mut rest = PacketReader(bytes);
        while !rest.0.is_empty() {
            let length = rest.take_length(255)?;
            let mut body = PacketReader(rest.take_slice(length)?);
            let kind = body.take_byte()?;
            match kind & 0x7f {
                2 => set_once(&mut self.created, u32::from_be_bytes(body.take_array()?))?,
                3 => set_once(&mut self.expires, u32::from_be_bytes(body.take_array()?))?,
                9 => set_once(&mut self.key_expires, u32::from_be_bytes(body.take_array()?))?,
                27 => set_once(&mut self.key_flags, body.take_byte()?)?,
                33 if body.take_byte()? == 4 => set_once(&mut self.issuer, body.take_array()?)?,
                // Exportable, preferences, issuer, server, primary, policy, features: these have no effect here.
                4 | 11 | 16 | 21..=26 | 30 | 33 => {}
                _ => self.has_unknown_critical |= kind & 0x80 != 0,
            }
        }
        Ok(())
    }

    /// Verifies that this key made the signature over these bytes (§5.2.4).
    pub(super) fn verify(&self, key: &PublicKey, bytes: &[u8]) -> std::result::Result<(), BadSignature> {
        let hash = match self.hash {
            8 => HashAlgorithm::Sha256,
            9 => HashAlgorithm::Sha384,
            10 => HashAlgorithm::Sha512,
            weak => return Err(BadSignature::UnsupportedHash(weak)),
        };
        let length = u32::try_from(self.hashed.len()).map_err(|_| BadSignature::Mismatch)?.to_be_bytes();
        let message = [bytes, self.hashed, &[4, 0xff], &length].concat();
        let verified = match (&key.material, self.algorithm) {
            (KeyMaterial::Rsa { n, e }, RSA) => self.verify_rsa(n, e, hash, &message),
            (KeyMaterial::Ed25519(point), EDDSA_LEGACY | ED25519) => self.verify_ed25519(point, hash, &message),
            _ => Err(InvalidPacket),
        };
        verified.map_err(|_| BadSignature::Mismatch)
    }

    fn verify_rsa(&self, n: &[u8], e: &[u8], hash: HashAlgorithm, message: &[u8]) -> PacketResult<()> {
        let mut rest = PacketReader(self.numbers);
        let number = rest.take_mpi()?;
        rest.expect_end()?;
        let padded = [&vec![0; n.len().saturating_sub(number.len())], number].concat();
        let parameters = match hash {
            HashAlgorithm::Sha256 => &scheme::RSA_PKCS1_2048_8192_SHA256,
            HashAlgorithm::Sha384 => &scheme::RSA_PKCS1_2048_8192_SHA384,
            HashAlgorithm::Sha512 => &scheme::RSA_PKCS1_2048_8192_SHA512,
        };
        RsaPublicKeyComponents { n, e }.verify(parameters, message, &padded).map_err(|_| InvalidPacket)
    }

    /// Verifies an Ed25519 signature, which is made over the hash of the message (§5.2.3.2, §5.2.3.3).
    fn verify_ed25519(&self, point: &[u8; 32], hash: HashAlgorithm, message: &[u8]) -> PacketResult<()> {
        let algorithm = match hash {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        };
        let mut rest = PacketReader(self.numbers);
        let signature = match self.algorithm {
            ED25519 => rest.take_slice(64)?.to_vec(),
            _ => [pad_to_32(rest.take_mpi()?)?, pad_to_32(rest.take_mpi()?)?].concat(),
        };
        rest.expect_end()?;
        let key = UnparsedPublicKey::new(&scheme::ED25519, point);
        key.verify(digest::digest(algorithm, message).as_ref(), &signature).map_err(|_| InvalidPacket)
    }
}

/// Restores the leading zeros of a number of 32 bytes.
fn pad_to_32(number: &[u8]) -> PacketResult<[u8; 32]> {
    let zeros = 32_usize.checked_sub(number.len()).ok_or(InvalidPacket)?;
    [&vec![0; zeros], number].concat().try_into().map_err(|_| InvalidPacket)
}
