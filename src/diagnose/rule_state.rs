//! State of an own rule: whether the kernel has its entry.

use serde::Serialize;

use crate::register::facts::Facts;

/// Whether the kernel has the entry of an own rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// The entry is in force.
    Registered,
    /// The entry is off, or the whole table is.
    Off,
    /// The entry is missing.
    Missing,
}

/// Returns the state of the rule with this name.
pub fn rule_state(facts: &Facts, name: &str) -> RuleState {
    match facts.own_rule_entry(name) {
        Some(entry) if entry.enabled && !facts.table.is_switched_off() => RuleState::Registered,
        Some(_) => RuleState::Off,
        None => RuleState::Missing,
    }
}
