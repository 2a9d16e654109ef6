//! Emulators in archives, bundles and image layers.

pub(crate) mod bundles;
pub(crate) mod from_archive;
pub(crate) mod from_archive_errors;
pub(crate) mod layer_properties;
pub(crate) mod properties;
pub(crate) mod worker;
