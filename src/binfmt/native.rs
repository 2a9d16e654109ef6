//! Finds the systems whose programs the host runs natively. A rule for such a system would match the host's own
//! programs, and is rejected.

use std::collections::BTreeMap;
use std::io;

use binfmt_magic::Arch;

use crate::binfmt::probe;

/// The reason why a system is not registered on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeSupport {
    /// The host runs the system's programs natively.
    Runs,
    /// The host may run them natively, but the probe could not be started, for this reason.
    Unknown(String),
}

/// Returns the targets among `systems` that run, or may run, natively on `machine` (as `uname -m` prints it).
pub fn find_native(systems: &[&'static Arch], machine: &str) -> BTreeMap<&'static str, NativeSupport> {
    systems.iter().filter_map(|arch| Some((arch.target, detect_native(arch, machine)?))).collect()
}

fn detect_native(arch: &Arch, machine: &str) -> Option<NativeSupport> {
    if Arch::of_host(machine).is_some_and(|own| own.target == arch.target) {
        return Some(NativeSupport::Runs);
    }
    // Whether these pairs run natively depends on the host: IA-32 can be missing in an x86_64 kernel, `AArch32` in an
    // arm64 processor.
    if !matches!((machine, arch.target), ("x86_64", "i386") | ("aarch64", "arm")) {
        return None;
    }
    match probe::run_in_memory(arch.probe()?) {
        // An emulator may be registered already: it is native only if the process executes the probe itself.
        Ok(Some(run)) => run.native.then_some(NativeSupport::Runs),
        Ok(None) => None,
        Err(e) if is_foreign(&e) => None,
        Err(e) => Some(NativeSupport::Unknown(e.to_string())),
    }
}

/// Whether the error shows that the host does not run such programs natively: nothing runs them (ENOEXEC), or the entry
/// that takes them has lost its interpreter (ENOENT).
fn is_foreign(e: &io::Error) -> bool {
    [nix::libc::ENOEXEC, nix::libc::ENOENT].map(Some).contains(&e.raw_os_error())
}
