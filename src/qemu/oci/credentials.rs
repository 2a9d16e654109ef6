//! Credentials for a registry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Credentials for a registry or its token server. The JSON form contains the password, the `Debug` form does not.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Credentials {
    /// No credentials: most images are public.
    #[default]
    #[serde(rename = "Nobody")]
    Anonymous,
    /// User and password.
    Password {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// Identity token, which the token server issued at the login and exchanges for other tokens.
    Identity(String),
}

/// Login at one registry, from the auth files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryLogin {
    /// Credentials of the login.
    pub credentials: Credentials,
    /// Hint for the user, shown if the registry rejects the credentials.
    pub hint: Option<String>,
}

/// `auth` of an entry that cannot be decoded. The error does not contain its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its auth is not the base64 of user:password")]
pub struct InvalidAuth;

impl Credentials {
    /// Returns the value of `Authorization` (RFC 7617), or `None` without a password.
    pub fn basic_header(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Anonymous | Self::Identity(_) => None,
        }
    }

    /// Decodes the `auth` of an auth file: the base64 form of user, colon, password.
    pub(super) fn from_basic(text: &str) -> Result<Self, InvalidAuth> {
        let text = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // Docker pads passwords with zero bytes (docker/cli, `config/configfile/file.go`: `decodeAuth`).
        let text = text.as_deref().map(|text| text.trim_end_matches('\0'));
        match text.and_then(|text| text.split_once(':')) {
            // RFC 7617 forbids line breaks in a password, but some registries use a whole key file as the password.
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
            Self::Anonymous => "Anonymous",
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
