//! Faults at every single change that the tool makes on the real kernel: see `src/host/failpoint.rs`.

mod accelerated;
pub(crate) mod failing;
pub(crate) mod killed;
mod replaced;
pub(crate) mod switched;
