//! `binfmt-nix`: programs and Nix builds of other architectures on any Linux.
//!
//! A command flows one way:
//!
//! ```text
//! cli ─▶ request ─▶ facts (read once) ─▶ plan (pure) ─▶ apply (the only writer) ─▶ verify
//! ```
//!
//! The crate consists of rooms (top-level modules). A room uses only rooms below it in this table. `tests/rooms.rs`
//! checks every import, and that sub-rooms do not depend on each other in a circle.
//!
//! | room | what it holds |
//! |---|---|
//! | [`cli`] | arguments, one function for each command, texts for users |
//! | [`diagnose`] | `status`, `test`, `doctor`, `explain`: what works, what does not, and why; read-only |
//! | [`register`] | the main job: request → facts → plan → apply → verify; the receipt; `--watch` |
//! | [`accelerate`] | native tools inside emulated builds: which pairs there are, and the proof that they are equal |
//! | [`qemu`] | sources of static QEMU emulators and their verification: one pipeline (`qemu::obtain`) over the catalogue, archives, Debian's signatures, downloads and images in registries |
//! | [`nix`] | nix.conf, `nix config show`, the daemon, machines files, test builds |
//! | [`binfmt`] | the kernel's table, boot rules, containers, user namespaces, probes |
//! | [`sandbox`] | confined worker processes: Landlock, seccomp, frames, handshake |
//! | [`host`] | the only access to files, processes and mounts, below a root prefix |
//! | [`ui`] | the terminal, JSON, progress bars, events; the only place that prints |
//! | [`error`] | one error type; errors of rooms implement [`error::Failure`] |
//! | [`paths`] | every path and file name that this tool owns |
//! | [`sanitize`] | untrusted text made safe for a terminal; shell quoting |
//! | [`sha256`] | SHA-256 digests |
//! | [`sorted`] | sorted lists, sets and maps in a small program |
//!
//! The pure table of systems, rules and probe programs is the crate `binfmt-magic` in `magic/`; it does not
//! depend on this crate.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test fails by panicking"
    )
)]

pub mod accelerate;
pub mod binfmt;
pub mod cli;
pub mod diagnose;
pub mod error;
pub mod host;
pub mod nix;
pub mod paths;
pub mod qemu;
pub mod register;
pub mod sandbox;
pub mod sanitize;
pub mod sha256;
pub mod sorted;
pub mod ui;
