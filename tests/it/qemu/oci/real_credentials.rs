//! Real registries that need a login or use TLS.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::real_registry::push_usual_image;
use super::registry::Registry;
use super::server::{Answer, Server};
use super::tls::NamedServers;
use super::tool::{Tool, base64};

/// `htpasswd -nbB fox den-of-the-fox`.
const HTPASSWD: &str = include_str!("htpasswd");

/// The files of an open registry, served by one that needs a password.
#[test]
fn a_real_registry_accepts_the_password() {
    let (open, files) = (Registry::open(), tempfile::tempdir().unwrap());
    let digest = push_usual_image(&open, "fox/qemu:v1");
    fs::write(files.path().join("htpasswd"), HTPASSWD).unwrap();
    let auth = json!({ "htpasswd": { "realm": "fox", "path": files.path().join("htpasswd") } });
    let closed = start_with_files_of(&open, &files, &json!({}), &auth);
    let image = format!("oci://{}/fox/qemu@{digest}", closed.address);
    Tool::pulls(&image).fails(1, "the registry requires a password");
    let login = |password: &str| json!({ &closed.address: { "auth": base64(password) } });
    Tool::pulls(&image).logged_in(&login("fox:wrong")).fails(1, "the registry requires a password");
    Tool::pulls(&image).logged_in(&login("fox:den-of-the-fox")).succeeds();
}

fn start_with_files_of(open: &Registry, files: &TempDir, http: &Value, auth: &Value) -> Registry {
    let closed = Registry::start(files, http, auth);
    fs::remove_dir_all(closed.dir.path().join("data")).ok();
    std::os::unix::fs::symlink(open.dir.path().join("data"), closed.dir.path().join("data")).unwrap();
    closed
}

/// The registry accepts tokens that are signed with a configured certificate (docs/spec/auth/jwt.md of distribution).
#[test]
fn a_real_registry_accepts_the_token() {
    let (open, files) = (Registry::open(), tempfile::tempdir().unwrap());
    let digest = push_usual_image(&open, "fox/qemu:v1");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["tokens.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(files.path().join("tokens.pem"), certificate.pem()).unwrap();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate.der())] });
    let tokens = Server::start(move |request| {
        let known = request.header("authorization") == Some(&format!("Basic {}", base64("fox:den-of-the-fox")));
        let right = request.path == "/token?scope=repository%3Afox%2Fqemu%3Apull&service=registry.test";
        let access = json!([{ "type": "repository", "name": "fox/qemu", "actions": ["pull"] }]);
        let none = json!([]);
        let token = token(&key, &header, if known && right { &access } else { &none });
        Answer::ok(json!({ "token": token }).to_string())
    });
    let auth = json!({ "token": {
        "realm": format!("http://{}/token", tokens.address), "service": "registry.test", "issuer": "fox",
        "rootcertbundle": files.path().join("tokens.pem"),
    } });
    let closed = start_with_files_of(&open, &files, &json!({}), &auth);
    let image = format!("oci://{}/fox/qemu@{digest}", closed.address);
    Tool::pulls(&image).fails(1, "the registry requires a password");
    let login = json!({ &closed.address: { "auth": base64("fox:den-of-the-fox") } });
    Tool::pulls(&image).logged_in(&login).succeeds();
    assert_eq!(tokens.requests().len(), 2);
}

fn token(key: &KeyPair, header: &Value, access: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "fox", "sub": "fox", "aud": "registry.test", "jti": "1",
        "iat": now, "nbf": now - 60, "exp": now + 600, "access": access,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&claims));
    let signature = raw_signature(&key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Converts a signature from two ASN.1 integers to two numbers of 32 bytes (RFC 7518 §3.4).
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut raw = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number: Vec<_> = rest[2..2 + length].iter().copied().skip_while(|byte| *byte == 0).collect();
        raw.extend(vec![0; 32 - number.len()]);
        raw.extend(number);
        rest = &rest[2 + length..];
    }
    raw
}

/// The certificate is signed by an authority that is configured only in `SSL_CERT_FILE`.
#[test]
fn a_real_registry_is_reached_over_tls() {
    let (open, servers) = (Registry::open(), NamedServers::new());
    let digest = push_usual_image(&open, "fox/qemu:v1");
    let (certificate, key) = servers.certificate("registry.test");
    fs::write(servers.dir.path().join("server.pem"), certificate.pem()).unwrap();
    fs::write(servers.dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    let at = |name: &str| servers.dir.path().join(name);
    let http = json!({ "tls": { "certificate": at("server.pem"), "key": at("key.pem") } });
    let closed = start_with_files_of(&open, &servers.dir, &http, &json!({}));
    servers.route("registry.test", &closed.address);
    servers.pulls(&format!("oci://registry.test/fox/qemu@{digest}")).succeeds();
    Tool::pulls(format!("oci://{}/fox/qemu@{digest}", closed.address)).fails(1, "HTTP status 400");
}
