//! Files of other users: FIFOs, links to devices, endless files, files that are exchanged while they are looked at, and
//! lines that include what only root may read. No run waits for such a file, opens it, or repeats it.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use binfmt_nix::diagnose::explain::{MachineFacts, explain_file};
use binfmt_nix::host::Host;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MsFlags, mount};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::diagnose::doctor::reports::{finding, finding_ids, finds};
use crate::support::alongside::run_alongside;
use crate::support::output::{Done, tool};
use crate::support::sandbox::{SCRATCH, with_all_users};
use crate::support::server::{Manner, Server};
use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR, LOCK, NIX_CONF, RECEIPT, TABLE};
use crate::support::{Tree, fault_table, qemu, skip};

const JOES: &str = "home/joe/.config/nix/nix.conf";
const SETTING: &str = "extra-platforms = aarch64-linux\n";
const JOE: u32 = 1000;

/// Ends a run that hangs. The limit suits a slow machine: no run of these tests takes a second.
pub(crate) fn finish(child: Child) -> Done {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, ended) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let hangs = ended.recv_timeout(Duration::from_secs(100)) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        hangs
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    assert!(!watchdog.join().unwrap(), "it hangs: {output:?}");
    Done::from(output).omits("panicked")
}

pub(crate) fn finish_command(command: &mut Command) -> Done {
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Limits the memory of this process and of the runs that it starts, to less than an endless file needs.
fn limit_memory() {
    setrlimit(Resource::RLIMIT_AS, 2 << 30, 2 << 30).unwrap();
}

fn fifo(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path.parent().unwrap()).unwrap();
    mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap();
}

/// Something that is not a regular file of a sensible size, and the function that creates it.
type Trap = (&'static str, fn(&Path));

const TRAPS: [Trap; 4] = [
    ("a FIFO", fifo),
    ("a link to /dev/zero", |path| symlink("/dev/zero", path).unwrap()),
    ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ("a sparse file of 1 TiB", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
];

/// A machine with the home directory of joe, which belongs to that user.
fn tree_of_joe() -> Tree {
    let tree = Tree::new().dir("home/joe/.config/nix");
    ["home/joe", "home/joe/.config", "home/joe/.config/nix"].iter().fold(tree, |tree, dir| tree.owner(dir, JOE))
}

#[sandboxed]
fn doctor_survives_every_nix_conf_of_a_user() {
    limit_memory();
    for (what, trap) in TRAPS {
        let tree = tree_of_joe();
        trap(&tree.path(JOES));
        println!("{what}");
        finish(tree.start(&["doctor"])).exits(0);
        finish(tree.start(&["doctor", "cannot execute binary file: Exec format error"])).exits(3);
        finish(tree.start(&["doctor", "--fix"])).exits(0);
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("`doctor`, with no regular file as the nix.conf of a user", TRAPS.len() * 3);
}

/// The settings of many lines need no more memory than a small multiple of the limit.
#[sandboxed]
fn doctor_reads_a_limited_part_of_a_users_settings() {
    let tree = tree_of_joe();
    tree.write(JOES, "a =\n".repeat(40_000) + SETTING);
    let tree = tree.owner(JOES, JOE);
    finds(&tree, &["user-not-trusted"]);
    tree.append(JOES, &"a =\n".repeat(40_000));
    finds(&tree, &[]);
}

/// A line of joe's file does not make root read for joe what joe cannot read.
#[sandboxed]
fn an_include_is_followed_with_the_rights_of_the_user() {
    let is_followed = |target: &str| {
        let tree = tree_of_joe().dir("root").mode("root", 0o700).file("root/readable.conf", SETTING);
        let tree = tree.file("root.conf", SETTING).file("secret.conf", SETTING).mode("secret.conf", 0o600);
        let tree =
            tree.file("home/joe/own.conf", SETTING).owner("home/joe/own.conf", JOE).mode("home/joe/own.conf", 0o600);
        let tree = tree.file("home/ann/hers.conf", SETTING).owner("home/ann/hers.conf", 1001);
        let tree = tree.link("home/joe/link.conf", "/tree/root/readable.conf");
        for line in [format!("include {target}\n"), format!("!include {target}\n")] {
            let tree = tree_with(&tree, &line);
            let found = tree.run(&["doctor", "--json"]).json();
            if finding_ids(&found) == ["user-not-trusted"] {
                assert!(finding(&found, "user-not-trusted")["what"].as_str().unwrap().contains("extra-platforms"));
                return true;
            }
            assert_eq!(finding_ids(&found), [""; 0], "{found:#}");
        }
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
        false
    };
    for target in ["/home/joe/own.conf", "../../own.conf", "/root.conf"] {
        assert!(is_followed(target), "{target}");
    }
    let others = ["/root/readable.conf", "/secret.conf", "/home/ann/hers.conf", "/home/joe/link.conf"];
    for target in others {
        assert!(!is_followed(target), "{target}");
    }
    fault_table::line("`doctor`, with an `include` of a file that the user may not read", others.len() * 2);
}

fn tree_with<'a>(tree: &'a Tree, line: &str) -> &'a Tree {
    tree.write(JOES, line);
    chown(tree.path(JOES), Some(JOE), Some(JOE)).unwrap();
    tree
}

/// The owner of a directory may mount a file system there that never answers; with `allow_other` root enters it.
#[sandboxed]
fn doctor_does_not_wait_for_a_file_system_that_never_answers() {
    with_all_users();
    let tree = tree_of_joe();
    let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let server = server.unwrap_or_else(|why| skip("fuse", format!("there is no /dev/fuse: {why}")));
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
    let home = tree.path("home/joe");
    mount(Some("joe"), &home, Some("fuse"), MsFlags::empty(), Some(options.as_str()))
        .unwrap_or_else(|why| skip("fuse", format!("this kernel mounts no fuse in a user namespace: {why}")));
    finish(tree.start(&["doctor"])).exits(0);
    let fixing = tree.start(&["doctor", "--fix"]);
    let threads = Path::new("/proc").join(fixing.id().to_string()).join("task");
    while fs::read_dir(&threads).unwrap().count() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(i32::try_from(fixing.id()).unwrap()), Signal::SIGTERM).unwrap();
    finish(fixing).exits(143);
}

/// A file that is a regular file and a FIFO in turn, at two names. Counts how often the FIFO was opened; `O_PATH` does
/// not count (inotify(7)).
struct Exchange {
    fifo_events: Inotify,
    file: PathBuf,
    fifo: PathBuf,
}

impl Exchange {
    fn of(file: &Path) -> Self {
        let beside = file.with_file_name("beside");
        fifo(&beside);
        let fifo_events = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        fifo_events.add_watch(&beside, AddWatchFlags::IN_OPEN).unwrap();
        Self { fifo_events, file: file.to_owned(), fifo: beside }
    }

    /// Exchanges both names without a pause while `work` runs. Returns the number of exchanges.
    fn during(&self, work: impl FnOnce()) -> usize {
        let exchange = |is_done: &AtomicBool| {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) || count % 2 == 1 {
                renameat2(AT_FDCWD, &self.file, AT_FDCWD, &self.fifo, RenameFlags::RENAME_EXCHANGE).unwrap();
                count += 1;
            }
            count
        };
        run_alongside(exchange, work).0
    }

    #[track_caller]
    fn never_opened(&self) {
        let opened = self.fifo_events.read_events().map_or(0, |events| events.len());
        assert_eq!(opened, 0, "the FIFO was opened");
    }
}

/// 8 of 80 runs opened the other file when the check and the opening were two steps by path.
#[sandboxed]
fn a_file_that_is_exchanged_is_never_opened_unchecked() {
    let path = Path::new(SCRATCH).join("program");
    fs::copy(qemu("aarch64"), &path).unwrap();
    let exchange = Exchange::of(&path);
    let host = Host::live();
    let machine = MachineFacts::with_all_loaders("x86_64", binfmt_nix::binfmt::table::Table::NotMounted);
    let mut regular = 0;
    let exchanges = exchange.during(|| {
        for _ in 0..10_000 {
            drop(explain_file(&host, &machine, &path));
            drop(host.open_nofollow(&path));
            regular += usize::from(binfmt_nix::host::user_files::open_regular(&path).is_ok());
        }
    });
    exchange.never_opened();
    assert!(exchanges > 0);
    println!("{regular} of 10000 times a regular file, {exchanges} exchanges");
    fault_table::line("a file exchanged with a FIFO while it is opened", 30_000);
}

/// Any user who may start a container can change its files, and the program in it can do so while `doctor` runs.
#[sandboxed]
fn a_program_in_a_container_layer_is_never_opened_unchecked() {
    let probe = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let sudo = "var/lib/docker/overlay2/0123/diff/usr/bin/sudo";
    let tree = Tree::new().program(sudo, probe).mode(sudo, 0o4755);
    tree.register("aarch64").exits(0);
    finds(&tree, &["credentials-missing"]);
    let exchange = Exchange::of(&tree.path(sudo));
    exchange.during(|| {
        for _ in 0..5 {
            finish(tree.start(&["doctor"])).exits_with(&[0, 3]);
        }
    });
    exchange.never_opened();
    // A link in the layer does not lead out of it.
    let tree = tree.program("srv/bin/sudo", probe).mode("srv/bin/sudo", 0o4755);
    let tree = tree
        .without("var/lib/docker/overlay2/0123/diff/usr")
        .link("var/lib/docker/overlay2/0123/diff/usr", "/tree/srv");
    finds(&tree, &[]);
}

/// The kernel holds the file of an entry with flag F, so that its path may lead to anything later.
#[sandboxed]
fn an_interpreter_that_became_a_fifo_is_found() {
    let tree = Tree::new().program("opt/qemu", fs::read(qemu("aarch64")).unwrap()).mounted();
    let tree = tree.entry(&line("theirs", "aarch64", Path::new("/tree/opt/qemu"), "F"));
    tree.remove("opt/qemu");
    fifo(&tree.path("opt/qemu"));
    let found = finish(tree.start(&["doctor", "--json"])).exits(3).json();
    let what = &finding(&found, "interpreter-unfit");
    assert!(what["what"].as_str().unwrap().contains("/tree/opt/qemu"), "{what:#}");
    assert!(what["why"].as_str().unwrap().contains("not a regular file"), "{what:#}");
    for command in [&["status"][..], &["test", "aarch64"], &["list"]] {
        finish(tree.start(command));
    }
}

#[sandboxed]
fn a_tree_with_fifos_is_refused_without_waiting() {
    let commands = [
        &["status"][..],
        &["doctor"],
        &["doctor", "--fix"],
        &["register", "aarch64", "--qemu"],
        &["unregister", "all"],
    ];
    let places = [
        NIX_CONF,
        "etc/binfmt.d/x.conf",
        "etc/apt/sources.list",
        "var/lib/binfmt-nix/receipt.json",
        TABLE,
        "proc/sys/fs/binfmt_misc/register",
        "proc/sys/fs/binfmt_misc/qemu-aarch64",
    ];
    let qemu = qemu("aarch64");
    let mut runs = 0;
    for place in places {
        let tree = Tree::new().without(NIX_CONF).without(TABLE);
        let tree = if place.starts_with(TABLE) { tree } else { tree.dir(TABLE) };
        let tree =
            if place.contains("binfmt_misc/") { tree.dir(TABLE).file(&format!("{TABLE}/register"), "") } else { tree };
        if tree.exists(place) {
            tree.remove(place);
        }
        fifo(&tree.path(place));
        for command in commands {
            let qemu = command.contains(&"--qemu").then(|| qemu.to_str().unwrap());
            let args: Vec<_> = command.iter().copied().chain(qemu).collect();
            println!("{place}: {args:?}");
            finish(tree.start(&args)).exits_with(&[0, 1, 3]);
            runs += 1;
        }
        nix::mount::umount2("/tree/proc/sys/fs/binfmt_misc", nix::mount::MntFlags::MNT_DETACH).ok();
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("runs on a tree with a FIFO as a file", runs);
}

/// The boot starts `restore`, which must not wait for ever, and which restores the other systems.
#[sandboxed]
fn restore_refuses_what_is_no_regular_file_without_waiting() {
    limit_memory();
    let mut runs = 0;
    for (what, trap) in TRAPS {
        let tree = Tree::new().mounted();
        for system in ["aarch64", "riscv64"] {
            tree.register(system).exits(0);
        }
        for place in [EMULATOR, BOOT, RECEIPT, LOCK] {
            let is_of_one_system = [EMULATOR, BOOT].contains(&place);
            for system in ["aarch64", "riscv64"] {
                tree.write_kernel(&format!("qemu-{system}"), "-1");
            }
            let is_there = tree.exists(place);
            if is_there {
                fs::rename(tree.path(place), tree.path("run/real")).unwrap();
            }
            trap(&tree.path(place));
            println!("{what}: {place}");
            for args in [&["restore", "--check"][..], &["restore", "--wait", "0"]] {
                let done = finish(tree.start(args)).exits_with(if is_of_one_system { &[3] } else { &[0, 1, 3] });
                runs += 1;
                if is_of_one_system {
                    done.says("aarch64: ").prints("riscv64: ");
                }
            }
            assert!(!is_of_one_system || !tree.entries().contains(&"qemu-aarch64".to_owned()), "{what}: {place}");
            assert!(!is_of_one_system || tree.runs("riscv64"), "{what}: {place}");
            drop(fs::remove_file(tree.path(place)));
            if is_there {
                fs::rename(tree.path("run/real"), tree.path(place)).unwrap();
            }
            tree.run(&["restore", "--wait", "0"]).exits(0);
            assert!(tree.runs("aarch64"), "{what}: {place}");
        }
        tree.discard();
    }
    fault_table::line("`restore`, with no regular file as one of its files", runs);
}

/// Runs a download from an address where nothing listens, with a file that a variable of the caller names.
fn download(tree: &Tree, url: &str, variables: &[(&str, &str)]) -> Done {
    let mut command = tool(&["--root", "/tree", "register", "aarch64", "--sha256", &"0".repeat(64), "--from", url]);
    command.envs(variables.iter().copied());
    assert!(tree.exists("run"));
    finish_command(&mut command)
}

#[sandboxed]
fn files_named_by_the_environment_are_opened_only_if_they_are_regular() {
    limit_memory();
    let variables =
        ["NETRC", "HOME", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "SSL_CERT_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"];
    for (what, trap) in TRAPS {
        let tree = tree_of_joe();
        for name in [".netrc", "5ed36f99.0", "config.json"] {
            trap(&tree.path("home/joe").join(name));
        }
        for variable in variables {
            let value = match variable {
                "HOME" | "SSL_CERT_DIR" | "DOCKER_CONFIG" => "/tree/home/joe".to_owned(),
                _ => "/tree/home/joe/.netrc".to_owned(),
            };
            println!("{variable}: {what}");
            let url = if ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG"].contains(&variable) {
                "oci://127.0.0.1:9/qemu:latest"
            } else {
                "https://127.0.0.1:9/qemu.tar"
            };
            download(&tree, url, &[(variable, &value), ("SUDO_UID", "1000"), ("SUDO_GID", "1000")]).exits_with(&[1, 2]);
        }
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("downloads with no regular file in a variable", TRAPS.len() * variables.len());
}

/// A user whose HOME sudo keeps links ~/.netrc to that of root, and gets no password of root.
#[sandboxed]
fn a_netrc_is_read_with_the_rights_of_the_caller() {
    with_all_users();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.is_ok_and(|up| up.success()) {
        skip("kernel", "ip cannot set up a loopback in this sandbox");
    }
    let logins_with = |home: &str, variables: &[(&str, &str)]| {
        let server = Server::start(&std::sync::Arc::new(vec![0]), Manner::Ranges);
        let host = server.address.clone();
        let text = |user: &str| format!("machine http://{host}\nlogin {user}\npassword secret\n");
        let tree = tree_of_joe().dir("root").mode("root", 0o700);
        let tree = tree.file("root/.netrc", text("root")).mode("root/.netrc", 0o600);
        let tree = tree.file("home/joe/own/.netrc", text("joe")).owner("home/joe/own/.netrc", JOE);
        let tree = tree.dir("home/joe/linked").link("home/joe/linked/.netrc", "/tree/root/.netrc");
        let tree = tree.link("home/joe/root", "/tree/root");
        let url = format!("http://{host}/qemu.tar");
        download(&tree, &url, &[&[("HOME", home)], variables].concat());
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
        server.logins()
    };
    let basic = |user: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret"))
    };
    let by_joe = [("SUDO_UID", "1000"), ("SUDO_GID", "1000")];
    for variables in [&by_joe[..], &[]] {
        let logins = logins_with("/tree/home/joe/own", variables);
        assert!(logins.iter().any(|login| login.contains(&basic("joe"))), "{logins:?}");
        for home in ["/tree/home/joe/linked", "/tree/home/joe/root"] {
            let logins = logins_with(home, variables);
            assert!(!logins.iter().any(|login| login.contains(&basic("root"))), "{home}: {logins:?}");
        }
        let logins = logins_with("/tree/root", variables);
        assert!(logins.iter().any(|login| login.contains(&basic("root"))), "{logins:?}");
    }
}
