//! Native tools inside emulated builds: which program of this host makes the same output as a program of a guest system.
//!
//! ```text
//! find ─▶ pairs that may be equal ─▶ identity, bundle ─▶ prove (runs both) ─▶ a record, or a refusal with its reason
//! ```
//!
//! [`tools`] is the closed list of tools that may be paired, each with the reason why its output cannot depend on the
//! machine, and of tools that never may. [`find`] lists the pairs of a tree of Debian, of one nixpkgs, or those that the
//! user names. [`identity`] reads what identifies a file. [`bundle`] plans the files that a native program needs where no
//! file of the host is visible. [`prove`] runs both programs of each pair over the [`corpus`] in the guest's root
//! directory. A pair is proven if every output, exit status and message is the same, byte for byte. [`audit`] compares both
//! programs in a build.
//!
//! Nothing here changes the machine: `register` installs the files and the entries.

pub mod audit;
pub mod bundle;
pub mod corpus;
pub mod elf;
pub mod find;
pub mod identity;
pub mod prove;
pub mod tools;
