//! The catalogue of pinned packages, and its generator.

mod generator;
mod layouts;
mod properties;
