//! Placeholder.
pub mod catalog;
pub mod digest;
pub mod download;
