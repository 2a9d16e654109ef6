//! The helpers of the tests: a machine in memory, runs of the tool on it, and checks of the results.
//!
//! ```ignore
//! let tree = Tree::new().nix_conf("sandbox = true\n");
//! let before = tree.snapshot();
//! tree.register("aarch64").exits(0).prints("aarch64: registered, proven");
//! assert!(tree.runs("aarch64"));
//! tree.unregister("aarch64").exits(0);
//! before.is_restored_in(&tree);
//! ```

pub(crate) mod alongside;
pub(crate) mod blocker;
pub(crate) mod emulators;
pub(crate) mod fault;
pub(crate) mod fault_table;
pub(crate) mod harness;
pub(crate) mod invariants;
pub(crate) mod json;
pub(crate) mod output;
pub(crate) mod package;
pub(crate) mod packing;
pub(crate) mod proposals;
pub(crate) mod receipt;
pub(crate) mod rng;
pub(crate) mod runs;
pub(crate) mod sandbox;
pub(crate) mod schema;
pub(crate) mod server;
pub(crate) mod settings_nix;
pub(crate) mod snapshot;
pub(crate) mod table;
pub(crate) mod texts;
pub(crate) mod tree;
pub(crate) mod watcher;

pub(crate) use emulators::{LiarBehavior, liar, qemu};
pub(crate) use harness::skip;
pub(crate) use tree::Tree;

/// Whether `tests/run --full` asks for many more random faults, and for the faults at every single change.
pub(crate) fn is_full() -> bool {
    std::env::var_os("BINFMT_NIX_TEST_FULL").is_some()
}

/// Settings of proptest with this number of cases, without files beside the sources.
pub(crate) fn config(cases: u32) -> proptest::prelude::ProptestConfig {
    proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::with_cases(cases)
    }
}
