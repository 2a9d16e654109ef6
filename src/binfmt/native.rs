//! Which guests the host runs by itself: such a rule would take every start of
//! a program, and is refused.

use std::collections::BTreeMap;
use std::io;

use binfmt_magic::Arch;

use crate::binfmt::probe;

/// Why a guest is not registered on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeSupport {
    /// The host runs its programs by itself.
    Runs,
    /// It may do so, and that could not be tried.
    Unknown(String),
}

/// The targets among `systems` that run natively on this `machine`, or may.
pub fn find_native(systems: &[&'static Arch], machine: &str) -> BTreeMap<&'static str, NativeSupport> {
    systems.iter().filter_map(|arch| Some((arch.target, detect_native(arch, machine)?))).collect()
}

fn detect_native(arch: &Arch, machine: &str) -> Option<NativeSupport> {
    if Arch::of_host(machine).is_some_and(|own| own.target == arch.target) {
        return Some(NativeSupport::Runs);
    }
    // Guests that a processor of this kind may or may not execute: IA-32 can be
    // missing in an x86_64 kernel, `AArch32` in an arm64 processor.
    if !matches!((machine, arch.target), ("x86_64", "i386") | ("aarch64", "arm")) {
        return None;
    }
    match probe::run_in_memory(arch.probe()?) {
        // An emulator may be registered already: native is what *is* the probe.
        Ok(Some(seen)) => seen.native.then_some(NativeSupport::Runs),
        Ok(None) => None,
        Err(e) if is_foreign(&e) => None,
        Err(e) => Some(NativeSupport::Unknown(e.to_string())),
    }
}

/// Nothing runs such programs (ENOEXEC), or an entry whose interpreter is gone
/// would (ENOENT).
fn is_foreign(e: &io::Error) -> bool {
    [nix::libc::ENOEXEC, nix::libc::ENOENT].map(Some).contains(&e.raw_os_error())
}
