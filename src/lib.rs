//! Placeholder.
pub mod catalog;
pub mod download;
