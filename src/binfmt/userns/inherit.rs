//! The rules that a namespace's own table inherits from the outer table. Pure.
//!
//! A namespace's own table hides the outer one. Without the inherited rules, programs that run outside would not run
//! inside.

use binfmt_magic::Rule;

use crate::binfmt::table::Table;

/// Returns the rules of the outer table, oldest first: registered one by one, they get the same order again. Omits
/// disabled entries, those whose name one of `own_rules` has, and those that would never run a program: one of `own_rules`
/// takes all of their programs, and is newer.
pub fn inheritable_rules<'t>(outer: &'t Table, own_rules: &[Rule]) -> Vec<&'t Rule> {
    let entries = outer.entries().iter().rev();
    entries
        .filter(|entry| entry.enabled && !outer.is_switched_off())
        .map(|entry| &entry.rule)
        .filter(|rule| !own_rules.iter().any(|own| own.name == rule.name || takes_all_of(own, rule)))
        .collect()
}

fn takes_all_of(own: &Rule, rule: &Rule) -> bool {
    own.pattern().zip(rule.pattern()).is_some_and(|(own, pattern)| own.includes(pattern))
}
