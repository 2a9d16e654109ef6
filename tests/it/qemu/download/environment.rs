//! Proxies and certificates from environment variables. A process cannot change its environment safely, so each case
//! starts this test program again, as [`child`].

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use binfmt_nix::qemu::download::{ClientOptions, Mirror, Proxies};

use super::{fetch_as, patient};
use crate::support::package::Deb;
use crate::support::server::{Manner, Server};

const URL: &str = "BINFMT_NIX_TEST_CHILD_URL";

/// The argument that makes this program run [`child`].
pub(crate) const ROLE: &str = "test-download-with-these-variables";

/// Downloads with the variables of this process.
pub(crate) fn child() -> ExitCode {
    let url = std::env::var(URL).unwrap();
    let options = ClientOptions { proxies: Proxies::Environment, ..patient() };
    let mirror = Mirror::Archive(url.parse().unwrap());
    let outcome = fetch_as(&Deb::new().package, &["arm"], &[mirror], &options);
    outcome.result.unwrap();
    ExitCode::SUCCESS
}

/// Downloads from this URL with only these variables. Returns whether it worked, and the standard error.
fn download_with(url: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(ROLE)
        .env_clear()
        .env(URL, url)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn http_proxy_is_used() {
    let proxy = Server::start(&Deb::new().bytes, Manner::Ranges);
    let address = format!("http://{}", proxy.address);
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        let (ok, said) = download_with("http://mirror.invalid/debian", &[(variable, &address)]);
        assert!(ok, "{variable}: {said}");
    }
    let requests = proxy.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].starts_with("GET http://mirror.invalid/debian/pool/"), "{requests:?}");
}

#[test]
fn no_proxy_exempts_a_host() {
    let deb = Deb::new();
    let proxy = Server::start(&deb.bytes, Manner::Status(502, "X: y".to_owned()));
    let address = format!("http://{}", proxy.address);
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let (ok, said) = download_with(&server.url(), &[("http_proxy", &address), ("NO_PROXY", "127.0.0.1")]);
    assert!(ok, "{said}");
    assert!(proxy.requests().is_empty());
    let (ok, said) = download_with(&server.url(), &[("http_proxy", &address)]);
    assert!(!ok && said.contains("502"), "{said}");
}

#[test]
fn https_proxy_receives_a_connect_request() {
    let proxy = Server::start(&Arc::new(vec![0]), Manner::Status(407, "X: y".to_owned()));
    let address = format!("http://{}", proxy.address);
    let (ok, said) = download_with("https://mirror.invalid/debian", &[("HTTPS_PROXY", &address)]);
    assert!(!ok, "{said}");
    assert!(proxy.requests()[0].starts_with("CONNECT mirror.invalid:443"), "{:?}", proxy.requests());
}

#[test]
fn http_works_without_certificates() {
    let server = Server::start(&Deb::new().bytes, Manner::Ranges);
    let (ok, said) = download_with(&server.url(), &[("SSL_CERT_FILE", "/nonexistent")]);
    assert!(ok, "{said}");
}

#[test]
fn a_socks_proxy_receives_the_socks_greeting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("socks5h://{}", listener.local_addr().unwrap());
    let greeting = thread::spawn(move || {
        let mut version = [0];
        listener.accept().unwrap().0.read_exact(&mut version).unwrap();
        version[0]
    });
    let (ok, said) = download_with("http://mirror.invalid/debian", &[("ALL_PROXY", &address)]);
    assert!(!ok, "{said}");
    // RFC 1928 §3.
    assert_eq!(greeting.join().unwrap(), 5);
}
