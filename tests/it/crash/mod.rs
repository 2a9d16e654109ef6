//! Faults at every single change that the tool makes to a machine, on the real kernel: see `src/host/failpoint.rs`.

mod failing;
mod killed;
