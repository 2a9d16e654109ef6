//! Files in memory: programs that need no place on a disk, and what programs print.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A file in memory that holds a program. It is executed as
/// `/proc/self/fd/N`, so that a look at the machine writes nothing to it.
/// Children inherit it: an emulator opens that very path.
pub fn create_program(bytes: &[u8]) -> io::Result<File> {
    let mut file = create_memfd(MFdFlags::empty(), nix::libc::MFD_EXEC)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// A file in memory for a program that is yet to be written, and then sealed.
pub fn create_sealable() -> io::Result<File> {
    create_memfd(MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING, nix::libc::MFD_EXEC)
}

/// Creates an empty file in memory, for data that is never executed.
pub fn create_scratch() -> io::Result<File> {
    create_memfd(MFdFlags::MFD_CLOEXEC, nix::libc::MFD_NOEXEC_SEAL)
}

/// Is this a file in memory that this program made, whichever process of it?
pub fn is_own_memfd(file: &File) -> bool {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"/memfd:binfmt-nix"))
}

/// Makes a program of it that nobody can change any more, we neither: the
/// kernel runs it for others, and it would stay writable while it runs
/// (fcntl(2), F_ADD_SEALS).
pub fn seal_program(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o555))?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// `vm.memfd_noexec` wants to be told whether the memory is for a program
/// (memfd_create(2)); kernels before 6.3 know neither flag.
fn create_memfd(flags: MFdFlags, purpose: u32) -> io::Result<File> {
    let told = flags | MFdFlags::from_bits_retain(purpose);
    match memfd_create(c"binfmt-nix", told) {
        Err(nix::errno::Errno::EINVAL) => Ok(File::from(memfd_create(c"binfmt-nix", flags)?)),
        made => Ok(File::from(made?)),
    }
}

pub(super) fn read_from_start(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
