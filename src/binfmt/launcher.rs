//! Launcher of native programs: what it is told about each guest program that a native one replaces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sha256::Sha256;

/// What identifies a file wherever it is: the launcher compares it with the file that it was started for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// Path of the file, as programs see it that start it.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the content: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// GNU build ID in hexadecimal digits; empty if the file has none.
    pub build_id: String,
    /// Digest of the whole file.
    pub sha256: Sha256,
}

/// Guest program, and the native program that is started instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LauncherPair {
    /// Guest program.
    pub guest: FileIdentity,
    /// Native program. It is compared before it is started.
    pub native: FileIdentity,
    /// Path that is executed: the native program, or its loader.
    pub start: PathBuf,
    /// Words of the command before the caller's arguments. `None` stands for the caller's `argv[0]`.
    pub words: Vec<Option<String>>,
    /// Arguments before those of the caller, after the words.
    pub arguments: Vec<String>,
    /// Variables (`NAME=VALUE`) that are set in the environment.
    pub environment: Vec<String>,
    /// Name that the last part of `argv[0]` must have; `None` if any has the same effect.
    pub name: Option<String>,
    /// Whether the native program is started in the C locale only.
    pub c_locale: bool,
}
