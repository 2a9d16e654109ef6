//! Errors of a pull: their texts, hints and exit codes.

use std::io;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ExitCode, Failure};
use crate::qemu::download::MirrorFailure;
use crate::qemu::download::failure::only_printable;
use crate::qemu::oci::{ChainError, ImageReference, RegistryLogin};

/// Failed pull of an image.
#[derive(Debug, thiserror::Error)]
#[error("cannot pull {image}: {why}")]
pub struct PullError {
    image: String,
    why: PullErrorKind,
    /// Hint from reading the auth files.
    login: Option<String>,
}

/// Reason of a failed pull.
#[derive(Debug, thiserror::Error)]
pub enum PullErrorKind {
    /// A document or layer could not be fetched or verified.
    #[error("{what}: {why}")]
    Piece {
        /// Description of the document or layer, such as "layer 2 of 3".
        what: String,
        /// Reason of the failure.
        why: RegistryFailure,
    },
    /// The HTTP client could not be set up.
    #[error("{0}")]
    Client(String),
    /// The layers do not fit in memory.
    #[error("cannot keep the layers in memory: {0}")]
    Memory(#[from] io::Error),
    /// The worker failed.
    #[error("the pull worker {0}")]
    Process(String),
}

/// Reason why a document or layer could not be fetched or verified. Texts that come from servers hold printable
/// characters only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegistryFailure {
    /// The registry failed to answer, or gave a wrong answer.
    #[error("{0}")]
    Registry(MirrorFailure),
    /// The token server of the registry failed.
    #[error("token server {server}: {reason}")]
    Tokens {
        /// Host of the token server.
        #[serde(deserialize_with = "only_printable")]
        server: String,
        /// Reason of the failure.
        reason: MirrorFailure,
    },
    /// The registry requires an authentication that this tool does not support.
    #[error("{0}")]
    Challenge(#[serde(deserialize_with = "only_printable")] String),
    /// The registry rejects the request without a password. The value is the token server that did not get the
    /// password, because its domain is not the registry's.
    #[error("the registry requires a password{}", withheld_text(.0.as_deref()))]
    Closed(#[serde(deserialize_with = "only_printable_option")] Option<String>),
    /// The bytes are not the expected ones.
    #[error("{0}")]
    Bad(ChainError),
}

fn withheld_text(server: Option<&str>) -> String {
    server
        .map(|server| format!(", which was not sent to {server}, because that is not in the registry's own domain"))
        .unwrap_or_default()
}

fn only_printable_option<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| crate::sanitize::to_one_line(&text)))
}

impl RegistryFailure {
    /// Makes the texts of another process safe to print.
    #[must_use]
    pub fn into_printable(self) -> Self {
        match self {
            Self::Bad(error) => Self::Bad(error.into_printable()),
            failure => failure,
        }
    }
}

impl PullError {
    /// Creates the error of this image.
    pub fn new(image: &ImageReference, login: &RegistryLogin, why: PullErrorKind) -> Self {
        Self { image: image.to_string(), why, login: login.hint.clone() }
    }

    /// Returns what the user can do about the failure.
    pub fn hint(&self) -> String {
        let other = "or use another source of QEMU: --from, --source";
        let PullErrorKind::Piece { why, .. } = &self.why else {
            return match &self.why {
                PullErrorKind::Client(_) => "check SSL_CERT_FILE, NIX_SSL_CERT_FILE and the proxy variables".into(),
                PullErrorKind::Memory(_) => "free some memory".into(),
                _ => format!("run the command again; if that does not help, please report it, {other}"),
            };
        };
        match why {
            RegistryFailure::Bad(ChainError::Digest { .. }) => {
                format!("the registry or a proxy in front of it sends other bytes; none of them were used; {other}")
            }
            RegistryFailure::Bad(_) => format!("name another image, {other}"),
            RegistryFailure::Closed(_) | RegistryFailure::Challenge(_) => self.login_hint(),
            RegistryFailure::Registry(reason) | RegistryFailure::Tokens { reason, .. } => match reason {
                MirrorFailure::Status { code: 401 | 403 } => self.login_hint(),
                MirrorFailure::Status { code: 404 } => {
                    "check the name and the digest; registries give the same answer for a private image".into()
                }
                MirrorFailure::Busy { code: 429, .. } => {
                    format!("wait, or log in (podman login, docker login), {other}")
                }
                MirrorFailure::Unreachable(_) | MirrorFailure::Stalled(_) => format!(
                    "set HTTPS_PROXY if this network needs a proxy, SSL_CERT_FILE if it has its own certificate \
                     authority, {other}"
                ),
                _ => format!("run the command again, {other}"),
            },
        }
    }

    fn login_hint(&self) -> String {
        let login = "log in with podman login or docker login, as the user that runs this command (under sudo: root), \
                     or name the auth file in REGISTRY_AUTH_FILE";
        match &self.login {
            Some(hint) => format!("{login}; {hint}"),
            None => login.into(),
        }
    }

    /// Whether bytes had another digest than the expected one.
    pub fn is_unverified(&self) -> bool {
        matches!(self.why, PullErrorKind::Piece { why: RegistryFailure::Bad(ChainError::Digest { .. }), .. })
    }
}

impl Failure for PullError {
    fn hint(&self) -> Option<String> {
        Some(self.hint())
    }

    fn exit_code(&self) -> ExitCode {
        if self.is_unverified() { ExitCode::Unverified } else { ExitCode::Failed }
    }
}

impl From<PullError> for Error {
    fn from(error: PullError) -> Self {
        Self::other(error)
    }
}
