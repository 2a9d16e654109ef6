//! The kernel's table, boot rules, and tables of one command (`run`).

mod boot;
mod containers;
mod userns;
mod userns_errors;
