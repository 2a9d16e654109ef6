//! Reports of `register --watch`: the ready file, messages to the service manager, and JSON for programs.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::Tree;
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;
use crate::support::watcher::{LIMIT, Watch, until};

const ENTRY: &str = "qemu-aarch64";

fn ready() -> String {
    format!("{SCRATCH}/ready")
}

fn is_ready() -> bool {
    Path::new(&ready()).exists()
}

#[sandboxed]
fn the_ready_file_follows_the_state() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &["--ready-file", &ready()]);
    until("it is ready", is_ready);
    assert!(std::fs::read_to_string(ready()).unwrap().starts_with("binfmt-nix "));
    tree.write_kernel(ENTRY, "0");
    until("it is not ready: disabled", || !is_ready());
    tree.write_kernel(ENTRY, "1");
    until("it is ready again", is_ready);
    tree.enter(&line("theirs", "aarch64", Path::new("/bin/true"), ""));
    until("it is not ready: shadowed", || !is_ready());
    tree.write_kernel("theirs", "-1");
    until("it is ready again", is_ready);
    let lock = tree.hold_lock();
    tree.write_kernel(ENTRY, "-1");
    held.says("waiting for another binfmt-nix");
    drop(lock);
    held.says("info registered system=aarch64");
    until("it is ready again", is_ready);
    held.ends_by(Signal::SIGTERM).exits(0);
    assert!(!is_ready());
}

#[sandboxed]
fn a_stale_ready_file_is_removed() {
    let tree = Tree::new().mounted();
    let held = Watch::begin(&tree, "aarch64", &["--ready-file", &ready()]);
    until("it is ready", is_ready);
    drop(held.ends_by(Signal::SIGKILL));
    assert!(is_ready());
    let liar = crate::support::emulators::outside("liar", b"no emulator");
    tree.unregister("aarch64").exits(0);
    tree.register_by("aarch64", &liar, &["--watch", "--ready-file", &ready()]).exits(1);
    assert!(!is_ready());
}

#[sandboxed]
fn other_files_are_not_used_as_ready_file() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    std::fs::write(ready(), "precious").unwrap();
    tree.register_with("aarch64", &["--watch", "--ready-file", &ready()]).exits(3).says("is not a ready file");
    assert_eq!(std::fs::read_to_string(ready()).unwrap(), "precious");
    let link = format!("{SCRATCH}/link");
    std::fs::write(ready(), "binfmt-nix 1\n").unwrap();
    std::os::unix::fs::symlink(ready(), &link).unwrap();
    tree.register_with("aarch64", &["--watch", "--ready-file", &link]).exits(3).says("is not a ready file");
    tree.register_with("aarch64", &["--watch", "--ready-file", SCRATCH]).exits(3).says("is not a ready file");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_ready_file_in_a_writable_directory_is_rejected() {
    let tree = Tree::new().mounted().dir("open").mode("open", 0o777);
    let before = tree.snapshot();
    let path = tree.path("open/ready");
    let done = tree.register_with("aarch64", &["--watch", "--ready-file", path.to_str().unwrap()]).exits(1);
    done.says("may be written by others");
    before.is_unchanged_in(&tree);
}

/// Receives datagrams until one has this text; returns it.
#[track_caller]
fn receive(socket: &UnixDatagram, text: &str) -> String {
    let mut datagram = [0; 4096];
    loop {
        let length = socket.recv(&mut datagram).unwrap_or_else(|error| panic!("no datagram with {text}: {error}"));
        let message = String::from_utf8_lossy(&datagram[..length]).into_owned();
        if message.contains(text) {
            return message;
        }
    }
}

fn bind_notify_socket() -> (UnixDatagram, String) {
    let path = format!("{SCRATCH}/notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    (socket, path)
}

#[sandboxed]
fn the_service_manager_gets_the_state() {
    let (socket, path) = bind_notify_socket();
    let tree = Tree::new().mounted();
    let mut held = Watch::begin_in(&tree, "aarch64", &[], &[("NOTIFY_SOCKET", &path)]);
    // Readiness is reported once, and not before a program ran.
    assert_eq!(receive(&socket, ""), "READY=1\nSTATUS=Watching aarch64: all entries are registered");
    assert!(tree.runs("aarch64"));
    tree.write_kernel(ENTRY, "0");
    assert_eq!(receive(&socket, "disabled"), "STATUS=Watching aarch64: disabled");
    tree.write_kernel(ENTRY, "1");
    assert_eq!(receive(&socket, "all entries are registered"), "STATUS=Watching aarch64: all entries are registered");
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered");
    drop(held.ends_by(Signal::SIGTERM).exits(0));
    receive(&socket, "STOPPING=1");
}

#[sandboxed]
fn an_abstract_notify_socket_works() {
    // A network namespace has its own abstract names.
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name("manager").unwrap()).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let tree = Tree::new().mounted();
    let _held = Watch::begin_in(&tree, "aarch64", &[], &[("NOTIFY_SOCKET", "@manager")]);
    receive(&socket, "READY=1");
}

#[sandboxed]
fn a_full_notify_socket_does_not_block() {
    let (socket, path) = bind_notify_socket();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", &path).is_ok() {}
    let tree = Tree::new().mounted();
    let mut held = Watch::begin_in(&tree, "aarch64", &[], &[("NOTIFY_SOCKET", &path)]);
    held.says("info holding");
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered");
    held.ends_by(Signal::SIGTERM).exits(0);
    drop(socket);
}

#[sandboxed]
fn the_watchdog_is_notified() {
    let (socket, path) = bind_notify_socket();
    let tree = Tree::new().mounted();
    let watchdog = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "200000")];
    let held = Watch::begin_in(&tree, "aarch64", &[], &watchdog);
    for _ in 0..3 {
        assert_eq!(receive(&socket, "WATCHDOG"), "WATCHDOG=1");
    }
    held.ends_by(Signal::SIGTERM).exits(0);
    // A watchdog of another process is ignored.
    let other = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let held = Watch::begin_in(&tree, "aarch64", &[], &other);
    receive(&socket, "READY=1");
    held.ends_by(Signal::SIGTERM).exits(0);
    let mut datagram = [0; 4096];
    socket.set_nonblocking(true).unwrap();
    while let Ok(length) = socket.recv(&mut datagram) {
        assert!(!datagram[..length].starts_with(b"WATCHDOG"));
    }
}

/// The first line of stdout is the document of `register`; each later line is an event.
#[sandboxed]
fn each_line_of_json_output_is_a_document() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin_in(&tree, "aarch64", &["--json", "--on-stop", "remove"], &[]);
    held.prints("\"holding\"");
    tree.write_kernel(ENTRY, "-1");
    held.prints("\"registered\"");
    let done = held.ends_by(Signal::SIGTERM).exits(0);
    let lines: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (outcome, events) = lines.split_first().unwrap();
    assert_eq!((&outcome["version"], &outcome["changed"]), (&1.into(), &true.into()), "{outcome:#}");
    assert_eq!(outcome["systems"][0]["proven"], true, "{outcome:#}");
    for event in events {
        assert_eq!(event["version"], 1, "{event:#}");
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 20 && time.starts_with("20") && time.ends_with('Z'), "{event:#}");
    }
    let is_change = |event: &Value| event["event"] != "note" && event["event"] != "warning";
    let changes: Vec<_> = events.iter().filter(|event| is_change(event)).collect();
    let names: Vec<_> = changes.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["holding", "removed", "registered", "stopping", "unregistered"], "{events:#?}");
    let removed = changes[1];
    assert_eq!((&removed["level"], &removed["system"]), (&"warning".into(), &"aarch64".into()), "{removed:#}");
    assert_eq!(removed["entry"], ENTRY, "{removed:#}");
    done.omits(" info ");
}

#[sandboxed]
fn each_line_starts_with_the_time() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin_in(&tree, "aarch64", &[], &[]);
    let line = held.says(" info holding ");
    let time = line.split(' ').next().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
}
