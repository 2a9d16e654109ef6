//! A program as a file on disk, for others that have to read it by a name, for a while.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Host;

/// Directories in which everybody may make one of his own.
const PLACES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// A directory of our own with a program in it. It goes with this value.
#[derive(Debug)]
pub struct TempProgram {
    dir: PathBuf,
    /// The program.
    pub program: PathBuf,
}

/// Lends this program. Nobody else can put another in its place: mkdir(2) takes no name that is there already, not
/// even a link's, and the directory is closed to others.
pub fn create_program(name: &str, bytes: &[u8]) -> io::Result<TempProgram> {
    let unique = Host::live().read_lossy(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for place in PLACES {
        let dir = Path::new(place).join(format!("binfmt-nix-{}", unique.trim()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => {
                let lent = TempProgram { program: dir.join(name), dir };
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&lent.program)?;
                file.write_all(bytes)?;
                return Ok(lent);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

impl Drop for TempProgram {
    fn drop(&mut self) {
        // It is in a directory for what is temporary.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
