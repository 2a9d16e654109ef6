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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use binfmt_magic::Entry;

    use super::*;

    #[test]
    fn rules_without_programs_are_not_inherited() {
        let rule = |line: &str| Rule::parse(line.as_bytes()).unwrap();
        let entry = |line: &str| Entry { enabled: !line.ends_with("off:"), rule: rule(line) };
        // Newest first.
        let lines =
            [":longer:M::ABCD::/i:", ":other:M::AC::/i:", ":by-name:E::AB::/i:", ":same:M::AB::/j:", ":x:M::Z::/off:"];
        let outer = Table::of_entries(lines.map(entry).to_vec());
        let names = |own: &[Rule]| -> Vec<String> {
            inheritable_rules(&outer, own).iter().map(|rule| rule.name.to_string()).collect()
        };
        assert_eq!(names(&[]), ["same", "by-name", "other", "longer"]);
        assert_eq!(names(&[rule(":own:M::AB::/own:")]), ["by-name", "other"]);
        assert_eq!(names(&[rule(":same:E::none::/own:")]), ["by-name", "other", "longer"]);
    }
}
