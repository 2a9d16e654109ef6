//! What holds for every text or file from elsewhere, however strange: the parsers never panic, and what they let
//! through is within bounds. (Rules, entries and names have theirs in `magic/tests/props.rs`; `tests/fuzz` goes deeper.)

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod apt;
mod archives;
mod catalogue;
mod debian;
mod explain;
mod json;
mod layers;
mod nix_conf;
mod oci;
mod packing;
mod receipt;
mod small;
mod terminal;
mod texts;

use proptest::prelude::ProptestConfig;

/// Nothing is written beside the sources.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}
