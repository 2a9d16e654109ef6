//! Lines of Debian's control files: deb822(5). Pure.

/// A line, or a field, that a control file does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStanza {
    /// The line has no colon.
    #[error("it has a line that is none of a control file")]
    Line,
    /// Nothing, or something unprintable, is before the colon.
    #[error("it has a field without a name")]
    Name,
    /// A field is repeated.
    #[error("it has {0} twice")]
    Twice(String),
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StanzaLine<'a> {
    /// The end of a stanza.
    End,
    /// A field and its value, or the beginning of it.
    Field(&'a str, &'a str),
    /// More of the field before.
    Continuation(&'a str),
}

impl<'a> StanzaLine<'a> {
    /// Tells a line without its end.
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

/// Keeps a value whose field may be there once.
pub(super) fn set_once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), InvalidStanza> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidStanza::Twice(name.to_owned())),
    }
}
