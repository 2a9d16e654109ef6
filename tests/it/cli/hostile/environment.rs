//! The environment: variables that the tool or its libraries read, with odd values, as root and as an ordinary user.

use super::pieces::ODD;
use super::{Input, Sweep, emulator};
use crate::support::Tree;
use crate::support::rng::Noise;

/// Left out: variables of the dynamic loader and of the C library, and those that request colours.
const VARIABLES: [&str; 26] = [
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "NETRC",
    "BINFMT_NIX_MIRROR",
    "https_proxy",
    "HTTP_PROXY",
    "ALL_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "NIX_CONFIG",
    "NIX_CONF_DIR",
    "NIX_REMOTE",
    "QEMU_LD_PREFIX",
    "SHELL",
    "TERM",
    "COLUMNS",
    "container",
    "KUBERNETES_SERVICE_HOST",
    "NOTIFY_SOCKET",
    "SUDO_UID",
    "DOCKER_CONFIG",
    "TMPDIR",
];

#[sandboxed]
fn odd_variables_are_harmless() {
    let emulator = emulator();
    let tree = Tree::new().mounted();
    let mut noise = Noise::new(60);
    let mut sweep = Sweep::default();
    let commands: [&[&str]; 8] = [
        &["status"],
        &["doctor"],
        &["register", "aarch64", "--qemu", &emulator],
        &["cache"],
        &["register", "aarch64", "-n", "--source", "download"],
        &["run", "-s", "aarch64", "--qemu", &emulator, "--", "/bin/true"],
        &["fetch", "aarch64", "-o", "/scratch/out"],
        &["nix-conf", "--builder"],
    ];
    for number in 0..88_usize {
        let mut input = Input::on_tree(commands[number % commands.len()]);
        for _ in 0..=noise.below(3) {
            let value: Vec<u8> = noise.pick(ODD).iter().copied().filter(|byte| *byte != 0).collect();
            input = input.variable(noise.pick(&VARIABLES), &value);
        }
        sweep.run_and_undo(&Input { stranger: number % 5 == 4, ..input }, &tree);
    }
    sweep.end("variables with odd values", 88);
}
