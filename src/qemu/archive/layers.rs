//! The layers of an image, which are tar archives (image-spec v1.1, `layer.md`): what is in the upper ones counts.

use std::io::{self, Read, Seek, SeekFrom};

use super::{ArchiveError, ArchiveSink, MAX_UNPACKED};
use crate::qemu::archive::decompress;
use crate::qemu::archive::tar::ArchiveWalk;

/// Gives the emulators of these targets to the sink, as they are in the merged layers; those that there are not, are
/// not missed here. The layers lie one after the other in `file`, base first, each of its length.
///
/// They are read from the top down, each once: what is hidden is then known before it comes. Of two for one target in
/// different layers, the upper one counts, wherever they lie.
pub fn unpack_layers(
    file: &mut (impl Read + Seek),
    lengths: &[u64],
    targets: &[&str],
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    let broken = |e: io::Error| ArchiveError::Refused(format!("it cannot be read: {e}"));
    let mut end = lengths.iter().fold(0_u64, |end, length| end.saturating_add(*length));
    let mut walk = ArchiveWalk::for_layers(targets, sink);
    let mut left = MAX_UNPACKED;
    for (number, length) in lengths.iter().enumerate().rev() {
        end = end.saturating_sub(*length);
        file.seek(SeekFrom::Start(end)).map_err(broken)?;
        let layer_error = |error| match error {
            ArchiveError::Refused(why) => {
                ArchiveError::Refused(format!("layer {} of {}: {why}", number.saturating_add(1), lengths.len()))
            }
            error @ ArchiveError::Sink(_) => error,
        };
        let mut content = CountingReader {
            content: decompress::open_tar(file.by_ref().take(*length), left).map_err(layer_error)?,
            left,
        };
        walk.read_archive(&mut content).map_err(layer_error)?;
        left = content.left;
        walk.next_layer();
    }
    walk.check_links()
}

/// Knows how much may still be read.
struct CountingReader<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }
}
