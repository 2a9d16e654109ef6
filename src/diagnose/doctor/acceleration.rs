//! Checks of accelerated programs.

use std::collections::BTreeMap;

use binfmt_magic::Arch;

use super::{Check, Occurrence, Snapshot, Urgency};

pub(super) const CHECKS: &[Check] =
    &[Check { id: "not-accelerated", urgency: Urgency::Fragile, run: check_not_accelerated }];

/// Guest programs that are emulated although `accelerate` was run for them: a program was replaced or collected, an entry is
/// gone, or the emulator is another one. Their output is the same, and builds are slower.
fn check_not_accelerated(snapshot: &Snapshot) -> Vec<Occurrence> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for status in &snapshot.accelerated {
        if let (Some(why), Some(repair)) = (&status.detail, &status.repair) {
            groups.entry((status.program.system, repair, why)).or_default().push(&status.program.tool);
        }
    }
    let occurrences = groups.into_iter().filter_map(|((system, repair, why), tools)| {
        let what = format!("{} of {system} is emulated, although it was accelerated", tools.join(" "));
        let why = format!("{why}: builds are as slow as without accelerate");
        Some(Occurrence::for_system(Arch::by_target(system)?, what, why).with_repair(repair.to_owned()))
    });
    occurrences.collect()
}
