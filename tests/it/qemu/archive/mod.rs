

mod bundles;
mod from_archive;
mod from_archive_errors;
mod layer_properties;
mod properties;
pub(crate) mod worker;
