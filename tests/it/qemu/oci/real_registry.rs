//! Real images: real emulators, pushed by buildah into a real registry.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use binfmt_nix::sha256::Sha256;
use serde_json::{Value, json};

use super::image::descriptor;
use super::registry::Registry;
use super::skip;
use super::tool::Tool;

pub(crate) fn qemu(target: &str) -> PathBuf {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "these tests emulate aarch64 and others on x86_64");
    }
    let Some(dir) = env::var_os("BINFMT_NIX_TEST_QEMU").filter(|dir| !dir.is_empty()) else {
        skip("qemu", "BINFMT_NIX_TEST_QEMU does not name a directory with static QEMUs");
    };
    Path::new(&dir).join(format!("qemu-{target}"))
}

/// Pushes an image with the layout of tonistiigi/binfmt.
pub(crate) fn push_usual_image(registry: &Registry, name: &str) -> String {
    registry.push(name, &[&[(qemu("aarch64"), "/usr/bin/qemu-aarch64")]], &[])
}

fn emulator_digest(target: &str) -> Sha256 {
    Sha256::of_bytes(&std::fs::read(qemu(target)).unwrap())
}

#[test]
fn a_pulled_emulator_runs_a_foreign_program() {
    let registry = Registry::open();
    let digest = push_usual_image(&registry, "fox/qemu:v1");
    for image in [format!("fox/qemu@{digest}"), "fox/qemu:v1".into(), format!("fox/qemu:v1@{digest}")] {
        let tool = Tool::pulls(format!("oci://{}/{image}", registry.address));
        let outcome = tool.succeeds();
        assert_eq!(
            (outcome.emulators["aarch64"], outcome.versions["aarch64"].as_str()),
            (emulator_digest("aarch64"), "10.0.13")
        );
        assert!(outcome.pinned.ends_with(&digest), "{outcome:?}");
        let Some(corpus) = env::var_os("BINFMT_NIX_TEST_CORPUS").filter(|dir| !dir.is_empty()) else {
            skip("corpus", "BINFMT_NIX_TEST_CORPUS is not set");
        };
        let busybox = Path::new(&corpus).join("busybox-static-arm64/bin/busybox");
        let ran = Command::new(tool.emulator("aarch64")).arg(busybox).args(["uname", "-m"]).output().unwrap();
        assert_eq!((ran.status.success(), ran.stdout.as_slice()), (true, b"aarch64\n".as_slice()));
    }
    let gone = format!("oci://{}/fox/other@{digest}", registry.address);
    Tool::pulls(gone).fails(1, "HTTP status 404");
}

/// An index for two platforms with an attestation of BuildKit, as `docker buildx build --push` creates it.
#[test]
fn the_manifest_of_the_host_is_chosen_from_an_index() {
    let registry = Registry::open();
    let ours = push_usual_image(&registry, "fox/qemu:amd64");
    let theirs = registry.push("fox/qemu:arm64", &[&[(qemu("arm"), "/usr/bin/qemu-arm")]], &[]);
    let listed = |digest: &str, os: &str, architecture: &str| {
        let bytes = registry.get(&format!("/v2/fox/qemu/manifests/{digest}"));
        let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &bytes);
        assert_eq!(listed["digest"], digest);
        listed["platform"] = json!({ "os": os, "architecture": architecture });
        listed
    };
    let mut attested = listed(&theirs, "unknown", "unknown");
    attested["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let manifests = [attested, listed(&theirs, "linux", "arm64"), listed(&ours, "linux", "amd64")];
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests }).to_string();
    registry.put("/v2/fox/qemu/manifests/all", kind, index.as_bytes());
    let image = format!("oci://{}/fox/qemu@sha256:{}", registry.address, Sha256::of_bytes(index.as_bytes()));
    let outcome = Tool::pulls(&image).succeeds();
    assert_eq!(outcome.emulators.into_iter().collect::<Vec<_>>(), [("aarch64".to_owned(), emulator_digest("aarch64"))]);
    assert_eq!(format!("sha256:{}", outcome.manifest), ours);
    let outcome = Tool::pulls(&image).on("aarch64").succeeds();
    assert_eq!(format!("sha256:{}", outcome.manifest), theirs);
    assert!(outcome.versions["arm"].contains("for another machine"), "{outcome:?}");
    Tool::pulls(&image).on("s390x").fails(1, "no manifest for linux/s390x, only for linux/arm64, linux/amd64");
}

fn layers_of(registry: &Registry, name: &str, digest: &str) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(&registry.get(&format!("/v2/{name}/manifests/{digest}"))).unwrap();
    let kinds = manifest["layers"].as_array().unwrap().iter();
    kinds.map(|layer| layer["mediaType"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_image_in_docker_format_is_pulled() {
    let registry = Registry::open();
    let files: &[(PathBuf, &str)] = &[(qemu("aarch64"), "/usr/bin/qemu-aarch64-static")];
    let digest = registry.push("fox/qemu:v1", &[files], &["--format", "v2s2"]);
    let kinds = layers_of(&registry, "fox/qemu", &digest);
    assert_eq!(kinds, ["application/vnd.docker.image.rootfs.diff.tar.gzip"]);
    let outcome = Tool::pulls(format!("oci://{}/fox/qemu@{digest}", registry.address)).succeeds();
    assert_eq!(outcome.emulators["aarch64"], emulator_digest("aarch64"));
}

#[test]
fn zstd_layers_are_pulled() {
    let registry = Registry::open();
    let files: &[(PathBuf, &str)] = &[(qemu("aarch64"), "/usr/bin/qemu-aarch64")];
    let digest = registry.push("fox/qemu:v1", &[files], &["--compression-format", "zstd"]);
    let kinds = layers_of(&registry, "fox/qemu", &digest);
    assert_eq!(kinds, ["application/vnd.oci.image.layer.v1.tar+zstd"]);
    let outcome = Tool::pulls(format!("oci://{}/fox/qemu@{digest}", registry.address)).succeeds();
    assert_eq!(outcome.emulators["aarch64"], emulator_digest("aarch64"));
}

/// buildah copies the whiteout as an ordinary file.
#[test]
fn a_whiteout_in_an_upper_layer_hides_the_emulator() {
    let registry = Registry::open();
    let whiteout = registry.dir.path().join("empty");
    std::fs::write(&whiteout, "").unwrap();
    let lower: &[(PathBuf, &str)] = &[(qemu("aarch64"), "/usr/bin/qemu-aarch64"), (qemu("arm"), "/usr/bin/qemu-arm")];
    let upper: &[(PathBuf, &str)] = &[(qemu("arm"), "/opt/qemu-arm-static"), (whiteout, "/usr/bin/.wh.qemu-aarch64")];
    let digest = registry.push("fox/qemu:v1", &[lower, upper], &[]);
    assert_eq!(layers_of(&registry, "fox/qemu", &digest).len(), 2);
    let outcome = Tool::pulls(format!("oci://{}/fox/qemu@{digest}", registry.address)).succeeds();
    assert_eq!(outcome.emulators.into_iter().collect::<Vec<_>>(), [("arm".to_owned(), emulator_digest("arm"))]);
}

/// The bytes are counted at the sockets between the tool and the registry.
#[test]
fn a_pull_transfers_no_extra_bytes() {
    let registry = Registry::open();
    let digest = push_usual_image(&registry, "fox/qemu:v1");
    let (sent, came) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("oci://{}/fox/qemu@{digest}", listener.local_addr().unwrap());
    let (to, counters) = (registry.address.clone(), (Arc::clone(&sent), Arc::clone(&came)));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&to).unwrap();
            forward(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&counters.0));
            forward(server, client, Arc::clone(&counters.1));
        }
    });
    let outcome = Tool::pulls(image).succeeds();
    let (sent, came) = (sent.load(Ordering::SeqCst), came.load(Ordering::SeqCst));
    assert!(came >= outcome.moved && came - outcome.moved < 1500, "{came} for {}", outcome.moved);
    assert!(sent < 1500, "{sent}");
    let manifest = registry.get(&format!("/v2/fox/qemu/manifests/{digest}")).len() as u64;
    assert_eq!(outcome.moved, manifest + outcome.progress.1);
}

fn forward(mut from: TcpStream, mut to: TcpStream, count: Arc<AtomicU64>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            count.fetch_add(length as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Write));
    });
}
