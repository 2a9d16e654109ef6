//! What is wrong with the name of an image.

use super::reference::{DOCKER_IO, ImageReference, MAX_NAME};

/// The text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {why}")]
pub struct InvalidReference {
    pub(super) text: String,
    pub(super) why: ReferenceProblem,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// It begins otherwise.
    #[error("it must be like oci://registry.example/qemu@sha256:…")]
    Scheme,
    /// It begins with a repository.
    #[error("the registry comes first, as in {}{DOCKER_IO}/library/busybox", ImageReference::SCHEME)]
    NoHost,
    /// The registry cannot be a host.
    #[error("its registry is no host, or host:port")]
    Host,
    /// The repository has other letters than registries allow.
    #[error("a repository's name has lower-case letters, digits, and . _ - between them")]
    Name,
    /// The tag has other letters than registries allow.
    #[error("a tag has up to 128 letters, digits, and . _ -")]
    Tag,
    /// Neither a digest nor a tag is there.
    #[error("it has no digest (@sha256:…), nor a tag (:v1)")]
    NoVersion,
    /// The names are too long.
    #[error("a registry and a repository have up to {MAX_NAME} letters together")]
    Long,
    /// The digest is of another kind.
    #[error("its digest must be sha256:, and 64 hexadecimal digits")]
    DigestKind,
    /// The digest is too short or too long, or has other letters.
    #[error("its digest has to have 64 digits, 0-9 and a-f")]
    Digest,
}
