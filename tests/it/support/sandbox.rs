//! A sandbox for each test: user, mount and network namespaces of its own, and a root directory in memory.
//!
//! The test program starts itself again for every test. The new process unshares its namespaces, and its parent maps
//! the ids. Then the process enters a root directory in memory, in which every directory of the machine is mounted
//! read-only. The new root directory belongs to the process, so every directory above the tests' tree is trusted,
//! whichever user runs the tests.

use std::any::Any;
use std::ffi::OsStr;
use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, io, panic};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, chdir, chroot, pivot_root, setgid, setgroups, setuid};

use super::fault_table;
use super::harness::{Outcome, Skip, skip};
use super::proposals;

/// Variable with the role of a process that is not the harness: `test`, `chroot`, `stranger`, `blocker`,
/// `idle`, `service` or `emulator`.
const ROLE: &str = "BINFMT_NIX_TEST_ROLE";
/// Variable with the directory on which the new root is mounted.
const MOUNT: &str = "BINFMT_NIX_TEST_MOUNT";
/// Exit status of a skipped test, whose stdout has the reason.
const SKIPPED: i32 = 77;

/// Directory in memory for files that do not belong to the tree.
pub(crate) const SCRATCH: &str = "/scratch";

/// Name of this program in [`SCRATCH`] when it acts as an emulator.
pub(crate) const DYNAMIC: &str = "dynamic";

/// Skips the running test in a sandbox with one user: there files of the real root belong to an unmapped user.
pub(crate) fn with_all_users() {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().nth(2) == Some("1") {
        skip("users", "an ordinary user's namespace has one user");
    }
}

/// Runs the test of this name in a sandbox. Called in the harness.
pub(crate) fn run(name: &str, mount: &Path) -> Outcome {
    let output = match start(name, mount) {
        Ok(output) => output,
        Err(error) => return Outcome::Failed(format!("cannot start {name}: {error}")),
    };
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => compare_reports(&stdout),
        Some(SKIPPED) => {
            let (what, why) = stdout.split_once('\n').unwrap_or((&stdout, ""));
            Outcome::Skipped { what: what.to_owned(), why: why.to_owned() }
        }
        _ => Outcome::Failed(format!("{}\n{stdout}\n{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// Compares the reported numbers with the table of faults, and the reported commands with the list of proposals.
fn compare_reports(stdout: &str) -> Outcome {
    fault_table::note_samples(stdout);
    let noted = stdout.lines().filter_map(|line| line.strip_prefix(fault_table::MARK)?.split_once('\t'));
    let wrong = noted.filter_map(|(what, times)| fault_table::compare(what, times).err());
    let wrong: Vec<_> = wrong.chain(proposals::note_reported(stdout)).collect();
    if wrong.is_empty() { Outcome::Passed } else { Outcome::Failed(wrong.join("\n")) }
}

fn start(name: &str, mount: &Path) -> io::Result<Output> {
    let mut command = itself("test")?;
    command.arg(name).env(MOUNT, mount);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // The process requests its ids by one byte; any other byte is the start of an error message.
    let mut first = [0];
    let answered = child.stdout.as_mut().is_some_and(|out| out.read_exact(&mut first).is_ok());
    let asked = answered && first == *b"?";
    if asked {
        map_ids(child.id())?;
        child.stdin.take().map_or(Ok(()), |mut gate| gate.write_all(b"\n"))?;
    }
    let mut output = child.wait_with_output()?;
    if answered && !asked {
        output.stdout.insert(0, first[0]);
    }
    Ok(output)
}

/// Maps as many users as Debian has if this process is root, otherwise only its own user.
fn map_ids(pid: u32) -> io::Result<()> {
    let write = |file: &str, text: &str| fs::write(format!("/proc/{pid}/{file}"), text);
    if write("uid_map", "0 0 65536").is_ok() {
        return write("gid_map", "0 0 65536");
    }
    write("uid_map", &format!("0 {} 1", Uid::effective()))?;
    write("setgroups", "deny")?;
    write("gid_map", &format!("0 {} 1", Gid::effective()))
}

/// A command that starts this program in another role.
pub(crate) fn itself(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, role).env("RUST_BACKTRACE", "0");
    Ok(command)
}

/// Plays the role that [`itself`] set; `None` in the harness.
pub(crate) fn run_role(find: impl Fn(&str) -> Option<fn()>) -> Option<i32> {
    let role = env::var(ROLE).ok().or_else(as_an_emulator)?;
    let args: Vec<_> = env::args_os().skip(1).collect();
    let error = match (role.as_str(), args.as_slice()) {
        ("test", [name]) => match name.to_str().and_then(&find) {
            Some(found) => return Some(test(found)),
            None => io::Error::other("no such test"),
        },
        // Enters a chroot and executes a program there.
        ("chroot", [dir, program, arg0]) => {
            chroot(Path::new(dir)).and_then(|()| chdir("/")).map_or_else(io::Error::from, |()| become_as(program, arg0))
        }
        // Executes a program as the user nobody, or as an unmapped user if this sandbox has only one.
        ("stranger", [program, ..]) => become_nobody()
            .or_else(|_| Ok(unshare(CloneFlags::CLONE_NEWUSER)?))
            .map_or_else(|error: io::Error| error, |()| Command::new(program).args(&args[1..]).env_remove(ROLE).exec()),
        // Locks everything that the user nobody can open below some directories.
        ("blocker", dirs) => match become_nobody().and_then(|()| super::blocker::block(dirs)) {
            Ok(()) => return Some(0),
            Err(error) => error,
        },
        // A program that waits, under the name that it was started with.
        ("idle", _) => match io::stdin().read(&mut [0]) {
            Ok(_) => return Some(0),
            Err(error) => error,
        },
        // The same without standard input, as a daemon.
        ("service", _) => {
            std::thread::sleep(std::time::Duration::from_secs(600));
            return Some(0);
        }
        // Starts the real emulator.
        ("emulator", [program, arg0]) => {
            Command::new(Path::new(SCRATCH).join("emulator")).arg("-0").arg(arg0).arg(program).exec()
        }
        _ => io::Error::other("no such role"),
    };
    eprintln!("{role}: {error}");
    Some(126)
}

/// Gives up the ids and groups of root.
fn become_nobody() -> io::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(65534))?;
    Ok(setuid(Uid::from_raw(65534))?)
}

/// The role of an emulator is known by the path that was registered, because the kernel passes none of our variables
/// to an interpreter: see `emulators::dynamic`.
fn as_an_emulator() -> Option<String> {
    let name = env::args_os().next()?;
    (Path::new(&name) == Path::new(SCRATCH).join(DYNAMIC)).then(|| "emulator".to_owned())
}

fn become_as(program: &OsStr, arg0: &OsStr) -> io::Error {
    Command::new(program).arg0(arg0).env_clear().exec()
}

fn test(test: fn()) -> i32 {
    let done = panic::catch_unwind(|| {
        enter().unwrap_or_else(|why| skip("kernel", why));
        test();
    });
    match done.map_err(|payload: Box<dyn Any + Send>| payload.downcast::<Skip>()) {
        Ok(()) => 0,
        Err(Ok(skip)) => {
            println!("{}\n{}", skip.what, skip.why);
            SKIPPED
        }
        // The message of the panic is on stderr.
        Err(Err(_)) => 101,
    }
}

/// Enters a new sandbox.
fn enter() -> Result<(), String> {
    let all = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    unshare(all).map_err(|e| format!("this machine gives no user namespaces: {}", e.desc()))?;
    io::stdout().write_all(b"?").and_then(|()| io::stdout().flush()).map_err(|e| e.to_string())?;
    io::stdin().lock().read_line(&mut String::new()).map_err(|e| e.to_string())?;
    let dir = PathBuf::from(env::var_os(MOUNT).ok_or("no directory to mount on")?);
    new_root(&dir).map_err(|e| format!("a user namespace may not mount here: {e}"))?;
    env::set_current_dir("/").map_err(|e| e.to_string())?;
    let table = Path::new(SCRATCH).join("table");
    fs::create_dir(&table).map_err(|e| e.to_string())?;
    mount(None::<&str>, &table, Some("binfmt_misc"), MsFlags::empty(), None::<&str>)
        .map_err(|e| format!("a user namespace has no binfmt_misc of its own before Linux 6.7: {}", e.desc()))?;
    umount2(&table, MntFlags::empty()).map_err(|e| e.to_string())?;
    fs::remove_dir(&table).map_err(|e| e.to_string())
}

/// Makes a root directory in memory that has every directory of the old one.
fn new_root(dir: &Path) -> io::Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    mount(NONE, dir, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
    // No name server answers here. musl's default is to wait 10 s for an answer (resolv.conf(5)).
    let resolver = dir.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
    // A mount of its own can be bound, unlike the root directory.
    mount(Some(&resolver), &resolver, NONE, MsFlags::MS_BIND, NONE)?;
    mount(NONE, dir, NONE, MsFlags::MS_UNBINDABLE, NONE)?;
    for entry in fs::read_dir("/")? {
        let (old, new) = (entry?.path(), dir.to_owned());
        let new = new.join(old.strip_prefix("/").map_err(io::Error::other)?);
        let meta = fs::symlink_metadata(&old)?;
        if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&old)?, &new)?;
        } else if meta.is_dir() {
            fs::create_dir(&new)?;
            mount(Some(&old), &new, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
            read_only(&new);
        }
    }
    fs::create_dir_all(dir.join(&SCRATCH[1..]))?;
    chdir(dir)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    let usual = Path::new("/etc/resolv.conf");
    if usual.exists() {
        mount(Some("/resolv.conf"), usual, NONE, MsFlags::MS_BIND, NONE)?;
    }
    Ok(())
}

/// Remounts a directory read-only with the flags that it has, which a mount from another user namespace must keep.
/// This is a second protection, so a failure is ignored.
fn read_only(dir: &Path) {
    let Ok(flags) = statvfs(dir).map(|fs| fs.flags()) else { return };
    let keep = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let keep = keep.into_iter().filter(|(has, _)| flags.contains(*has)).map(|(_, keep)| keep);
    let flags = keep.fold(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, |all, flag| all | flag);
    let _: nix::Result<()> = mount(None::<&str>, dir, None::<&str>, flags, None::<&str>);
}
