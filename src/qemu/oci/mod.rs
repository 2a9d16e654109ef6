//! Pulls of images from OCI registries, which are one source of emulators.
//!
//! An image is a chain of digests. The reference names an index or a manifest, the index names the manifest of each
//! platform, and the manifest names the layers (image-spec v1.1, `image-index.md` and `manifest.md`; docker's manifest
//! list and schema 2 have the same shapes). One digest therefore pins all bytes. [`DigestChain`] is the only place that
//! decides which bytes may come next, and it compares bytes with their digest before it parses them. A pull consists of
//! two processes, the worker and its parent; each has its own chain.
//!
//! Only [`Credentials`] holds passwords, and its `Debug` output shows none of them.

pub mod auth_file;
pub mod challenge;
pub mod credentials;
pub mod digest_chain;
pub mod error;
pub mod invalid;
pub mod manifest;
pub mod platform;
pub mod protocol;
pub mod pull;
pub mod pull_client;
pub mod reference;
pub mod registry;
pub mod registry_host;
pub mod supervise;
pub mod token;
pub mod worker;

pub use auth_file::{AUTH_FILE_VARIABLE, InvalidAuthFile, auth_file_paths, find_credentials, read_login};
pub use challenge::{AuthChallenge, may_send_password, pull_scope};
pub use credentials::{Credentials, InvalidAuth, RegistryLogin};
pub use digest_chain::{ChainError, DigestChain, Expected, MAX_DOCUMENT_SIZE};
pub use invalid::{InvalidReference, ReferenceProblem};
pub use manifest::{Document, InvalidDocument, LayerDescriptor, MAX_LAYERS, ManifestDescriptor, NoPlatformError};
pub use platform::Platform;
pub use reference::ImageReference;
