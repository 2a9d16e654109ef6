//! Receipts: damaged records never make the tool delete what it did not make.

use serde_json::Value;

use super::pieces::{ODD, damage, seeds};
use super::{Input, Sweep, emulator};
use crate::support::Tree;
use crate::support::json::{absurd, numbers, places, with};
use crate::support::rng::Noise;
use crate::support::table::line;
use crate::support::tree::RECEIPT;

/// A machine with files and an entry of another tool.
fn machine() -> Tree {
    let tree = Tree::new().mounted().file("etc/binfmt.d/theirs.conf", "# theirs\n");
    let tree = tree.program("usr/local/bin/theirs", "theirs").program("usr/local/libexec/theirs", "theirs");
    tree.nix_conf("sandbox = true\n# theirs\n").entry(&line("theirs", "riscv64", "/bin/true".as_ref(), ""))
}

/// The receipt with other values at some places, or with other bytes.
fn damaged(noise: &mut Noise, real: &str, others: &[Vec<u8>]) -> Vec<u8> {
    let whole: Value = serde_json::from_str(real).unwrap();
    match noise.below(4) {
        0 => damage(noise, real.as_bytes()),
        1 => {
            let other = noise.pick(others);
            damage(noise, &other)
        }
        _ => {
            let places = places(&whole);
            let values =
                [absurd(), numbers(), places.iter().filter_map(|place| whole.pointer(place)).cloned().collect()];
            let odd: &[u8] = noise.pick(ODD);
            let odd = Value::from(String::from_utf8_lossy(odd));
            let value = if noise.below(4) == 0 { odd } else { noise.pick(&values.concat()) };
            with(&whole, &noise.pick(&places), value).to_string().into_bytes()
        }
    }
}

#[sandboxed]
fn damaged_receipts_are_harmless() {
    let emulator = emulator();
    let mut noise = Noise::new(40);
    let others = seeds("receipt");
    let tree = machine();
    let pristine = tree.snapshot();
    let mut sweep = Sweep::default();
    let register = ["register", "aarch64", "--qemu", &emulator];
    let reading: [&[&str]; 7] = [
        &["status"],
        &["status", "--json"],
        &["unregister", "all", "-n"],
        &["doctor"],
        &["nix-conf"],
        &["status", "-v"],
        &["restore", "--check"],
    ];
    tree.run(&register).exits(0);
    let mut real = tree.text(RECEIPT);
    for number in 0..144 {
        let document = damaged(&mut noise, &real, &others);
        tree.write(RECEIPT, &document);
        if number % 6 != 0 {
            let input = Input::on_tree(reading[number % reading.len()]);
            sweep.run_without_change(&input.noting("the receipt", &document), &tree);
            continue;
        }
        // What the damaged receipt hides from the first command, the real one gives to the second.
        let command: &[&str] = if number % 12 == 0 { &["unregister", "all"] } else { &register };
        let input = Input::on_tree(command).noting("the receipt", &document);
        sweep.run(&input);
        tree.write(RECEIPT, &real);
        tree.run(&["unregister", "all"]).exits_with(&[0, 3]);
        sweep.require_restored(&input, &pristine, &tree);
        tree.run(&register).exits(0);
        real = tree.text(RECEIPT);
    }
    sweep.end("receipts with damaged records", 144);
}
