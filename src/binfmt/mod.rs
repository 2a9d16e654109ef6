//! The kernel's side: the binfmt_misc table, boot rules, containers, user namespaces, and the probe programs that show
//! whether an entry works.
//!
//! Nothing here knows QEMU, Nix or the receipt.

pub mod boot;
pub mod container;
pub mod in_memory;
pub mod native;
pub mod probe;
pub mod table;
pub mod userns;
