//! Who we are to a registry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What a registry, or its server of tokens, may want to know. Written as JSON it holds its password, shown to people
/// it does not.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Credentials {
    /// Nothing: most images are for everybody.
    #[default]
    Nobody,
    /// A user and a password.
    Password {
        /// the user
        user: String,
        /// the password
        password: String,
    },
    /// What a server of tokens gave at the login, for other tokens.
    Identity(String),
}

/// What the auth files say of one registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryLogin {
    /// Who we are.
    pub credentials: Credentials,
    /// What helps when that is not enough, for people.
    pub hint: Option<String>,
}

/// The `auth` of an entry cannot be decoded. Its text is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its auth is not the base64 of user:password")]
pub struct InvalidAuth;

impl Credentials {
    /// The value of `Authorization` (RFC 7617), where there is a password.
    pub fn basic_header(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Nobody | Self::Identity(_) => None,
        }
    }

    /// Of a file's `auth`: base64 of user, colon, password.
    pub(super) fn from_basic(text: &str) -> Result<Self, InvalidAuth> {
        let text = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // Docker pads passwords with zero bytes (docker/cli, `config/configfile/file.go`: `decodeAuth`).
        let text = text.as_deref().map(|text| text.trim_end_matches('\0'));
        match text.and_then(|text| text.split_once(':')) {
            // A password may have lines, though RFC 7617 forbids it: some registries take a whole key file for one.
            Some((user, password)) if !user.is_empty() => {
                Ok(Self::Password { user: user.into(), password: password.into() })
            }
            _ => Err(InvalidAuth),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Password { .. } => "Password(…)",
            Self::Identity(_) => "Identity(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_used_but_not_shown() {
        let fox = Credentials::from_basic("Zm94OmRlbjpicw==").unwrap_or_default();
        assert_eq!(fox, Credentials::Password { user: "fox".into(), password: "den:bs".into() });
        assert_eq!(fox.basic_header().as_deref(), Some("Basic Zm94OmRlbjpicw=="));
        let shown = format!("{fox:?} {:?}", Credentials::Identity("secret".into()));
        assert_eq!(shown, "Password(…) Identity(…)");
        for odd in ["", "Zm94", "OmRlbg==", "not base64"] {
            let error = Credentials::from_basic(odd).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(!error.is_empty() && (odd.is_empty() || !error.contains(odd)), "{odd}");
        }
    }
}
