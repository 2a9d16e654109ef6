//! What the hermetic tests are written in.
//!
//! ```ignore
//! let tree = Tree::new().nix_conf("sandbox = true\n");
//! let before = tree.snapshot();
//! tree.register("aarch64").exits(0).prints("aarch64: registered, proven");
//! assert!(tree.runs("aarch64"));
//! tree.unregister("aarch64").exits(0);
//! before.is_restored_in(&tree);
//! ```

pub(crate) mod done;
pub(crate) mod emulators;
pub(crate) mod harness;
pub(crate) mod held;
pub(crate) mod ledger;
pub(crate) mod noise;
pub(crate) mod runs;
pub(crate) mod snapshot;
pub(crate) mod sound;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod world;

pub(crate) use emulators::{Then, liar, qemu};
pub(crate) use tree::Tree;
pub(crate) use world::skip;
