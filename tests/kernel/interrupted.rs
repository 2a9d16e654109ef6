//! Ctrl-C, at any moment: what was begun is undone by the process itself. (In a download: see `live/crash.sh`.)

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Tree, qemu};

crate::tests! {
    at_any_moment
    while_another_one_is_waited_for
}

/// So many moments, spread over the time that a whole run takes.
const MOMENTS: u32 = 16;

fn send(child: &Child, signal: Signal) {
    // Sent in vain if it has ended already.
    let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
}

fn at_any_moment() {
    let mut whole = Duration::ZERO;
    for moment in 0..=MOMENTS {
        let tree = Tree::new();
        let before = tree.snapshot();
        let began = Instant::now();
        let mut child = tree.start(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()]);
        if moment == 0 {
            assert!(child.wait().unwrap().success());
            whole = began.elapsed();
        } else {
            sleep((whole * moment / MOMENTS).saturating_sub(began.elapsed()));
            send(&child, Signal::SIGINT);
            match child.wait().unwrap().code() {
                // Before signals are held nothing has been begun; after the last step all is done.
                Some(130) | None => before.is_restored_in(&tree),
                Some(0) => drop(tree.unregister("aarch64").exits(0)),
                other => panic!("interrupted at {moment}/{MOMENTS} of {whole:?}: {other:?}"),
            }
        }
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

fn while_another_one_is_waited_for() {
    let tree = Tree::new();
    std::fs::create_dir_all(tree.path("run")).unwrap();
    let held = std::fs::File::create(tree.path("run/binfmt-nix.lock")).unwrap();
    held.lock().unwrap();
    let before = tree.snapshot();
    let mut child = tree.start(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()]);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for another binfmt-nix"), "{line}");
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    said.read_to_string(&mut line).unwrap();
    before.is_unchanged_in(&tree);
}
