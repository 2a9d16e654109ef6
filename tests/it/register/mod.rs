//! `register` and `unregister`.

mod concurrent_changes;
mod concurrent_writers;
mod conflicts;
mod every_system;
mod force;
mod in_memory;
mod lifecycle;
mod options;
mod receipt_properties;
mod receipts;
mod upgrade;
mod watch;
mod watch_events;
mod watch_shutdown;
