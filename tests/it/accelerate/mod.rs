//! Proofs of pairs, by real emulators and real compilers.
//!
//! On every machine, the emulator of the machine's own system runs the machine's own tools: guest and native program are
//! one file. With the trees of `tests/fetch-toolchain`, the compilers of Debian 13 for other systems and its cross compilers
//! are proven, and wrong pairs of them are refused.

mod own_tools;
mod toolchain;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use binfmt_magic::Arch;
use binfmt_nix::accelerate::find::{FoundPair, named_pair};
use binfmt_nix::accelerate::prove::{ProofPlan, ProofSubject, RUN_LIMIT, Verdict, prove, worker};
use binfmt_nix::host::Host;

/// Plays the worker.
pub(crate) fn child(stage: &str, dir: &str) -> ExitCode {
    match worker::run_worker(stage, Path::new(dir)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A guest system, and the host with the native programs.
struct Machines {
    tree: Host,
    native: Host,
    emulator: std::path::PathBuf,
    target: &'static str,
}

impl Machines {
    fn plan(&self, stride: usize) -> ProofPlan<'_> {
        ProofPlan {
            tree: &self.tree,
            parts: &[],
            native: &self.native,
            emulator: &self.emulator,
            target: self.target,
            limit: RUN_LIMIT,
            stride,
        }
    }

    fn subject(&self, pair: FoundPair) -> ProofSubject {
        ProofSubject::read(Arch::by_target(self.target).unwrap(), pair, &self.tree, &self.native).unwrap()
    }

    /// Proves the pair of two files.
    fn prove_files(&self, guest: &str, native: &str, stride: usize, limit: Duration) -> Verdict {
        let subject = self.subject(named_pair(&format!("{guest}={native}")).unwrap());
        let plan = ProofPlan { limit, ..self.plan(stride) };
        prove(&plan, &[subject], &mut |_, _| Ok(())).unwrap().remove(0)
    }
}

/// Asserts that a pair is refused, for a reason with this text.
#[track_caller]
fn assert_refused(verdict: &Verdict, part: &str) {
    match verdict {
        Verdict::Refused(refusal) => assert!(refusal.to_string().contains(part), "{refusal}"),
        Verdict::Proven(proof) => panic!("{proof:?}"),
    }
}
