//! Connections that end within a range: the next server resumes the download, and no complete block is transferred twice.

use super::{fault_table, fetch};
use crate::support::package::{Deb, MEMBERS, program};
use crate::support::rng::Noise;
use crate::support::server::{Manner, Server};

fn targets() -> [&'static str; 3] {
    MEMBERS.map(|(target, _)| target)
}

/// The ends of the blocks, relative to the beginning of the first block.
fn borders(deb: &Deb) -> Vec<u64> {
    let plan = deb.package.plan_blocks(&targets()).unwrap();
    let first = plan.blocks()[0].offset;
    plan.blocks().iter().map(|block| block.end() - first).collect()
}

#[track_caller]
fn cut_at(deb: &Deb, at: u64) {
    let broken = Server::start(&deb.bytes, Manner::Cut(usize::try_from(at).unwrap()));
    let good = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&deb.package, &targets(), &[broken.mirror(), good.mirror()]);
    outcome.result.unwrap();
    for (target, length) in MEMBERS {
        assert!(outcome.files[target] == program(target, length), "{target}, cut at {at}");
    }
    let (whole, longest) = (*borders(deb).last().unwrap(), longest(deb));
    // The broken server is asked again as long as it delivers a block. Only the last block that it began comes twice.
    assert_eq!(outcome.moved, (whole, whole), "cut at {at}");
    let sent = broken.sent() + good.sent();
    assert!(sent < whole + 4 * longest + 2000, "cut at {at}: {sent} bytes of {whole}");
}

fn longest(deb: &Deb) -> u64 {
    deb.package.blocks.iter().map(|block| block.length).max().unwrap()
}

#[test]
fn downloads_resume_after_a_cut_at_each_block_boundary() {
    let deb = Deb::new();
    let borders = borders(&deb);
    for border in &borders {
        for at in [border - 1, *border, border + 1] {
            cut_at(&deb, at);
        }
    }
    fault_table::line("downloads whose connection ended at a block boundary", borders.len() * 3);
}

#[test]
fn downloads_resume_after_a_cut_at_any_byte() {
    let deb = Deb::new();
    let whole = *borders(&deb).last().unwrap();
    let mut noise = Noise::new(9);
    for _ in 0..64 {
        cut_at(&deb, noise.below(whole));
    }
    fault_table::line("downloads whose connection ended at a random byte", 64);
}
