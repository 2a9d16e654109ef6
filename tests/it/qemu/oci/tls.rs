//! Registries with other names, over TLS. A proxy of the test connects to them by name, because the names do not exist.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use tempfile::TempDir;

use super::fault_table;
use super::image::{Image, NAME};
use super::server::{Answer, Request, Server, read, write};
use super::tool::{Tool, base64};

/// A private authority, and a proxy that connects to servers by name.
pub(crate) struct NamedServers {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) dir: TempDir,
    places: Arc<Mutex<BTreeMap<String, String>>>,
    proxy: String,
}

impl NamedServers {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("roots.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let places = Arc::new(Mutex::new(BTreeMap::new()));
        let proxy = proxy(Arc::clone(&places));
        Self { issuer: Issuer::new(params, key), dir, places, proxy }
    }

    /// Makes the proxy connect this name on port 443 to this address.
    pub(crate) fn route(&self, name: &str, to: &str) {
        self.places.lock().unwrap().insert(format!("{name}:443"), to.to_owned());
    }

    /// Creates a certificate and a key for a server of this name.
    pub(crate) fn certificate(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Starts a server of this name.
    fn serve(&self, name: &str, manner: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> RequestLog {
        let (certificate, key) = self.certificate(name);
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate)],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.route(name, &listener.local_addr().unwrap().to_string());
        let log = RequestLog::default();
        let (manner, kept, config) = (Arc::new(manner), log.clone(), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, kept) = (Arc::clone(&manner), kept.clone());
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                thread::spawn(move || {
                    let mut input = BufReader::new(StreamOwned::new(connection, stream));
                    while let Ok(Some(request)) = read(&mut input) {
                        kept.0.lock().unwrap().push(request.clone());
                        if !matches!(write(input.get_mut(), &manner(&request)), Ok(true)) {
                            break;
                        }
                    }
                });
            }
        });
        log
    }

    /// The tool with the proxy and with the authority as a trusted one.
    pub(crate) fn pulls(&self, image: &str) -> Tool {
        self.pulls_untrusted(image).with("SSL_CERT_FILE", self.roots().to_str().unwrap())
    }

    /// The tool with the proxy, without trust in the authority.
    fn pulls_untrusted(&self, image: &str) -> Tool {
        Tool::pulls(image).with("HTTPS_PROXY", &format!("http://{}", self.proxy))
    }

    fn roots(&self) -> PathBuf {
        // The worker that reads the file may be another user.
        std::fs::set_permissions(self.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        self.dir.path().join("roots.pem")
    }
}

/// Requests that a server received.
#[derive(Clone, Default)]
struct RequestLog(Arc<Mutex<Vec<Request>>>);

impl RequestLog {
    fn authorizations(&self) -> Vec<Option<String>> {
        let requests = self.0.lock().unwrap();
        requests.iter().map(|request| request.header("authorization").map(str::to_owned)).collect()
    }
}

/// Starts a proxy that supports CONNECT (RFC 9110 §9.3.6). Returns its address.
fn proxy(places: Arc<Mutex<BTreeMap<String, String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let places = Arc::clone(&places);
            thread::spawn(move || -> io::Result<()> {
                let mut input = BufReader::new(client.try_clone()?);
                let request = read(&mut input)?.unwrap_or_default();
                let place = places.lock().unwrap().get(&request.path).cloned();
                let Some(place) = place.filter(|_| request.method == "CONNECT") else {
                    return write(&mut &client, &Answer::status(502)).map(drop);
                };
                let server = TcpStream::connect(place)?;
                (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
                thread::spawn(move || io::copy(&mut from, &mut to));
                io::copy(&mut input, &mut &server).map(drop)
            });
        }
    });
    address
}

#[test]
fn a_private_authority_is_trusted_if_configured() {
    let (servers, image) = (NamedServers::new(), Image::good());
    let reference = format!("oci://registry.test/{NAME}@{}", image.index);
    servers.serve("registry.test", move |request| image.answer(request));
    servers.pulls(&reference).succeeds();
    servers.pulls_untrusted(&reference).fails(1, "certificate");
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let (servers, image) = (NamedServers::new(), Image::good());
    let plain = Server::honest(&image);
    let to = format!("http://{}", plain.address);
    servers
        .serve("registry.test", move |request| Answer::status(307).header(format!("Location: {to}{}", request.path)));
    let reference = format!("oci://registry.test/{NAME}@{}", image.index);
    servers.pulls(&reference).fails(1, "redirects to http:, which is not followed");
    // A registry cannot make the tool ask this machine for tokens either.
    let challenge = format!(r#"WWW-Authenticate: Bearer realm="http://{}/token""#, plain.address);
    servers.serve("other.test", move |_| Answer::status(401).header(challenge.clone()));
    servers.pulls(&format!("oci://other.test/{NAME}:v1")).fails(1, "without TLS, which was not contacted");
    assert!(plain.requests().is_empty());
}

/// Pulls from a registry with stored credentials whose tokens come from `realm`. Returns the `Authorization` of each
/// request to the token server, and the result.
fn pull_with_realm(registry: &'static str, realm: &'static str) -> (Vec<Option<String>>, super::tool::Outcome) {
    let (servers, image) = (NamedServers::new(), Image::good());
    let tokens = servers.serve(realm, |request| {
        let known = request.header("authorization").is_some();
        Answer::ok(format!(r#"{{"token": "{}"}}"#, if known { "for-the-fox" } else { "for-nobody" }))
    });
    let index = image.index.clone();
    let asked = servers.serve(registry, move |request| match request.header("authorization") {
        Some("Bearer for-the-fox") => image.answer(request),
        _ => Answer::status(401).header(format!(r#"WWW-Authenticate: Bearer realm="https://{realm}/token""#)),
    });
    let login = json!({ registry: { "auth": base64("fox:den-of-the-fox") } });
    let outcome = servers.pulls(&format!("oci://{registry}/{NAME}@{index}")).logged_in(&login).run();
    assert!(asked.authorizations().iter().flatten().all(|value| value.starts_with("Bearer for-")));
    (tokens.authorizations(), outcome)
}

#[test]
fn token_servers_of_the_same_domain_get_the_password() {
    let basic = format!("Basic {}", base64("fox:den-of-the-fox"));
    for (registry, server) in [("registry.fox.test", "auth.registry.fox.test"), ("registry.fox.test", "fox.test")] {
        let (sent, outcome) = pull_with_realm(registry, server);
        assert_eq!((sent, outcome.code), (vec![Some(basic.clone())], 0), "{server}: {outcome:?}");
    }
}

/// Token servers of other domains are asked for an anonymous token. If it is not enough, the message says why.
#[test]
fn token_servers_of_other_domains_never_get_the_password() {
    let strangers =
        ["thief.test", "auth.fox.test", "registry.fox.test.thief.test", "xregistry.fox.test", "auth.docker.io"];
    fault_table::line("registries with a token server that must not get the password", strangers.len());
    for server in strangers {
        let (sent, outcome) = pull_with_realm("registry.fox.test", server);
        assert_eq!((sent, outcome.code), (vec![None], 1), "{server}");
        let withheld = format!("which was not sent to {server}, because that is not in the registry's own domain");
        assert!(outcome.error.contains(&withheld), "{outcome:?}");
    }
}
