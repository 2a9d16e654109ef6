//! The pull worker during the download of a layer, seen from outside: it is confined, and no other process can read its
//! secrets.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::json;

use super::image::Image;
use super::server::{Answer, Server};
use super::skip;
use super::tool::{Tool, base64};

/// A tool whose worker has sent its password and waits for a layer.
struct Stalled {
    tool: Child,
    child: Pid,
    _kept: (Tool, Server),
}

impl Drop for Stalled {
    fn drop(&mut self) {
        drop(self.tool.kill());
        drop(self.tool.wait());
    }
}

impl Stalled {
    fn new() -> Self {
        let image = Image::good();
        let layer = image.layers[0].clone();
        let server = Server::modified(image.clone(), move |request, answer| {
            if request.header("authorization").is_none() {
                *answer = Answer::status(401).header("WWW-Authenticate: Basic realm=x");
            } else if request.is_for(&layer) {
                answer.says = Some(answer.body.len() as u64);
                answer.body.truncate(1000);
                answer.pause = Duration::from_secs(280);
            }
        });
        let login = json!({ &server.address: { "auth": base64("fox:den-of-the-fox") } });
        let kept = Tool::pulls(server.image(&image.index)).with("SECRET", "den-of-the-fox").logged_in(&login);
        let tool = kept.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let soon = Instant::now() + Duration::from_secs(300);
        while !server.requests().iter().any(|request| request.is_for(&image.layers[0])) {
            assert!(Instant::now() < soon, "no layer is asked for");
            sleep(Duration::from_millis(2));
        }
        let id = tool.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let child = Pid::from_raw(children.trim().parse().unwrap());
        Self { tool, child, _kept: (kept, server) }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(format!("/proc/{}/{name}", self.child)).unwrap()).into_owned()
    }
}

#[test]
fn the_pull_worker_has_no_rights() {
    let stalled = Stalled::new();
    let status = stalled.read("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!((field("NoNewPrivs"), field("Seccomp"), field("CapEff")), ("1".into(), "2".into(), "0".repeat(16)));
    let words = stalled.read("cmdline");
    assert!(words.ends_with("\0internal\0pull\0") && words.matches('\0').count() == 3, "{words:?}");
    if !geteuid().is_root() {
        skip("users", "not root: there is no other user to become, and what the child holds is hidden");
    }
    assert_eq!(field("Uid"), "65534\t65534\t65534\t65534");
    let variables = stalled.read("environ");
    assert!(!variables.contains("den-of") && !variables.contains("HOME"), "{variables:?}");
    for entry in fs::read_dir(format!("/proc/{}/fd", stalled.child)).unwrap() {
        let file = fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned();
        let kinds = ["pipe:", "socket:", "anon_inode:[event"];
        assert!(kinds.iter().any(|kind| file.starts_with(kind)), "{file}");
    }
}

#[test]
fn the_pull_worker_ends_with_its_parent() {
    let mut stalled = Stalled::new();
    stalled.tool.kill().unwrap();
    stalled.tool.wait().unwrap();
    // Sooner than the server ends the response.
    let soon = Instant::now() + Duration::from_secs(250);
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", stalled.child)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    while lives() {
        assert!(Instant::now() < soon, "it lives on");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_death_of_the_pull_worker_is_reported() {
    let mut stalled = Stalled::new();
    kill(stalled.child, Signal::SIGKILL).unwrap();
    let mut said = String::new();
    stalled.tool.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("the pull worker was killed by signal 9 SIGKILL"), "{said}");
    assert!(said.contains("\"code\":1,"), "{said}");
}
