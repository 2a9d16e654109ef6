//! Reading of TOML tables: only known keys, and an error with the line of what is wrong.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ExitCode, Failure};
use crate::sanitize::{AsText as _, escape_line};

/// Error in a configuration file.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {why}", path.as_text())]
pub struct InvalidConfig {
    path: PathBuf,
    line: usize,
    why: String,
    hint: Option<String>,
}

impl Failure for InvalidConfig {
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl InvalidConfig {
    pub(super) fn new(path: &Path, line: usize, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, why: why.into(), hint: None }
    }
}

type Result<T> = std::result::Result<T, InvalidConfig>;

/// Text of a configuration file with its path.
#[derive(Debug, Clone, Copy)]
pub(super) struct TomlDocument<'a> {
    path: &'a Path,
    text: &'a str,
}

/// A value and its line.
#[derive(Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// A table whose keys are all known.
#[derive(Debug)]
pub(super) struct TomlTable<'a> {
    document: TomlDocument<'a>,
    table: DeTable<'a>,
}

impl<'a> TomlDocument<'a> {
    /// Decodes the bytes of a file.
    pub(super) fn decode(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(e) => {
                let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
                Err(InvalidConfig::new(path, line_at(before, before.len()), "a byte is not UTF-8 text"))
            }
        }
    }

    /// Parses the file as a table with these keys.
    pub(super) fn parse(self, keys: &[&'static str]) -> Result<TomlTable<'a>> {
        let invalid = |e: toml::de::Error| {
            // The message may quote the file, and may have several lines.
            self.error(e.span().map_or(1, |span| self.line(&span)), escape_line(e.message()))
        };
        let table = DeTable::parse(self.text).map_err(invalid)?.into_inner();
        self.check_keys(table, keys)
    }

    fn check_keys(self, table: DeTable<'a>, keys: &[&'static str]) -> Result<TomlTable<'a>> {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !keys.contains(&name) {
                let mut error =
                    self.error(self.line(&key.span()), format!("the key {} is not known", escape_line(name)));
                error.hint = Some(describe_nearest(name, keys));
                return Err(error);
            }
        }
        Ok(TomlTable { document: self, table })
    }

    /// Builds an error at a line.
    pub(super) fn error(self, line: usize, why: impl Into<String>) -> InvalidConfig {
        InvalidConfig::new(self.path, line, why)
    }

    fn line(self, span: &Range<usize>) -> usize {
        line_at(self.text.as_bytes(), span.start)
    }
}

impl TomlTable<'_> {
    /// Returns a text.
    pub(super) fn text(&self, key: &str) -> Result<Option<Located<String>>> {
        self.table.get(key).map(|value| self.read_text(key, value)).transpose()
    }

    /// Returns true or false.
    pub(super) fn boolean(&self, key: &str) -> Result<Option<Located<bool>>> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Some(Located { value: *flag, line: self.document.line(&value.span()) })),
            _ => Err(self.wrong_type(key, "true or false", value)),
        }
    }

    /// Returns a list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<Located<String>>>> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| self.read_text(key, item)).collect::<Result<_>>().map(Some)
            }
            _ => Err(self.wrong_type(key, "a list of strings", value)),
        }
    }

    /// Returns the tables of a list of tables, each with its line and with these keys.
    pub(super) fn tables(&self, key: &str, keys: &[&'static str]) -> Result<Vec<Located<Self>>> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.wrong_type(key, "a list of tables", value));
        };
        let mut tables = Vec::new();
        for item in items {
            let DeValue::Table(table) = item.get_ref() else {
                return Err(self.wrong_type(key, "a list of tables", item));
            };
            let value = self.document.check_keys(table.clone(), keys)?;
            tables.push(Located { value, line: self.document.line(&item.span()) });
        }
        Ok(tables)
    }

    /// Returns a whole number that is not negative.
    pub(super) fn number(&self, key: &str) -> Result<Option<Located<usize>>> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let line = self.document.line(&value.span());
        number.map(|value| Some(Located { value, line })).ok_or_else(|| self.wrong_type(key, "a whole number", value))
    }

    fn read_text(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Located<String>> {
        match value.get_ref() {
            DeValue::String(text) => {
                Ok(Located { value: text.clone().into_owned(), line: self.document.line(&value.span()) })
            }
            _ => Err(self.wrong_type(key, "a string", value)),
        }
    }

    fn wrong_type(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> InvalidConfig {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let line = self.document.line(&value.span());
        self.document.error(line, format!("{key}: {expected} is expected, and {found} was found"))
    }
}

/// Returns the number of the line that has the byte at this offset.
fn line_at(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    memchr::memchr_iter(b'\n', before).count().saturating_add(1)
}

/// Names the known key that is spelled most alike, or all of them if none is.
fn describe_nearest(name: &str, keys: &[&'static str]) -> String {
    let nearest = keys.iter().map(|key| (strsim::osa_distance(name, key), *key)).min();
    match nearest {
        Some((distance, key)) if distance <= key.len().div_ceil(2) => format!("did you mean {key}?"),
        _ => format!("the keys are: {}", keys.join(" ")),
    }
}
