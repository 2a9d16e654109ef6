//! User namespaces with their own table, for `run`: emulation for one command, without root and without a trace.
//!
//! Since Linux 6.7 each user namespace can have its own binfmt_misc table (commit 21ca59b365c0). `run` works like this:
//!
//! 1. The process creates a user namespace, in which it is root over its own mounts.
//! 2. It mounts a table, which is marked as that of `run`, and adds entries.
//! 3. It moves on into a second namespace, in which it has its original user id again.
//! 4. It executes the command.
//!
//! For each execve(2) the kernel looks for a table from the namespace of the calling process upwards. So the command
//! uses this table, and so do all namespaces that the command creates. The table ends with the last process; nothing on
//! the machine was changed.

pub mod enter;
pub mod id_map;
pub mod inherit;
pub mod limits;
pub mod run_table;

/// The `internal` subcommand that maps ids from outside.
pub const MAP_IDS: &str = "map-ids";
