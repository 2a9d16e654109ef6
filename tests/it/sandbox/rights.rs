//! Rights of a confined process: it can do what a download needs, and nothing of [`attempts::ALL`].
//!
//! Every attempt is made three times: by a process with all rights, which proves that the attempt is possible here; by
//! a confined one that was real root; by a confined one that is root in a user namespace of one user.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use binfmt_nix::sandbox::confine::{Profile, drop_rights, restrict_calls};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, getegid, geteuid};

use super::attempts::{self, Place};
use super::needs;
use crate::support::skip;

/// The role of a process that makes the attempts.
pub(crate) const ROLE: &str = "try-everything";

/// Results of each attempt and each need, by name.
type Results = BTreeMap<String, String>;

/// Runs a process that makes every attempt. Its `kind` is `free`, `root`, `namespace`; `linked`, which is a
/// namespace with the links of systemd-resolved; or `unpack`, which is `root` without network access.
fn run_attempts(kind: &str) -> Results {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.furnish();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let name = format!("binfmt-nix-{port}");
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    fs::write(dir.path().join("port"), port.to_string()).unwrap();
    let _socket = UnixListener::bind(place.dir.join(attempts::SOCKET)).unwrap();
    fs::set_permissions(place.dir.join(attempts::SOCKET), fs::Permissions::from_mode(0o666)).unwrap();
    let done = Command::new(env::current_exe().unwrap())
        .args([ROLE, kind, dir.path().to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr).into_owned());
    if let Some(why) = out.strip_prefix("skip ") {
        skip("kernel", why.trim());
    }
    assert!(done.status.success(), "{kind}: {}\n{out}\n{err}", done.status);
    out.lines().map(|line| line.split_once(": ").unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// The process itself: makes every attempt, and prints the results.
pub(crate) fn child(kind: &str, place: &str) -> ExitCode {
    let place = Place::new(Path::new(place));
    let port: u16 = fs::read_to_string(place.dir.join("port")).unwrap().parse().unwrap();
    let entered = match kind {
        "namespace" => enter_namespace(),
        "linked" => enter_namespace().and_then(|()| link_resolver_files()),
        _ => Ok(()),
    };
    if let Err(why) = entered {
        println!("skip this machine gives no user namespaces: {why}");
        return ExitCode::SUCCESS;
    }
    if kind != "free" {
        let profile = if kind == "unpack" { Profile::READER } else { Profile::CLIENT };
        let mut lacks = drop_rights(&profile).unwrap();
        lacks.extend(restrict_calls(&profile).err());
        if !lacks.is_empty() {
            println!("skip this kernel cannot confine: {lacks:?}");
            return ExitCode::SUCCESS;
        }
    }
    println!("uid: {}", geteuid());
    println!("gid: {}", getegid());
    for (name, need) in needs::ALL {
        println!("needs {name}: {}", need(port).map_or_else(|e| format!("no, {e}"), |()| "yes".into()));
    }
    for (name, attempt) in attempts::ALL {
        println!("{name}: {}", attempt(&place, port).map_or_else(|e| format!("{e:?}"), |()| "done".into()));
    }
    ExitCode::SUCCESS
}

/// Enters a user namespace in which this process is root and the only user.
fn enter_namespace() -> std::io::Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Replaces /etc/resolv.conf and /etc/hosts by links, in a mount namespace of its own.
fn link_resolver_files() -> std::io::Result<()> {
    let hosts = fs::read("/etc/hosts").unwrap_or_default();
    let names = fs::read("/etc/nsswitch.conf").unwrap_or_default();
    let cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
    for dir in ["/etc", "/run"] {
        mount(None::<&str>, dir, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
    }
    for dir in ["/run/systemd/resolve", "/etc/static"] {
        fs::create_dir_all(dir)?;
    }
    fs::write("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n")?;
    symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf")?;
    fs::write("/etc/static/hosts", hosts)?;
    symlink("/etc/static/hosts", "/etc/hosts")?;
    for (name, text) in [("nsswitch.conf", names), ("ld.so.cache", cache), ("passwd", vec![])] {
        fs::write(Path::new("/etc").join(name), text)?;
    }
    Ok(())
}

fn assert_needs_met(results: &Results) {
    for (name, _) in needs::ALL {
        assert_eq!(results.get(&format!("needs {name}")).map(String::as_str), Some("yes"), "{name}: {results:#?}");
    }
}

/// Checks that every attempt was made, and that the kernel refused each: no such call, or no right.
fn assert_all_refused(results: &Results) {
    let refused = |name: &str, outcome: &str| match name {
        "a thread" => outcome == "EAGAIN",
        _ if name.starts_with("much ") => outcome == "ENOMEM",
        _ => ["ENOSYS", "EPERM", "EACCES"].contains(&outcome),
    };
    let slips: Vec<_> = attempts::ALL
        .iter()
        .map(|(name, _)| (*name, results.get(*name).map_or("was not tried", String::as_str)))
        .filter(|(name, outcome)| !refused(name, outcome))
        .collect();
    assert!(slips.is_empty(), "{slips:#?}");
}

fn require_root() {
    if !geteuid().is_root() {
        skip("users", "not root: there is no other user to become");
    }
}

/// System calls that some kernels are built without.
const OPTIONAL: [&str; 5] = ["io_uring_setup", "bpf", "keyctl", "userfaultfd", "perf_event_open"];

#[test]
fn unconfined_attempts_succeed() {
    require_root();
    let results = run_attempts("free");
    assert_needs_met(&results);
    for (name, _) in attempts::ALL {
        let outcome = results.get(*name).map(String::as_str);
        let missing = OPTIONAL.contains(name) && outcome == Some("ENOSYS");
        assert!(outcome == Some("done") || missing, "{name}: {outcome:?}, so a failure of this attempt proves nothing");
    }
}

#[test]
fn confined_root_has_no_rights() {
    require_root();
    let results = run_attempts("root");
    assert_eq!((results["uid"].as_str(), results["gid"].as_str()), ("65534", "65534"));
    assert_needs_met(&results);
    assert_all_refused(&results);
}

#[test]
fn confined_namespace_root_has_no_rights() {
    let results = run_attempts("namespace");
    assert_eq!((results["uid"].as_str(), results["gid"].as_str()), ("0", "0"));
    assert_needs_met(&results);
    assert_all_refused(&results);
}

#[test]
fn linked_resolver_files_are_readable() {
    let results = run_attempts("linked");
    assert_needs_met(&results);
    assert_all_refused(&results);
}

#[test]
fn an_unpacking_worker_has_no_network() {
    let results = run_attempts("unpack");
    assert_all_refused(&results);
    // On a host without such a library, the kernel has nothing to refuse.
    let met = |name: &&str| *name != "libraries" && results[&format!("needs {name}")] == "yes";
    let met: Vec<_> = needs::ALL.iter().map(|(name, _)| *name).filter(met).collect();
    assert_eq!(met, ["the time", "random numbers", "memory", "standard output"]);
}
