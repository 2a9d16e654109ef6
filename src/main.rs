//! The command `binfmt-nix`.
fn main() {}
