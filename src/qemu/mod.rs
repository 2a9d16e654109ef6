//! Which static QEMU a system gets, where it comes from, and how it is verified.

pub mod candidate;
pub mod known_bad;
pub mod obtain;
