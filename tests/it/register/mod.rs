//! `register`, `unregister` and `apply`.

pub(crate) mod accelerate;
pub(crate) mod apply;
pub(crate) mod boot_hook;
pub(crate) mod concurrent_changes;
pub(crate) mod concurrent_writers;
pub(crate) mod conflicts;
pub(crate) mod distributions;
pub(crate) mod every_system;
pub(crate) mod force;
pub(crate) mod gapless;
pub(crate) mod in_memory;
pub(crate) mod known_rules;
pub(crate) mod lifecycle;
pub(crate) mod options;
pub(crate) mod other_systems;
pub(crate) mod receipt_properties;
pub(crate) mod receipts;
pub(crate) mod rollback;
pub(crate) mod rules;
pub(crate) mod rules_refused;
pub(crate) mod sources;
pub(crate) mod switch;
pub(crate) mod upgrade;
pub(crate) mod watch;
pub(crate) mod watch_events;
pub(crate) mod watch_shutdown;
