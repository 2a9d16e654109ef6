//! Registries that deliver other bytes than the digest of the reference determines: none of these bytes is used.

use binfmt_nix::qemu::archive::MAX_TOTAL;
use binfmt_nix::qemu::oci::{MAX_DOCUMENT_SIZE, MAX_LAYERS};
use binfmt_nix::sha256::Sha256;
use serde_json::json;

use super::fault_table;
use super::image::{Image, descriptor, digest, emulator, file, layer};
use super::server::{Answer, Server};
use super::tool::Tool;

#[test]
fn an_honest_registry_delivers_the_image() {
    let image = Image::good();
    let server = Server::honest(&image);
    let outcome = Tool::pulls(server.image(&image.index)).succeeds();
    assert_eq!(outcome.emulators.into_iter().collect::<Vec<_>>(), [("aarch64".into(), Sha256::of_bytes(&emulator()))]);
    assert_eq!(format!("sha256:{}", outcome.manifest), image.manifest);
    let bytes: usize =
        [&image.index, &image.manifest].into_iter().chain(&image.layers).map(|d| image.blobs[d].len()).sum();
    assert_eq!(outcome.moved, bytes as u64);
    let layers: usize = image.layers.iter().map(|digest| image.blobs[digest].len()).sum();
    assert_eq!(outcome.progress, (layers as u64, layers as u64));
    let paths: Vec<_> = server.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths.len(), 4);
    assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));
}

/// The digest of the tag is reported, so that the user can pin it.
#[test]
fn a_tag_is_resolved_and_its_digest_is_reported() {
    let image = Image::good();
    let server = Server::honest(&image);
    let tagged = format!("oci://{}/fox/qemu:v1", server.address);
    let outcome = Tool::pulls(&tagged).succeeds();
    assert_eq!(outcome.pinned, format!("{tagged}@{}", image.index));
    // A reference with a digest works without its tag.
    Tool::pulls(format!("oci://{}/fox/qemu:v9@{}", server.address, image.index)).succeeds();
    Tool::pulls(format!("oci://{}/fox/qemu:v9", server.address)).fails(1, "HTTP status 404");
}

#[test]
fn a_reference_to_a_manifest_is_pulled() {
    let image = Image::good();
    let server = Server::modified(image.clone(), |request, answer| {
        if request.path.contains("/manifests/") {
            answer.headers.push("Content-Type: application/octet-stream".into());
        }
    });
    let outcome = Tool::pulls(server.image(&image.manifest)).succeeds();
    assert!(outcome.pinned.ends_with(&image.manifest) && image.manifest.ends_with(&outcome.manifest));
}

#[test]
fn a_flipped_bit_is_refused() {
    let (image, mut flipped_bits) = (Image::good(), 0);
    for digest in [&image.index, &image.manifest, &image.layers[0], &image.layers[1]] {
        let bits = image.blobs[digest].len() * 8;
        for bit in (0..12).map(|step| step * bits / 12 + step % 8) {
            let flipped = digest.clone();
            let server = Server::modified(image.clone(), move |request, answer| {
                if request.is_for(&flipped) {
                    answer.body[bit / 8] ^= 1 << (bit % 8);
                }
            });
            let outcome = Tool::pulls(server.image(&image.index)).fails(5, "SHA-256");
            assert!(outcome.hint.contains("none of them were used"), "{outcome:?}");
            flipped_bits += 1;
        }
    }
    fault_table::line("images with one flipped bit in index, manifest or layers", flipped_bits);
}

#[test]
fn another_document_or_layer_is_refused() {
    let (image, other) = (Image::good(), Image::of(&[layer(&[file("qemu-aarch64", b"evil")])]));
    // The delivered documents and layers are valid themselves.
    let instead = [
        (&image.index, &other.index),
        (&image.index, &image.manifest),
        (&image.manifest, &other.manifest),
        (&image.manifest, &image.index),
        (&image.layers[0], &other.layers[0]),
        (&image.layers[0], &image.layers[1]),
    ];
    fault_table::line("registries that deliver another document or layer", instead.len() + 1);
    for (asked, given) in instead {
        let blob = image.blobs.get(given).or_else(|| other.blobs.get(given)).unwrap().clone();
        let asked = asked.clone();
        let server = Server::modified(image.clone(), move |request, answer| {
            if request.is_for(&asked) {
                *answer = Answer::ok(blob.clone());
            }
        });
        // A server that announces another length is refused before the digests are compared.
        let outcome = Tool::pulls(server.image(&image.index)).run();
        assert!([1, 5].contains(&outcome.code) && outcome.emulators.is_empty(), "{outcome:?}");
    }
    // A digest without any content.
    let server = Server::start(move |_| Answer::ok(image.blobs[&image.index].clone()));
    Tool::pulls(server.image(&digest(b"nothing"))).fails(5, "SHA-256");
}

#[test]
fn a_layer_with_another_digest_is_refused() {
    let real = layer(&[file("qemu-aarch64", &emulator())]);
    let mut listed = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &real);
    listed["digest"] = json!(digest(b"another"));
    let image = Image::listing(&json!([listed]));
    let server = Server::modified(image.clone(), move |request, answer| {
        if request.path.contains("/blobs/") {
            *answer = Answer::ok(real.clone());
        }
    });
    Tool::pulls(server.image(&image.index)).fails(5, "layer 1 of 1: it has the SHA-256");
}

#[test]
fn an_index_without_this_host_is_refused() {
    let image = Image::good();
    let server = Server::honest(&image);
    let outcome = Tool::pulls(server.image(&image.index)).on("aarch64").fails(1, "it has no manifest for linux/arm64");
    assert!(outcome.error.ends_with("only for linux/s390x, linux/amd64, windows/amd64"), "{outcome:?}");
    let empty = Image::with_index(br#"{"schemaVersion": 2, "manifests": []}"#);
    Tool::pulls(Server::honest(&empty).image(&empty.index)).fails(1, "or any other platform");
}

#[test]
fn documents_other_than_images_are_refused() {
    let odd: [(&[u8], &str); 9] = [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (br#"{"schemaVersion": 1, "fsLayers": []}"#, "schema version 1"),
        (br#"{"schemaVersion": 2}"#, "not an image"),
        (br#"{"schemaVersion": 2, "manifests": [], "layers": []}"#, "an index and a manifest"),
        (
            br#"{"schemaVersion": 2, "manifests": [], "mediaType": "application/vnd.oci.image.manifest.v1+json"}"#,
            "not an image",
        ),
        (br#"{"schemaVersion": 2, "layers": [], "mediaType": "text/\u001b[31mhtml"}"#, "not an image but text/"),
        (br#"{"schemaVersion": 2, "layers": [], "layers": []}"#, "cannot be read"),
    ];
    for (document, words) in odd {
        let image = Image::with_index(document);
        Tool::pulls(Server::honest(&image).image(&image.index)).fails(1, words);
    }
    let nested = Image::good();
    let inner = nested.blobs[&nested.index].clone();
    let outer = Image::with_manifest(&inner);
    Tool::pulls(Server::honest(&outer).image(&outer.index)).fails(1, "an index in an index");
}

#[test]
fn sizes_beyond_the_limits_are_refused() {
    let real = layer(&[file("qemu-aarch64", b"x")]);
    let listed = |size: u64| {
        let mut listed = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &real);
        listed["size"] = json!(size);
        listed
    };
    let half = MAX_TOTAL / 2 + 1;
    let lists = [
        json!([listed(1 << 40)]),
        json!([listed(u64::MAX)]),
        json!([listed(u64::MAX), listed(u64::MAX)]),
        json!([listed(half), listed(half)]),
        json!([listed(0)]),
        json!([]),
        json!(vec![listed(1); MAX_LAYERS + 1]),
        json!([{ "mediaType": "x", "digest": "x", "size": -1 }]),
        json!([{ "mediaType": "x", "digest": "x", "size": 1e30 }]),
    ];
    fault_table::line("images with sizes that are wrong or beyond the limits", lists.len() + 3 + 2 + 2 + 1);
    for list in lists {
        let image = Image::listing(&list);
        let server = Server::honest(&image);
        Tool::pulls(server.image(&image.index)).fails(1, "the manifest for linux/amd64: ");
        assert!(!server.requests().iter().any(|request| request.path.contains("/blobs/")), "{list}");
    }
    // A manifest that is too large according to the index or the server.
    let text = Image::good();
    let index = String::from_utf8(text.blobs[&text.index].clone()).unwrap();
    let manifest = text.blobs[&text.manifest].len();
    for size in [0, MAX_DOCUMENT_SIZE + 1, u64::MAX] {
        let image =
            Image::with_index(index.replace(&format!("\"size\":{manifest}"), &format!("\"size\":{size}")).as_bytes());
        Tool::pulls(Server::honest(&image).image(&image.index)).fails(1, "it lists a manifest of");
    }
    for size in [manifest - 1, manifest + 1] {
        let index = index.replace(&format!("\"size\":{manifest}"), &format!("\"size\":{size}"));
        let mut image = Image::with_index(index.as_bytes());
        image.manifest = image.keep(text.blobs[&text.manifest].clone());
        Tool::pulls(Server::honest(&image).image(&image.index))
            .fails(1, &format!("it has {manifest} bytes, not {size}"));
    }
    let good = Image::good();
    for says in [MAX_DOCUMENT_SIZE + 1, 1 << 62] {
        let server = Server::modified(good.clone(), move |_, answer| answer.says = Some(says));
        Tool::pulls(server.image(&good.index)).fails(1, "bytes, not");
    }
    let server = Server::modified(good.clone(), |_, answer| answer.endless = true);
    Tool::pulls(server.image(&good.index)).fails(1, "bytes, not");
}
