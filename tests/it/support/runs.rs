//! The runs of the tool that the tests kill, interrupt and let fail.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::emulators::outside;
use super::sandbox::SCRATCH;
use super::tree::ROOT;
use super::{LiarBehavior, Tree, liar, qemu};

/// One run of the tool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Run {
    Register,
    /// `register` with an emulator of another release.
    Upgrade,
    Rollback,
    Unregister,
    RegisterSecond,
    UnregisterSecond,
    Disable,
    /// `register --rule` with an interpreter in the tree: see [`Tree::with_interpreter`].
    RegisterRule,
    /// `register --rule` with another rule of the same name.
    ReplaceRule,
    /// `register --in-memory`.
    InMemory,
    /// `register --in-memory` with flag C.
    InMemoryCredentials,
    /// `apply` of a file that lists the first system alone.
    Apply,
}

/// The emulators that runs register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Emulators {
    /// Real ones of 16 MB, which take most of the time of a run.
    Qemu,
    /// Programs of some hundred bytes that pass every check of an emulator. The changes of a run are the same.
    Small,
}

impl Emulators {
    fn file(self, system: &str, release: &str) -> PathBuf {
        match self {
            Self::Qemu if release == EARLIER => earlier_release(),
            Self::Qemu => qemu(system),
            Self::Small => {
                let program = liar(&format!("qemu-{system} version {release}"), LiarBehavior::RightOutput);
                outside(&format!("small-{system}-{release}"), &program)
            }
        }
    }
}

const CURRENT: &str = "10.0.13";
const EARLIER: &str = "10.0.12";

impl Run {
    pub(crate) fn args(self, emulators: Emulators) -> Vec<String> {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        let register = |system, release| {
            let emulator = emulators.file(system, release);
            [words(["register", system]), words(["--qemu", emulator.to_str().unwrap()])].concat()
        };
        match self {
            Self::Register => register("aarch64", CURRENT),
            Self::Upgrade => register("aarch64", EARLIER),
            Self::Rollback => words(["rollback", "aarch64"]),
            Self::Unregister => words(["unregister", "aarch64"]),
            Self::RegisterSecond => register("riscv64", CURRENT),
            Self::UnregisterSecond => words(["unregister", "riscv64"]),
            Self::RegisterRule => words(["register", "--rule"]).into_iter().chain([RULE.to_owned()]).collect(),
            Self::ReplaceRule => words(["register", "--rule"]).into_iter().chain([OTHER_RULE.to_owned()]).collect(),
            Self::InMemory => [register("aarch64", CURRENT), vec!["--in-memory".to_owned()]].concat(),
            Self::InMemoryCredentials => {
                [register("aarch64", CURRENT), words(["--in-memory", "--credentials"])].concat()
            }
            Self::Disable => words(["disable", "aarch64"]),
            Self::Apply => {
                let emulator = emulators.file("aarch64", CURRENT);
                // A directory of emulators has them by these names.
                let dir = Path::new(SCRATCH).join("applied");
                fs::create_dir_all(&dir).unwrap();
                fs::copy(emulator, dir.join("qemu-aarch64")).unwrap();
                let config = format!("systems = [\"aarch64-linux\"]\nfrom = \"{}\"\n", dir.display());
                fs::write(dir.join("config.toml"), config).unwrap();
                [words(["apply", "--config"]), vec![dir.join("config.toml").to_str().unwrap().to_owned()]].concat()
            }
        }
    }

    /// Runs the tool and requires success.
    #[track_caller]
    pub(crate) fn complete(self, emulators: Emulators, tree: &Tree) {
        let args = self.args(emulators);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        drop(tree.run(&args).exits(0));
    }
}

/// The real QEMU, changed to answer with an earlier release.
pub(crate) fn earlier_release() -> PathBuf {
    let path = Path::new(SCRATCH).join("earlier_release-release");
    if !path.exists() {
        let mut bytes = fs::read(qemu("aarch64")).unwrap();
        let [now, earlier] = [CURRENT, EARLIER].map(|release| format!("version {release}"));
        let at = bytes.windows(now.len()).position(|found| found == now.as_bytes()).unwrap();
        bytes[at..at + now.len()].copy_from_slice(earlier.as_bytes());
        outside("earlier_release-release", &bytes);
    }
    path
}

/// A machine after these runs.
pub(crate) fn tree_after(runs: &[Run], emulators: Emulators) -> Tree {
    let tree = Tree::new();
    complete_all(runs, emulators, &tree);
    tree
}

#[track_caller]
pub(crate) fn complete_all(runs: &[Run], emulators: Emulators, tree: &Tree) {
    for run in runs {
        run.complete(emulators, tree);
    }
}

/// Unmounts the tree with its table and all files.
pub(crate) fn discard_tree(_: Tree) {
    umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
}

/// Path of a static interpreter in a tree, and a rule that starts files with it.
pub(crate) const INTERPRETER: &str = "usr/bin/interpreter";
pub(crate) const RULE: &str = ":greet:E::greet::/usr/bin/interpreter:F";

/// Another rule of the same name that takes the same files.
pub(crate) const OTHER_RULE: &str = ":greet:E::greet::/usr/bin/interpreter:PF";

impl Tree {
    /// Adds a static program that prints `hello` if the kernel starts it for a file.
    pub(crate) fn with_interpreter(self) -> Self {
        self.program(INTERPRETER, liar("hello", LiarBehavior::RightOutput))
    }
}
