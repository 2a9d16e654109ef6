//! Static QEMUs: which one a system gets, where it comes from, and how it is verified.
//!
//! [`obtain`] is the one pipeline over all sources. [`candidate`], [`binary`], [`version_query`] and [`known_bad`] decide
//! whether a file on the host may be used. [`catalog`] pins digests, [`debian`] verifies signed package lists, [`download`] transfers packages and
//! files, [`oci`] transfers images, and [`archive`] unpacks emulators.

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
pub mod version_query;
