//! `test`: probe programs under each emulator.

mod checks;
mod test_bad_emulators;
