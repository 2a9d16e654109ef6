//! The tool during a download from a server that never answers, and its worker, seen from outside.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::support::output::tool_path;
use crate::support::skip;

/// The longest wait for anything in these tests.
const LIMIT: Duration = Duration::from_secs(300);

/// A tool that waits for its worker, which waits for a server.
struct Stalled {
    tool: Child,
    child: Pid,
    root: TempDir,
}

impl Stalled {
    fn new() -> Self {
        Self::with_source(|server| {
            vec!["--source".into(), "download".into(), "--mirror".into(), format!("{server}/debian")]
        })
    }

    /// Starts a registration from the source that these options name; `options` gets the URL of the server.
    fn with_source(options: impl Fn(&str) -> Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = options(&format!("http://{}", listener.local_addr().unwrap()));
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        let asked = thread::spawn(move || listener.accept().unwrap().0);
        // The caller left files open, which the worker must not inherit.
        let mut tool = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" \"$@\" 7< /etc/hostname 9< /", tool_path()])
            .arg("--root")
            .arg(root.path())
            .args(["register", "aarch64", "--no-nix"])
            .args(options)
            .env_clear()
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + LIMIT;
        while !asked.is_finished() {
            assert!(Instant::now() < deadline && tool.try_wait().unwrap().is_none(), "no download has begun");
            sleep(Duration::from_millis(2));
        }
        // The connection stays open until the test ends.
        std::mem::forget(asked.join().unwrap());
        let id = tool.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let child = Pid::from_raw(children.trim().parse().unwrap());
        Self { tool, child, root }
    }

    fn status(&self, field: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    fn done(self) -> Output {
        self.tool.wait_with_output().unwrap()
    }
}

/// Whether a process exists and is not a zombie.
fn is_alive(id: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for the end of a process; false after a limit that no machine is too slow for.
fn ends_within_limit(id: Pid) -> bool {
    let deadline = Instant::now() + LIMIT;
    while is_alive(id) && Instant::now() < deadline {
        sleep(Duration::from_millis(1));
    }
    !is_alive(id)
}

#[test]
fn the_worker_is_confined() {
    let stalled = Stalled::new();
    let (privileges, filter) = (stalled.status("NoNewPrivs"), stalled.status("Seccomp"));
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| stalled.status(set));
    // The seccomp filter allows no further thread, and holds for each of these: the first, the client's, and for names.
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", stalled.child)).unwrap().flatten().collect();
    let filters = threads.iter().map(|thread| fs::read_to_string(thread.path().join("status")).unwrap());
    let filtered = filters.filter(|status| status.contains("Seccomp:\t2")).count();
    let limits = fs::read_to_string(format!("/proc/{}/limits", stalled.child)).unwrap();
    kill(stalled.child, Signal::SIGKILL).unwrap();
    assert_eq!((threads.len(), filtered), (6, 6));
    let address_space: Vec<_> = limits.lines().find(|line| line.starts_with("Max address space")).into_iter().collect();
    assert!(address_space[0].contains(" 1073741824 "), "{address_space:?}");
    assert_eq!((privileges.as_str(), filter.as_str()), ("1", "2"));
    assert_eq!(capabilities, ["0000000000000000"; 4]);
    stalled.done();
}

#[test]
fn the_worker_is_another_user_with_only_its_own_files() {
    if !geteuid().is_root() {
        skip("users", "not root: there is no other user to become, and what the child holds is hidden");
    }
    let stalled = Stalled::new();
    let ids = ["Uid", "Gid", "Groups"].map(|field| stalled.status(field));
    let held: Vec<_> = fs::read_dir(format!("/proc/{}/fd", stalled.child))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_link(entry.path()).unwrap()))
        .map(|(number, file)| (number.parse::<u32>().unwrap(), file.to_string_lossy().into_owned()))
        .collect();
    let root = fs::read_link(format!("/proc/{}/root", stalled.child)).unwrap();
    // The tool still has the caller's file open, so only the worker closed it.
    let inherited = fs::read_link(format!("/proc/{}/fd/7", stalled.tool.id())).unwrap();
    kill(stalled.child, Signal::SIGKILL).unwrap();
    stalled.done();
    let other_user = "65534\t65534\t65534\t65534";
    assert_eq!(ids, [other_user, other_user, ""]);
    assert_eq!((root.as_path(), inherited.as_path()), (Path::new("/"), Path::new("/etc/hostname")));
    for (number, file) in &held {
        let wanted: &[&str] = if *number < 3 { &["pipe:"] } else { &["socket:", "anon_inode:[event"] };
        assert!(wanted.iter().any(|kind| file.starts_with(kind)), "{held:?}");
    }
    assert!(held.len() > 3, "{held:?}");
}

#[test]
fn the_worker_ends_with_the_tool() {
    let mut stalled = Stalled::new();
    // A stopped worker cannot end by itself.
    kill(stalled.child, Signal::SIGSTOP).unwrap();
    let lock = File::open(stalled.root.path().join("run/binfmt-nix-change.lock")).unwrap();
    assert!(lock.try_lock().is_err());
    stalled.tool.kill().unwrap();
    stalled.tool.wait().unwrap();
    lock.try_lock().unwrap();
    assert!(ends_within_limit(stalled.child));
}

/// A worker that is stopped neither ends nor reaches one of its own limits, and without the signal the tool reports a
/// silent worker after five minutes with another exit status: so only the signal can end the tool like this.
#[test]
fn a_signal_ends_the_tool_and_the_worker() {
    let stalled = Stalled::new();
    let child = stalled.child;
    kill(child, Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(i32::try_from(stalled.tool.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(stalled.done().status.code(), Some(143));
    assert!(!is_alive(child));
}

#[test]
fn a_killed_worker_is_reported() {
    let stalled = Stalled::new();
    kill(stalled.child, Signal::SIGKILL).unwrap();
    let installed = stalled.root.path().join("usr");
    let root = stalled.root.path().to_owned();
    let Stalled { tool, root: _kept, .. } = stalled;
    let done = tool.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: the download worker was killed by signal 9 SIGKILL"), "{stderr}");
    assert!(!installed.exists() && root.exists(), "{stderr}");
}

/// The server of an archive never answers; meanwhile others change the machine.
#[test]
fn no_run_waits_for_the_download_of_an_archive() {
    let stalled =
        Stalled::with_source(|server| vec!["--from".into(), format!("{server}/x.deb"), "--insecure-no-digest".into()]);
    let root = stalled.root.path();
    let mut other = Command::new(tool_path());
    other.arg("--root").arg(root).args(["unregister", "riscv64", "--wait", "0"]).env_clear();
    let done = other.output().unwrap();
    kill(stalled.child, Signal::SIGKILL).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    stalled.done();
}

/// The mirror never answers, and another run reports that it waits for a download.
#[test]
fn a_run_that_waits_for_a_download_says_so() {
    let stalled = Stalled::new();
    let mut other = Command::new(tool_path());
    other.arg("--root").arg(stalled.root.path()).args(["unregister", "riscv64", "--wait", "1"]).env_clear();
    let done = other.output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    let note = format!("waiting for another binfmt-nix, process {}, which downloads emulators", stalled.tool.id());
    kill(stalled.child, Signal::SIGKILL).unwrap();
    assert!(!done.status.success() && stderr.contains(&note), "{stderr}");
    stalled.done();
}
