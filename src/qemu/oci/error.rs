//! Why an image could not be pulled, for people.

use std::io;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ExitCode, Failure};
use crate::qemu::download::MirrorFailure;
use crate::qemu::download::failure::only_printable;
use crate::qemu::oci::{ChainError, ImageReference, RegistryLogin};

/// An image that could not be pulled.
#[derive(Debug, thiserror::Error)]
#[error("cannot pull {image}: {why}")]
pub struct PullError {
    image: String,
    why: PullErrorKind,
    /// What the auth files had besides a password.
    login: Option<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum PullErrorKind {
    /// The registry did not give a piece of it, or not the right one.
    #[error("{what}: {why}")]
    Piece {
        /// Which: "layer 2 of 3".
        what: String,
        /// Why not.
        why: RegistryFailure,
    },
    /// The HTTP client could not be set up.
    #[error("{0}")]
    Client(String),
    /// There was no room for it.
    #[error("it cannot be kept in memory: {0}")]
    Memory(#[from] io::Error),
    /// The process that pulls could not do it.
    #[error("the process that pulls it {0}")]
    Process(String),
}

/// Why a piece was not given. Texts that come from servers hold printable characters only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegistryFailure {
    /// The registry did not answer as it should.
    #[error("{0}")]
    Registry(MirrorFailure),
    /// The server that gives tokens for the registry did not.
    #[error("{server}, which gives tokens for it: {reason}")]
    Tokens {
        /// Its host.
        #[serde(deserialize_with = "only_printable")]
        server: String,
        /// Why not.
        reason: MirrorFailure,
    },
    /// The registry wants to know who we are, in a way that will not do.
    #[error("{0}")]
    Challenge(#[serde(deserialize_with = "only_printable")] String),
    /// It wants to know more than we may tell.
    #[error("it wants a password{}", withheld_text(.0.as_deref()))]
    Closed(#[serde(deserialize_with = "perhaps_printable")] Option<String>),
    /// It gave something else.
    #[error("{0}")]
    Bad(ChainError),
}

fn withheld_text(from: Option<&str>) -> String {
    from.map(|server| format!(" to be told to {server}, which is not of its own domain: that was not done"))
        .unwrap_or_default()
}

fn perhaps_printable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| crate::sanitize::to_one_line(&text)))
}

impl RegistryFailure {
    /// The same, fit for people's eyes whoever says it.
    #[must_use]
    pub fn into_printable(self) -> Self {
        match self {
            Self::Bad(bad) => Self::Bad(bad.into_printable()),
            piece => piece,
        }
    }
}

impl PullError {
    /// This image, for this reason.
    pub fn new(image: &ImageReference, login: &RegistryLogin, why: PullErrorKind) -> Self {
        Self { image: image.to_string(), why, login: login.hint.clone() }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        let other = "or take QEMU from elsewhere: --from, --source";
        let PullErrorKind::Piece { why, .. } = &self.why else {
            return match &self.why {
                PullErrorKind::Client(_) => "check SSL_CERT_FILE, NIX_SSL_CERT_FILE and the proxy variables".into(),
                PullErrorKind::Memory(_) => "free some memory".into(),
                _ => format!("run it again; if that does not help, please report it, {other}"),
            };
        };
        match why {
            RegistryFailure::Bad(ChainError::Digest { .. }) => {
                format!("the registry, or a proxy before it, gives other bytes; nothing of them was used; {other}")
            }
            RegistryFailure::Bad(_) => format!("name another image, {other}"),
            RegistryFailure::Closed(_) | RegistryFailure::Challenge(_) => self.login_hint(),
            RegistryFailure::Registry(reason) | RegistryFailure::Tokens { reason, .. } => match reason {
                MirrorFailure::Status { code: 401 | 403 } => self.login_hint(),
                MirrorFailure::Status { code: 404 } => {
                    "check the name and the digest; a private image looks like this too".into()
                }
                MirrorFailure::Busy { code: 429, .. } => {
                    format!("wait, or log in (podman login, docker login), {other}")
                }
                MirrorFailure::Unreachable(_) | MirrorFailure::Stalled(_) => format!(
                    "set HTTPS_PROXY if this network needs a proxy, SSL_CERT_FILE if it has a certificate authority of \
                     its own, {other}"
                ),
                _ => format!("run it again, {other}"),
            },
        }
    }

    fn login_hint(&self) -> String {
        let login = "log in with podman login or docker login, as the user who runs this (under sudo that is root), or \
                     name the file: REGISTRY_AUTH_FILE";
        match &self.login {
            Some(more) => format!("{login}; {more}"),
            None => login.into(),
        }
    }

    /// Whether bytes came that are not the named ones.
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
