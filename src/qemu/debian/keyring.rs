//! The keys of Debian's archive, and who of them signed something. Pure.
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
//! They are trusted for they are compiled in. What a certificate says of its own key (what it is for, when it expires)
//! is believed as it stands; a test has gpg check it.

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

/// The key may sign data (RFC 9580 §5.2.3.29).
const MAY_SIGN: u8 = 2;
/// A signature of a text whose line ends do not matter (§5.2.1.2).
const TEXT_SIGNATURE: u8 = 1;

/// A key that may sign, of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    public: PublicKey,
    /// The certificate's own key, by which people know it.
    certificate: [u8; 20],
    expires: Option<u64>,
}

/// Keys that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring(Vec<SigningKey>);

/// None of the signatures of a text is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignaturesError {
    /// The packets cannot be read.
    #[error("its signature is broken")]
    Packets,
    /// There is no signature, or far too many.
    #[error("it has {0} signatures")]
    Count(usize),
    /// There is a packet of another kind.
    #[error("something that is no signature is among its signatures")]
    NotSignature,
    /// Each signature has its fault.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<SignatureError>),
}

/// What is wrong with one signature. Keys are named by their fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The packet cannot be read.
    #[error("one of its signatures is broken")]
    Broken,
    /// The version or the algorithm is not known here.
    #[error("one of its signatures is of a kind that is not known")]
    Kind,
    /// The issuer is not named.
    #[error("one of its signatures does not say whose it is")]
    NoIssuer,
    /// The key is not trusted.
    #[error("the key {0} is none of Debian's that is known here")]
    UnknownKey(String),
    /// The hash algorithm is too weak, or not known.
    #[error("the signature of {key} is by a hash that proves nothing (number {hash})")]
    Hash {
        /// the key
        key: String,
        /// the number of the algorithm (RFC 9580 §9.5)
        hash: u8,
    },
    /// The text has another signature.
    #[error("the signature of {0} is not one of this text")]
    Wrong(String),
    /// The signature is for something else than a text.
    #[error("the signature of {0} is not for a text")]
    NotText(String),
    /// The signature does not say when it was made.
    #[error("the signature of {0} has no date")]
    NoDate(String),
    /// The signature is older than the key, or newer than the clock.
    #[error("the signature of {key} was made on {made}, and this machine's clock shows {now}")]
    Made {
        /// the key
        key: String,
        /// when it was made
        made: Date,
        /// the clock of this machine
        now: Date,
    },
    /// The signature or the key has expired.
    #[error("the signature of {key} or the key expired on {end}")]
    Expired {
        /// the key
        key: String,
        /// when it expired
        end: Date,
    },
}

impl Keyring {
    /// Those of Debian's archive.
    pub fn debian_archive() -> Self {
        Self(CERTIFICATES.iter().filter_map(|file| parse_certificate(file).ok()).flatten().collect())
    }

    /// Those of other certificates, for tests.
    pub fn from_certificates(certificates: &[&[u8]]) -> Self {
        Self(certificates.iter().filter_map(|bytes| parse_certificate(bytes).ok()).flatten().collect())
    }

    /// For each key its own fingerprint, its certificate's, and when it expires.
    pub fn list_keys(&self) -> Vec<(String, String, Option<Date>)> {
        let shown = |fingerprint: &[u8]| to_hex(fingerprint).to_uppercase();
        let row = |key: &SigningKey| (shown(&key.public.fingerprint), shown(&key.certificate), key.expires.map(Date));
        self.0.iter().map(row).collect()
    }

    /// Whose of these signatures over a text is good: the fingerprint of its certificate. Or what is wrong with each.
    pub(super) fn verify_any(&self, signatures: &[u8], text: &[u8], now: Date) -> Result<String, SignaturesError> {
        const MOST: usize = 16;
        let packets = openpgp::split_packets(signatures).map_err(|InvalidPacket| SignaturesError::Packets)?;
        if packets.is_empty() || packets.len() > MOST {
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
        signature.verify(&key.public, text).map_err(|void| match void {
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
    /// Made while there was the key, and neither has expired.
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

/// The keys of a certificate that may sign data (RFC 9580 §10.1).
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
                // Of its user's name, of itself, of a subkey; those of others are not about this.
                let own = signature.issuer == certificate;
                match signature.kind {
                    0x20 | 0x28 | 0x30 if own => return Err(InvalidPacket),
                    // The newest one counts; those that say nothing of its use only name who may revoke it.
                    0x10..=0x13 | 0x18 | 0x1f
                        if own
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

    /// Debian names them on the page of its archive keys; so does `gpg --show-keys`.
    #[test]
    fn these_and_no_other_keys_are_believed() {
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
