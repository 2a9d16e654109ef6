//! Downloads over real sockets: from good servers, from broken servers, and from servers that deliver wrong bytes.
//!
//! Most tests use a small `.deb` that the tests build. Those in `real_package` need Debian's own amd64 package, named by
//! `BINFMT_NIX_TEST_DEB`. Without it they are skipped, or fail if `BINFMT_NIX_REQUIRE` names `deb`.

pub(crate) mod apt_properties;
pub(crate) mod bad_mirrors;
pub(crate) mod cut_connections;
pub(crate) mod environment;
pub(crate) mod fallback;
pub(crate) mod from_urls;
pub(crate) mod good_mirrors;
pub(crate) mod real_package;
pub(crate) mod tls;
pub(crate) mod whole_files;
pub(crate) mod worker_errors;
pub(crate) mod wrong_bytes;

use std::collections::BTreeMap;
use std::time::Duration;

use binfmt_nix::error::Failure as _;
use binfmt_nix::qemu::catalog::Package;
use binfmt_nix::qemu::download::{
    ClientOptions, DownloadError, DownloadEvent, DownloadSummary, HttpClient, Mirror, Proxies, RootCertificates,
    download_package,
};

use crate::support::fault_table;
use crate::support::server::Manner;

/// The result of a download, with everything that it delivered.
#[derive(Debug)]
struct Outcome {
    result: Result<DownloadSummary, DownloadError>,
    /// Bytes that the sink received, by member.
    files: BTreeMap<String, Vec<u8>>,
    /// Members that were reported as verified.
    verified: Vec<String>,
    /// Last reported progress: bytes transferred, and bytes in all.
    moved: (u64, u64),
}

impl Outcome {
    /// Returns the message of the error. Panics if the download succeeded.
    fn complaint(&self) -> String {
        assert!(self.verified.is_empty(), "{:?} was called good", self.verified);
        whole_text(self.result.as_ref().unwrap_err())
    }

    fn unverified(&self) -> bool {
        self.result.as_ref().is_err_and(DownloadError::is_unverified)
    }
}

/// The message and its details, as the user sees them.
fn whole_text(error: &DownloadError) -> String {
    [vec![error.to_string()], error.details()].concat().join("\n")
}

fn fetch(package: &Package, targets: &[&str], mirrors: &[Mirror]) -> Outcome {
    fetch_as(package, targets, mirrors, &patient())
}

fn fetch_as(package: &Package, targets: &[&str], mirrors: &[Mirror], options: &ClientOptions) -> Outcome {
    fetch_with(package, targets, mirrors, &HttpClient::new(options, RootCertificates::load_system()).unwrap())
}

fn fetch_with(package: &Package, targets: &[&str], mirrors: &[Mirror], client: &HttpClient) -> Outcome {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut verified = Vec::new();
    let mut moved = (0, 0);
    let result = download_package(
        &package.plan_blocks(targets).unwrap(),
        mirrors,
        client,
        &mut |member, bytes| {
            files.entry(member.target.clone()).or_default().extend_from_slice(bytes);
            Ok(())
        },
        &mut |event| match event {
            DownloadEvent::Verified { member } => verified.push(member.target.clone()),
            DownloadEvent::Moved { bytes, of } => {
                assert!(bytes <= of);
                moved = (bytes, of);
            }
            DownloadEvent::Asking { .. } | DownloadEvent::GaveUp { .. } => (),
        },
    );
    Outcome { result, files, verified, moved }
}

/// Options with limits that a slow and busy machine does not reach. They ignore the proxies of the machine that runs the
/// tests.
fn patient() -> ClientOptions {
    let pause = Duration::from_millis(1);
    let stall = Duration::from_secs(300);
    ClientOptions { stall, least: 0, pause, proxies: Proxies::None, ..ClientOptions::default() }
}

/// Options for a server of this manner. Only a server that runs into a limit by intention gets a short one.
fn options_for(manner: &Manner) -> ClientOptions {
    match manner {
        Manner::Silent | Manner::HeadOnly => ClientOptions { stall: Duration::from_millis(600), ..patient() },
        Manner::Drip | Manner::Fade(_) => {
            ClientOptions { window: Duration::from_millis(300), least: 1 << 20, ..patient() }
        }
        _ => patient(),
    }
}
