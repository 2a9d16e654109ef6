//! The image of the launcher, which runs a native program instead of a guest's tool.
//!
//! `launcher/launcher.rs` describes it, and `launcher/build` makes the images; `tests/launcher.rs` repeats that.

/// Returns the launcher for a host, by its output of `uname -m`: code for any address that is a multiple of 4096.
///
/// A configuration follows it: `launcher/launcher.rs` describes the format.
pub fn launcher(machine: &str) -> Option<&'static [u8]> {
    match machine {
        "x86_64" => Some(include_bytes!("../launcher/x86_64.bin")),
        "aarch64" => Some(include_bytes!("../launcher/aarch64.bin")),
        _ => None,
    }
}
