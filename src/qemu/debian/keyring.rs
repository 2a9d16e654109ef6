//! The keys of Debian's archive, and the verification of signatures by them. Pure.
//!
//! The files in `keys/` are those of /usr/share/keyrings in Debian 13's package debian-archive-keyring 2025.1
//! (debian-archive-keyring_2025.1_all.deb, SHA-256 9ea7778e443144ca490668737a8ab22dd3e748bb99e805e22ec055abeb3c7fac,
//! named by the signed index of Debian 13), byte for byte. `dists/trixie*` is signed by those of Debian 12 and 13, each
//! with a key for the archive's own work and one for stable releases:
//!
//! | file | key | signs with | expires |
//! |---|---|---|---|
//! | `…-bookworm-automatic.pgp` | B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8 | 4CB50190207B4758A3F73A796ED0E7B82643E131 | 2031-01-19 |
//! | `…-bookworm-stable.pgp` | 4D64FEC119C2029067D6E791F8D2585B8783D481 | the same | 2031-01-21 |
//! | `…-trixie-automatic.pgp` | 04B54C3CDCA79751B16BC6B5225629DF75B188BD | B8E5F13176D2A7A75220028078DBA3BC47EF2265 | 2035-03-28 |
//! | `…-trixie-stable.pgp` | 41587F7DB8C774BCCF131416762F67A0B2C39DE4 | the same | 2033-03-22 |
//!
//! The keys are trusted because they are compiled in. The self-signatures of a certificate, which have the purpose and
//! the expiry of its keys, are therefore not verified here; a test verifies them with gpg.

use super::{CLOCK_SLACK, Date};
use crate::qemu::debian::openpgp;
use crate::qemu::debian::openpgp::{BadSignature, InvalidPacket, PublicKey, Signature};
use crate::sha256::to_hex;

const CERTIFICATES: [&[u8]; 4] = [
    include_bytes!("keys/debian-archive-trixie-automatic.pgp"),
    include_bytes!("keys/debian-archive-trixie-stable.pgp"),
    include_bytes!("keys/debian-archive-bookworm-automatic.pgp"),
    include_bytes!("keys/debian-archive-bookworm-stable.pgp"),
];

/// Key flag for keys that may sign data (RFC 9580 §5.2.3.29).
const MAY_SIGN: u8 = 2;
/// Type of a signature over a text with normalised line ends (§5.2.1.2).
const TEXT_SIGNATURE: u8 = 1;
/// Maximum number of signatures of one text.
const MAX_SIGNATURES: usize = 16;

/// Key of a certificate that may sign data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    public: PublicKey,
    /// Fingerprint of the certificate's primary key, by which users know the certificate.
    certificate: [u8; 20],
    expires: Option<u64>,
}

/// Trusted keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring(Vec<SigningKey>);

/// Signatures of which none is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignaturesError {
    /// Packets that cannot be parsed.
    #[error("its signature is malformed")]
    Packets,
    /// No signature, or too many.
    #[error("it has {0} signatures")]
    Count(usize),
    /// Packet of another type.
    #[error("a packet among its signatures is not a signature")]
    NotSignature,
    /// Error of each signature.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<SignatureError>),
}

/// Reason why one signature is not valid. Keys are named by their fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Packet that cannot be parsed.
    #[error("one of its signatures is malformed")]
    Broken,
    /// Unknown version of the packet.
    #[error("one of its signatures has an unsupported version")]
    Kind,
    /// Missing issuer.
    #[error("one of its signatures does not name its key")]
    NoIssuer,
    /// Key that is not trusted.
    #[error("the key {0} is not one of the keys of Debian that binfmt-nix knows")]
    UnknownKey(String),
    /// Weak or unknown hash algorithm.
    #[error("the signature of {key} has a weak or unknown hash algorithm (number {hash})")]
    Hash {
        /// Fingerprint of the key.
        key: String,
        /// Number of the algorithm (RFC 9580 §9.5).
        hash: u8,
    },
    /// Signature over another text.
    #[error("the signature of {0} is not one of this text")]
    Wrong(String),
    /// Signature of another type than a text.
    #[error("the signature of {0} is not for a text")]
    NotText(String),
    /// Missing date.
    #[error("the signature of {0} has no date")]
    NoDate(String),
    /// Signature that is older than its key or newer than the clock.
    #[error("the signature of {key} was made on {made}, and this machine's clock shows {now}")]
    Made {
        /// Fingerprint of the key.
        key: String,
        /// Date of the signature.
        made: Date,
        /// Current time by the clock of this machine.
        now: Date,
    },
    /// Expired signature or key.
    #[error("the signature of {key} or the key expired on {end}")]
    Expired {
        /// Fingerprint of the key.
        key: String,
        /// Date of the expiry.
        end: Date,
    },
}

impl Keyring {
    /// Returns the keys of Debian's archive.
    pub fn debian_archive() -> Self {
        Self(CERTIFICATES.iter().filter_map(|file| parse_certificate(file).ok()).flatten().collect())
    }

    /// Returns the keys of other certificates, for tests.
    pub fn from_certificates(certificates: &[&[u8]]) -> Self {
        Self(certificates.iter().filter_map(|bytes| parse_certificate(bytes).ok()).flatten().collect())
    }

    /// Returns for each key its fingerprint, the fingerprint of its certificate, and its expiry.
    pub fn list_keys(&self) -> Vec<(String, String, Option<Date>)> {
        let shown = |fingerprint: &[u8]| to_hex(fingerprint).to_uppercase();
        let row = |key: &SigningKey| (shown(&key.public.fingerprint), shown(&key.certificate), key.expires.map(Date));
        self.0.iter().map(row).collect()
    }

    /// Verifies that at least one of these signatures over a text is valid. Returns the fingerprint of the certificate
    /// that made the first valid one.
    pub(super) fn verify_any(&self, signatures: &[u8], text: &[u8], now: Date) -> Result<String, SignaturesError> {
        let packets = openpgp::split_packets(signatures).map_err(|InvalidPacket| SignaturesError::Packets)?;
        if packets.is_empty() || packets.len() > MAX_SIGNATURES {
            return Err(SignaturesError::Count(packets.len()));
        }
        let mut faults = Vec::new();
        for (kind, body) in packets {
            if kind != openpgp::SIGNATURE {
                return Err(SignaturesError::NotSignature);
            }
            match self.verify_signature(body, text, now) {
                Ok(key) => return Ok(to_hex(&key.certificate).to_uppercase()),
                Err(fault) => faults.push(fault),
            }
        }
        faults.dedup();
        Err(SignaturesError::Faults(faults))
    }

    fn verify_signature(&self, body: &[u8], text: &[u8], now: Date) -> Result<&SigningKey, SignatureError> {
        let signature = Signature::parse(body).map_err(|InvalidPacket| SignatureError::Broken)?;
        let signature = signature.ok_or(SignatureError::Kind)?;
        let issuer = signature.issuer.ok_or(SignatureError::NoIssuer)?;
        let shown = to_hex(&issuer).to_uppercase();
        let key = self.0.iter().find(|key| key.public.fingerprint == issuer);
        let key = key.ok_or_else(|| SignatureError::UnknownKey(shown.clone()))?;
        signature.verify(&key.public, text).map_err(|error| match error {
            BadSignature::UnsupportedHash(hash) => SignatureError::Hash { key: shown.clone(), hash },
            BadSignature::Mismatch => SignatureError::Wrong(shown.clone()),
        })?;
        if signature.kind != TEXT_SIGNATURE || signature.has_unknown_critical {
            return Err(SignatureError::NotText(shown));
        }
        key.check_time(&signature, now, shown)?;
        Ok(key)
    }
}

impl SigningKey {
    /// Checks that the signature is newer than the key, and that neither has expired.
    fn check_time(&self, signature: &Signature<'_>, now: Date, shown: String) -> Result<(), SignatureError> {
        let Some(created) = signature.created.map(u64::from) else { return Err(SignatureError::NoDate(shown)) };
        if created < self.public.created.into() || created > now.0.saturating_add(CLOCK_SLACK) {
            return Err(SignatureError::Made { key: shown, made: Date(created), now });
        }
        let end =
            signature.expires.filter(|seconds| *seconds > 0).map(|seconds| created.saturating_add(seconds.into()));
        match [end, self.expires].into_iter().flatten().min() {
            Some(end) if end <= now.0 => Err(SignatureError::Expired { key: shown, end: Date(end) }),
            _ => Ok(()),
        }
    }
}

/// Returns the keys of a certificate that may sign data (RFC 9580 §10.1).
fn parse_certificate(bytes: &[u8]) -> Result<Vec<SigningKey>, InvalidPacket> {
    let mut keys: Vec<(SigningKey, Option<Signature<'_>>)> = Vec::new();
    for (kind, body) in openpgp::split_packets(bytes)? {
        match kind {
            openpgp::PUBLIC_KEY if keys.is_empty() => keys.push((parse_key(body, None)?, None)),
            openpgp::PUBLIC_SUBKEY => {
                let certificate = keys.first().map(|(primary, _)| primary.certificate).ok_or(InvalidPacket)?;
                keys.push((parse_key(body, Some(certificate))?, None));
            }
            openpgp::PUBLIC_KEY => return Err(InvalidPacket),
            openpgp::SIGNATURE => {
                let certificate = keys.first().map(|(primary, _)| primary.certificate);
                let Some((_, self_signature)) = keys.last_mut() else { return Err(InvalidPacket) };
                let Some(signature) = Signature::parse(body)? else { continue };
                // Only signatures by the certificate itself, of a user id, the primary key or a subkey, are considered.
                let is_own = signature.issuer == certificate;
                match signature.kind {
                    0x20 | 0x28 | 0x30 if is_own => return Err(InvalidPacket),
                    // The newest one decides. Those without key flags only name keys that may revoke this one.
                    0x10..=0x13 | 0x18 | 0x1f
                        if is_own
                            && signature.key_flags.is_some()
                            && self_signature
                                .as_ref()
                                .is_none_or(|self_signature| self_signature.created <= signature.created) =>
                    {
                        *self_signature = Some(signature);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let may_sign = |(mut key, self_signature): (SigningKey, Option<Signature<'_>>)| {
        let self_signature = self_signature
            .filter(|self_signature| self_signature.key_flags.is_some_and(|flags| flags & MAY_SIGN != 0))?;
        let seconds = self_signature.key_expires.filter(|seconds| *seconds > 0);
        key.expires = seconds.map(|seconds| u64::from(key.public.created).saturating_add(seconds.into()));
        Some(key)
    };
    Ok(keys.into_iter().filter_map(may_sign).collect())
}

fn parse_key(body: &[u8], certificate: Option<[u8; 20]>) -> Result<SigningKey, InvalidPacket> {
    let public = PublicKey::parse(body)?;
    Ok(SigningKey { certificate: certificate.unwrap_or(public.fingerprint), public, expires: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected fingerprints are those on Debian's page of its archive keys and those of `gpg --show-keys`.
    #[test]
    fn only_these_keys_are_trusted() {
        let listed = Keyring::debian_archive().list_keys();
        let listed: Vec<_> =
            listed.iter().map(|(key, of, end)| (key.as_str(), of.as_str(), end.map(|end| end.0))).collect();
        let (automatic_13, automatic_12) =
            ("04B54C3CDCA79751B16BC6B5225629DF75B188BD", "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8");
        let (stable_13, stable_12) =
            ("41587F7DB8C774BCCF131416762F67A0B2C39DE4", "4D64FEC119C2029067D6E791F8D2585B8783D481");
        let expected = [
            (automatic_13, automatic_13, Some(2_058_699_029)),
            ("B8E5F13176D2A7A75220028078DBA3BC47EF2265", automatic_13, Some(2_058_699_029)),
            (stable_13, stable_13, Some(1_995_130_581)),
            (automatic_12, automatic_12, Some(1_926_589_461)),
            ("4CB50190207B4758A3F73A796ED0E7B82643E131", automatic_12, Some(1_926_589_461)),
            (stable_12, stable_12, Some(1_926_780_243)),
        ];
        assert_eq!(listed, expected);
    }
}
