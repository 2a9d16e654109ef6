//! nix.conf, and lines for machines files.

mod builder;
mod conf;
mod conf_properties;
mod nix_conf_readonly;
