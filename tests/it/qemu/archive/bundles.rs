//! `fetch`: bundles are reproducible and complete, and `register --from` installs from them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use binfmt_nix::qemu::catalog::Catalog;
use binfmt_nix::sha256::Sha256;

use crate::support::output::tool_path;
use crate::support::server::{Manner, Server};
use crate::support::skip;

fn mirror(manner: Manner) -> Server {
    let Some(path) = std::env::var_os("BINFMT_NIX_TEST_DEB") else {
        skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb");
    };
    Server::start(&Arc::new(fs::read(path).unwrap()), manner)
}

fn tool(args: &[&str], dir: &Path) -> Output {
    // A dead proxy stands in front of every mirror except the one of the test.
    let dead = "http://127.0.0.1:1";
    let only = [("HTTP_PROXY", dead), ("HTTPS_PROXY", dead), ("NO_PROXY", "127.0.0.1")];
    Command::new(tool_path()).args(args).env_clear().envs(only).current_dir(dir).output().unwrap()
}

/// Runs the tool in this directory and checks its exit status. Returns its standard output and standard error.
#[track_caller]
fn done(args: &[&str], dir: &Path, code: i32) -> (Vec<u8>, String) {
    let output = tool(args, dir);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    (output.stdout, said)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Neither the order and spelling of the systems nor the destination changes a byte.
#[test]
fn fetch_writes_the_same_bundle_for_every_order_and_spelling() {
    let (server, dir) = (mirror(Manner::Ranges), tempfile::tempdir().unwrap());
    let url = server.url();
    let fetch = |systems: &[&str], to: &str, code: i32| {
        done(&[&["fetch", "--host", "amd64", "--mirror", &url, "-o", to], systems].concat(), dir.path(), code)
    };
    let (out, _) = fetch(&["aarch64", "arm"], "a.tar.gz", 0);
    let (piped, said) = fetch(&["linux/arm/v7", "arm64", "aarch64-linux"], "-", 0);
    let whole = fs::read(dir.path().join("a.tar.gz")).unwrap();
    assert!(whole == piped, "{said}");
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(&Sha256::of_bytes(&whole).to_string()), "{out}");
    assert_eq!(names(dir.path()), ["a.tar.gz"]);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(whole.as_slice()));
    let mut members = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        members.push((name, Sha256::of_reader(&mut entry).unwrap()));
    }
    let catalog = Catalog::embedded().unwrap();
    let pinned = |target| catalog.package_for("x86_64").unwrap().find_member(target).unwrap().sha256;
    assert_eq!(members[0].0, "MANIFEST.json");
    let wanted = ["aarch64", "arm"].map(|target| (format!("qemu-{target}"), pinned(target)));
    assert_eq!(members[1..], wanted);
}

#[test]
fn register_installs_from_a_bundle_without_a_network() {
    let (server, dir) = (mirror(Manner::Ranges), tempfile::tempdir().unwrap());
    let url = server.url();
    let (out, _) =
        done(&["--json", "fetch", "riscv64", "--host", "x86_64", "--mirror", &url, "-o", "q"], dir.path(), 0);
    let said: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&said["version"], &said["manifest"]["files"][0]["target"]), (&1.into(), &"riscv64".into()));
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "these emulators are for x86_64");
    }
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    // The command that is printed, for a tree.
    let (out, _) = done(&["fetch", "riscv64", "--host", "x86_64", "--mirror", &url, "-o", "q"], dir.path(), 0);
    let out = String::from_utf8(out).unwrap();
    let words = out.lines().find_map(|line| line.strip_prefix("use with: binfmt-nix ")).unwrap();
    assert!(words.contains(said["sha256"].as_str().unwrap()), "{out}");
    let words: Vec<_> = words.split(' ').collect();
    done(&[&["--root", "root"], words.as_slice(), &["--no-nix", "--no-persist"]].concat(), dir.path(), 0);
    let receipt = fs::read_to_string(root.join("var/lib/binfmt-nix/receipt.json")).unwrap();
    assert!(receipt.contains("_amd64.deb of Debian\"") && receipt.contains("qemu-riscv64"), "{receipt}");
}

#[test]
fn a_failed_fetch_leaves_existing_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old"), "old").unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    // The server flips one bit of the package.
    let (server, unreachable) = (mirror(Manner::Flip(100_000, true)), "http://127.0.0.1:1/debian");
    let fetch = |to: &str, url: &str, code: i32| {
        done(&["fetch", "aarch64", "--host", "x86_64", "--mirror", url, "-o", to], dir.path(), code).1
    };
    fetch("old", unreachable, 1);
    fetch("old", &server.url(), 5);
    for place in ["dir", ".", "/dev/null", "nowhere/x"] {
        fetch(place, unreachable, 1);
    }
    assert_eq!(names(dir.path()), ["dir", "old"]);
    assert_eq!(fs::read(dir.path().join("old")).unwrap(), b"old");
    let other = done(&["fetch", "aarch64", "--host", "sparc64", "-o", "x"], dir.path(), 6).1;
    assert!(other.contains("for x86_64 and aarch64 hosts"), "{other}");
}
