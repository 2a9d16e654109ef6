//! `--from URL`: downloads, digests, the cache of partial downloads, and refusals.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use binfmt_nix::sha256::Sha256;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::binfmt::userns::{joe, shown};
use crate::qemu::archive::from_archive::{emulator_bytes, every_kind, gz, tar, two_emulators_tar_gz};
use crate::qemu::archive::from_archive_errors::damaged_archives;
use crate::support::emulators::busybox;
use crate::support::output::{Done, tool_path};
use crate::support::server::{Manner, Server};
use crate::support::tree::{EMULATOR, RECEIPT};
use crate::support::{Tree, skip};

/// Directory of partial downloads.
const CACHE: &str = "var/cache/binfmt-nix";

fn tree() -> Tree {
    Tree::new().dir("var/cache")
}

/// Makes the loopback of this sandbox usable.
pub(crate) fn set_up_loopback() {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.is_ok_and(|up| up.success()) {
        skip("kernel", "ip cannot set up a loopback in this world");
    }
}

fn serve(bytes: &[u8], manner: Manner) -> Server {
    set_up_loopback();
    Server::start(&Arc::new(bytes.to_vec()), manner)
}

fn archive() -> (Vec<u8>, String) {
    let archive = fs::read(two_emulators_tar_gz()).unwrap();
    let sha256 = Sha256::of_bytes(&archive).to_string();
    (archive, sha256)
}

fn register(tree: &Tree, server: &Server, options: &[&str]) -> Done {
    let url = format!("http://{}/x/qemu.tar.gz", server.address);
    tree.run(&[&["register", "aarch64", "--from", &url], options].concat())
}

#[sandboxed]
fn register_installs_from_a_url() {
    let (archive, sha256) = archive();
    let server = serve(&archive, Manner::Ranges);
    let tree = tree();
    let before = tree.snapshot();
    register(&tree, &server, &["--sha256", &sha256]).exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
    assert!(tree.read(EMULATOR) == emulator_bytes("aarch64"));
    assert!(tree.text(RECEIPT).contains(&format!("http://{}/x/qemu.tar.gz", server.address)));
    let head = server.sent() - archive.len() as u64;
    assert!(head < 200, "{head} bytes besides the file");
    assert!(!tree.exists(CACHE));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// The transfer consists of the bytes of the file and the response header.
#[sandboxed]
fn every_archive_format_is_downloaded_exactly_once() {
    let real = emulator_bytes("aarch64");
    let mut kinds = every_kind(&tar(&[("usr/bin/qemu-aarch64", &real)]));
    kinds.push(("qemu-aarch64", real));
    for (kind, file) in kinds {
        let server = serve(&file, Manner::Ranges);
        let tree = tree();
        let sha256 = Sha256::of_bytes(&file).to_string();
        register(&tree, &server, &["--sha256", &sha256]).exits(0).prints("proven");
        assert!(tree.runs("aarch64"), "{kind}");
        let head = server.sent() - file.len() as u64;
        assert!(head < 200, "{kind}: {head} bytes besides the file");
        tree.unregister("aarch64").exits(0);
    }
}

#[sandboxed]
fn an_interrupted_download_is_resumed() {
    let (archive, sha256) = archive();
    let half = archive.len() / 2;
    let tree = tree();
    let before = tree.snapshot();
    // The download is resumed three times in a row, in three rounds.
    let broken = serve(&archive, Manner::Cut(half / 100));
    register(&tree, &broken, &["--sha256", &sha256]).exits(1).says("the next run continues it");
    let there = tree.read(&format!("{CACHE}/{sha256}/download")).len();
    assert!(there > 0 && archive.starts_with(&tree.read(&format!("{CACHE}/{sha256}/download"))));
    let good = serve(&archive, Manner::Ranges);
    register(&tree, &good, &["--sha256", &sha256]).exits(0).prints("proven");
    assert!(good.sent() < (archive.len() - there + 300) as u64, "what was there is not moved again");
    assert!(!tree.exists(CACHE));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_download_is_resumed_after_a_kill() {
    let (archive, sha256) = archive();
    let tree = tree();
    let before = tree.snapshot();
    let slow = serve(&archive, Manner::Slow(100_000));
    let url = format!("http://{}/x/qemu.tar.gz", slow.address);
    let partial = format!("{CACHE}/{sha256}/download");
    let mut run = tree.start(&["register", "aarch64", "--from", &url, "--sha256", &sha256]);
    while !tree.exists(&partial) || tree.read(&partial).len() < 500_000 {
        assert!(run.try_wait().unwrap().is_none(), "it ended too early");
        thread::sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let there = tree.read(&partial).len();
    let good = serve(&archive, Manner::Ranges);
    register(&tree, &good, &["--sha256", &sha256]).exits(0).prints("proven");
    assert!(good.sent() < (archive.len() - there + 300) as u64);
    assert!(!tree.exists(CACHE));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn cache_lists_and_prunes_partial_downloads() {
    let (archive, sha256) = archive();
    let tree = tree();
    let before = tree.snapshot();
    tree.run(&["cache"]).exits(0).prints("no files");
    register(&tree, &serve(&archive, Manner::Cut(9000)), &["--sha256", &sha256]).exits(1);
    let shown = tree.run(&["cache"]).exits(0).prints("1 file, ").prints("download");
    assert!(shown.out.contains(&sha256[..12]));
    let json = tree.run(&["cache", "--json"]).exits(0).json();
    assert_eq!(json["files"][0]["sha256"].as_str(), Some(sha256.as_str()));
    tree.run(&["cache", "prune"]).exits(0).prints("removed");
    assert!(!tree.exists(CACHE));
    tree.run(&["cache"]).exits(0).prints("no files");
    before.is_restored_in(&tree);
}

/// The cached bytes may belong to another file or be damaged. Then the whole file is downloaded again.
#[sandboxed]
fn a_wrong_cached_file_is_downloaded_again() {
    let (archive, sha256) = archive();
    let partial = format!("{CACHE}/{sha256}/download");
    let other = vec![7; archive.len()];
    for left in [&other[..5000], &other[..], &[&other[..], b"more"].concat()] {
        let tree = tree().file(&partial, left).mode(&partial, 0o600);
        register(&tree, &serve(&archive, Manner::Ranges), &["--sha256", &sha256]).exits(0).prints("proven");
        assert!(!tree.exists(CACHE));
        tree.unregister("aarch64").exits(0);
    }
    let tree = tree();
    let before = tree.snapshot();
    let done = register(&tree, &serve(&other, Manner::Ranges), &["--sha256", &sha256]).exits(5).says(&sha256);
    assert!(done.says("127.0.0.1").err.contains("refused unverified bytes"));
    assert!(!tree.exists(CACHE));
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_url_without_a_digest_needs_the_insecure_option() {
    let (archive, _) = archive();
    let server = serve(&archive, Manner::Ranges);
    let tree = tree();
    let before = tree.snapshot();
    register(&tree, &server, &[]).exits(2).says("--sha256 HEX").says("--insecure-no-digest");
    before.is_untouched_in(&tree);
    assert_eq!(server.requests().len(), 0);
    register(&tree, &server, &["--insecure-no-digest"]).exits(0).prints("proven");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    tree.run(&["register", "aarch64", "--from", "/x", "--insecure-no-digest"]).exits(2);
    tree.run(&["register", "aarch64", "--from", "ftp://x/y", "--insecure-no-digest"]).exits(2).says("https://");
}

/// The cache is an optimisation: a full file system disables it and does not cause an error.
#[sandboxed]
fn a_full_cache_does_not_stop_a_download() {
    let (archive, sha256) = archive();
    let server = serve(&archive, Manner::Ranges);
    let tree = tree();
    let cache = tree.path("var/cache");
    mount(None::<&str>, &cache, Some("tmpfs"), MsFlags::empty(), Some("size=1M,mode=755")).unwrap();
    register(&tree, &server, &["--sha256", &sha256]).exits(0).prints("proven");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    umount2(&cache, MntFlags::empty()).unwrap();
}

/// Passwords from the files of apt and Nix are sent only to their server, and never printed or recorded.
#[sandboxed]
fn passwords_go_only_to_their_server_and_are_never_printed() {
    let (archive, sha256) = archive();
    let (server, other) = (serve(&archive, Manner::Ranges), serve(&archive, Manner::Ranges));
    let logins = format!("machine http://{} login joe password p@ss\n", server.address);
    for file in ["etc/apt/auth.conf.d/company.conf", "etc/nix/netrc"] {
        let tree = tree().file(file, &logins);
        for server in [&server, &other] {
            register(&tree, server, &["--sha256", &sha256]).exits(0).omits("p@ss").omits("p%40ss").omits("joe");
            assert!(!tree.text(RECEIPT).contains("joe"));
            tree.unregister("aarch64").exits(0);
        }
    }
    // joe:p@ss
    assert_eq!(server.logins(), ["Basic am9lOnBAc3M="; 2]);
    assert_eq!(other.logins(), [""; 2]);
    let moved = serve(&archive, Manner::Status(302, format!("Location: http://{}/x/qemu.tar.gz", other.address)));
    let logins = format!("machine http://{} login joe password p@ss\n", moved.address);
    let tree = tree().file("etc/nix/netrc", &logins);
    register(&tree, &moved, &["--sha256", &sha256]).exits(0);
    assert_eq!(moved.logins(), ["Basic am9lOnBAc3M="]);
    assert_eq!(other.logins(), [""; 3], "a redirect takes no password along");
}

/// The line of netrc holds for one path. The server may redirect to another path of the same host, where another user's
/// files are, or the URL may lead out of the path: then the password stays behind.
#[sandboxed]
fn a_password_for_a_path_is_not_sent_to_another_path() {
    let (archive, sha256) = archive();
    let login_for = |server: &Server, path: &str| {
        tree().file("etc/nix/netrc", format!("machine http://{}{path} login joe password p@ss\n", server.address))
    };
    let from = |tree: &Tree, server: &Server, path: &str| {
        let url = format!("http://{}{path}", server.address);
        tree.run(&["register", "aarch64", "--from", &url, "--sha256", &sha256]).exits(0).omits("p@ss");
    };
    for to in ["http://joe:other@ADDRESS/public/qemu.tar.gz", "/private/a"] {
        let server = serve(&archive, Manner::Moves("/private/qemu", to.to_owned()));
        let tree = login_for(&server, "/private/");
        from(&tree, &server, "/private/qemu.tar.gz");
        // A line that holds for all paths is treated in the same way: no redirect takes a password along.
        assert_eq!(server.logins(), ["Basic am9lOnBAc3M=", ""], "{:?}", server.requests());
        tree.discard();
    }
    for path in ["/private/../public/x", "/private/.%2E/x"] {
        let server = serve(&archive, Manner::Ranges);
        let tree = login_for(&server, "/private/");
        from(&tree, &server, path);
        assert_eq!(server.logins(), [""], "{path}");
        assert!(!server.requests()[0].starts_with("GET /private"), "{:?}", server.requests());
        tree.discard();
    }
}

#[sandboxed]
fn offline_forbids_downloads_and_permits_local_sources() {
    let (archive, sha256) = archive();
    let server = serve(&archive, Manner::Ranges);
    let tree = tree();
    let before = tree.snapshot();
    register(&tree, &server, &["--sha256", &sha256, "--offline"]).exits(1).says("--offline").says("binfmt-nix fetch");
    let mirror = format!("http://{}/debian", server.address);
    let download = ["register", "aarch64", "--source", "download", "--mirror", &mirror, "--offline"];
    tree.run(&download).exits(1).says("qemu-aarch64 10.0.13").says("--offline");
    assert_eq!(server.requests().len(), 0);
    before.is_restored_in(&tree);
    // Local sources need no network.
    tree.run(&["register", "aarch64", "--from", two_emulators_tar_gz().to_str().unwrap(), "--offline"])
        .exits(0)
        .prints("proven");
    tree.run(&["register", "aarch64", "--offline"]).exits(0).prints("already registered");
}

#[sandboxed]
fn http_errors_are_reported_and_leave_nothing_behind() {
    let (archive, sha256) = archive();
    let tree = tree();
    let before = tree.snapshot();
    for (code, words) in [(404, "404"), (416, "416"), (429, "too many requests"), (403, "forbidden")] {
        let server = serve(&archive, Manner::Status(code, "Retry-After: 0".into()));
        register(&tree, &server, &["--sha256", &sha256]).exits(1).says(words).says(&server.address);
    }
    assert!(!tree.exists(CACHE));
    before.is_restored_in(&tree);
}

/// Downloaded archives are checked like local ones.
#[sandboxed]
fn every_damage_is_refused_after_a_download() {
    let tree = tree();
    let before = tree.snapshot();
    for (harm, why) in damaged_archives() {
        for (_, archive) in every_kind(&harm) {
            let sha256 = Sha256::of_bytes(&archive).to_string();
            let server = serve(&archive, Manner::Ranges);
            register(&tree, &server, &["--sha256", &sha256]).exits(1).says(why).omits("panicked");
        }
    }
    for (_, archive) in every_kind(&tar(&[("usr/bin/qemu-aarch64", &emulator_bytes("aarch64"))])) {
        let sha256 = Sha256::of_bytes(&archive).to_string();
        let middle = archive.len() as u64 * 4;
        let cut = archive.len() / 2;
        register(&tree, &serve(&archive, Manner::Flip(middle, true)), &["--sha256", &sha256]).exits(5);
        register(&tree, &serve(&archive[..cut], Manner::Ranges), &["--sha256", &sha256]).exits(5);
    }
    assert!(!tree.exists(CACHE));
    before.is_restored_in(&tree);
}

#[sandboxed]
fn run_downloads_an_archive_only_once() {
    let archive = gz(&tar(&[("usr/bin/qemu-aarch64", &emulator_bytes("aarch64"))]));
    let sha256 = Sha256::of_bytes(&archive).to_string();
    let server = serve(&archive, Manner::Ranges);
    let url = format!("http://{}/qemu.tar.gz", server.address);
    let busybox = shown(&busybox());
    let run = || -> Done {
        let mut run = joe(&shown(Path::new(tool_path())));
        run.args(["run", "-s", "aarch64", "--from", &url, "--sha256", &sha256, "--"]).arg(&busybox);
        run.args(["uname", "-m"]).output().unwrap().into()
    };
    run().exits(0).prints("aarch64");
    let asked = server.requests().len();
    run().exits(0).prints("aarch64");
    assert_eq!(server.requests().len(), asked);
}
