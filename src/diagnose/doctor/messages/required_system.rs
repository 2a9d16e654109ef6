//! Finds the system that Nix requires for a build that it refuses. Pure.

use binfmt_magic::Arch;

/// Finds the required system in a normalised text, as each generation of Nix writes it. A text such as a log names other
/// systems as well, in paths and in the settings of the machine.
pub(super) fn find_required_system(flat: &str) -> Option<&'static Arch> {
    let name = up_to_2_29(flat)
        .or_else(|| between(flat, "required system: '", '\''))
        // The build hook, since 2.4.
        .or_else(|| between(flat, "required (system, features): (", ','))?;
    Arch::find(name).ok()
}

/// `a 'aarch64-linux' with features {} is required to build '…'`; 2.3 has no features.
fn up_to_2_29(flat: &str) -> Option<&str> {
    let (before, _) = flat.split_once(" is required to build '")?;
    let (_, quoted) = before.rsplit_once("a '")?;
    Some(quoted.split_once('\'')?.0)
}

fn between<'a>(text: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}
