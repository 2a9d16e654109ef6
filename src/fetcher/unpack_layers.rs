//! Unpacks the layers of an image in a process of its own, as other archives are.

use std::io;
use std::path::Path;

use super::listen::{Deaf, Listener, Unpacked};
use super::pull::Layers;
use super::{hear, note};
use crate::error::{Error, Result};
use crate::host::Worker;

/// The hidden command of this program that is the child.
pub const UNPACK_LAYERS: &str = "unpack-layers-confined";

/// Takes the emulators of these targets out of an image, as they are in its merged layers, and gives their bytes to
/// `sink`. `shown` is the image, for messages.
///
/// Nothing of it is to be trusted. `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what
/// there was, and what the user should know of this kernel.
pub fn unpack_layers(
    layers: Layers,
    shown: &str,
    targets: &[&str],
    sink: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Unpacked, Option<String>)> {
    let path = Path::new(shown);
    let refused = |why: String| Error::Archive { path: path.to_owned(), why };
    let process = |why: String| refused(format!("the process that unpacks it {why}"));
    let lengths: Vec<_> = layers.lengths.iter().map(u64::to_string).collect();
    let args = [std::process::id().to_string(), lengths.join(",")];
    let args: Vec<_> = args.into_iter().chain(targets.iter().map(|target| (*target).to_owned())).collect();
    let mut listener = Listener::new(targets);
    let unpacked = hear(Worker::start_with(UNPACK_LAYERS, &args, layers.file), &process, go_on, &mut |bytes| {
        listener.take(bytes, sink).map_err(|deaf| match deaf {
            Deaf::Refused(why) => refused(why),
            Deaf::Garbled(garbled) => process(garbled.to_string()),
            Deaf::Sink(e) => Error::io("unpack", path, e),
        })
    })?;
    Ok((unpacked, note(listener.lacks(), "unpacks")))
}
