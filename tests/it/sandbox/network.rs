//! Network access of a confined download: TLS with certificates that only root can read, and proxies.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::output::tool_path;
use crate::support::server::{Manner, Server};
use crate::support::skip;

/// Runs a download by the tool with only these variables, from this mirror.
fn run_download(url: &str, variables: &[(&str, &str)]) -> (Output, String) {
    let root = tempfile::tempdir().unwrap();
    let done = Command::new(tool_path())
        .arg("--root")
        .arg(root.path())
        .args(["register", "aarch64", "--source", "download", "--no-nix", "--no-persist", "--mirror", url])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    (done, stderr)
}

/// A certificate authority (PEM), and the configuration of its server on 127.0.0.1.
fn authority() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer).unwrap().into();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    (root, Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

/// Decrypts one request and forwards it.
fn relay(stream: TcpStream, config: &Arc<ServerConfig>, to: &str) -> io::Result<()> {
    let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let mut upstream = TcpStream::connect(to)?;
    upstream.write_all(&head)?;
    upstream.shutdown(Shutdown::Write)?;
    io::copy(&mut upstream, &mut tls).map(drop)
}

fn https(config: Arc<ServerConfig>, to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/debian", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that does not trust the certificate closes the connection.
            drop(relay(stream, &config, &to));
        }
    });
    url
}

fn deb() -> Arc<Vec<u8>> {
    match std::env::var_os("BINFMT_NIX_TEST_DEB") {
        Some(path) => Arc::new(fs::read(path).unwrap()),
        None => skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb"),
    }
}

/// Only the owner can read the file and its directory; the user nobody cannot.
#[test]
fn certificates_readable_only_by_root_are_trusted() {
    let (root, config) = authority();
    let server = Server::start(&deb(), Manner::Ranges);
    let url = https(config, server.address.clone());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    fs::write(&file, root).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let file = file.to_str().unwrap();
    for variable in ["SSL_CERT_FILE", "NIX_SSL_CERT_FILE"] {
        let (done, stderr) = run_download(&url, &[(variable, file), ("NO_PROXY", "127.0.0.1")]);
        assert!(done.status.success(), "{variable}: {stderr}");
        assert!(stderr.contains(&format!("from {url}/pool/")), "{variable}: {stderr}");
    }
    assert_eq!(server.requests().len(), 2);
    let other_proxy = ("https_proxy", "http://127.0.0.1:1");
    let (done, stderr) = run_download(&url, &[("NO_PROXY", "127.0.0.1"), other_proxy]);
    assert!(!done.status.success() && stderr.contains("certificate"), "{stderr}");
}

/// The first bytes that a proxy receives; the proxy then closes the connection.
fn proxy_greeting(variable: &str, scheme: &str, url: &str, length: usize) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("{scheme}://{}", listener.local_addr().unwrap());
    let greeting = thread::spawn(move || {
        let mut greeting = vec![0; length];
        listener.accept().unwrap().0.read_exact(&mut greeting).unwrap();
        greeting
    });
    // The public mirrors must not be reached.
    let (done, stderr) = run_download(url, &[("https_proxy", "http://127.0.0.1:1"), (variable, &proxy)]);
    assert_eq!(done.status.code(), Some(1), "{stderr}");
    greeting.join().unwrap()
}

#[test]
fn proxies_are_used() {
    let connect = b"CONNECT mirror.invalid:443";
    assert_eq!(proxy_greeting("https_proxy", "http", "https://mirror.invalid/debian", connect.len()), connect);
    let get = b"GET http://mirror.invalid/debian/pool/";
    assert_eq!(proxy_greeting("http_proxy", "http", "http://mirror.invalid/debian", get.len()), get);
    // RFC 1928 §3.
    assert_eq!(proxy_greeting("ALL_PROXY", "socks5h", "http://mirror.invalid/debian", 1), [5]);
    assert_eq!(proxy_greeting("ALL_PROXY", "socks5", "http://localhost/debian", 1), [5]);
}

/// Started by a user, the worker reports the missing request and does nothing.
#[test]
fn a_worker_without_a_job_fails() {
    let done = Command::new(tool_path()).args(["internal", "download"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot read the job of /proc/self") && done.stdout.is_empty(), "{stderr}");
}
