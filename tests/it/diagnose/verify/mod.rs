//! `test`: probe programs under each emulator.

pub(crate) mod checks;
pub(crate) mod bad_emulators;
