//! nix.conf, and lines for machines files.

pub(crate) mod builder;
pub(crate) mod caller;
pub(crate) mod conf;
pub(crate) mod conf_properties;
pub(crate) mod features;
pub(crate) mod nix_conf_readonly;
