//! A run that is killed, at any moment: the next run finishes what it began, or takes it back to the last byte.

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Tree, qemu};

crate::tests! {
    a_registration_then_undone
    a_registration_then_done_again
    an_undo_then_undone
    an_undo_of_one_of_two
}

/// So many moments, spread over the time that a whole run takes.
const MOMENTS: u32 = 16;

/// Prepares a tree, starts a run, kills it, and looks at what can still be done; at many moments.
#[track_caller]
fn killed(prepare: impl Fn(&Tree), start: impl Fn(&Tree) -> Child, afterwards: impl Fn(&Tree)) {
    let mut whole = Duration::ZERO;
    for moment in 0..=MOMENTS {
        let tree = Tree::new();
        let before = tree.snapshot();
        prepare(&tree);
        let began = Instant::now();
        let mut child = start(&tree);
        if moment == 0 {
            // The first is not killed: it shows how long that takes.
            assert!(child.wait().unwrap().success());
            whole = began.elapsed();
        } else {
            sleep((whole * moment / MOMENTS).saturating_sub(began.elapsed()));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        afterwards(&tree);
        let done = tree.run(&["unregister", "all"]).omits("panicked");
        assert!(done.err.is_empty() || !done.err.contains("error:"), "killed at {moment}/{MOMENTS}: {done:#?}");
        let differences = before.unrestored_in(&tree);
        assert!(differences.is_empty(), "killed at {moment}/{MOMENTS} of {whole:?}: {differences}\n{done:#?}");
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

fn register(tree: &Tree) -> Child {
    tree.start(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()])
}

fn a_registration_then_undone() {
    killed(|_| {}, register, |_| {});
}

fn a_registration_then_done_again() {
    killed(
        |_| {},
        register,
        |tree| {
            tree.register("aarch64").exits(0);
            assert!(tree.runs("aarch64"));
            assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux");
        },
    );
}

fn an_undo_then_undone() {
    killed(|tree| drop(tree.register("aarch64").exits(0)), |tree| tree.start(&["unregister", "aarch64"]), |_| {});
}

fn an_undo_of_one_of_two() {
    killed(
        |tree| {
            tree.register("aarch64").exits(0);
            tree.register("riscv64").exits(0);
        },
        |tree| tree.start(&["unregister", "aarch64"]),
        |tree| {
            assert!(tree.runs("riscv64"));
            tree.run(&["register", "riscv64"]).exits(0);
        },
    );
}
