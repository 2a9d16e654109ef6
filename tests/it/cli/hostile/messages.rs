//! Error messages that `doctor` explains: any text, from the command line and from standard input.

use super::pieces::{ODD, damage};
use super::{Input, Sweep, scratch};
use crate::support::Tree;
use crate::support::rng::Noise;

/// Messages of Nix, shells, container engines and QEMU, which `doctor` knows.
const KNOWN: &[&str] = &[
    "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with \
     features {benchmark, big-parallel}",
    "these 630 derivations will be built:\n  /nix/store/0-binutils-aarch64-unknown-linux-gnu-2.43.drv\n",
    "exec /bin/sh: exec format error",
    "bash: ./program: cannot execute binary file: Exec format error",
    "chroot: failed to run command '/probe': No such file or directory",
    "qemu: uncaught target signal 11 (Segmentation fault) - core dumped",
    "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set",
    "Too many levels of symbolic links",
    "WARNING: image platform (linux/arm64/v8) does not match the expected platform (linux/amd64)",
];

#[sandboxed]
fn doctor_explains_any_text() {
    let mut noise = Noise::new(50);
    let tree = Tree::new().mounted();
    let mut sweep = Sweep::default();
    for number in 0..90 {
        let known = noise.pick(KNOWN);
        let text = [&damage(&mut noise, known.as_bytes())[..], noise.pick(ODD)].concat();
        let options: &[&str] = if number % 2 == 0 { &["doctor"] } else { &["doctor", "--json"] };
        let input = Input::on_tree(options);
        let input = if number % 3 == 0 {
            let text: Vec<u8> = text.into_iter().filter(|byte| *byte != 0).collect();
            input.arg("--").bytes(&text)
        } else {
            let text = if number % 30 == 1 { text.repeat(200) } else { text };
            Input { stdin: Some(scratch("text".as_ref(), &text)), ..input.arg("-") }
        };
        sweep.run_without_change(&input, &tree);
    }
    sweep.end("texts that `doctor` explains", 90);
}
