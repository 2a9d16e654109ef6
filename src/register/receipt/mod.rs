//! The receipt: what this tool made on a machine, written before it is made.
//!
//! `/var/lib/binfmt-nix/receipt.json` is what makes undo exact. Each thing is
//! recorded as *begun*, made, and recorded as *done*, with an fsync each time:
//! whatever happens in between, the receipt names everything that may exist.
//! This module knows the schema and its versions; it does not know how to undo.

pub mod validate;

pub use validate::InvalidReceipt;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{FileStamp, Host};
use crate::paths::{RECEIPT, RECEIPT_DIR, RECEIPT_NAME};
use crate::sha256::Sha256;

/// The version of the schema below.
const VERSION: u32 = 1;

/// Everything that is there because of us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    version: u32,
    /// The systems that are registered, by QEMU target.
    pub systems: BTreeMap<String, System>,
    /// What was made for them, oldest first.
    pub records: Vec<Record>,
}

/// A registered system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct System {
    /// The kernel entry that runs its programs.
    pub entry: String,
    /// The logical path of its emulator.
    pub interpreter: PathBuf,
    /// The emulator's release.
    pub qemu: String,
    /// Where the emulator came from, for people.
    pub source: String,
    /// The entry is another tool's; only Nix was configured by us.
    pub adopted: bool,
    /// Nix was to be configured.
    pub nix: bool,
    /// A foreign program was seen running through the entry.
    pub proven: bool,
}

/// One thing that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// How far its making got.
    pub state: Stage,
    /// The system it was made for; none if several share it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// What it is.
    pub made: Artifact,
}

/// How far the making of a thing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It may or may not be there.
    Begun,
    /// It was there when we left.
    Done,
}

/// The things that this tool makes. None of them existed before: what others
/// made is never replaced, so undoing is removing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Artifact {
    /// A directory.
    Dir {
        /// logical path
        path: PathBuf,
    },
    /// An emulator.
    Interpreter {
        /// logical path
        path: PathBuf,
        /// of the whole file
        sha256: Sha256,
        /// spares reading it again
        seal: Option<FileStamp>,
        /// its release, as it answered; none if it was found in place
        #[serde(skip_serializing_if = "Option::is_none", default)]
        qemu: Option<String>,
    },
    /// A text file that is all ours.
    File {
        /// logical path
        path: PathBuf,
        /// of the whole file
        sha256: Sha256,
    },
    /// The `!include` line in a nix.conf.
    Include {
        /// logical path of the nix.conf
        path: PathBuf,
        /// the file did not exist before
        created: bool,
        /// the last line had no line end, and was given one
        newline_added: bool,
    },
    /// The table's mount.
    Mount {
        /// the boot it was made in: a mount does not outlive it
        boot: String,
        /// its number; none while it is being made
        id: Option<String>,
    },
    /// A kernel entry.
    Entry {
        /// its name
        name: String,
        /// the register line
        line: String,
    },
}

impl Artifact {
    /// Do both describe the same file or entry, whatever its content?
    pub fn is_same_object(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Entry { name, .. }, Self::Entry { name: other, .. }) => name == other,
            (Self::Mount { .. }, Self::Mount { .. }) => true,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.path() == b.path(),
        }
    }

    /// The directory, if it is one.
    pub fn into_dir(self) -> Option<PathBuf> {
        match self {
            Self::Dir { path } => Some(path),
            _ => None,
        }
    }

    /// The file or directory, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Dir { path }
            | Self::Interpreter { path, .. }
            | Self::File { path, .. }
            | Self::Include { path, .. } => Some(path),
            Self::Mount { .. } | Self::Entry { .. } => None,
        }
    }
}

impl Default for Receipt {
    fn default() -> Self {
        Self { version: VERSION, systems: BTreeMap::new(), records: Vec::new() }
    }
}

impl Receipt {
    /// Reads the machine's receipt, if there is one.
    pub fn load(host: &Host) -> Result<Option<Self>> {
        // It names what root will take away: one that others could write is not believed.
        match host.read_trusted(Path::new(RECEIPT))? {
            None => Ok(None),
            Some(bytes) => {
                let refused = |why: InvalidReceipt| Error::Receipt {
                    path: host.real_path(Path::new(RECEIPT)),
                    why: why.to_string(),
                };
                Self::parse(&bytes).map(Some).map_err(refused)
            }
        }
    }

    /// Reads a receipt's text. One that names what this tool never makes is refused: to undo it would take away what
    /// is somebody else's.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, InvalidReceipt> {
        #[derive(Deserialize)]
        struct ReceiptHeader {
            version: u32,
        }
        let json = |e: serde_json::Error| InvalidReceipt::Json(e.to_string());
        let header: ReceiptHeader = serde_json::from_slice(bytes).map_err(json)?;
        if header.version != VERSION {
            return Err(InvalidReceipt::Version(header.version));
        }
        let receipt: Self = serde_json::from_slice(bytes).map_err(json)?;
        validate::validate_receipt(&receipt)?;
        Ok(receipt)
    }

    /// Writes it, through to the disk.
    pub fn save(&self, host: &Host) -> Result<()> {
        host.write_atomic(Path::new(RECEIPT), &self.to_json(host)?)
    }

    /// Writes the first one, together with its directory.
    pub fn save_with_directory(&self, host: &Host) -> Result<()> {
        host.make_dir_with_file(Path::new(RECEIPT_DIR), RECEIPT_NAME, &self.to_json(host)?)
    }

    /// Removes it: with its directory, if that is ours and nothing else is in it.
    pub fn remove(host: &Host, with_directory: bool) -> Result<()> {
        if with_directory && host.remove_dir_with_file(Path::new(RECEIPT_DIR), RECEIPT_NAME)? {
            return Ok(());
        }
        host.remove_file(Path::new(RECEIPT))
    }

    fn to_json(&self, host: &Host) -> Result<Vec<u8>> {
        let refused =
            |e: serde_json::Error| Error::Receipt { path: host.real_path(Path::new(RECEIPT)), why: e.to_string() };
        let mut text = serde_json::to_vec_pretty(self).map_err(refused)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The records of one system, oldest first.
    pub fn records_of<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.target.as_deref() == Some(target))
    }

    /// It says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty() && self.records.is_empty()
    }

    /// Nothing is registered and nothing but directories is left.
    pub fn is_spent(&self) -> bool {
        self.systems.is_empty() && self.records.iter().all(|r| matches!(r.made, Artifact::Dir { .. }))
    }
}
