//! The right to change the kernel's table.

use nix::errno::Errno;

use crate::binfmt::container;
use crate::binfmt::shell::Shell;
use crate::binfmt::table::entry_path;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::sanitize::AsText as _;

/// Checks, before anything is changed, that entries may be registered here.
pub fn check_writable(host: &Host) -> Result<()> {
    let register = host.real_path(&entry_path("register"));
    let Err(errno) = nix::unistd::access(&register, nix::unistd::AccessFlags::W_OK) else { return Ok(()) };
    // A container may not remount what its host has mounted read-only.
    let hint = if errno == Errno::EROFS && container::detect_kind(host).is_none() {
        format!("to make the table writable, run: {}", Shell::for_host(host).remount_command())
    } else {
        "in a container, start it with --privileged, or register on the host: entries with flag F work inside \
         containers too"
            .to_owned()
    };
    Err(Error::Unsupported { what: format!("cannot write {}: {}", register.as_text(), errno.desc()), hint })
}
