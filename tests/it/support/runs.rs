//! What the runs do that are killed, interrupted and made to fail.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::emulators::outside;
use super::sandbox::SCRATCH;
use super::tree::ROOT;
use super::{Tree, qemu};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Run {
    Register,
    /// `register` with an emulator of another release.
    Upgrade,
    Unregister,
    RegisterSecond,
    UnregisterSecond,
}

impl Run {
    pub(crate) fn args(self) -> Vec<String> {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        let register =
            |system, qemu: PathBuf| [words(["register", system]), words(["--qemu", qemu.to_str().unwrap()])].concat();
        match self {
            Self::Register => register("aarch64", qemu("aarch64")),
            Self::Upgrade => register("aarch64", other()),
            Self::Unregister => words(["unregister", "aarch64"]),
            Self::RegisterSecond => register("riscv64", qemu("riscv64")),
            Self::UnregisterSecond => words(["unregister", "riscv64"]),
        }
    }

    #[track_caller]
    pub(crate) fn to_its_end(self, tree: &Tree) {
        let args = self.args();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        drop(tree.run(&args).exits(0));
    }
}

/// The same QEMU, which says that it is an earlier release.
pub(crate) fn other() -> PathBuf {
    let path = Path::new(SCRATCH).join("other-release");
    if !path.exists() {
        let mut bytes = fs::read(qemu("aarch64")).unwrap();
        let (now, earlier) = (b"version 10.0.13", b"version 10.0.12");
        let at = bytes.windows(now.len()).position(|found| found == now).unwrap();
        bytes[at..at + now.len()].copy_from_slice(earlier);
        outside("other-release", &bytes);
    }
    path
}

/// A machine after these runs.
pub(crate) fn tree_after(runs: &[Run]) -> Tree {
    let tree = Tree::new();
    to_their_end(runs, &tree);
    tree
}

#[track_caller]
pub(crate) fn to_their_end(runs: &[Run], tree: &Tree) {
    for run in runs {
        run.to_its_end(tree);
    }
}

/// Takes the tree away, with its table and all that is in it.
pub(crate) fn gone(_: Tree) {
    umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
}
