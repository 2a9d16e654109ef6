//! What the runs do that are killed, interrupted and made to fail.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::emulators::other_qemu;
use super::tree::ROOT;
use super::world::SCRATCH;
use super::{Tree, qemu};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Run {
    Register,
    /// `register` with an emulator of other bytes.
    Upgrade,
    Unregister,
    RegisterSecond,
    UnregisterSecond,
}

impl Run {
    pub(crate) fn args(self) -> Vec<String> {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        let register = |system, qemu: PathBuf| {
            [words(["register", system]), words(["--qemu", qemu.to_str().unwrap()])].concat()
        };
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

/// Made once in a world.
fn other() -> PathBuf {
    let path = Path::new(SCRATCH).join("other-qemu");
    if path.exists() { path } else { other_qemu("aarch64") }
}

/// A machine after these runs.
pub(crate) fn tree_after(runs: &[Run]) -> Tree {
    let tree = Tree::new();
    runs.iter().for_each(|run| run.to_its_end(&tree));
    tree
}

/// Takes the tree away, with its table and all that is in it.
pub(crate) fn gone(_: Tree) {
    umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
}
