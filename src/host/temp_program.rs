//! A program in a temporary file, for other programs that have to open it by a path.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Host, trust};

/// Directories in which every user may create a directory.
const TEMP_DIRS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// A directory with a program in it. It is removed when the value is dropped.
#[derive(Debug)]
pub struct TempProgram {
    dir: PathBuf,
    /// Path of the program
    pub program: PathBuf,
}

/// Whether no other user can replace what root creates in a directory that every user may write to: it belongs to root
/// and is sticky. Processes of other users have nothing that needs it.
fn keeps_files_of_root(dir: &Path) -> bool {
    !trust::is_process_of_machine_root()
        || std::fs::metadata(dir)
            .is_ok_and(|meta| meta.uid() == 0 && (meta.mode() & 0o1000 != 0 || meta.mode() & 0o022 == 0))
}

/// Writes a program to a new directory, from which every user may start it. No other user can replace it: mkdir(2)
/// fails if the name exists, even as a symbolic link, and only this user may write to the directory.
pub fn create_program(name: &str, bytes: &[u8]) -> io::Result<TempProgram> {
    let unique = Host::live().read_lossy(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    for temp_dir in TEMP_DIRS.into_iter().filter(|temp_dir| keeps_files_of_root(Path::new(temp_dir))) {
        let dir = Path::new(temp_dir).join(format!("binfmt-nix-{}", unique.trim()));
        match DirBuilder::new().mode(0o755).create(&dir) {
            Ok(()) => {
                let temp_program = TempProgram { program: dir.join(name), dir };
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o755).open(&temp_program.program)?;
                file.write_all(bytes)?;
                // The umask does not apply to these calls.
                file.set_permissions(Permissions::from_mode(0o755))?;
                std::fs::set_permissions(&temp_program.dir, Permissions::from_mode(0o755))?;
                return Ok(temp_program);
            }
            Err(e) => last_error = e,
        }
    }
    Err(last_error)
}

impl Drop for TempProgram {
    fn drop(&mut self) {
        // A failure leaves a file in a directory for temporary files.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
