//! Registration of emulators and of own rules of the user, and its exact undo.
//!
//! ```text
//! request ─▶ facts (read once) ─▶ plan (pure) ─▶ apply (the only writer) ─▶ verify
//! ```
//!
//! Every change is recorded in the [`receipt`] before it is made, so a run that was killed at any instant can be completed
//! or undone. [`watch`] registers removed entries again for as long as it runs.

pub mod acceleration;
pub mod apply;
pub mod emulated;
pub mod facts;
pub mod nix_builds;
pub mod nixos;
pub mod other_emulator;
pub mod own_rule;
pub mod plan;
pub mod receipt;
pub mod report;
pub mod request;
pub mod restore;
pub mod subject;
pub mod unregister;
pub mod watch;
