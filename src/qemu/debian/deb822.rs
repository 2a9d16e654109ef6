//! Parser of the lines of Debian's control files: deb822(5). Pure.

/// Line or field that is not valid in a control file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStanza {
    /// Line without a colon.
    #[error("it has a line that is not one of a control file")]
    Line,
    /// Field whose name is empty or unprintable.
    #[error("it has a field without a name")]
    Name,
    /// Duplicate field.
    #[error("it has {0} twice")]
    Twice(String),
}

/// Line of a control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StanzaLine<'a> {
    /// Empty line, which ends a stanza.
    End,
    /// Name of a field, and the first line of its value.
    Field(&'a str, &'a str),
    /// Next line of the value of the field before.
    Continuation(&'a str),
}

impl<'a> StanzaLine<'a> {
    /// Parses a line without its line end.
    pub(super) fn parse(line: &'a str) -> Result<Self, InvalidStanza> {
        if line.trim_matches([' ', '\t']).is_empty() {
            return Ok(Self::End);
        }
        if let Some(more) = line.strip_prefix([' ', '\t']) {
            return Ok(Self::Continuation(more));
        }
        let (name, value) = line.split_once(':').ok_or(InvalidStanza::Line)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name { Ok(Self::Field(name, value.trim())) } else { Err(InvalidStanza::Name) }
    }
}

/// Stores the value of a field that must not occur twice.
pub(super) fn set_once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), InvalidStanza> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidStanza::Twice(name.to_owned())),
    }
}
