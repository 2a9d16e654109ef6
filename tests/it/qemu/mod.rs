

pub(crate) mod archive;
mod catalog;
pub(crate) mod debian;
pub(crate) mod download;
mod emulator_files;
mod host_copies;
mod nix_copies;
pub(crate) mod oci;
