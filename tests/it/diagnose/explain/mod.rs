//! `explain`: what execve(2) does with a file.

pub(crate) mod execve;
pub(crate) mod json;
pub(crate) mod kinds;
pub(crate) mod processes;
pub(crate) mod properties;
pub(crate) mod text;
