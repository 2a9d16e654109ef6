//! A text with its signature in the clear (RFC 9580 §7), taken apart. Pure.
//!
//! Of all that programs have made of this form, one is taken: the frame is the whole file, with nothing before, after
//! or beside it. What is given back is what was signed, never a line more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A file is not one text that is signed in the clear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCleartext {
    /// It is not UTF-8.
    #[error("it is no text")]
    NotText,
    /// It has a control character.
    #[error("it has the character {:04x} in it", u32::from(*.0))]
    Control(char),
    /// It ends before the signature.
    #[error("it ends too early")]
    Ends,
    /// Something is before the text.
    #[error("it does not begin with {BEGIN}")]
    Begin,
    /// A header has another name than the few that are allowed.
    #[error("it has an unsigned line among the headers")]
    Header,
    /// Nothing is signed.
    #[error("it has no text")]
    NoText,
    /// The text has an unescaped dash at the beginning of a line.
    #[error("it has a frame in its text")]
    Frame,
    /// The signature cannot be decoded.
    #[error("its signature is no base64")]
    Base64,
    /// The signature is not closed.
    #[error("its signature has no end")]
    NoEnd,
    /// Something is behind the signature.
    #[error("something follows its signature")]
    Follows,
}

/// A text and what is said to be its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedText {
    /// The text that was signed. Its lines end as Unix has it, but for the last one, which does not.
    pub(super) text: String,
    /// OpenPGP packets.
    pub(super) signatures: Vec<u8>,
}

impl SignedText {
    /// The bytes that are hashed (§7.2, §5.2.4).
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        self.text.replace('\n', "\r\n").into_bytes()
    }

    /// Takes a file apart, or says what is strange in it.
    pub(super) fn parse(file: &[u8]) -> Result<Self, InvalidCleartext> {
        let file = std::str::from_utf8(file).map_err(|_| InvalidCleartext::NotText)?;
        // Others take more than these for the end of a line, or show less than there is.
        if let Some(control) = file.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(InvalidCleartext::Control(control));
        }
        let mut lines = file.strip_suffix('\n').ok_or(InvalidCleartext::Ends)?.split('\n');
        if lines.next() != Some(BEGIN) {
            return Err(InvalidCleartext::Begin);
        }
        skip_headers(&mut lines, &["Hash"])?;
        let text = read_text(&mut lines)?;
        skip_headers(&mut lines, &["Version", "Comment"])?;
        let signatures = read_armor(&mut lines)?;
        match lines.next() {
            None => Ok(Self { text, signatures }),
            Some(_) => Err(InvalidCleartext::Follows),
        }
    }
}

/// The lines up to an empty one, all of which have one of these names. They are not signed, and mean nothing here.
fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>, names: &[&str]) -> Result<(), InvalidCleartext> {
    for line in lines {
        if line.is_empty() {
            return Ok(());
        }
        if !line.split_once(": ").is_some_and(|(name, _)| names.contains(&name)) {
            return Err(InvalidCleartext::Header);
        }
    }
    Err(InvalidCleartext::Ends)
}

/// What was signed: without the blanks at the ends of lines, and without the dashes that keep lines from being frames.
fn read_text<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String, InvalidCleartext> {
    let mut text: Option<String> = None;
    for line in lines {
        if line == SIGNATURE {
            return text.ok_or(InvalidCleartext::NoText);
        }
        let line = match line.strip_prefix("- ") {
            Some(escaped) => escaped,
            None if line.starts_with('-') => return Err(InvalidCleartext::Frame),
            None => line,
        };
        let line = line.trim_end_matches([' ', '\t']);
        match &mut text {
            None => text = Some(line.to_owned()),
            Some(text) => {
                text.push('\n');
                text.push_str(line);
            }
        }
    }
    Err(InvalidCleartext::Ends)
}

/// Base64, and perhaps a checksum, which is to be ignored (RFC 9580 §6.1).
fn read_armor<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<u8>, InvalidCleartext> {
    let (mut digits, mut checksum) = (String::new(), false);
    for line in lines {
        if line == END {
            return STANDARD.decode(digits).map_err(|_| InvalidCleartext::Base64);
        }
        if checksum {
            break;
        }
        checksum = line.len() == 5 && line.starts_with('=');
        if !checksum {
            digits.push_str(line);
        }
    }
    Err(InvalidCleartext::NoEnd)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\na \t\n- -b\n\n- c\n\
        -----BEGIN PGP SIGNATURE-----\n\nAAEC\nAw==\n=abcd\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn a_text_is_what_was_signed() {
        let read = SignedText::parse(GOOD.as_bytes());
        assert_eq!(read.as_ref().map(|read| read.text.as_str()), Ok("a\n-b\n\nc"));
        assert_eq!(read.as_ref().map(|read| read.signatures.clone()), Ok(vec![0, 1, 2, 3]));
        assert_eq!(read.map(|read| read.signed_bytes()), Ok(b"a\r\n-b\r\n\r\nc".to_vec()));
        let more = GOOD.replace("Hash: SHA256\n", "").replace("E-----\n\nAA", "E-----\nVersion: 1\nComment: x\n\nAA");
        assert!(SignedText::parse(more.as_bytes()).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        let harms = [
            ("-----BEGIN PGP SIGNED", "x\n-----BEGIN PGP SIGNED"),
            ("-----BEGIN PGP SIGNED", "\n-----BEGIN PGP SIGNED"),
            ("-----BEGIN PGP SIGNED", " -----BEGIN PGP SIGNED"),
            ("Hash: SHA256\n", "Hash: SHA256\nSuite: sid\n"),
            ("Hash: SHA256\n", "Hash: SHA256\n \n"),
            ("Hash: SHA256\n\n", "Hash: SHA256\n"),
            ("\n- -b", "\n-b"),
            ("\n- -b", "\n-----BEGIN PGP SIGNED MESSAGE-----"),
            ("\n- -b", "\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----"),
            ("\n- -b", "\n- -b\r"),
            ("\n- -b", "\n\x0b"),
            ("\n- -b", "\n\0"),
            ("\n- -b", "\n\u{85}"),
            ("a \t\n- -b\n\n- c\n", ""),
            ("SIGNATURE-----\n\n", "SIGNATURE-----\nSuite: sid\n\n"),
            ("SIGNATURE-----\n\n", "SIGNATURE-----\n"),
            ("AAEC", "AA C"),
            ("AAEC", "AA=C"),
            ("=abcd\n", "=abcd\n=abcd\n"),
            ("=abcd\n", "=abcd\nAAEC\n"),
            ("-----END PGP SIGNATURE-----\n", ""),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\n\n"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\nx\n"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE----- \n"),
        ];
        for (from, to) in harms {
            let harmed = GOOD.replacen(from, to, 1);
            assert_ne!(harmed, GOOD);
            assert!(SignedText::parse(harmed.as_bytes()).is_err(), "{harmed}");
        }
        assert!(SignedText::parse(format!("{GOOD}{GOOD}").as_bytes()).is_err());
        for end in 0..GOOD.len() {
            assert!(SignedText::parse(&GOOD.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}
