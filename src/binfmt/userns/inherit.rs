//! The entries of the table that the new one hides. Pure.
//!
//! A table of one's own takes the place of the one above: without these, a
//! command would lose what works outside.

use binfmt_magic::Rule;

use crate::binfmt::table::Table;

/// The rules of the table above, oldest first, so that they have their order
/// again when they are put in one by one. Left out are those that are switched
/// off, and those whose name one of ours takes.
pub fn inheritable_rules<'t>(outer: &'t Table, ours: &[Rule]) -> Vec<&'t Rule> {
    let entries = outer.entries().iter().rev();
    entries
        .filter(|entry| entry.enabled && !outer.is_switched_off())
        .map(|entry| &entry.rule)
        .filter(|rule| ours.iter().all(|own| own.name != rule.name))
        .collect()
}
