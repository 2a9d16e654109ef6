//! Which static QEMU a system gets, where it comes from, and how it is verified.

pub mod archive;
pub mod binary;
pub mod candidate;
pub mod catalog;
pub mod deb;
pub mod debian;
pub mod download;
pub mod known_bad;
pub mod obtain;
pub mod oci;
