//! https: which authorities the client trusts, and that it refuses redirects to http.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use binfmt_nix::qemu::download::{HttpClient, Mirror, RootCertificates};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Outcome, fetch_with, patient};
use crate::support::package::Deb;
use crate::support::server::{Manner, Server};

/// Creates a private authority. Returns its certificate (PEM) and the configuration of a server that it certifies.
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
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (root, Arc::new(config))
}

/// Starts a TLS server that answers every request with a redirect to this URL.
fn redirecting(config: Arc<ServerConfig>, to: String) -> Mirror {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/debian", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            let answer = format!("HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            // A client that does not trust the certificate closes the connection here.
            if tls.read(&mut [0; 4096]).is_ok() {
                tls.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    Mirror::Archive(url.parse().unwrap())
}

fn fetch_trusting(root: &str, mirror: Mirror) -> Outcome {
    let roots = RootCertificates::load_system().with_pem(root.as_bytes());
    fetch_with(&Deb::new().package, &["arm"], &[mirror], &HttpClient::new(&patient(), roots).unwrap())
}

#[test]
fn a_private_authority_is_trusted_if_configured() {
    let (root, config) = authority();
    let mirror = redirecting(config, "https://127.0.0.1:1/x".to_owned());
    let unknown = fetch_trusting("", mirror.clone()).complaint();
    assert!(unknown.contains("certificate"), "{unknown}");
    let known = fetch_trusting(&root, mirror).complaint();
    assert!(known.contains("refused") && !known.contains("certificate"), "{known}");
}

#[test]
fn malformed_certificates_are_ignored() {
    let (root, config) = authority();
    let mirror = redirecting(config, "https://127.0.0.1:1/x".to_owned());
    let junk = format!("junk\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{root}");
    let known = fetch_trusting(&junk, mirror).complaint();
    assert!(known.contains("refused"), "{known}");
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let (root, config) = authority();
    let plain = Server::start(&Deb::new().bytes, Manner::Ranges);
    let outcome = fetch_trusting(&root, redirecting(config, plain.url()));
    let complaint = outcome.complaint();
    assert!(complaint.contains("redirects to http:, which is not followed"), "{complaint}");
    assert!(plain.requests().is_empty());
}
