//! The tables `[[rule]]` of a configuration file.

use std::path::PathBuf;

use binfmt_magic::{EntryName, Flags, Pattern, Recognition, Rule, RuleError};

use super::document::{InvalidConfig, Located, TomlDocument, TomlTable};
use crate::register::own_rule;
use crate::sanitize::escape_line;

/// The keys of a rule.
const KEYS: [&str; 8] = ["name", "magic", "mask", "offset", "extension", "interpreter", "flags", "test"];

/// Own rule of the user: files that begin with a magic, or that have an extension, are started by an interpreter.
#[cfg(test)]
#[derive(Debug, schemars::JsonSchema)]
#[schemars(rename = "Rule", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct RuleTable {
    /// Name of the rule and of its entry.
    name: String,
    /// First bytes of the files. `\\xHH` stands for a byte, as in binfmt.d(5); use a literal string of TOML ('...').
    magic: Option<String>,
    /// Bits of the magic that are compared, in the same form; the default is all.
    mask: Option<String>,
    /// Place of the magic in the file; the default is 0.
    offset: Option<u8>,
    /// Extension of the files' names, without the dot, instead of a magic.
    extension: Option<String>,
    /// Absolute path of the interpreter: a program of this machine that only root can change.
    interpreter: String,
    /// Flags of the entry: letters of P, O, C and F, and on Linux 7.3 of T and L; the default is none.
    flags: Option<String>,
    /// Absolute path of a file that is run to prove the rule.
    test: Option<String>,
}

/// Reads the tables, and the files that prove them.
pub(super) fn read_rules(
    document: TomlDocument<'_>,
    table: &TomlTable<'_>,
) -> Result<(Vec<Rule>, Vec<PathBuf>), InvalidConfig> {
    let (mut rules, mut tests) = (Vec::new(), Vec::new());
    for Located { value: table, line } in table.tables("rule", &KEYS)? {
        let fail = |line, why: &dyn std::fmt::Display| {
            document.error(line, format!("rule: {}", escape_line(&why.to_string())))
        };
        let required = |key| table.text(key)?.ok_or_else(|| document.error(line, format!("rule: {key} is missing")));
        let (name, interpreter) = (required("name")?, required("interpreter")?);
        let flags = table.text("flags")?;
        let rule = Rule {
            name: EntryName::new(name.value.as_str()).map_err(|e| fail(name.line, &e))?,
            recognition: read_recognition(&table, line, &fail)?,
            interpreter: interpreter.value.into_bytes(),
            flags: match flags {
                Some(flags) => flags.value.parse().map_err(|e: RuleError| fail(flags.line, &e))?,
                None => Flags::default(),
            },
        };
        own_rule::check_text(&rule).map_err(|e| fail(line, &e))?;
        if let Some(test) = table.text("test")? {
            let path = PathBuf::from(test.value);
            if !path.is_absolute() {
                return Err(fail(test.line, &"test: a path must be absolute"));
            }
            tests.push(path);
        }
        rules.push(rule);
    }
    Ok((rules, tests))
}

fn read_recognition(
    table: &TomlTable<'_>,
    line: usize,
    fail: &dyn Fn(usize, &dyn std::fmt::Display) -> InvalidConfig,
) -> Result<Recognition, InvalidConfig> {
    let (magic, mask, offset) = (table.text("magic")?, table.text("mask")?, table.number("offset")?);
    match (magic, table.text("extension")?) {
        (Some(magic), None) => {
            let bytes = |text: &Located<String>| {
                unescape(&text.value)
                    .ok_or_else(|| fail(text.line, &"\\x needs two hexadecimal digits, and \\\\ is a backslash"))
            };
            let mask = mask.as_ref().map(bytes).transpose()?;
            let offset = offset.map_or(0, |offset| offset.value);
            let pattern = Pattern::new(offset, bytes(&magic)?, mask).map_err(|e| fail(magic.line, &e))?;
            Ok(Recognition::Magic(pattern))
        }
        (None, Some(extension)) if mask.is_none() && offset.is_none() => {
            Ok(Recognition::Extension(extension.value.into_bytes()))
        }
        (None, Some(_)) => Err(fail(line, &"mask and offset belong to magic")),
        _ => Err(fail(line, &"either magic or extension is needed")),
    }
}

/// Replaces `\\xHH` by a byte, and `\\\\` by a backslash.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', b'x', high, low, rest @ ..] => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest
            }
            [b'\\', ..] => return None,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_binfmt_d() {
        assert_eq!(unescape(r"PK\x03\x04\\"), Some(b"PK\x03\x04\\".to_vec()));
        for bad in [r"\x0", r"\xzz", r"\n", r"a\"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
