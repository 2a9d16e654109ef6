//! `--from`: emulators in archives and directories.

use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use binfmt_nix::qemu::archive::{Manifest, ManifestFile, bundle};
use binfmt_nix::sha256::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::binfmt::userns::{done, joe, shown};
use crate::support::emulators::{busybox, outside};
use crate::support::output::tool_path;
use crate::support::runs::discard_tree;
use crate::support::sandbox::SCRATCH;
use crate::support::tree::{EMULATOR, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar, qemu, skip};

/// A tar archive of these files.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    xz.write_all(bytes).unwrap();
    xz.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Builds a package (deb(5)) that has only the member that the tool reads.
fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    let mut deb = b"!<arch>\n".to_vec();
    writeln!(deb, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, data.len()).unwrap();
    [deb, data.to_vec()].concat()
}

/// Packs a tar archive in every supported format. An .apk consists of several gzip members.
pub(crate) fn every_kind(tar: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (first, second) = tar.split_at(700);
    // The encoders need most of the time of a test.
    let (xz, zst) = (xz(tar), zst(tar));
    vec![
        ("q.tar.gz", gz(tar)),
        ("q.apk", [gz(first), gz(second)].concat()),
        ("q.deb", deb("data.tar.xz", &xz)),
        ("q.zst.deb", deb("data.tar.zst", &zst)),
        ("q.tar.xz", xz),
        ("q.tar.zst", zst),
    ]
}

pub(crate) fn emulator_bytes(system: &str) -> Vec<u8> {
    fs::read(qemu(system)).unwrap()
}

/// Writes a .tar.gz of two real emulators, one with each of the two usual names.
pub(crate) fn two_emulators_tar_gz() -> PathBuf {
    let (aarch64, riscv64) = (emulator_bytes("aarch64"), emulator_bytes("riscv64"));
    let tar = tar(&[("usr/bin/qemu-aarch64-static", &aarch64), ("./x/bin/qemu-riscv64", &riscv64)]);
    outside("qemu.tar.gz", &gz(&tar))
}

#[track_caller]
fn assert_installs_from(from: &Path) {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--from", from.to_str().unwrap()]).exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
    assert!(tree.read(EMULATOR) == emulator_bytes("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn register_installs_an_emulator_from_a_tar_gz() {
    assert_installs_from(&two_emulators_tar_gz());
}

#[sandboxed]
fn register_installs_from_every_archive_format() {
    for (kind, archive) in every_kind(&tar(&[("usr/bin/qemu-aarch64", &emulator_bytes("aarch64"))])) {
        assert_installs_from(&outside(kind, &archive));
    }
}

#[sandboxed]
fn register_installs_from_a_debian_package_and_records_its_name() {
    let Some(deb) = std::env::var_os("BINFMT_NIX_TEST_DEB") else {
        skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb");
    };
    // Unpacking it takes seconds, so it happens once.
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--from", Path::new(&deb).to_str().unwrap()]).exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
    assert!(tree.read(EMULATOR) == emulator_bytes("aarch64"));
    // The receipt names the package of the catalogue, because the digest is the pinned one.
    assert!(tree.text(RECEIPT).contains(": qemu-user_10.0.13+ds-0+deb13u1_amd64.deb of Debian\""));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// Each package with a program has other files with the name of the emulator: texts for update-binfmts in Debian 11 and
/// 12 and in Ubuntu, links in Debian 13 and Ubuntu 24.04.
#[sandboxed]
fn register_installs_from_the_packages_of_each_distribution() {
    let program = liar("qemu-aarch64 version 7.2.22", LiarBehavior::RightOutput);
    let text = b"package qemu-user-static\ninterpreter /usr/bin/qemu-aarch64-static\n".as_slice();
    let packages = [
        [("./usr/share/binfmts/qemu-aarch64", text), ("./usr/bin/qemu-aarch64-static", &program)],
        [("./usr/bin/qemu-aarch64-static", &program), ("./usr/share/binfmts/qemu-aarch64", text)],
        [("./usr/bin/qemu-aarch64", &program), ("./usr/lib/binfmt.d/qemu-aarch64.conf", text)],
        [(".PKGINFO", b"pkgname = qemu-aarch64\n"), ("usr/bin/qemu-aarch64", &program)],
    ];
    for members in packages {
        let tree = Tree::new();
        let package = outside("package", &gz(&tar(&members)));
        tree.run(&["register", "aarch64", "--from", package.to_str().unwrap()]).exits(0).prints("proven");
        assert!(tree.read(EMULATOR) == program, "{members:?}");
        discard_tree(tree);
    }
}

#[sandboxed]
fn register_installs_from_a_directory() {
    let dir = Path::new(SCRATCH).join("bin");
    fs::create_dir(&dir).unwrap();
    fs::copy(qemu("aarch64"), dir.join("qemu-aarch64-static")).unwrap();
    assert_installs_from(&dir);
    // As in Debian's package: one name is a link to the other.
    fs::rename(dir.join("qemu-aarch64-static"), dir.join("qemu-aarch64")).unwrap();
    std::os::unix::fs::symlink("qemu-aarch64", dir.join("qemu-aarch64-static")).unwrap();
    assert_installs_from(&dir);
    fs::remove_file(dir.join("qemu-aarch64-static")).unwrap();
    fs::copy(qemu("riscv64"), dir.join("qemu-aarch64-static")).unwrap();
    let tree = Tree::new();
    let before = tree.snapshot();
    let dir = dir.to_str().unwrap();
    tree.run(&["register", "aarch64", "--from", dir]).exits(1).says("two emulators for aarch64");
    tree.run(&["register", "ppc", "--from", dir]).exits(1).says("has none");
    let sum = "0".repeat(64);
    tree.run(&["register", "aarch64", "--from", dir, "--sha256", &sum]).exits(2).says("names a directory");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn register_installs_a_plain_program_for_one_system() {
    assert_installs_from(&outside("whatever", &emulator_bytes("aarch64")));
    let tree = Tree::new();
    let before = tree.snapshot();
    let file = outside("whatever", &emulator_bytes("aarch64"));
    tree.run(&["register", "aarch64", "riscv64", "--from", file.to_str().unwrap()]).exits(1).says("one system");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn one_archive_serves_several_systems_until_they_are_unregistered() {
    let file = two_emulators_tar_gz();
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "arm64", "riscv64", "--from", file.to_str().unwrap()]).exits(0);
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    // Registering again does not need the archive.
    fs::remove_file(&file).unwrap();
    tree.run(&["register", "arm64", "riscv64"]).exits(0).prints("already registered");
    tree.run(&["unregister", "aarch64", "riscv64"]).exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn register_all_installs_every_emulator_of_the_archive() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let done = tree.run(&["register", "all", "--from", two_emulators_tar_gz().to_str().unwrap()]).exits(0);
    done.says("has no emulator for").says("ppc64le").prints("aarch64: registered").prints("riscv64: registered");
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn registering_the_same_archive_twice_changes_nothing() {
    let tree = Tree::new();
    let file = two_emulators_tar_gz();
    let args = ["register", "aarch64", "--from", file.to_str().unwrap()];
    tree.run(&args).exits(0);
    let before = tree.snapshot();
    tree.run(&args).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_dry_run_writes_nothing() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "-n", "--from", two_emulators_tar_gz().to_str().unwrap()])
        .exits(0)
        .prints("would copy");
    before.is_untouched_in(&tree);
}

/// Digests are written in upper case, with the prefix `sha256:`, and in lower case.
#[sandboxed]
fn a_matching_digest_is_accepted_in_every_spelling() {
    let file = two_emulators_tar_gz();
    let sum = Sha256::of_reader(&mut File::open(&file).unwrap()).unwrap().to_string();
    let tree = Tree::new();
    for sum in [sum.to_uppercase(), format!("sha256:{sum}"), sum] {
        tree.run(&["register", "aarch64", "--from", file.to_str().unwrap(), "--sha256", &sum]).exits(0);
    }
    assert!(tree.runs("aarch64"));
}

pub(crate) fn manifest_for(host: &str, content: &[u8]) -> Manifest {
    let (target, name) = ("aarch64".to_owned(), "qemu-aarch64".to_owned());
    let listed = ManifestFile { target, name, size: content.len() as u64, sha256: Sha256::of_bytes(content) };
    Manifest { version: 1, host: host.to_owned(), qemu: "10.0.13".to_owned(), files: vec![listed] }
}

pub(crate) fn bundled(manifest: &Manifest, content: &[u8]) -> Vec<u8> {
    bundle::write_bundle(Vec::new(), manifest, vec![Cursor::new(content)]).unwrap()
}

#[sandboxed]
fn register_installs_from_a_bundle() {
    let real = emulator_bytes("aarch64");
    assert_installs_from(&outside("bundle", &bundled(&manifest_for("x86_64", &real), &real)));
}

#[sandboxed]
fn register_in_memory_from_an_archive_writes_nothing_below_usr() {
    let tree = Tree::new();
    let usr = tree.snapshot_of("usr");
    tree.run(&["register", "aarch64", "--in-memory", "--from", two_emulators_tar_gz().to_str().unwrap()]).exits(0);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    assert!(!tree.runs_somehow("aarch64"));
    // The mount remains and is invisible.
    assert_eq!(tree.snapshot_of("usr"), usr);
}

#[sandboxed]
fn run_uses_the_emulators_of_an_archive() {
    let (archive, busybox) = (two_emulators_tar_gz(), busybox());
    let archive = archive.to_str().unwrap();
    let run = |words: &[&str]| crate::binfmt::userns::run_as_root(&[&["run", "--from", archive], words].concat());
    let busybox = busybox.to_str().unwrap();
    run(&["-s", "aarch64", "--", busybox, "uname", "-m"]).exits(0).prints("aarch64");
    run(&["--all", "--", busybox, "uname", "-m"]).exits(0).prints("aarch64").says("has no emulator for");
    run(&["-s", "ppc", "--", busybox, "true"]).exits(1).says("qemu-ppc");
}

/// Returns the interpreter of the entry that `run --from` makes: a file in memory right after unpacking.
fn interpreter_in_run(args: &[&str]) -> String {
    let mut command = joe(&shown(Path::new(tool_path())));
    command.args(["run", "-s", "aarch64"]).args(args).args(["--", "cat", "/proc/sys/fs/binfmt_misc/qemu-aarch64"]);
    let done = done(&mut command).exits(0);
    done.out.lines().find_map(|line| line.strip_prefix("interpreter ")).unwrap().to_owned()
}

/// Lists the digests of the cached files by the command `cache`.
fn cached_digests() -> Vec<String> {
    let mut command = joe(&shown(Path::new(tool_path())));
    let report = done(command.args(["cache", "--json"])).exits(0).json();
    report["files"].as_array().unwrap().iter().map(|file| file["sha256"].as_str().unwrap().to_owned()).collect()
}

/// The emulator of the first archive is unpacked once. Another content at the same path is unpacked again, and a damaged
/// one is not replaced by what was cached before.
#[sandboxed]
fn run_caches_what_it_unpacked_by_the_digest_of_the_archive() {
    let archive = |release: &str| {
        let program = liar(&format!("qemu-aarch64 version {release}"), LiarBehavior::RightOutput);
        gz(&tar(&[("usr/bin/qemu-aarch64", &program)]))
    };
    let (first, second) = (archive("10.0.13"), archive("9.2.0"));
    let path = outside("q.tar.gz", &first);
    let from = ["--from", path.to_str().unwrap()];
    let digest = |bytes: &[u8]| Sha256::of_bytes(bytes).to_string();
    let in_memory = |interpreter: &str| interpreter.starts_with("/proc/self/fd/");
    let cached_copy = |bytes: &[u8]| format!("/scratch/joe/.cache/binfmt-nix/{}/qemu-aarch64", digest(bytes));
    assert!(in_memory(&interpreter_in_run(&[&from[..], &["--no-cache"]].concat())));
    assert!(cached_digests().is_empty());
    assert!(in_memory(&interpreter_in_run(&from)));
    assert_eq!(cached_digests(), [digest(&first)]);
    for option in [&[][..], &["--offline"], &["--sha256", &digest(&first)]] {
        assert_eq!(interpreter_in_run(&[&from, option].concat()), cached_copy(&first));
    }
    assert!(in_memory(&interpreter_in_run(&[&from[..], &["--no-cache"]].concat())));
    let mut wrong = joe(&shown(Path::new(tool_path())));
    wrong.args(["run", "-s", "aarch64"]).args(from).args(["--sha256", &digest(&second), "--", "true"]);
    done(&mut wrong).exits(5);

    fs::write(&path, &second).unwrap();
    assert!(in_memory(&interpreter_in_run(&from)));
    assert_eq!(interpreter_in_run(&from), cached_copy(&second));
    fs::write(&path, &first[..first.len() / 2]).unwrap();
    done(joe(&shown(Path::new(tool_path()))).args(["run", "-s", "aarch64"]).args(from).args(["--", "true"])).exits(1);
    fs::write(&path, &first).unwrap();
    assert_eq!(interpreter_in_run(&from), cached_copy(&first));
    assert_eq!(cached_digests().len(), 2);
    done(joe(&shown(Path::new(tool_path()))).args(["cache", "prune"])).exits(0);
    assert!(in_memory(&interpreter_in_run(&from)));
    // A single program is not unpacked, and takes no place in the cache.
    done(joe(&shown(Path::new(tool_path()))).args(["cache", "prune"])).exits(0);
    let program = outside("program", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::RightOutput));
    interpreter_in_run(&["--from", program.to_str().unwrap()]);
    assert!(cached_digests().is_empty());
}

/// The systems that an archive lacks are in the cache, too: with `--all` it is unpacked once.
#[sandboxed]
fn run_for_all_systems_unpacks_an_archive_once() {
    let program = liar("qemu-aarch64 version 10.0.13", LiarBehavior::RightOutput);
    let path = outside("q.tar.gz", &gz(&tar(&[("usr/bin/qemu-aarch64", &program)])));
    let interpreter = || {
        let mut command = joe(&shown(Path::new(tool_path())));
        command.args(["run", "--all", "--from", path.to_str().unwrap(), "--"]);
        let done = done(command.args(["cat", "/proc/sys/fs/binfmt_misc/qemu-aarch64"])).exits(0);
        done.says("has no emulator for").out.lines().nth(1).unwrap().to_owned()
    };
    assert!(interpreter().starts_with("interpreter /proc/self/fd/"));
    let cached = interpreter();
    assert!(cached.starts_with("interpreter /scratch/joe/.cache/binfmt-nix/"), "{cached}");
    // A system that the archive lacks is an error with the name of the archive, as before.
    for system in ["riscv64", "arm"] {
        let mut command = joe(&shown(Path::new(tool_path())));
        command.args(["run", "-s", system, "--from", path.to_str().unwrap(), "--", "true"]);
        done(&mut command).exits(1).says(&format!("qemu-{system}")).says("has none");
    }
    done(joe(&shown(Path::new(tool_path()))).args(["cache", "prune"])).exits(0);
    assert!(cached_digests().is_empty() && interpreter().starts_with("interpreter /proc/self/fd/"));
}
