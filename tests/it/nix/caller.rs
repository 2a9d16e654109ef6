//! The caller's environment: root's own runs of Nix get nothing of it, and what is asked for the caller runs as the
//! caller. The Nix of these tests is a script that writes down who runs it, and with which variables.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use binfmt_nix::host::env::VARIABLES;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, connect, listen, socket,
};

use crate::binfmt::userns::{bind, memory, shown};
use crate::diagnose::doctor::running_host::live;
use crate::host::foreign_files::finish_command;
use crate::support::output::{Done, tool, tool_path};
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::{qemu, skip};

const WITNESS: &str = "/scratch/witness";

/// The arguments with which each program of Nix was started, one line each.
const ARGUMENTS: &str = "/scratch/witness.arguments";
/// A shell script that `nix-store --realise` runs.
const REALISE: &str = "/nix/realise";

/// Installs a Nix that only root could have installed. It builds whatever it is asked for, unless [`REALISE`] says
/// otherwise. Its daemon accepts connections as long as the result exists.
fn install_nix() -> UnixListener {
    live();
    memory(Path::new("/nix"));
    let bin = Path::new("/nix/var/nix/profiles/default/bin");
    fs::create_dir_all(bin).unwrap();
    fs::create_dir_all("/nix/store").unwrap();
    let write_down = format!(
        "{{ echo \"[$0] $(id -u):$(id -g):$(id -G)\"; env; }} >> {WITNESS}\n\
         echo \"${{0##*/}} $*\" | tr '\\n' ' ' >> {ARGUMENTS}\necho >> {ARGUMENTS}\n"
    );
    let derivation = |name: &str| format!(r#"{{"drv":"/nix/store/{name}.drv","out":"/nix/store/{name}"}}"#);
    let [sandboxed, plain] = ["sandboxed", "plain"].map(derivation);
    let scripts = [
        ("nix", "printf 'extra-platforms = aarch64-linux\\nsandbox = true\\n'\n".to_owned()),
        (
            "nix-instantiate",
            format!(r#"echo '[{{"sandboxed":{sandboxed},"plain":{plain},"probe":"/nix/store/p"}}]'"#) + "\n",
        ),
        ("nix-store", format!("[ \"$1\" != --realise ] || . {REALISE}\n")),
    ];
    for (name, text) in scripts {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{write_down}{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(REALISE, "exit 0\n").unwrap();
    for file in [WITNESS, ARGUMENTS] {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o755)).unwrap();
    for (file, text) in [
        ("passwd", "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/scratch/home of joe:/bin/sh\n"),
        ("group", "root:x:0:\njoe:x:1000:\nnixers:x:1234:ann,joe\n"),
    ] {
        let mine = Path::new(SCRATCH).join(file);
        fs::write(&mine, text).unwrap();
        let place = Path::new("/etc").join(file);
        // An empty /etc in memory has no such file.
        if place.exists() { bind(&mine, &place) } else { fs::write(&place, text).unwrap() }
    }
    fs::create_dir_all(Path::new(DAEMON_SOCKET).parent().unwrap()).unwrap();
    UnixListener::bind(DAEMON_SOCKET).unwrap()
}

const DAEMON_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";

/// Everything in an environment that can make Nix load a library, start a program or use another store.
const HOSTILE: [(&str, &str); 8] = [
    ("NIX_CONFIG", "plugin-files = /scratch/evil.so"),
    ("NIX_REMOTE", "unix:///scratch/evil.socket"),
    ("NIX_CONF_DIR", "/scratch/evil"),
    ("NIX_USER_CONF_FILES", "/scratch/evil/nix.conf"),
    ("XDG_CONFIG_HOME", "/scratch/evil"),
    ("XDG_CONFIG_DIRS", "/scratch/evil"),
    ("LD_PRELOAD", ""),
    ("HOME", "/scratch/evil"),
];

/// Runs `test --nix` with these variables. Returns the result, and what each program of Nix wrote down.
fn test_nix(mut command: Command, variables: &[(&str, &str)]) -> (Done, Vec<String>) {
    fs::write(WITNESS, "").unwrap();
    let done = command.envs(HOSTILE).envs(variables.iter().copied()).output().unwrap().into();
    let witness = fs::read_to_string(WITNESS).unwrap();
    let runs: Vec<String> = witness.split("[/nix/").skip(1).map(str::to_owned).collect();
    assert!(runs.len() >= 3, "{witness} {done:#?}");
    (done, runs)
}

fn as_root() -> Command {
    tool(&["test", "aarch64", "--nix"])
}

/// `plugin-files` made root load a library of another user.
#[sandboxed]
fn root_runs_nix_in_a_clean_environment() {
    let _daemon = install_nix();
    let (done, runs) = test_nix(as_root(), &[]);
    done.prints("Nix built a derivation for aarch64-linux in its sandbox (as root)");
    for run in &runs {
        assert!(run.contains("] 0:0:"), "{run}");
        assert!(!run.contains("evil"), "{run}");
        let mut names: Vec<_> = run.lines().skip(1).filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // The shell adds these.
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH"], "{run}");
        assert!(run.contains("HOME=/root\n"), "{run}");
    }
    // The doctor asks for the settings of this machine.
    fs::write(WITNESS, "").unwrap();
    drop(tool(&["doctor"]).envs(HOSTILE).output().unwrap());
    let witness = fs::read_to_string(WITNESS).unwrap();
    assert!(witness.contains("bin/nix] 0:0:") && !witness.contains("evil"), "{witness}");
}

/// Below sudo, the builds of the caller are the ones in question. They run with the caller's rights only.
#[sandboxed]
fn below_sudo_nix_runs_as_the_caller() {
    let _daemon = install_nix();
    let by_joe = [("SUDO_UID", "1000"), ("SUDO_GID", "1000"), ("SUDO_USER", "joe")];
    let (done, runs) = test_nix(as_root(), &by_joe);
    done.prints("Nix built a derivation for aarch64-linux in its sandbox (as joe)");
    for run in &runs {
        assert!(run.contains("] 1000:1000:1000 1234\n"), "{run}");
        assert!(run.contains("HOME=/scratch/home of joe\n"), "{run}");
        // These are the variables that joe's own shell passes to Nix.
        assert!(run.contains("NIX_CONFIG=plugin-files") && run.contains("NIX_REMOTE=unix:"), "{run}");
        assert!(run.contains("NIX_USER_CONF_FILES=") && run.contains("XDG_CONFIG_HOME="), "{run}");
        assert!(!run.contains("NIX_CONF_DIR") && !run.contains("LD_PRELOAD"), "{run}");
    }
    // passwd(5) does not list this user.
    let (done, runs) = test_nix(as_root(), &[("SUDO_UID", "4711"), ("SUDO_GID", "4712")]);
    done.prints("(as 4711)");
    assert!(
        runs.iter().any(|run| run.contains("] 4711:4712:4712\n") && run.contains("HOME=/nonexistent\n")),
        "{runs:#?}"
    );
    // An ordinary user cannot become another one by a variable.
    let mut stranger = itself("stranger").unwrap();
    stranger
        .arg(shown(Path::new(tool_path())))
        .args(["test", "aarch64", "--nix"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    stranger.env("BINFMT_NIX_TEST_ROLE", "stranger");
    let (done, runs) = test_nix(stranger, &by_joe);
    done.omits("(as joe)");
    assert!(runs.iter().all(|run| run.contains("] 65534:65534:")), "{runs:#?}");
}

/// The sandbox is not claimed from settings: only the derivation that needs it shows it.
#[sandboxed]
fn the_sandbox_is_reported_only_if_it_was_seen() {
    let _daemon = install_nix();
    fs::write(REALISE, "case $* in *sandboxed*) exit 1 ;; esac\n").unwrap();
    let (done, _) = test_nix(as_root(), &[]);
    done.prints("Nix built a derivation for aarch64-linux, not in its sandbox (as root)");
}

/// Without this option, root's Nix writes to the store itself, and the daemon's settings do not count.
#[sandboxed]
fn root_builds_through_the_daemon_if_one_listens() {
    let daemon = install_nix();
    let through_daemon = |text: &str| text.lines().all(|line| line.contains("--option store daemon"));
    test_nix(as_root(), &[]);
    assert!(through_daemon(&fs::read_to_string(ARGUMENTS).unwrap()));
    drop(daemon);
    fs::write(ARGUMENTS, "").unwrap();
    let (done, _) = test_nix(as_root(), &[("SUDO_UID", "1000"), ("SUDO_GID", "1000")]);
    done.prints("in its sandbox (as root)");
    assert!(!fs::read_to_string(ARGUMENTS).unwrap().contains("store daemon"));
    // Files of root in another user's store would prevent that user's builds.
    std::os::unix::fs::chown("/nix/store", Some(1000), Some(1000)).unwrap();
    let (done, runs) = test_nix(as_root(), &[]);
    done.prints("in its sandbox (as joe)");
    assert!(runs.iter().all(|run| run.contains("] 1000:1000:")), "{runs:#?}");
}

fn register(words: &[&str]) -> Done {
    register_as_root(words).env("SUDO_UID", "1000").env("SUDO_GID", "1000").output().unwrap().into()
}

fn register_as_root(words: &[&str]) -> Command {
    let qemu = qemu("aarch64");
    let source = ["register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    tool(&[&source, words].concat())
}

fn recorded_build() -> serde_json::Value {
    let status = Done::from(tool(&["status", "--json"]).output().unwrap()).exits(0).json();
    status["systems"][0]["nix_build"].clone()
}

#[sandboxed]
fn register_ends_with_a_build_that_status_remembers() {
    let _daemon = install_nix();
    register(&["--dry-run"]).exits(0).prints("would build      a derivation for aarch64-linux, by Nix as joe\n");
    register(&["--no-nix"]).exits(0).omits("Nix built");
    assert!(recorded_build().is_null());
    assert_eq!(fs::read_to_string(ARGUMENTS).unwrap().matches("--realise").count(), 0);
    let done = register(&[]).exits(0);
    assert_eq!(done.out.lines().last(), Some("Nix built a derivation for aarch64-linux in its sandbox (as joe)"));
    let build = recorded_build();
    assert_eq!((&build["result"], &build["user"]), (&"built-in-sandbox".into(), &"joe".into()), "{build}");
    let status = Done::from(tool(&["status"]).output().unwrap()).exits(0);
    assert!(status.out.contains("built ") && status.out.contains(" ago"), "{status:#?}");
    // A build that succeeded is not repeated.
    register(&[]).exits(0).prints("already registered").omits("Nix built");
    assert_eq!(fs::read_to_string(ARGUMENTS).unwrap().matches("--realise").count(), 1);
    // `test --nix` repeats it, and its result replaces the recorded one.
    let refusal = "error: a 'aarch64-linux' with features {} is required to build 'x', but I am a 'x86_64-linux'";
    fs::write(REALISE, format!("echo \"{refusal}\" >&2; exit 1\n")).unwrap();
    let (done, _) = test_nix(as_root(), &[]);
    done.exits(3).prints("Nix did not build a derivation for aarch64-linux (as root): error: a 'aarch64-linux'");
    assert_eq!(recorded_build()["result"], "failed");
    // Every register repeats a build that failed.
    let done = register(&["--json"]).exits(3).says("error: a 'aarch64-linux'").says("the cause: ");
    assert_eq!(done.json()["nix_builds"][0]["target"], "aarch64");
    fs::write(REALISE, "exit 0\n").unwrap();
    register(&[]).exits(0).prints("Nix built a derivation");
}

/// Nix runs code of its user below sudo, and prints what builders print.
#[sandboxed]
fn messages_of_nix_forge_no_line() {
    let _daemon = install_nix();
    let evil = r"building 'x'...\nerror: evil\nnote: forged\033[2J\raarch64 works\033]0;x\007\342\200\256\n";
    fs::write(REALISE, format!("printf \"{evil}\" >&2; exit 1\n")).unwrap();
    let by_joe = [("SUDO_UID", "1000"), ("SUDO_GID", "1000")];
    let mut prints = 0;
    for args in [&[][..], &["--json"]] {
        let runs = [
            register_as_root(args).envs(by_joe).output().unwrap().into(),
            test_nix(tool(&[&["test", "aarch64", "--nix"], args].concat()), &by_joe).0,
            tool(&[&["status", "-v"], args].concat()).output().unwrap().into(),
            tool(&[&["doctor"], args].concat()).envs(by_joe).output().unwrap().into(),
        ];
        for done in runs {
            let text = format!("{}{}", done.out, done.err);
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("note: forged") || line.starts_with("aarch64 works")));
            prints += usize::from(text.contains("evil"));
        }
    }
    assert!(prints >= 4, "{prints}");
}

/// Ctrl-C after the last change: the registration is complete, and the output reports that.
#[sandboxed]
fn an_interrupted_build_leaves_a_complete_registration() {
    let _daemon = install_nix();
    fs::write(REALISE, "kill -INT $PPID; sleep 600\n").unwrap();
    let done = Done::from(register_as_root(&[]).output().unwrap());
    done.exits(3).says("the build by Nix was interrupted").says("the registration is complete");
    assert!(recorded_build().is_null());
    fs::write(REALISE, "exit 0\n").unwrap();
    register(&[]).exits(0).prints("already registered").prints("Nix built a derivation");
}

/// The doctor gets a message of Nix that does not hold any more. It says what a build showed, as the user who asked.
#[sandboxed]
fn the_doctor_says_that_a_build_works_only_after_one() {
    const REFUSED: &str = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a \
                           'x86_64-linux' with features {benchmark, big-parallel, kvm}";
    let daemon = install_nix();
    let emulator = Path::new("/usr/local/qemu-aarch64");
    fs::copy(qemu("aarch64"), emulator).unwrap();
    let rule = crate::support::table::line("qemu-aarch64", "aarch64", emulator, "PF");
    fs::write(Path::new(crate::diagnose::doctor::running_host::TABLE).join("register"), rule).unwrap();
    let explain = |variables: &[(&str, &str)]| {
        let done: Done = tool(&["doctor", REFUSED, "--json"]).envs(variables.iter().copied()).output().unwrap().into();
        let report = done.exits(3).json();
        let meaning = report["meanings"][0].clone();
        (meaning["here"].to_string(), meaning["repair"].to_string())
    };
    let (here, _) = explain(&[]);
    assert!(here.contains("Nix built a derivation for aarch64-linux just now, as root, in its sandbox"), "{here}");
    assert!(here.contains("such a build worked here just now: try it again"), "{here}");
    let (here, _) = explain(&[("SUDO_UID", "1000"), ("SUDO_GID", "1000")]);
    assert!(here.contains("just now, as joe, in its sandbox"), "{here}");
    fs::write(REALISE, "case $* in *sandboxed*) exit 1 ;; esac\n").unwrap();
    let (here, _) = explain(&[]);
    assert!(here.contains("just now, as root, not in its sandbox"), "{here}");
    fs::write(REALISE, "echo \"error: getting attributes of path '/run/binfmt': No such file\" >&2\nexit 1\n").unwrap();
    let (here, repair) = explain(&[]);
    assert!(
        here.contains("Nix did not build a derivation for aarch64-linux just now, as root: error: getting"),
        "{here}"
    );
    assert!(!here.contains("try it again") && repair.contains("test aarch64 --nix"), "{here} {repair}");
    // What cannot be tried is not said to work.
    std::os::unix::fs::chown("/nix/var/nix/profiles/default/bin/nix", Some(1000), None).unwrap();
    fs::write("/etc/nix/nix.conf", "extra-extra-platforms = aarch64-linux\n").unwrap();
    let (here, repair) = explain(&[]);
    assert!(here.contains("no build was tried: no nix was found that can be run safely"), "{here}");
    assert!(!here.contains("try it again") && repair.contains("test aarch64 --nix"), "{here} {repair}");
    // A finding is the cause: no build is made.
    fs::write("/etc/nix/nix.conf", "").unwrap();
    fs::write(ARGUMENTS, "").unwrap();
    let (here, _) = explain(&[]);
    assert!(here.contains("nix-not-told") && !here.contains("just now, as"), "{here}");
    assert!(!fs::read_to_string(ARGUMENTS).unwrap().contains("--realise"));
    drop(daemon);
}

/// Promise 8 of SECURITY.md names every variable that the program can read, and no other one can be read.
#[test]
fn every_variable_that_is_read_is_documented() {
    let text = include_str!("../../../.github/SECURITY.md");
    let promise = text.split_once("8. **").unwrap().1.split_once("\n9. **").unwrap().0;
    let missing: Vec<_> = VARIABLES.iter().filter(|name| !promise.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let words = promise.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let libraries = [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "TERM",
        "COLUMNS",
        "LINES",
        "CI",
        "COLORTERM",
        "LANG",
        "RUST_BACKTRACE",
        "LC_ALL",
        "O_PATH",
    ];
    let unread: Vec<_> =
        words.filter(is_name).filter(|word| !VARIABLES.contains(word) && !libraries.contains(word)).collect();
    assert!(unread.is_empty(), "{unread:?}");
}

/// The owner of a store without a daemon may listen on the daemon's socket, and accept nothing.
#[sandboxed]
fn a_full_queue_of_the_daemon_does_not_block() {
    drop(install_nix());
    fs::remove_file(DAEMON_SOCKET).unwrap();
    let new = |flags| socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | flags, None).unwrap();
    let address = UnixAddr::new(DAEMON_SOCKET).unwrap();
    let daemon = new(SockFlag::empty());
    bind_socket(daemon.as_raw_fd(), &address).unwrap();
    listen(&daemon, Backlog::new(0).unwrap()).unwrap();
    let waiting: Vec<_> = std::iter::repeat_with(|| new(SockFlag::SOCK_NONBLOCK))
        .take_while(|client| connect(client.as_raw_fd(), &address) != Err(Errno::EAGAIN))
        .collect();
    assert!(!waiting.is_empty() && waiting.len() < 100);
    finish_command(&mut as_root()).omits("panicked").prints("(as root)");
    finish_command(&mut tool(&["doctor"])).exits_with(&[0, 3]);
}

/// Below sudo, the caller's home directory may be on a file system that never answers. Root looks for a Nix there, if
/// the machine has none.
#[sandboxed]
fn a_home_directory_that_never_answers_does_not_block() {
    drop(install_nix());
    fs::remove_dir_all("/nix/var/nix/profiles").unwrap();
    let home = Path::new("/scratch/home of joe");
    fs::create_dir(home).unwrap();
    let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let server = server.unwrap_or_else(|why| skip("fuse", format!("there is no /dev/fuse: {why}")));
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
    mount(Some("joe"), home, Some("fuse"), MsFlags::empty(), Some(options.as_str()))
        .unwrap_or_else(|why| skip("fuse", format!("this kernel mounts no fuse in a user namespace: {why}")));
    fs::write(DAEMON_SOCKET, "").unwrap_or_default();
    drop(fs::remove_file(DAEMON_SOCKET));
    let _daemon = UnixListener::bind(DAEMON_SOCKET).unwrap();
    for args in [&["test", "aarch64", "--nix"][..], &["doctor"]] {
        let mut command = tool(args);
        finish_command(command.env("SUDO_UID", "1000").env("SUDO_GID", "1000")).omits("panicked");
    }
}

/// A directory for temporary files in which another user could replace the probe is not used.
#[sandboxed]
fn the_probe_of_a_build_is_where_no_other_user_can_replace_it() {
    let _daemon = install_nix();
    for (dir, mode) in [("/tmp", 0o777), ("/var/tmp", 0o1777)] {
        memory(Path::new(dir));
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }
    let used = || {
        fs::write(ARGUMENTS, "").unwrap();
        drop(test_nix(as_root(), &[]));
        let arguments = fs::read_to_string(ARGUMENTS).unwrap();
        ["\"/tmp/binfmt-nix-", "\"/var/tmp/binfmt-nix-"].map(|place| arguments.contains(place))
    };
    assert_eq!(used(), [false, true]);
    fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(used(), [true, false]);
    assert_eq!(fs::read_dir("/tmp").unwrap().chain(fs::read_dir("/var/tmp").unwrap()).count(), 0);
}
