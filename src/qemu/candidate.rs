//! Static QEMUs that others installed on the host, one by one: is this one fit to be copied?

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::digest::Sha256;
use crate::error::Error;
use crate::facts::is_in_memory;
use crate::host::Host;
use crate::interpreter::{self, OLDEST_GOOD, Version};

/// One candidate, opened once: judged and copied through that very handle.
#[derive(Debug)]
pub struct HostCopy {
    /// Its path, as it was looked for.
    pub path: PathBuf,
    /// Fit to be copied; or what speaks against it.
    pub verdict: std::result::Result<Fit, String>,
}

/// A static QEMU for this host and the target.
#[derive(Debug)]
pub struct Fit {
    /// Its release.
    pub version: Version,
    /// Of the whole file.
    pub sha256: Sha256,
    /// It runs at an address that it was linked for, and nowhere else.
    pub fixed_address: bool,
    /// The file that was judged.
    pub file: File,
}

/// The file that the user named. He vouches for it: its owner and age are his
/// choice, and symbolic links are followed.
pub fn given(host: &Host, arch: &Arch, machine: &str, path: &Path) -> HostCopy {
    let verdict = host.open_given(path).map_err(|e| e.to_string()).and_then(|file| fit(host, arch, machine, file));
    let path = path.to_owned();
    HostCopy { path, verdict }
}

/// Trust first, then what the bytes say, and only then is it started.
pub fn judge(host: &Host, arch: &Arch, machine: &str, path: &Path) -> std::result::Result<Fit, String> {
    let fit = judge_any_age(host, arch, machine, path)?;
    if fit.version < OLDEST_GOOD {
        return Err(format!("its release {} is older than {OLDEST_GOOD}", fit.version));
    }
    Ok(fit)
}

/// The same, whatever its release.
pub fn judge_any_age(host: &Host, arch: &Arch, machine: &str, path: &Path) -> std::result::Result<Fit, String> {
    if is_in_memory(path.as_os_str().as_bytes()) {
        return Err("it has no file that could be looked at".into());
    }
    let file = host.open_trusted_through_links(path).map_err(why)?;
    fit(host, arch, machine, file)
}

/// What speaks against what cannot be opened.
pub fn why(error: Error) -> String {
    match error {
        Error::Distrusted(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// What the bytes say, and what it answers when it is started.
pub fn fit(host: &Host, arch: &Arch, machine: &str, mut file: File) -> std::result::Result<Fit, String> {
    let mut head = Vec::new();
    let io = |e: std::io::Error| e.to_string();
    file.rewind().map_err(io)?;
    (&mut file).take(interpreter::HEAD).read_to_end(&mut head).map_err(io)?;
    interpreter::judge(&head, machine)?;
    // Executed and read through the handle: nothing can be put in its place.
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let version = version(host, arch, &open)?;
    file.rewind().map_err(io)?;
    let sha256 = Sha256::of_reader(&mut file).map_err(io)?;
    Ok(Fit { version, sha256, fixed_address: interpreter::has_fixed_address(&head), file })
}

/// Asks an emulator for its release, by running it.
pub fn version(host: &Host, arch: &Arch, program: &Path) -> std::result::Result<Version, String> {
    let answer = host.run(program, &["--version"]).map_err(|e| cannot_run(&e))?;
    if !answer.status.success() {
        return Err(format!("--version ended with {}: {}", answer.status, answer.stderr.trim()));
    }
    interpreter::parse_version(&answer.stdout, &interpreter::binary(arch))
}

fn cannot_run(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => format!("cannot run it: {e}; is its file system mounted noexec?"),
        _ => format!("cannot run it: {e}"),
    }
}
