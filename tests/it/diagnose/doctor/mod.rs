//! `doctor`: each check, its cause and its repair.

pub(crate) mod boot;
pub(crate) mod interpreters;
pub(crate) mod messages;
pub(crate) mod nix;
pub(crate) mod nix_settings;
pub(crate) mod other_entries;
pub(crate) mod reports;
pub(crate) mod rules;
pub(crate) mod running_host;
