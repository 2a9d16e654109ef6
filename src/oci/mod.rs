//! Images in OCI registries: which one is meant, what its documents say, and who may see it. Pure, except [`login`],
//! which reads the auth files.
//!
//! An image is a chain of digests: the reference names an index or a manifest, the index names the manifest of each
//! platform, and that names the layers (image-spec v1.1, `image-index.md` and `manifest.md`; the same shapes are
//! docker's manifest list and schema 2). So one digest pins all bytes, and [`Chain`] is the only place that decides
//! which bytes may come next: bytes are compared with their digest before anything is read out of them. Both sides of
//! a pull, which are two processes, have a chain of their own.
//!
//! Passwords are in [`Credentials`] alone, which shows none of them.

mod auth;
mod chain;
mod challenge;
mod document;
mod host;
mod invalid;
mod login;
mod platform;
mod reference;

pub use auth::{AUTH_FILE_VARIABLE, InvalidAuthFile, auth_file_paths, find_credentials, read_login};
pub use chain::{ChainError, DigestChain, Expected, MAX_DOCUMENT_SIZE};
pub use challenge::{AuthChallenge, may_send_password, pull_scope};
pub use document::{Document, InvalidDocument, LayerDescriptor, MAX_LAYERS, ManifestDescriptor, NoPlatformError};
pub use invalid::{InvalidReference, ReferenceProblem};
pub use login::{Credentials, InvalidAuth, RegistryLogin};
pub use platform::Platform;
pub use reference::ImageReference;
