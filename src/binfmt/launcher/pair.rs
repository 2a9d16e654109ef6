//! What the launcher knows of each guest program that a native one replaces, and the configuration that it reads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::to_u64;
use crate::sha256::Sha256;

/// A file as the launcher recognizes it. It must be a regular file of this size, and one of these:
///
/// 1. Device, inode, ctime and mtime are these. A bind mount keeps them, and no program can set the ctime (inode(7)).
/// 2. The path is this path in `/nix/store`, the mtime is 1, and the mode lets no user write to the file.
/// 3. The mtime is this one and later than 1, and the build ID is in the first 4096 bytes. A file that was changed
///    without a new build ID, and whose size and mtime were restored, counts as the same file. In a Nix store every
///    mtime is 1, and copies with other store paths keep size and build ID, so this does not apply there.
/// 4. The digest is this one. The launcher reads the whole file for it, 0.1 s for 30 MB.
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
    /// Inode of the file, when it was identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<Inode>,
    /// GNU build ID in hexadecimal digits; empty if the file has none.
    pub build_id: String,
    /// Digest of the whole file.
    pub sha256: Sha256,
}

/// Inode and its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Inode {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode number (`st_ino`).
    pub number: u64,
    /// Time of the last change of the inode: seconds and nanoseconds.
    pub ctime: (i64, u32),
}

/// Guest program, and the native program that is started instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherPair {
    /// Guest program.
    pub guest: FileIdentity,
    /// Native program. It is compared before it is started; its loader and libraries are not.
    pub native: FileIdentity,
    /// Path that is executed: the native program, or its loader.
    pub start: PathBuf,
    /// Words of the command before the caller's arguments, `argv[0]` first. `None` stands for the caller's `argv[0]`.
    pub words: Vec<Option<String>>,
    /// Arguments after those of the caller.
    pub arguments: Vec<String>,
    /// Variables (`NAME=VALUE`) that are set in the environment.
    pub environment: Vec<String>,
    /// Names of which the last part of `argv[0]` must be one; empty if any has the same effect.
    pub names: Vec<String>,
    /// Caller's arguments with which the emulator runs the guest program. One that ends with `*` is a beginning.
    pub refused_arguments: Vec<String>,
    /// Names of variables with which the emulator runs the guest program.
    pub refused_variables: Vec<String>,
    /// Whether the native program is started in the C locale only.
    pub c_locale: bool,
    /// Another command for some starts.
    pub audit: Option<LauncherAudit>,
}

/// Command that compares a native program with the guest program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherAudit {
    /// Number of starts, of which one has this command, at random.
    pub every: u32,
    /// Path that is executed.
    pub start: PathBuf,
    /// Words of the command before the caller's arguments, as those of [`LauncherPair`].
    pub words: Vec<Option<String>>,
}

/// Variables, as patterns of `NAME=VALUE`, that change how the guest's loader starts a program, and the one that
/// switches the launcher off.
const REFUSED_VARIABLES: &[&str] = &[
    "LD_PRELOAD=*",
    "LD_AUDIT=*",
    "LD_LIBRARY_PATH=*",
    "LD_DEBUG=*",
    "LD_TRACE_LOADED_OBJECTS=*",
    "LD_SHOW_AUXV=*",
    "LD_PROFILE=*",
    "LD_ORIGIN_PATH=*",
    "LD_DYNAMIC_WEAK=*",
    "LD_HWCAP_MASK=*",
    "LD_BIND_NOT=*",
    "LD_VERBOSE=*",
    "LD_WARN=*",
    "BINFMT_NIX_ACCELERATE=off",
];

/// A text for the launcher contains a NUL, which would end it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} contains a NUL")]
pub struct TextWithNul(pub String);

/// Returns the configuration of the launcher. `magic/launcher/launcher.rs` describes the format.
///
/// `entry` is the emulator's entry point, relative to the configuration.
pub(super) fn encode(pairs: &[LauncherPair], entry: u64) -> Result<Vec<u8>, TextWithNul> {
    let mut encoded = Encoder::default();
    for pair in pairs {
        encoded.block(|block| block.pair(pair))?;
    }
    let words = |pair: &LauncherPair| {
        let audit = pair.audit.as_ref().map_or(0, |audit| audit.words.len());
        [pair.words.len().max(audit), pair.arguments.len(), pair.environment.len()].into_iter().sum()
    };
    let most_words: usize = pairs.iter().map(words).max().unwrap_or_default();
    let mut configuration = Encoder::default();
    configuration.number(to_u64(encoded.0.len()));
    configuration.number(entry);
    configuration.number(to_u64(most_words));
    configuration.0.extend(encoded.0);
    Ok(configuration.0)
}

/// A part of a configuration.
#[derive(Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn pair(&mut self, pair: &LauncherPair) -> Result<(), TextWithNul> {
        self.number(pair.c_locale.into());
        self.list(pair.names.iter().map(String::as_str))?;
        self.file(&pair.guest)?;
        self.list(pair.refused_arguments.iter().map(String::as_str))?;
        let refused: Vec<String> = pair.refused_variables.iter().map(|name| format!("{name}=*")).collect();
        self.list(refused.iter().map(String::as_str).chain(REFUSED_VARIABLES.iter().copied()))?;
        self.file(&pair.native)?;
        self.number(pair.audit.as_ref().map_or(0, |audit| audit.every).into());
        let (start, words) = (&pair.start, &pair.words);
        let audit = pair.audit.as_ref().map_or((start, words), |audit| (&audit.start, &audit.words));
        for (start, words) in [audit, (start, words)] {
            self.text(start.as_os_str().as_encoded_bytes())?;
            self.block(|list| words.iter().try_for_each(|word| list.word(word.as_deref())))?;
        }
        self.list(pair.arguments.iter().map(String::as_str))?;
        self.list(pair.environment.iter().map(String::as_str))
    }

    fn list<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) -> Result<(), TextWithNul> {
        self.block(|list| words.try_for_each(|word| list.word(Some(word))))
    }

    fn file(&mut self, file: &FileIdentity) -> Result<(), TextWithNul> {
        self.text(file.path.as_os_str().as_encoded_bytes())?;
        self.number(file.size);
        self.time(file.mtime);
        // No file has the inode 0.
        let inode = file.inode.unwrap_or(Inode { device: 0, number: 0, ctime: (0, 0) });
        self.number(inode.device);
        self.number(inode.number);
        self.time(inode.ctime);
        self.bytes(&decode_hex(&file.build_id));
        self.0.push(0);
        self.0.extend(file.sha256.as_bytes());
        Ok(())
    }

    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn time(&mut self, (seconds, nanoseconds): (i64, u32)) {
        self.number(seconds.cast_unsigned());
        self.number(nanoseconds.into());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(to_u64(bytes.len()));
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &[u8]) -> Result<(), TextWithNul> {
        if text.contains(&0) {
            return Err(TextWithNul(String::from_utf8_lossy(text).into_owned()));
        }
        self.bytes(text);
        self.0.push(0);
        Ok(())
    }

    fn block(&mut self, write: impl FnOnce(&mut Self) -> Result<(), TextWithNul>) -> Result<(), TextWithNul> {
        let mut block = Self::default();
        write(&mut block)?;
        self.bytes(&block.0);
        Ok(())
    }

    fn word(&mut self, word: Option<&str>) -> Result<(), TextWithNul> {
        self.number(word.is_none().into());
        word.map_or(Ok(()), |word| self.text(word.as_bytes()))
    }
}

/// Returns the bytes of hexadecimal digits, or none if they are others.
fn decode_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect::<Option<_>>().unwrap_or_default()
}
