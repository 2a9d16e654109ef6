//! Layers: every format, layers that hide each other, and layers that are refused.

use binfmt_nix::sha256::Sha256;
use serde_json::json;
use tar::EntryType;

use super::fault_table;
use super::image::{Image, Member, descriptor, emulator, file, layer, tar};
use super::server::Server;
use super::tool::Tool;

#[test]
fn every_layer_format_is_unpacked() {
    let members = || [file("usr/bin/qemu-aarch64-static", &emulator())];
    let kinds = [
        ("application/vnd.oci.image.layer.v1.tar", tar(&members())),
        ("application/vnd.oci.image.layer.v1.tar+gzip", layer(&members())),
        ("application/vnd.oci.image.layer.v1.tar+zstd", zst(&tar(&members()))),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", layer(&members())),
    ];
    for (kind, layer) in kinds {
        let image = Image::typed(&[(kind, layer)]);
        let outcome = Tool::pulls(Server::honest(&image).image(&image.index)).succeeds();
        assert_eq!(outcome.emulators["aarch64"], Sha256::of_bytes(&emulator()), "{kind}");
    }
    // Docker's own manifest has the same structure and other media types.
    let layer = layer(&members());
    let docker = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
    });
    let mut image = Image::with_manifest(docker.to_string().as_bytes());
    image.keep(layer);
    Tool::pulls(Server::honest(&image).image(&image.index)).succeeds();
}

/// Packs into raw blocks (RFC 8878 §3.1.1.2), which every decoder reads.
fn zst(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    out.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    let blocks: Vec<_> = content.chunks(100_000).collect();
    for (number, block) in blocks.iter().enumerate() {
        let last = u32::from(number + 1 == blocks.len());
        let header = last | (u32::try_from(block.len()).unwrap() << 3);
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(*block);
    }
    out
}

/// These layers match their digests. No emulator is unpacked from them.
#[test]
fn bad_layers_are_refused() {
    use EntryType as Kind;
    let link = |path, kind| vec![Member(path, kind, Vec::new())];
    let odd = [
        (vec![file("../../usr/bin/qemu-aarch64", b"x")], "leads out"),
        (vec![file("/usr/bin/qemu-aarch64", b"x")], "leads out"),
        (link("usr/bin/qemu-aarch64", Kind::Symlink), "a link or a device"),
        (link("usr/bin/qemu-aarch64", Kind::Link), "a link or a device"),
        (link("usr/bin/qemu-aarch64", Kind::Char), "a link or a device"),
        (link("usr/bin/qemu-aarch64", Kind::Fifo), "a link or a device"),
        (vec![file("a/qemu-aarch64", b"\x7fELF"), file("b/qemu-aarch64-static", b"\x7fELF")], "two emulators"),
        (vec![file("a/.wh..", b"")], "impossible name"),
        (vec![file("etc/motd", b"x")], "has none"),
    ];
    let odd_layers = odd.len();
    for (members, words) in odd {
        let image = Image::of(&[layer(&[file("a", b"b")]), layer(&members)]);
        Tool::pulls(Server::honest(&image).image(&image.index)).fails(1, words);
    }
    let none: [(&str, Vec<u8>, &str); 4] = [
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            b"no tar at all".to_vec(),
            "layer 1 of 1: it is not a tar archive",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            layer(&[file("x", &emulator())])[..9000].to_vec(),
            "not a tar archive",
        ),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", b"x".to_vec(), "not a tar archive but application/"),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            b"x".to_vec(),
            "not a tar archive but application/",
        ),
    ];
    fault_table::line("layers with path escapes, links, devices, duplicates, or no emulator", odd_layers + none.len());
    for (kind, layer, words) in none {
        let image = Image::typed(&[(kind, layer)]);
        Tool::pulls(Server::honest(&image).image(&image.index)).fails(1, words);
    }
}

#[test]
fn upper_layers_hide_files_below() {
    let of = |layers: &[Vec<u8>]| {
        let image = Image::of(layers);
        Tool::pulls(Server::honest(&image).image(&image.index)).run().emulators
    };
    let lower = || layer(&[file("usr/bin/qemu-aarch64", b"\x7fELF old"), file("usr/bin/qemu-arm", b"\x7fELF arm")]);
    let upper = of(&[lower(), layer(&[file("opt/qemu-aarch64-static", b"\x7fELF new")])]);
    assert_eq!(
        upper.into_values().collect::<Vec<_>>(),
        [Sha256::of_bytes(b"\x7fELF new"), Sha256::of_bytes(b"\x7fELF arm")]
    );
    for hiding in ["usr/bin/.wh..wh..opq", "usr/.wh.bin", ".wh.usr"] {
        let left = of(&[lower(), layer(&[file(hiding, b""), file("usr/bin/qemu-arm", b"\x7fELF kept")])]);
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            [("arm".to_owned(), Sha256::of_bytes(b"\x7fELF kept"))],
            "{hiding}"
        );
    }
}
