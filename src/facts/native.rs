//! Which guests the host runs by itself: such a rule would take every start of
//! a program, and is refused.

use std::collections::BTreeSet;

use binfmt_magic::Arch;

use crate::host::Host;
use crate::probe;

/// The targets among `systems` that run natively on this `machine`.
pub fn among(host: &Host, systems: &[&'static Arch], machine: &str) -> BTreeSet<&'static str> {
    let native = |arch: &&&'static Arch| is_own(arch, machine) || (may_be(arch, machine) && runs(host, arch));
    systems.iter().filter(native).map(|arch| arch.target).collect()
}

fn is_own(arch: &Arch, machine: &str) -> bool {
    Arch::of_host(machine).is_some_and(|own| own.target == arch.target)
}

/// Guests that a processor of this kind may or may not execute: IA-32 can be
/// missing in an x86_64 kernel, `AArch32` in an arm64 processor.
fn may_be(arch: &Arch, machine: &str) -> bool {
    matches!((machine, arch.target), ("x86_64", "i386") | ("aarch64", "arm"))
}

/// It is native if the running process *is* the probe: an emulator may be
/// registered for it already.
fn runs(host: &Host, arch: &Arch) -> bool {
    let seen = arch.probe().map(|bytes| probe::run_in_memory(host, bytes));
    matches!(seen, Some(Ok(Some(seen))) if seen.native)
}
