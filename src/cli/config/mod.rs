//! The configuration file of `apply`: TOML with the systems that a host has, and how they are registered.
//!
//! Every error names the file and the line. Unknown keys are errors, so that a misspelled key is not ignored.

mod document;
mod rule;

pub use document::InvalidConfig;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};
use clap::ValueEnum as _;

use self::document::{Located, TomlDocument, TomlTable};
use super::{SourceArgs, SourceKind};
use crate::register::emulated::EmulatedSystem;
use crate::sanitize::escape_line;

/// Configuration file of `apply`: the host then has exactly these systems.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "kebab-case", deny_unknown_fields))]
pub struct Config {
    /// Systems by any name, such as aarch64-linux or linux/arm64, or `all` alone. Registered systems that are not in this
    /// list are removed; an empty list removes all.
    pub systems: Vec<String>,
    /// Where QEMU comes from; the default is auto.
    pub source: Option<SourceKind>,
    /// Release of QEMU to download: a number such as 11.1.3, or latest.
    pub qemu_version: Option<String>,
    /// Debian mirror that is tried first.
    pub mirror: Option<String>,
    /// Package, archive, directory or program that contains QEMU: an absolute path, an https URL, or an image
    /// (oci://HOST/NAME@sha256:HEX).
    pub from: Option<String>,
    /// SHA-256 of the file that `from` names. A URL needs it.
    pub sha256: Option<String>,
    /// Flags of the entries: PF, or POCF, which gives setuid programs their rights and is a risk. P is left out where the
    /// kernel or QEMU does not support it. The default is PF.
    pub flags: Option<EntryFlags>,
    /// Whether Nix is configured; the default is to configure it if it is found. With false, lines of an earlier run are
    /// removed.
    pub nix: Option<bool>,
    /// Whether to register even if another tool's entry handles a system; the default is false.
    pub force: Option<bool>,
    /// Own rules. Registered rules that are not in this list are removed.
    #[cfg_attr(test, schemars(rename = "rule", with = "Vec<rule::RuleTable>"))]
    pub rules: Vec<Rule>,
    /// Files that are run to prove the rules.
    #[cfg_attr(test, schemars(skip))]
    pub tests: Vec<PathBuf>,
    #[cfg_attr(test, schemars(skip))]
    path: PathBuf,
    #[cfg_attr(test, schemars(skip))]
    lines: BTreeMap<&'static str, usize>,
}

/// The values of `flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum EntryFlags {
    /// Keep argv 0, and use the emulator as it was at the registration
    #[cfg_attr(test, schemars(rename = "PF"))]
    Usual,
    /// Also run setuid programs with the rights of their owner
    #[cfg_attr(test, schemars(rename = "POCF"))]
    Credentials,
}

/// The keys of the file.
const KEYS: [&str; 10] =
    ["systems", "source", "qemu-version", "mirror", "from", "sha256", "flags", "nix", "force", "rule"];

impl Config {
    /// Parses the content of a file.
    ///
    /// # Errors
    /// The file is not TOML, or has a key, type or value that is not known.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, InvalidConfig> {
        let document = TomlDocument::decode(path, bytes)?;
        let table = document.parse(&KEYS)?;
        let mut config = Self { path: path.to_owned(), ..Self::default() };
        config.systems = read_systems(document, &table)?;
        config.source = config.keep("source", read_source(document, &table)?);
        config.qemu_version = config.keep("qemu-version", table.text("qemu-version")?);
        config.mirror = config.keep("mirror", table.text("mirror")?);
        config.from = config.keep("from", table.text("from")?);
        config.sha256 = config.keep("sha256", table.text("sha256")?);
        config.flags = config.keep("flags", read_flags(document, &table)?);
        config.nix = config.keep("nix", table.boolean("nix")?);
        config.force = config.keep("force", table.boolean("force")?);
        (config.rules, config.tests) = rule::read_rules(document, &table)?;
        config.check_source(document)?;
        Ok(config)
    }

    /// Returns the options about sources that mean the same.
    pub fn source_args(&self) -> SourceArgs {
        SourceArgs {
            qemu: None,
            from: self.from.as_ref().map(PathBuf::from),
            sha256: self.sha256.clone(),
            insecure_no_digest: false,
            qemu_version: self.qemu_version.clone(),
            offline: false,
            source: self.source.unwrap_or(SourceKind::Auto),
            mirror: self.mirror.clone(),
        }
    }

    /// Builds the error for a source that cannot be used. The line is that of the first key that selects the source.
    pub fn source_error(&self, why: &str) -> InvalidConfig {
        let keys = ["from", "qemu-version", "source", "mirror"];
        let line = keys.iter().find_map(|key| self.lines.get(key)).copied().unwrap_or(1);
        InvalidConfig::new(&self.path, line, why)
    }

    /// Remembers the line of a value.
    fn keep<T>(&mut self, key: &'static str, found: Option<Located<T>>) -> Option<T> {
        found.map(|Located { value, line }| {
            self.lines.insert(key, line);
            value
        })
    }

    /// Checks that the keys about sources fit together.
    fn check_source(&self, document: TomlDocument<'_>) -> Result<(), InvalidConfig> {
        let fail = |key: &str, why: &str| {
            Err(document.error(self.lines.get(key).copied().unwrap_or(1), format!("{key}: {why}")))
        };
        let Some(from) = &self.from else {
            return if self.sha256.is_some() { fail("sha256", "it belongs to from, which is missing") } else { Ok(()) };
        };
        for key in ["source", "qemu-version", "mirror"] {
            if self.lines.contains_key(key) {
                return fail(key, "from selects the source, so this key cannot be given, too");
            }
        }
        match from.split_once("://") {
            None if !from.starts_with('/') => fail("from", "a path must be absolute"),
            Some(("oci", image)) if !image.contains("@sha256:") => {
                fail("from", "an image needs its digest in its name: oci://HOST/NAME@sha256:HEX")
            }
            Some((scheme, _)) if scheme != "oci" && self.sha256.is_none() => {
                fail("from", "a URL needs sha256, the digest that its publisher announces")
            }
            _ => Ok(()),
        }
    }
}

fn read_systems(document: TomlDocument<'_>, table: &TomlTable<'_>) -> Result<Vec<String>, InvalidConfig> {
    let systems = table.texts("systems")?;
    // An empty file would otherwise remove every system.
    let systems = systems.ok_or_else(|| document.error(1, "systems is missing; an empty list removes all systems"))?;
    for Located { value, line } in &systems {
        match Arch::find(value) {
            _ if value == "all" && systems.len() == 1 => {}
            _ if value == "all" => {
                return Err(document.error(*line, "systems: \"all\" cannot be combined with other systems"));
            }
            Ok(_) => {}
            Err(_) if EmulatedSystem::of_rule(value).is_some() => {}
            Err(e) => return Err(document.error(*line, format!("systems: {}", escape_line(&e.to_string())))),
        }
    }
    Ok(systems.into_iter().map(|system| system.value).collect())
}

fn read_source(
    document: TomlDocument<'_>,
    table: &TomlTable<'_>,
) -> Result<Option<Located<SourceKind>>, InvalidConfig> {
    let Some(Located { value, line }) = table.text("source")? else { return Ok(None) };
    let known = || {
        let values = SourceKind::value_variants().iter().filter_map(SourceKind::to_possible_value);
        values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    match SourceKind::from_str(&value, false) {
        Ok(value) => Ok(Some(Located { value, line })),
        Err(_) => Err(document.error(line, format!("source: {} is not one of: {}", escape_line(&value), known()))),
    }
}

fn read_flags(document: TomlDocument<'_>, table: &TomlTable<'_>) -> Result<Option<Located<EntryFlags>>, InvalidConfig> {
    let Some(Located { value, line }) = table.text("flags")? else { return Ok(None) };
    let value = match value.as_str() {
        "PF" => EntryFlags::Usual,
        "POCF" => EntryFlags::Credentials,
        other => return Err(document.error(line, format!("flags: {} is neither PF nor POCF", escape_line(other)))),
    };
    Ok(Some(Located { value, line }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Config, InvalidConfig> {
        Config::parse(Path::new("/etc/x.toml"), text)
    }

    /// Returns the error and its hint.
    fn error_of(text: &[u8]) -> (String, String) {
        use crate::error::Failure as _;
        let error = parse(text).err();
        let text = error.as_ref().map(ToString::to_string);
        (text.unwrap_or_default(), error.and_then(|error| error.hint()).unwrap_or_default())
    }

    #[test]
    fn every_key_of_the_schema_is_read() {
        let schema = schemars::schema_for!(Config);
        let properties = schema.get("properties").and_then(|all| all.as_object());
        let mut keys: Vec<_> = KEYS.to_vec();
        keys.sort_unstable();
        let described: Vec<_> = properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        assert_eq!(described, keys);
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = b"# a comment\nsystems = [\n  \"aarch64-linux\",\n  \"linux/riscv64\",\n]\nsource = \"host\"\nflags = \"POCF\"\nnix = true\n";
        let config = parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.systems, ["aarch64-linux", "linux/riscv64"]);
        assert_eq!((config.source, config.flags), (Some(SourceKind::Host), Some(EntryFlags::Credentials)));
        assert_eq!((config.nix, config.force), (Some(true), None));
    }

    #[test]
    fn errors_have_the_line_and_the_nearest_key() {
        let cases: [(&[u8], &str); 14] = [
            (b"", "/etc/x.toml:1: systems is missing"),
            (b"systems = \"aarch64\"\n", ":1: systems: a list of strings is expected, and a string was found"),
            (b"systems = [\n\"aarch64\",\n1]\n", ":3: systems: a string is expected, and a number was found"),
            (b"systems = [\n\n\"aarch46\"]\n", ":3: systems: "),
            (b"systems = [\"all\", \"arm\"]\n", ":1: systems: \"all\" cannot be combined"),
            (b"systems = []\nnix = \"yes\"\n", ":2: nix: true or false is expected, and a string was found"),
            (b"systems = []\n\nsource = \"apt\"\n", ":3: source: apt is not one of: auto, host, download, fallback"),
            (b"systems = []\nflags = \"F\"\n", ":2: flags: F is neither PF nor POCF"),
            (b"systems = []\nsha256 = \"00\"\n", ":2: sha256: it belongs to from, which is missing"),
            (b"systems = []\nfrom = \"/x\"\nmirror = \"m\"\n", ":3: mirror: from selects the source"),
            (b"systems = []\nfrom = \"x\"\n", ":2: from: a path must be absolute"),
            (b"systems = []\nfrom = \"https://a.invalid/x\"\n", ":2: from: a URL needs sha256"),
            (b"systems = []\nfrom = \"oci://a.invalid/x\"\n", ":2: from: an image needs its digest"),
            (b"systems = []\n# \xff\n", ":2: a byte is not UTF-8 text"),
        ];
        for (text, expected) in cases {
            let (error, _) = error_of(text);
            assert!(error.contains(expected), "{error} does not contain {expected}");
        }
        assert_eq!(error_of(b"systems = []\nsytems = []\n").1, "did you mean systems?");
        assert_eq!(error_of(b"systems = []\nqemu_version = \"1\"\n").1, "did you mean qemu-version?");
        assert!(error_of(b"[[nonsense]]\nname = \"x\"\n").1.starts_with("the keys are: systems"));
        assert!(error_of(b"systems = [\nsystems").0.starts_with("/etc/x.toml:"));
    }
}
