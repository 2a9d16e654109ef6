//! Generates `packaging/schema`: JSON schemas of the documents that `--json` prints, and of the receipt.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::check_or_write;
use crate::cli::commands;
use crate::cli::config::Config;
use crate::cli::json::{BundleReport, CacheReport, NixLines, NixMachines};
use crate::diagnose::status::{CheckReport, StatusReport};
use crate::diagnose::{doctor, explain, verify};
use crate::error::ErrorReport;
use crate::register::receipt::{AccelerationDetails, StoredReceipt};
use crate::register::report::Report;
use crate::register::restore::RestoreReport;

#[test]
fn schemas_match_the_documents() {
    let files = [
        schema::<Report>("register", "The result of register, unregister, accelerate and apply"),
        schema::<commands::apply::ConfigCheck>("apply-check", "The result of apply --check"),
        config_schema(),
        schema::<RestoreReport>("restore", "The result of restore"),
        schema::<ErrorReport>("error", "The error that ended a command"),
        schema::<EventLine>("watch-event", "One line of register --watch --json"),
        schema::<StatusReport>("status", "The result of status"),
        schema::<commands::accelerate::AcceleratedList>("accelerate-list", "The result of accelerate --list"),
        schema::<commands::accelerate::RebuildReport>("accelerate-check", "The result of accelerate --check"),
        schema::<CheckReport>("status-check", "The result of status --check"),
        schema::<verify::VerifyReport>("test", "The result of test"),
        schema::<doctor::report::DoctorReport>("doctor", "The result of doctor"),
        schema::<explain::Explanation>("explain", "The result of explain FILE"),
        schema::<explain::process::ProcessReport>("explain-pid", "The result of explain --pid"),
        schema::<commands::SystemList>("list", "The result of list"),
        schema::<BundleReport>("fetch", "The result of fetch"),
        schema::<CacheReport>("cache", "The result of cache and cache prune"),
        schema::<NixLines>("nix-conf", "The result of nix-conf"),
        schema::<NixMachines>("nix-builder", "The result of nix-conf --builder"),
        schema::<StoredReceipt>("receipt", "/var/lib/binfmt-nix/receipt.json"),
        schema::<AccelerationDetails>(
            "receipt-acceleration",
            "A line of an accelerated system in /var/lib/binfmt-nix/receipt.json",
        ),
    ];
    check_or_write("schema", &files.into_iter().collect::<BTreeMap<_, _>>());
}

/// Returns the schema of a document. A field that is always written is required.
fn schema<T: JsonSchema>(name: &str, title: &str) -> (String, String) {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), Value::from(format!("{title} (binfmt-nix)")));
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    (format!("{name}.json"), text + "\n")
}

/// Returns the schema of the configuration file. A field that has a default is not required.
fn config_schema() -> (String, String) {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".into(), Value::from("The file of apply --config (binfmt-nix)"));
    let keys = schema.get_mut("properties").and_then(Value::as_object_mut);
    keys.into_iter().flatten().for_each(|(_, key)| remove_null(key));
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    ("config.json".to_owned(), text + "\n")
}

/// Removes null from the types of a key: a key of TOML has a value or is missing.
fn remove_null(key: &mut Value) {
    let null = Value::from("null");
    if let Some(types) = key.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| *name != null);
        if let [one] = types.as_slice() {
            key["type"] = one.clone();
        }
    }
    if let Some(variants) = key.get_mut("anyOf").and_then(Value::as_array_mut) {
        variants.retain(|variant| variant["type"] != null);
    }
}

/// One line of `register --watch --json`, as [`crate::ui::event`] writes it. Readers ignore events and fields that they
/// do not know.
#[derive(Serialize, JsonSchema)]
struct EventLine {
    /// Version of this format: 1
    version: u32,
    /// Time in UTC (RFC 3339)
    time: String,
    /// Severity of the event
    level: EventLevel,
    /// The event
    #[serde(flatten)]
    event: EventKind,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum EventLevel {
    Info,
    Warning,
    Error,
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum EventKind {
    /// Everything is in place and is watched from now on.
    Holding { systems: String, pid: String },
    /// The entry was removed or replaced.
    Removed {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
    },
    /// The entry was registered again and proven.
    Registered {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
    },
    /// Another tool's entry now has the same effect and is watched instead.
    Adopted { system: String, entry: String },
    /// Registering, mounting or unregistering failed; registering and mounting are tried again.
    Failed {
        what: String,
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A newer entry handles the system's programs; it is kept.
    Shadowed {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
        by: String,
    },
    /// A 0 was written to the entry; it is kept.
    Disabled {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
    },
    /// A 0 was written to the table's status; it is kept.
    SwitchedOff,
    /// The table is not mounted any more.
    Unmounted,
    /// The table is mounted again.
    Mounted,
    /// The problem `what` ended without a change by this process.
    Resolved {
        what: String,
        #[serde(flatten)]
        subject: EventSubject,
        #[serde(skip_serializing_if = "Option::is_none")]
        entry: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A fact about a registration.
    Note { text: String },
    /// A problem of a registration.
    Warning { text: String },
    /// A signal ends this process.
    Stopping { signal: String },
    /// The entry stays registered after this process ends.
    Left {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The entry ends with this process: no other process has the table mounted.
    Expired {
        #[serde(flatten)]
        subject: EventSubject,
        entry: String,
    },
    /// The system was unregistered.
    Unregistered {
        #[serde(flatten)]
        subject: EventSubject,
    },
}

/// What an entry is for: one of the two is there.
#[derive(Serialize, JsonSchema)]
struct EventSubject {
    /// QEMU target of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    /// Name of the own rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}
