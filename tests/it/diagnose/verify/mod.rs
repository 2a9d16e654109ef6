//! `test`: probe programs under each emulator.

pub(crate) mod bad_emulators;
pub(crate) mod checks;
pub(crate) mod old_kernel;
