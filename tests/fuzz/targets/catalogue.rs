//! A catalogue. If the tool accepts it, it is within all bounds, a download can be planned, and it can be written.
#![no_main]

use binfmt_nix::qemu::catalog::{ArchiveCatalog, Catalog};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(list) = ArchiveCatalog::from_json(text) {
        for archive in &list.archives {
            assert!(archive.url.starts_with("https://") && !archive.url.contains("/."));
            let members = archive.targets.iter().filter_map(|target| archive.member_name(target));
            assert!(members.into_iter().all(|member| member.starts_with("qemu-") && !member.contains('/')));
        }
    }
    let Ok(catalog) = Catalog::from_json(text) else { return };
    let json = catalog.to_json().expect("a catalogue is JSON");
    assert_eq!(Catalog::from_json(&json).ok().as_ref(), Some(&catalog));
    for package in &catalog.packages {
        assert!(package.path.starts_with("pool/") && !package.path.contains("/."));
        let targets: Vec<&str> = package.members.iter().map(|member| member.target.as_str()).collect();
        assert!(targets.iter().all(|target| !target.contains(['/', '.'])));
        let plan = package.plan_blocks(&targets).expect("its own members");
        assert!(plan.total_bytes() <= package.size);
        let cut: u64 = plan.blocks().iter().flat_map(|block| plan.slices_of(block)).map(|cut| cut.length).sum();
        assert_eq!(cut, package.members.iter().map(|member| member.size).sum::<u64>());
        let runs = plan.ranges_from(0);
        assert_eq!(runs.iter().map(|run| run.blocks).sum::<usize>(), plan.blocks().len());
        assert!(runs.iter().all(|run| run.first <= run.last && run.last < package.size));
    }
});
