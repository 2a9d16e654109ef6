//! Downloads from real sockets: servers that behave, servers that don't, servers that lie.
//!
//! Most tests use a small `.deb` made here. Those in `real` want Debian's own amd64 package, named
//! by `BINFMT_NIX_TEST_DEB`; without it they say so and pass, or fail if `BINFMT_NIX_REQUIRE` names `deb`.

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

use binfmt_nix::qemu::catalog::Package;
use binfmt_nix::qemu::download::{
    ClientOptions, DownloadError, DownloadEvent, DownloadSummary, HttpClient, Mirror, Proxies, RootCertificates,
    download_package,
};

use crate::support::fault_table;

/// What a download came to.
#[derive(Debug)]
struct Outcome {
    result: Result<DownloadSummary, DownloadError>,
    /// What was given, member by member.
    files: BTreeMap<String, Vec<u8>>,
    /// What was called good.
    verified: Vec<String>,
    /// The last number of bytes told, and of how many.
    moved: (u64, u64),
}

impl Outcome {
    /// The message of the error, which there must be.
    fn complaint(&self) -> String {
        assert!(self.verified.is_empty(), "{:?} was called good", self.verified);
        self.result.as_ref().unwrap_err().to_string()
    }

    fn unverified(&self) -> bool {
        self.result.as_ref().is_err_and(DownloadError::is_unverified)
    }
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

/// As patient as a busy machine needs; does not see the proxies of the machine that tests.
fn patient() -> ClientOptions {
    let pause = Duration::from_millis(1);
    let stall = Duration::from_secs(20);
    ClientOptions { stall, slowest: 0, pause, proxies: Proxies::None, ..ClientOptions::default() }
}

/// Waits for nobody.
fn impatient() -> ClientOptions {
    ClientOptions { stall: Duration::from_millis(600), slowest: 100_000, ..patient() }
}
