//! Errors of an image reference.

use super::reference::{DOCKER_IO, ImageReference, MAX_NAME};

/// Text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an image: {why}")]
pub struct InvalidReference {
    pub(super) text: String,
    pub(super) why: ReferenceProblem,
}

/// Reason why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// Missing `oci://`.
    #[error("it must have the form oci://registry.example/qemu@sha256:…")]
    Scheme,
    /// Missing registry.
    #[error("the registry comes first, as in {}{DOCKER_IO}/library/busybox", ImageReference::SCHEME)]
    NoHost,
    /// Registry that is not a valid host.
    #[error("its registry is not a host or host:port")]
    Host,
    /// Repository with characters that registries do not allow.
    #[error("a repository's name has lower-case letters and digits, with . _ - between them")]
    Name,
    /// Tag with characters that registries do not allow.
    #[error("a tag has at most 128 letters, digits, and . _ -")]
    Tag,
    /// Neither a digest nor a tag.
    #[error("it has neither a digest (@sha256:…) nor a tag (:v1)")]
    NoVersion,
    /// Registry and repository that are too long together.
    #[error("the registry and the repository may have at most {MAX_NAME} letters together")]
    Long,
    /// Digest of another algorithm.
    #[error("its digest must be sha256: followed by 64 hexadecimal digits")]
    DigestKind,
    /// Digest of a wrong length or with other characters.
    #[error("its digest must have exactly 64 digits, 0-9 and a-f")]
    Digest,
}
