//! Archives of other publishers, used when no mirror delivers the package: from real servers, with real emulators.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use binfmt_magic::Arch;
use binfmt_nix::error::{Error, ExitCode};
use binfmt_nix::host::Host;
use binfmt_nix::qemu::catalog::{ArchiveCatalog, DigestOrigin, PinnedArchive};
use binfmt_nix::qemu::download::DownloadError;
use binfmt_nix::qemu::download::Network;
use binfmt_nix::qemu::obtain::ObtainContext;
use binfmt_nix::qemu::obtain::fallback::{FallbackArchives, FallbackEmulator, should_try_fallback};
use binfmt_nix::sha256::Sha256;
use binfmt_nix::ui::Ui;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::server::{Manner, Server};
use crate::support::skip;

/// Packs real emulators, named with this prefix.
fn packed(prefix: &str, targets: &[&str]) -> Vec<u8> {
    let Some(dir) = std::env::var_os("BINFMT_NIX_TEST_QEMU") else {
        skip("qemu", "BINFMT_NIX_TEST_QEMU names no directory of static QEMUs");
    };
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for target in targets {
        let mut file = fs::File::open(Path::new(&dir).join(format!("qemu-{target}"))).unwrap();
        tar.append_file(format!("{prefix}{target}"), &mut file).unwrap();
    }
    let mut gz = tar.into_inner().unwrap();
    gz.flush().unwrap();
    gz.finish().unwrap()
}

fn pinned_archive(server: &Server, packed: &[u8], targets: &[&str]) -> PinnedArchive {
    PinnedArchive {
        host: "x86_64".into(),
        publisher: "publisher/qemu".into(),
        qemu_version: "10.0.13".into(),
        url: format!("http://{}/qemu.tar.gz", server.address),
        sha256: Sha256::of_bytes(packed),
        size: None,
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        prefix: "qemu-".into(),
        vouched: DigestOrigin::OtherProjects,
        assumes_argv0: false,
    }
}

fn get(archives: Vec<PinnedArchive>, systems: &[&str], kernel: (u32, u32)) -> Result<Vec<FallbackEmulator>, Error> {
    let archs: Vec<&'static Arch> = systems.iter().map(|system| Arch::find(system).unwrap()).collect();
    let fallback = FallbackArchives {
        context: ObtainContext { host: &Host::live(), ui: &Ui::new(false, &[]), network: &Network::default() },
        machine: "x86_64",
        kernel,
        archives: &ArchiveCatalog { version: 1, archives },
    };
    let before = DownloadError::NoMirror { package: "qemu-user.deb".into() }.into();
    assert!(should_try_fallback(&before));
    fallback.download_emulators(&archs, before)
}

fn assert_real_emulator(found: &FallbackEmulator) {
    let dir = std::env::var_os("BINFMT_NIX_TEST_QEMU").unwrap();
    let real = fs::read(Path::new(&dir).join(format!("qemu-{}", found.arch.target))).unwrap();
    let (mut file, mut bytes) = (&found.validated.file, Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == real && found.validated.sha256 == Sha256::of_bytes(&real));
    assert_eq!(found.validated.version.to_string(), "10.0.13");
}

#[test]
fn one_download_serves_all_systems_of_an_archive() {
    let both = packed("qemu-", &["aarch64", "riscv64"]);
    let server = Server::start(&Arc::new(both.clone()), Manner::Ranges);
    let archive = pinned_archive(&server, &both, &["aarch64", "riscv64"]);
    let found = get(vec![archive], &["aarch64", "riscv64"], (6, 18)).unwrap();
    assert_eq!(found.len(), 2);
    found.iter().for_each(assert_real_emulator);
    assert!(found[0].url.contains(&server.address));
    assert!(server.sent() - (both.len() as u64) < 200);
}

#[test]
fn the_next_publisher_is_tried_after_a_failure() {
    let one = packed("qemu-user-linux-amd64-", &["aarch64"]);
    let gone = Server::start(&Arc::new(one.clone()), Manner::Status(404, "X: y".into()));
    let liar = Server::start(&Arc::new(one.clone()), Manner::Flip(70_000, true));
    let good = Server::start(&Arc::new(one.clone()), Manner::Ranges);
    let archives = [&gone, &liar, &good].map(|server| pinned_archive(server, &one, &["aarch64"])).to_vec();
    let found = get(archives, &["aarch64"], (6, 18)).unwrap();
    assert_real_emulator(&found[0]);
    assert!(found[0].url.contains(&good.address));
}

/// The reported error is the one of the mirrors, which caused the fallback.
#[test]
fn the_first_error_is_reported_if_no_publisher_helps() {
    let one = packed("qemu-", &["aarch64"]);
    let liar = Server::start(&Arc::new(one.clone()), Manner::Flip(70_000, true));
    let other = packed("qemu-", &["riscv64"]);
    let wrong = Server::start(&Arc::new(other.clone()), Manner::Ranges);
    for archives in
        [vec![], vec![pinned_archive(&liar, &one, &["aarch64"])], vec![pinned_archive(&wrong, &other, &["aarch64"])]]
    {
        let error = get(archives, &["aarch64"], (6, 18)).unwrap_err();
        assert!(error.to_string().contains("no mirror is known"), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Failed);
    }
}

#[test]
fn an_archive_that_needs_flag_p_is_skipped_on_old_kernels() {
    let one = packed("qemu-", &["aarch64"]);
    let server = Server::start(&Arc::new(one.clone()), Manner::Ranges);
    let archive = PinnedArchive { assumes_argv0: true, ..pinned_archive(&server, &one, &["aarch64"]) };
    assert!(get(vec![archive.clone()], &["aarch64"], (5, 11)).is_err());
    assert_eq!(server.requests().len(), 0);
    assert!(get(vec![archive], &["aarch64"], (5, 12)).is_ok());
}
