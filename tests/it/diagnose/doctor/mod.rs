//! `doctor`: each check, its cause and its repair.

mod boot;
mod interpreters;
mod messages;
mod nix;
mod reports;
mod rules;
mod running_host;
