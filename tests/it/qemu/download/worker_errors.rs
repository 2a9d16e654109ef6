//! A download in the confined worker and one in this process give the same bytes, messages, hints and exit codes.

use std::sync::Arc;
use std::time::Duration;

use binfmt_nix::error::Error;
use binfmt_nix::qemu::catalog::{BlockPlan, Catalog, Member};
use binfmt_nix::qemu::download::confined::TransferOptions;
use binfmt_nix::qemu::download::{
    ClientOptions, DownloadError, DownloadEvent, HttpClient, Mirror, RootCertificates, download_package,
};
use binfmt_nix::sha256::Sha256;
use nix::errno::Errno;

use super::patient;
use crate::support::server::{Manner, Server};
use crate::support::skip;

/// Events of a download, without its progress, and its error.
#[derive(Debug, PartialEq)]
struct Observed {
    events: Vec<String>,
    error: Option<(String, Option<String>, u8)>,
}

/// Limit for downloads from servers that answer: a slow machine does not reach it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Limit for lists of mirrors of which one never answers.
const IMPATIENCE: Duration = Duration::from_secs(1);

fn confined(stall: Duration) -> TransferOptions {
    TransferOptions { options: ClientOptions { stall, ..patient() }, ..TransferOptions::default() }
}

fn observe(events: Vec<String>, result: Result<(), Error>) -> Observed {
    let error = result.err().map(|error| (error.to_string(), error.hint(), error.exit_code() as u8));
    Observed { events, error }
}

fn record_event(events: &mut Vec<String>, event: DownloadEvent<'_>) {
    match event {
        DownloadEvent::Moved { .. } => {}
        event => events.push(format!("{event:?}")),
    }
}

/// Downloads in this process.
fn download_here(plan: &BlockPlan<'_>, mirrors: &[Mirror], stall: Duration) -> Observed {
    let client = HttpClient::new(&confined(stall).options, RootCertificates::load_system()).unwrap();
    let mut events = Vec::new();
    let result =
        download_package(plan, mirrors, &client, &mut |_, _| Ok(()), &mut |event| record_event(&mut events, event));
    observe(events, result.map(drop).map_err(Error::from))
}

/// Downloads in a worker.
fn download_in_worker(plan: &BlockPlan<'_>, mirrors: &[Mirror], stall: Duration) -> Observed {
    let options = confined(stall);
    let mut events = Vec::new();
    let result = binfmt_nix::qemu::download::confined::download_package(
        plan,
        mirrors,
        &options,
        &mut |_, _| Ok(()),
        &mut |event| record_event(&mut events, event),
        &mut || Ok(()),
    );
    observe(events, result.map(drop))
}

#[test]
fn worker_failures_have_the_same_messages() {
    let catalog = Catalog::embedded().unwrap();
    let package = catalog.package_for("x86_64").unwrap();
    let plan = package.plan_blocks(&["aarch64"]).unwrap();
    let junk = Arc::new(vec![7; usize::try_from(package.size).unwrap()]);
    let manners = [
        Manner::Status(404, "X: y".to_owned()),
        Manner::Status(302, "Location: ftp://there.invalid/".to_owned()),
        Manner::Ranges,
        Manner::Cut(5000),
        Manner::Says(Some("bytes \u{1}1-2/3")),
        Manner::With("Content-Encoding: gzip\r\n"),
        Manner::Whole(17),
        Manner::Silent,
    ];
    let servers: Vec<_> = manners.iter().map(|manner| Server::start(&junk, manner.clone())).collect();
    let (silent, answering) = servers.split_last().unwrap();
    let mut lists: Vec<(Vec<Mirror>, Duration)> =
        answering.iter().map(|server| (vec![server.mirror()], PATIENCE)).collect();
    lists.push((vec![silent.mirror()], IMPATIENCE));
    lists.push((servers.iter().map(Server::mirror).collect(), IMPATIENCE));
    lists.push((vec![], PATIENCE));
    for url in ["http://127.0.0.1:1/debian", "https://127.0.0.1:1/debian", "http://nowhere.invalid/debian"] {
        lists.push((vec![Mirror::Archive(url.parse().unwrap())], PATIENCE));
    }
    for (mirrors, stall) in lists {
        let (here, there) = (download_here(&plan, &mirrors, stall), download_in_worker(&plan, &mirrors, stall));
        assert!(here.error.is_some());
        assert_eq!(here, there);
    }
}

/// A mirror that has the package.
fn mirror() -> Server {
    let Some(path) = std::env::var_os("BINFMT_NIX_TEST_DEB") else {
        skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb");
    };
    Server::start(&Arc::new(std::fs::read(path).unwrap()), Manner::Ranges)
}

#[test]
fn a_full_disk_has_the_same_message() {
    let server = mirror();
    let catalog = Catalog::embedded().unwrap();
    let plan = catalog.package_for("x86_64").unwrap().plan_blocks(&["aarch64"]).unwrap();
    let mirrors = [server.mirror()];
    let mut written = 0;
    let mut sink = |_: &Member, bytes: &[u8]| {
        written += bytes.len();
        if written < 1 << 20 { Ok(()) } else { Err(Errno::ENOSPC.into()) }
    };
    let client = HttpClient::new(&patient(), RootCertificates::load_system()).unwrap();
    let here = Error::from(download_package(&plan, &mirrors, &client, &mut sink, &mut |_| {}).unwrap_err());
    let there = binfmt_nix::qemu::download::confined::download_package(
        &plan,
        &mirrors,
        &confined(PATIENCE),
        &mut sink,
        &mut |_| {},
        &mut || Ok(()),
    )
    .unwrap_err();
    for error in [here, there] {
        assert_eq!(
            (error.to_string().as_str(), error.exit_code() as u8),
            ("cannot write qemu-aarch64: No space left on device (os error 28)", 1)
        );
        let Some(DownloadError::Write { source, .. }) = error.as_failure() else { panic!("{error}") };
        assert_eq!(source.raw_os_error(), Some(Errno::ENOSPC as i32));
    }
}

#[test]
fn the_worker_delivers_the_pinned_members() {
    let server = mirror();
    let catalog = Catalog::embedded().unwrap();
    let package = catalog.package_for("x86_64").unwrap();
    let plan = package.plan_blocks(&["aarch64", "arm", "riscv64"]).unwrap();
    let mirrors = [server.mirror()];
    let mut files = vec![];
    let mut sink = |member: &Member, bytes: &[u8]| {
        if files.last().is_none_or(|(target, _)| *target != member.target) {
            files.push((member.target.clone(), Vec::new()));
        }
        files.last_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    };
    let (fetched, note) = binfmt_nix::qemu::download::confined::download_package(
        &plan,
        &mirrors,
        &confined(PATIENCE),
        &mut sink,
        &mut |_| {},
        &mut || Ok(()),
    )
    .unwrap();
    assert_eq!(fetched.moved, plan.total_bytes());
    if let Some(note) = note {
        skip("kernel", note);
    }
    let sums: Vec<_> = files.iter().map(|(target, bytes)| (target.as_str(), Sha256::of_bytes(bytes))).collect();
    let pinned: Vec<_> = plan.members().iter().map(|member| (member.target.as_str(), member.sha256)).collect();
    assert_eq!(sums, pinned);
}
