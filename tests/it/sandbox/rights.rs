//! What a process may still do once it is confined: what a download needs, and nothing of [`attempts::ALL`].
//!
//! Every attempt is made three times: by a process with all rights, so that it is known to be possible here; by a
//! confined one that was real root; by a confined one that is root in a user namespace of one user.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use binfmt_nix::host::Host;
use binfmt_nix::sandbox::confine::{Profile, drop_rights};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, getegid, geteuid};

use super::attempts::{self, Place};
use super::needs;
use crate::support::skip;

/// The role of a process that tries.
pub(crate) const ROLE: &str = "try-everything";

/// What came of each attempt and each need, by name.
type Came = BTreeMap<String, String>;

/// Runs a process that tries everything, `how` it is: `free`, `root`, `namespace`; `linked`, which is a namespace
/// where files are laid out as systemd-resolved has them; or `unpack`, which is `root` and shall have no network.
fn tried(how: &str) -> Came {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.furnish();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let name = format!("binfmt-nix-{port}");
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    fs::write(dir.path().join("port"), port.to_string()).unwrap();
    let done = Command::new(env::current_exe().unwrap())
        .args([ROLE, how, dir.path().to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr).into_owned());
    if let Some(why) = out.strip_prefix("skip ") {
        skip("kernel", why.trim());
    }
    assert!(done.status.success(), "{how}: {}\n{out}\n{err}", done.status);
    out.lines().map(|line| line.split_once(": ").unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// The other side: tries everything, and prints what came of it.
pub(crate) fn child(how: &str, place: &str) -> ExitCode {
    let place = Place::new(Path::new(place));
    let port: u16 = fs::read_to_string(place.dir.join("port")).unwrap().parse().unwrap();
    let entered = match how {
        "namespace" => enter_namespace(),
        "linked" => enter_namespace().and_then(|()| link()),
        _ => Ok(()),
    };
    if let Err(why) = entered {
        println!("skip this machine gives no user namespaces: {why}");
        return ExitCode::SUCCESS;
    }
    if how != "free" {
        let profile = if how == "unpack" { Profile::READER } else { Profile::CLIENT };
        let lacks = drop_rights(&Host::live(), &profile).unwrap();
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

/// A user namespace in which this process is root, and there is nobody else.
fn enter_namespace() -> std::io::Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// In a namespace of its own: /etc/resolv.conf and /etc/hosts lead elsewhere.
fn link() -> std::io::Result<()> {
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

fn needs_are_met(came: &Came) {
    for (name, _) in needs::ALL {
        assert_eq!(came.get(&format!("needs {name}")).map(String::as_str), Some("yes"), "{name}: {came:#?}");
    }
}

/// Everything was tried, and the kernel refused: there is no such call, or no right.
fn all_is_refused(came: &Came) {
    let refused = ["ENOSYS", "EPERM", "EACCES"];
    let slips: Vec<_> = attempts::ALL
        .iter()
        .map(|(name, _)| (*name, came.get(*name).map_or("was not tried", String::as_str)))
        .filter(|(_, how)| !refused.contains(how))
        .collect();
    assert!(slips.is_empty(), "{slips:#?}");
}

fn root() {
    if !geteuid().is_root() {
        skip("users", "not root: there is no other user to become");
    }
}

/// Some kernels are built without these.
const OPTIONAL: [&str; 5] = ["io_uring_setup", "bpf", "keyctl", "userfaultfd", "perf_event_open"];

#[test]
fn unconfined_attempts_succeed() {
    root();
    let came = tried("free");
    needs_are_met(&came);
    for (name, _) in attempts::ALL {
        let how = came.get(*name).map(String::as_str);
        let missing = OPTIONAL.contains(name) && how == Some("ENOSYS");
        assert!(how == Some("done") || missing, "{name}: {how:?}, so that it proves nothing when it fails");
    }
}

#[test]
fn confined_root_has_no_rights() {
    root();
    let came = tried("root");
    assert_eq!((came["uid"].as_str(), came["gid"].as_str()), ("65534", "65534"));
    needs_are_met(&came);
    all_is_refused(&came);
}

#[test]
fn confined_namespace_root_has_no_rights() {
    let came = tried("namespace");
    assert_eq!((came["uid"].as_str(), came["gid"].as_str()), ("0", "0"));
    needs_are_met(&came);
    all_is_refused(&came);
}

#[test]
fn linked_resolver_files_are_readable() {
    let came = tried("linked");
    needs_are_met(&came);
    all_is_refused(&came);
}

#[test]
fn an_unpacking_worker_has_no_network() {
    let came = tried("unpack");
    all_is_refused(&came);
    // Where there is no such library, there is nothing to be refused.
    let met = |name: &&str| *name != "libraries" && came[&format!("needs {name}")] == "yes";
    let met: Vec<_> = needs::ALL.iter().map(|(name, _)| *name).filter(met).collect();
    assert_eq!(met, ["the time", "chance", "memory", "standard output"]);
}
