//! The catalogue of pinned packages, and its generator.

pub(crate) mod generator;
pub(crate) mod layouts;
pub(crate) mod properties;
