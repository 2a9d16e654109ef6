//! The kernel's table, boot rules, and tables of one command (`run`).

pub(crate) mod boot;
pub(crate) mod containers;
pub(crate) mod launcher;
pub(crate) mod userns;
pub(crate) mod userns_errors;
pub(crate) mod userns_inside;
