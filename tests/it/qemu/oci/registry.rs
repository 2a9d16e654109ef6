//! A real registry (Debian's docker-registry), and buildah, which builds images and pushes them.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::read;
use super::skip;

/// A running registry.
pub(crate) struct Registry {
    process: Child,
    pub(crate) address: String,
    pub(crate) dir: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn is_there(program: &str) -> bool {
    std::env::var("PATH").unwrap_or_default().split(':').any(|dir| Path::new(dir).join(program).exists())
}

impl Registry {
    pub(crate) fn open() -> Self {
        Self::start(&tempfile::tempdir().unwrap(), &json!({}), &json!({}))
    }

    /// Starts a registry with these additional settings (docs/content/about/configuration.md of distribution 2.8). `files` is
    /// the directory with the files that they name.
    pub(crate) fn start(files: &TempDir, http: &Value, auth: &Value) -> Self {
        for program in ["docker-registry", "buildah"] {
            if !is_there(program) {
                skip("registry", format!("there is no {program}"));
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut config = json!({
            "version": 0.1, "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": dir.path().join("data") } },
            "http": { "addr": address },
        });
        config["http"].as_object_mut().unwrap().extend(http.as_object().unwrap().clone());
        if auth != &json!({}) {
            config["auth"] = auth.clone();
        }
        // JSON is YAML.
        fs::write(dir.path().join("config.yml"), config.to_string()).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Self { process, address, dir };
        let soon = Instant::now() + Duration::from_secs(300);
        while TcpStream::connect(&registry.address).is_err() {
            let log = fs::read_to_string(registry.dir.path().join("log")).unwrap();
            assert!(Instant::now() < soon, "no registry in {}: {log}", files.path().display());
            sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Runs buildah with its own store and without mounts. These commands run no program in the image.
    fn buildah(&self, args: &[&str]) -> String {
        let at = |name| self.dir.path().join(name);
        let output = Command::new("buildah")
            .arg("--root")
            .arg(at("store"))
            .arg("--runroot")
            .arg(at("run"))
            .args(["--storage-driver", "vfs"])
            .args(args)
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env_remove("REGISTRY_AUTH_FILE")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "buildah {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Builds an image of these files, with one layer for each list, and pushes it. Returns the digest of its manifest.
    pub(crate) fn push(&self, name: &str, layers: &[&[(PathBuf, &str)]], more: &[&str]) -> String {
        let mut base = "scratch".to_owned();
        for (number, files) in layers.iter().enumerate() {
            let container = self.buildah(&["from", "--pull-never", &base]);
            for (file, path) in *files {
                self.buildah(&["add", &container, file.to_str().unwrap(), path]);
            }
            base = format!("{}-{number}", name.replace('/', "-"));
            self.buildah(&["commit", "--rm", &container, &base]);
        }
        let digest = self.dir.path().join("digest");
        let to = format!("docker://{}/{name}", self.address);
        let options = ["push", "--tls-verify=false", "--digestfile", digest.to_str().unwrap()];
        self.buildah(&[&options, more, &[&base, &to]].concat());
        fs::read_to_string(digest).unwrap()
    }

    /// Reads a path of the registry with a minimal HTTP client.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path, "", b"")
    }

    pub(crate) fn put(&self, path: &str, kind: &str, body: &[u8]) {
        self.ask("PUT", path, kind, body);
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut input = BufReader::new(stream);
        // The head of a response is parsed like the head of a request.
        let answer = read(&mut input).unwrap().unwrap();
        assert!(answer.path.starts_with('2'), "{method} {path}: {answer:?}");
        let mut rest = answer.body.into_bytes();
        input.read_to_end(&mut rest).unwrap();
        rest
    }
}
