//! Parser of cleartext signatures: a text and its signature in one file (RFC 9580 §7). Pure.
//!
//! Of the variants that programs write, only one is accepted: the signed message is the whole file, with nothing
//! before, after or beside it. The parser returns only the lines that were signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// File that is not one cleartext signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCleartext {
    /// File that is not UTF-8.
    #[error("it is not a text")]
    NotText,
    /// Control character.
    #[error("it contains the control character {:04x}", u32::from(*.0))]
    Control(char),
    /// End of the file before the end of the signature.
    #[error("it ends too early")]
    Ends,
    /// Bytes before the text.
    #[error("it does not begin with {BEGIN}")]
    Begin,
    /// Header with a name that is not allowed.
    #[error("it has an unsigned line among the headers")]
    Header,
    /// Missing text.
    #[error("it has no text")]
    NoText,
    /// Unescaped dash at the beginning of a line of the text.
    #[error("it has a line with an unescaped dash in its text")]
    Frame,
    /// Signature that cannot be decoded.
    #[error("its signature is not base64")]
    Base64,
    /// Signature without its end marker.
    #[error("its signature has no end")]
    NoEnd,
    /// Bytes after the signature.
    #[error("something follows its signature")]
    Follows,
}

/// Signed text and its signatures, which are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedText {
    /// Text that was signed. Its lines are separated by `\n`; the last one has no line end.
    pub(super) text: String,
    /// OpenPGP packets of the signatures.
    pub(super) signatures: Vec<u8>,
}

impl SignedText {
    /// Returns the bytes that are hashed (§7.2, §5.2.4).
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        self.text.replace('\n', "\r\n").into_bytes()
    }

    /// Parses a file.
    pub(super) fn parse(file: &[u8]) -> Result<Self, InvalidCleartext> {
        let file = std::str::from_utf8(file).map_err(|_| InvalidCleartext::NotText)?;
        // Other programs treat more characters than these as the end of a line, or hide text when they print it.
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

/// Skips the headers up to an empty line. All of them must have one of these names. They are not signed, and their
/// values are not used.
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

/// Returns the text that was signed, without trailing blanks of the lines and without the dashes that escape lines.
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

/// Decodes the base64 of the signature. A checksum may follow, which readers must ignore (RFC 9580 §6.1).
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
    fn only_the_signed_text_is_returned() {
        let read = SignedText::parse(GOOD.as_bytes());
        assert_eq!(read.as_ref().map(|read| read.text.as_str()), Ok("a\n-b\n\nc"));
        assert_eq!(read.as_ref().map(|read| read.signatures.clone()), Ok(vec![0, 1, 2, 3]));
        assert_eq!(read.map(|read| read.signed_bytes()), Ok(b"a\r\n-b\r\n\r\nc".to_vec()));
        let more = GOOD.replace("Hash: SHA256\n", "").replace("E-----\n\nAA", "E-----\nVersion: 1\nComment: x\n\nAA");
        assert!(SignedText::parse(more.as_bytes()).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        let changes = [
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
        for (from, to) in changes {
            let changed = GOOD.replacen(from, to, 1);
            assert_ne!(changed, GOOD);
            assert!(SignedText::parse(changed.as_bytes()).is_err(), "{changed}");
        }
        assert!(SignedText::parse(format!("{GOOD}{GOOD}").as_bytes()).is_err());
        for end in 0..GOOD.len() {
            assert!(SignedText::parse(&GOOD.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}
