//! The runs of the tool that the tests kill, interrupt and let fail.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::emulators::outside;
use super::sandbox::SCRATCH;
use super::tree::ROOT;
use super::{Tree, qemu};

/// One run of the tool.
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
            Self::Upgrade => register("aarch64", earlier_release()),
            Self::Unregister => words(["unregister", "aarch64"]),
            Self::RegisterSecond => register("riscv64", qemu("riscv64")),
            Self::UnregisterSecond => words(["unregister", "riscv64"]),
        }
    }

    /// Runs the tool and requires success.
    #[track_caller]
    pub(crate) fn complete(self, tree: &Tree) {
        let args = self.args();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        drop(tree.run(&args).exits(0));
    }
}

/// The real QEMU, changed to answer with an earlier release.
pub(crate) fn earlier_release() -> PathBuf {
    let path = Path::new(SCRATCH).join("earlier_release-release");
    if !path.exists() {
        let mut bytes = fs::read(qemu("aarch64")).unwrap();
        let (now, earlier) = (b"version 10.0.13", b"version 10.0.12");
        let at = bytes.windows(now.len()).position(|found| found == now).unwrap();
        bytes[at..at + now.len()].copy_from_slice(earlier);
        outside("earlier_release-release", &bytes);
    }
    path
}

/// A machine after these runs.
pub(crate) fn tree_after(runs: &[Run]) -> Tree {
    let tree = Tree::new();
    complete_all(runs, &tree);
    tree
}

#[track_caller]
pub(crate) fn complete_all(runs: &[Run], tree: &Tree) {
    for run in runs {
        run.complete(tree);
    }
}

/// Unmounts the tree with its table and all files.
pub(crate) fn discard_tree(_: Tree) {
    umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
}
