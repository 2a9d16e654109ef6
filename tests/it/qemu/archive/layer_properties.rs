//! Layers of an image: unpacking them gives the same emulators as a simple reference merge.

use std::collections::BTreeMap;
use std::io::Cursor;

use binfmt_nix::qemu::archive::{ArchiveError, ArchiveItem, unpack_layers};
use proptest::prelude::*;
use tar::EntryType;

use crate::support::packing::{file, gz, member, tar};

type Came = BTreeMap<String, Vec<u8>>;

fn open(layers: &[Vec<u8>]) -> Result<Came, String> {
    let lengths: Vec<_> = layers.iter().map(|layer| layer.len() as u64).collect();
    let mut came = Came::new();
    let mut now = String::new();
    let done = unpack_layers(&mut Cursor::new(layers.concat()), &lengths, &["arm", "riscv64"], &mut |piece| {
        match piece {
            ArchiveItem::Begin { target, .. } => {
                target.clone_into(&mut now);
                assert!(came.insert(now.clone(), Vec::new()).is_none(), "{now} came twice");
            }
            ArchiveItem::Bytes(bytes) => came.get_mut(&now).unwrap().extend_from_slice(bytes),
            ArchiveItem::End => {}
            ArchiveItem::Manifest(_) => panic!("a layer contains no manifest"),
        }
        Ok(())
    });
    match done {
        Ok(()) => Ok(came),
        Err(ArchiveError::Refused(why)) => Err(why),
        Err(ArchiveError::Sink(error)) => panic!("{error}"),
    }
}

/// Merges layers as image-spec v1.1 describes, from the base up: first the whiteouts of a layer, then its new files.
/// The tree maps each path to the number of its layer and to its contents.
fn merged(layers: &[Vec<(&str, Vec<u8>)>]) -> Came {
    let mut tree: BTreeMap<String, (usize, Vec<u8>)> = BTreeMap::new();
    for (number, layer) in layers.iter().enumerate() {
        for (path, _) in layer {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            let at = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            let below = |path: &str, dir: &str| {
                dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
            };
            let gone = match name.strip_prefix(".wh.") {
                Some(".wh..opq") => {
                    tree.retain(|path, _| !below(path, dir));
                    continue;
                }
                Some(hidden) => at(hidden),
                None => at(name),
            };
            tree.retain(|path, (layer, _)| *layer == number || !(*path == gone || below(path, &gone)));
        }
        for (path, content) in layer.iter().filter(|(path, _)| !path.contains(".wh.")) {
            tree.insert((*path).to_owned(), (number, content.clone()));
        }
    }
    let mut best: BTreeMap<String, (usize, Vec<u8>)> = BTreeMap::new();
    for (path, (number, content)) in tree {
        let name = path.rsplit('/').next().unwrap().trim_end_matches("-static").trim_start_matches("qemu-").to_owned();
        if ["arm", "riscv64"].contains(&name.as_str()) && best.get(&name).is_none_or(|(layer, _)| *layer < number) {
            best.insert(name, (number, content));
        }
    }
    best.into_iter().map(|(name, (_, content))| (name, content)).collect()
}

const PATHS: [&str; 12] = [
    "usr/bin/qemu-arm",
    "usr/bin/qemu-riscv64-static",
    "opt/qemu-arm-static",
    "bin/qemu-arm",
    "usr/bin/.wh.qemu-arm",
    "usr/bin/.wh..wh..opq",
    "usr/.wh.bin",
    ".wh.usr",
    ".wh..wh..opq",
    "opt/.wh.qemu-arm-static",
    "usr/bin/qemu-x",
    "bin",
];

proptest! {
    #![proptest_config(crate::support::config(400))]

    /// No generated layer has two emulators for one target or a path that is both a file and a directory: the tool
    /// refuses such layers, or they cannot exist.
    #[test]
    fn layers_are_merged_like_a_reference_implementation(layers in prop::collection::vec(prop::collection::btree_set(0..PATHS.len(), 0..5), 1..5)) {
        let layers: Vec<Vec<(&str, Vec<u8>)>> = layers.iter().enumerate().map(|(number, paths)| {
            let arm: Vec<_> = paths.iter().filter(|at| [0, 2, 3].contains(*at)).collect();
            paths.iter()
                .filter(|at| arm.len() < 2 || !arm[1..].contains(at))
                .filter(|at| **at != 11 || !paths.contains(&3))
                .map(|at| (PATHS[*at], format!("\x7fELF {number} {at}").into_bytes()))
                .collect()
        }).collect();
        let packed: Vec<_> = layers.iter().map(|layer| {
            let members: Vec<_> = layer.iter().map(|(path, content)| file(path, content)).collect();
            gz(&tar(&members))
        }).collect();
        prop_assert_eq!(open(&packed), Ok(merged(&layers)));
    }

    #[test]
    fn arbitrary_layers_never_cause_a_panic(layers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..4), at in 0..2000_usize) {
        drop(open(&layers));
        let mut plain = tar(&[file("a/.wh.qemu-arm", b""), file("usr/bin/qemu-arm", b"\x7fELF")]);
        for (offset, byte) in layers.concat().into_iter().take(12).enumerate() {
            if let Some(place) = plain.get_mut(at + offset) {
                *place = byte;
            }
        }
        drop(open(&[plain.clone(), gz(&plain)]));
    }
}

#[test]
fn a_link_replaces_the_file_below_and_is_never_an_emulator() {
    let lower = || gz(&tar(&[file("usr/bin/qemu-arm", b"\x7fELF")]));
    let link = gz(&tar(&[member("usr/bin/qemu-arm", EntryType::Symlink, 0, b"")]));
    assert!(open(&[lower(), link]).unwrap_err().contains("link or a device"));
    // A link beside an emulator does not count as a second one. A hidden link does not count at all.
    let beside = gz(&tar(&[member("usr/bin/qemu-arm-static", EntryType::Symlink, 0, b"")]));
    assert_eq!(open(&[beside.clone(), lower()]).map(|came| came.len()), Ok(1));
    let hiding = gz(&tar(&[file(".wh.usr", b"")]));
    assert_eq!(open(&[beside, hiding]), Ok(Came::new()));
}

#[test]
fn bounds_apply_to_all_layers_together() {
    let empty = member("x", EntryType::Regular, 0, b"");
    let many = gz(&empty.repeat(120_000));
    assert!(open(&[many.clone(), many]).unwrap_err().contains("layer 1 of 2: it has more than 200000 members"));
    let large = member("x", EntryType::Regular, 40 << 26, b"");
    let zeros = [gz(&large), gz(&vec![0; 64 << 20]).repeat(40)].concat();
    let why = open(&[zeros.clone(), zeros]).unwrap_err();
    assert!(why.contains("layer 1 of 2") && why.contains("unpacks to more than"), "{why}");
    let name = [b"60000 path=", vec![b'x'; 59_988].as_slice(), b"\n"].concat();
    let long = [member("x", EntryType::XHeader, 60_000, &name), file("x", b"")].concat();
    let long = gz(&long.repeat(600));
    let why = open(&[long.clone(), long]).unwrap_err();
    assert!(why.contains("layer 1 of 2: its members have names of more than"), "{why}");
    assert!(open(&[]).is_ok_and(|came| came.is_empty()));
    assert!(open(&[Vec::new()]).is_ok_and(|came| came.is_empty()));
}
