//! `run`: emulation for one command, without root and without a trace.
//!
//! Since Linux 6.7 each user namespace can have a binfmt_misc table of its own
//! (commit 21ca59b365c0). A process that makes itself such a namespace is root
//! over its own mounts, mounts a table, puts entries in, moves on into a second
//! namespace in which it is the user it was, and becomes the command. A table is
//! looked for upwards from the namespace of whoever executes, so the command,
//! and whatever namespaces it makes itself, have that one. With the last process
//! all of it is gone; nothing of the machine was changed.

pub mod enter;
pub mod id_map;
pub mod inherit;
pub mod limits;

/// The `internal` subcommand that maps ids from outside.
pub const MAP_IDS: &str = "map-ids";
