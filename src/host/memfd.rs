//! Files in memory (memfd): programs that are executed without a file on disk, and the output of programs.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// Creates a file in memory that holds a program, to be executed as `/proc/self/fd/N`. So a check that runs a program
/// writes nothing to the machine.
///
/// Child processes inherit the file, because an emulator opens that same path.
pub fn create_program(bytes: &[u8]) -> io::Result<File> {
    let mut file = create_memfd(MemfdFlags::empty(), MemfdFlags::EXEC)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Creates an empty file in memory for a program that is written later and then sealed by [`seal_program`].
pub fn create_sealable() -> io::Result<File> {
    create_memfd(MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING, MemfdFlags::EXEC)
}

/// Creates an empty file in memory, for data that is never executed.
pub fn create_scratch() -> io::Result<File> {
    create_memfd(MemfdFlags::CLOEXEC, MemfdFlags::NOEXEC_SEAL)
}

/// Creates a file in memory with these bytes, which is read from its start.
pub fn create_input(bytes: &[u8]) -> io::Result<File> {
    let mut file = create_scratch()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Whether this is a file in memory that some process of this program created.
pub fn is_own_memfd(file: &File) -> bool {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"/memfd:binfmt-nix"))
}

/// Makes the file executable and immutable, for this process too. Without seals it would stay writable while the kernel
/// runs it for other processes (fcntl(2), F_ADD_SEALS).
pub fn seal_program(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o555))?;
    Ok(fcntl_add_seals(file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?)
}

/// `purpose` declares whether the memory is executable, which `vm.memfd_noexec` may demand (memfd_create(2)). Kernels
/// before 6.3 know neither flag and fail with EINVAL; then it is left out.
fn create_memfd(flags: MemfdFlags, purpose: MemfdFlags) -> io::Result<File> {
    match memfd_create(c"binfmt-nix", flags | purpose) {
        Err(Errno::INVAL) => Ok(File::from(memfd_create(c"binfmt-nix", flags)?)),
        created => Ok(File::from(created?)),
    }
}

pub(super) fn read_from_start(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
