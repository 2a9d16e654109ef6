//! Location of a member in the `ar` archive that a `.deb` is (deb(5), ar(5)).

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Most members that are searched. A `.deb` has three members, and a signed one has a few more.
const MAX_MEMBERS: u64 = 64;
const HEADER_END: &[u8] = b"`\n";

/// Finds the byte range of the member with this name.
pub(crate) fn find_member(deb: &mut (impl Read + Seek), name: &str) -> io::Result<Range<u64>> {
    let mut magic = [0; MAGIC.len()];
    deb.seek(SeekFrom::Start(0))?;
    deb.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(invalid_data("it is not an ar archive"));
    }
    let mut at = MAGIC.len() as u64;
    for _ in 0..MAX_MEMBERS {
        let header = read_header(deb, name)?;
        let (found, length) =
            parse_header(&header).ok_or_else(|| invalid_data(format!("the ar header at byte {at} is broken")))?;
        let offset = at.saturating_add(HEADER as u64);
        if found == name {
            return Ok(offset..offset.saturating_add(length));
        }
        // Members begin at even offsets.
        at = offset.saturating_add(length.next_multiple_of(2));
        deb.seek(SeekFrom::Start(at))?;
    }
    Err(invalid_data(format!("none of its first {MAX_MEMBERS} members is {name}")))
}

fn read_header(deb: &mut impl Read, name: &str) -> io::Result<[u8; HEADER]> {
    let mut header = [0; HEADER];
    match deb.read_exact(&mut header) {
        Ok(()) => Ok(header),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(invalid_data(format!("it has no member {name}"))),
        Err(e) => Err(e),
    }
}

fn invalid_data(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Parses name and size. GNU ar ends names with a slash, dpkg-deb does not.
fn parse_header(header: &[u8; HEADER]) -> Option<(&str, u64)> {
    let field = |range| std::str::from_utf8(header.get::<Range<usize>>(range)?).ok().map(str::trim_end);
    let name = field(0..16)?;
    // At most ten decimal digits.
    let length: u64 = field(48..58)?.parse().ok()?;
    (header.ends_with(HEADER_END)).then_some((name.strip_suffix('/').unwrap_or(name), length))
}
