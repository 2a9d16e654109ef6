//! Reader of the layers of an image, which are tar archives (image-spec v1.1, `layer.md`). Files of upper layers
//! replace or hide those of lower ones.

use std::io::{self, Read, Seek, SeekFrom};

use super::{ArchiveError, ArchiveSink, MAX_UNPACKED};
use crate::qemu::archive::decompress;
use crate::qemu::archive::tar::ArchiveWalk;

/// Gives the emulators for these targets, as they are in the merged layers, to the sink. A target without an emulator
/// is not an error here. `file` contains the layers one after the other, base first; `lengths` has the length of each.
///
/// Each layer is read once, from the top down, so that hidden files are known before they are reached. If two layers
/// have an emulator for the same target, the one of the upper layer is used, whatever their paths are.
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
    walk.check_others()
}

/// Reader that counts down the number of bytes that may still be read.
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
