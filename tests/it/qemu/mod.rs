//! Emulators of QEMU: where they come from, and how each source is verified.

pub(crate) mod archive;
pub(crate) mod catalog;
pub(crate) mod debian;
pub(crate) mod download;
pub(crate) mod emulator_files;
pub(crate) mod host_copies;
pub(crate) mod named_emulators;
pub(crate) mod nix_copies;
pub(crate) mod oci;
