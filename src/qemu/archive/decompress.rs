//! Decompression of tar archives: gzip, xz, zstd, or none.

use std::io::{self, BufReader, Chain, Cursor, Read};

use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::{ArchiveError, DECODER_KIB, MAX_UNPACKED};

/// Reader that starts with the bytes that were read to detect the compression.
type RewoundReader<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Returns the decompressed tar archive. It fails with an error after `max_size` bytes.
pub(super) fn open_tar<'a>(mut packed: impl Read + 'a, max_size: u64) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let broken = |e: io::Error| ArchiveError::Refused(format!("it cannot be read: {e}"));
    let mut head = Vec::new();
    packed.by_ref().take(6).read_to_end(&mut head).map_err(broken)?;
    let magic = head.clone();
    let whole: RewoundReader<_> = BufReader::with_capacity(128 << 10, Cursor::new(head).chain(packed));
    let content: Box<dyn Read + 'a> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, DECODER_KIB)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(ZstdFrames::new(whole)?),
        _ => Box::new(whole),
    };
    Ok(Box::new(LimitedReader { content, left: max_size }))
}

/// Reader of one zstd frame; the programs zstd and dpkg-deb write only one. The library leaves the comparison of the
/// checksum to its caller.
struct ZstdFrames<R: Read> {
    frame: StreamingDecoder<R, FrameDecoder>,
}

impl<R: Read> ZstdFrames<R> {
    fn new(packed: R) -> Result<Self, ArchiveError> {
        let frame = StreamingDecoder::new(packed);
        Ok(Self { frame: frame.map_err(|e| ArchiveError::Refused(format!("it cannot be unpacked: {e}")))? })
    }

    /// Verifies the checksum, and that nothing follows the frame.
    fn check_frame_end(&mut self) -> io::Result<()> {
        let decoder = &self.frame.decoder;
        let (stored, computed) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
        if stored.is_some() && stored != computed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        match self.frame.get_mut().read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "something follows the zstd frame")),
        }
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.frame.read(buffer)? {
            0 if !buffer.is_empty() => self.check_frame_end().map(|()| 0),
            length => Ok(length),
        }
    }
}

/// Reader that fails with an error after a number of bytes.
struct LimitedReader<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("it unpacks to more than {MAX_UNPACKED} bytes"))
        })?;
        Ok(length)
    }
}
