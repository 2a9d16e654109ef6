//! The launcher on the real kernel: programs of aarch64 that have a native pair, the real QEMU, and what happens
//! without the pair.
//!
//! The guest and the native program are BusyBox, so `uname -m` and `arch` show which of them runs.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use binfmt_magic::{EntryName, Pattern, Recognition, Rule};
use binfmt_nix::binfmt::launcher::{FileIdentity, Inode, LauncherAudit, LauncherPair, combine};
use binfmt_nix::sha256::{Sha256, to_hex};

use crate::support::emulators::{busybox, outside};
use crate::support::sandbox::{SCRATCH, itself, with_all_users};
use crate::support::table::line;
use crate::support::{Tree, qemu};

const EMULATED: &str = "aarch64\n";
const NATIVE: &str = "x86_64\n";

/// A machine with the entry of aarch64, and a guest and a native program that may be changed.
struct Machine {
    tree: Tree,
    guest: PathBuf,
    native: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let tree = Tree::without_nix().mounted();
        tree.enter(&line("qemu-aarch64", "aarch64", &qemu("aarch64"), "PF"));
        let native = busybox().parent().unwrap().join("../../busybox-static-amd64/bin/busybox");
        let guest = outside("busybox-guest", &fs::read(busybox()).unwrap());
        let native = outside("native", &fs::read(native).unwrap());
        Self { tree, guest, native }
    }

    /// The native program instead of the guest program, without conditions.
    fn pair(&self) -> LauncherPair {
        LauncherPair {
            guest: identify(&self.guest),
            native: identify(&self.native),
            start: self.native.clone(),
            words: vec![None],
            arguments: Vec::new(),
            environment: Vec::new(),
            names: Vec::new(),
            refused_arguments: Vec::new(),
            refused_variables: Vec::new(),
            c_locale: false,
            audit: None,
        }
    }

    /// The same with the one pair that this function makes.
    fn accelerate_with(self, make: impl FnOnce(&Self) -> LauncherPair) -> Self {
        let pair = make(&self);
        self.accelerate(&[pair])
    }

    /// Registers an entry for the guest program, with these pairs.
    fn accelerate(self, pairs: &[LauncherPair]) -> Self {
        let interpreter =
            outside("accelerate", &combine(&fs::read(qemu("aarch64")).unwrap(), "x86_64", pairs).unwrap());
        let head = fs::read(&self.guest).unwrap()[..256].to_vec();
        let rule = Rule {
            name: EntryName::new("accelerate").unwrap(),
            recognition: Recognition::Magic(Pattern::new(0, head, None).unwrap()),
            interpreter: interpreter.as_os_str().as_bytes().to_vec(),
            flags: "PF".parse().unwrap(),
        };
        self.tree.enter(str::from_utf8(&rule.to_line().unwrap()).unwrap());
        // The kernel has the file open, and needs no path.
        fs::remove_file(interpreter).unwrap();
        self
    }

    /// The guest program by this name, with these arguments.
    fn guest_as(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.guest);
        command.arg0(name).args(args).env_clear();
        command
    }

    /// Which machine's program ran.
    #[track_caller]
    fn arch(&self) -> String {
        print(&mut self.guest_as("arch", &[]))
    }
}

/// What a successful command prints.
#[track_caller]
fn print(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn identify(path: &Path) -> FileIdentity {
    let (meta, content) = (fs::metadata(path).unwrap(), fs::read(path).unwrap());
    let nanoseconds = |nanoseconds: i64| u32::try_from(nanoseconds).unwrap();
    let ctime = (meta.ctime(), nanoseconds(meta.ctime_nsec()));
    FileIdentity {
        path: path.to_owned(),
        size: meta.size(),
        mtime: (meta.mtime(), nanoseconds(meta.mtime_nsec())),
        inode: Some(Inode { device: meta.dev(), number: meta.ino(), ctime }),
        build_id: find_build_id(&content),
        sha256: Sha256::of_bytes(&content),
    }
}

/// The build ID after the head of its note: 20 bytes, type 3, name GNU.
fn find_build_id(elf: &[u8]) -> String {
    let head = b"\x14\0\0\0\x03\0\0\0GNU\0";
    let at = elf.windows(head.len()).position(|bytes| bytes == head);
    at.map_or_else(String::new, |at| to_hex(&elf[at + head.len()..][..20]))
}

/// Changes a byte in the middle of a file, in place.
fn patch(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

fn set_mtime(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// A file moved here instead of another one, so that its inode is new.
fn replace_by_copy(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(copy, path).unwrap();
}

/// Prints everything that a program gets from its caller.
const REPORT: &str = "pwd; env; readlink /proc/self/fd/7; ls /proc/self/fd; umask; ulimit -n; cat /proc/self/cmdline; \
    grep -E '^(SigBlk|SigIgn)' /proc/self/status; echo \"$0 $*\"; cat <&7; cat";

/// Starts a program by the name `sh` in a directory, with a descriptor, an ignored and a blocked signal, an input, and
/// arguments with strange bytes.
fn report(program: &Path) -> Output {
    let outer =
        "cd /usr; umask 027; ulimit -n 123; trap '' USR1; exec 7<\"$1\"; exec -a /odd/sh \"$2\" -c \"$3\" \"${@:4}\"";
    let file = outside("descriptor", b"content of a descriptor\n");
    let input = fs::File::open(outside("input", b"standard input\n")).unwrap();
    let mut command = Command::new("env");
    command.args(["--block-signal=USR2", "bash", "-c", outer, "bash"]).arg(file).arg(program).arg(REPORT);
    command.args(["zero", "", "two words", "é\u{1}\n"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("EMPTY", "").env("LINES", "a\nb").stdin(input);
    command.output().unwrap()
}

/// Arguments, name, environment, descriptors, directory, signals and limits are those of the caller, as if it had
/// started the native program.
#[sandboxed]
fn a_native_program_gets_all_that_the_caller_gives() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    assert_eq!(machine.arch(), NATIVE);
    let [by_guest, directly] = [&machine.guest, &machine.native].map(|program| report(program));
    let text = String::from_utf8_lossy(&directly.stdout).into_owned();
    for part in ["/usr\n", "EMPTY=\n", "LINES=a\nb\n", "zero  two words é", "content of a descriptor\nstandard input\n"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(directly.status.success() && directly.stderr.is_empty(), "{directly:?}");
    assert_eq!(String::from_utf8_lossy(&by_guest.stdout), text);
    assert_eq!((by_guest.status, by_guest.stderr), (directly.status, directly.stderr));
}

#[sandboxed]
fn exit_status_and_death_by_a_signal_are_the_programs() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    let status = |script: &str| machine.guest_as("sh", &["-c", script]).status().unwrap();
    assert_eq!(status("uname -m | grep -q x86_64 && exit 7").code(), Some(7));
    for signal in [9, 11, 15] {
        assert_eq!(status(&format!("kill -{signal} $$")).signal(), Some(signal));
    }
}

/// With another program instead of the pair, the emulator starts as if there were no launcher.
#[sandboxed]
fn an_emulated_program_is_the_same_as_by_the_emulator_alone() {
    // The types and values of AT_EXECFD, AT_FLAGS and AT_SECURE.
    let script = "readlink /proc/self/exe; echo $0; cat /proc/$$/cmdline; ls /proc/self/fd; pwd; env; \
        od -v -A n -t u8 -w16 /proc/self/auxv | grep -E '^ *(2|8|23) '";
    let run = |machine: &Machine| {
        let output = machine.guest_as("/odd/sh", &["-c", script, "/odd/name"]).env("A", "1").output().unwrap();
        // The kernel shows the interpreter as the first argument.
        let text = String::from_utf8_lossy(&output.stdout).replace(qemu("aarch64").to_str().unwrap(), "QEMU");
        (text.replace("/scratch/accelerate", "QEMU"), output.stderr, output.status)
    };
    let machine = Machine::new();
    let [plain, again] = [run(&machine), run(&machine)];
    assert_eq!(plain, again);
    let pair = machine.pair();
    let machine = machine.accelerate(&[pair]);
    fs::remove_file(&machine.native).unwrap();
    assert_eq!(machine.arch(), EMULATED);
    let start = "/scratch/busybox-guest\n/odd/name\nQEMU\0/scratch/busybox-guest\0/odd/sh\0-c\0";
    assert!(plain.0.starts_with(start) && plain.2.success(), "{plain:?}");
    assert_eq!(run(&machine), plain);
    // The same program at another path has no pair. The kernel shows it as the second argument.
    let plain = outside("busybox-plain", &fs::read(busybox()).unwrap());
    let [fallen_back, plain] = [&machine.guest, &plain].map(|program| report(program));
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).replace("busybox-plain", "busybox-guest");
    assert!(text(&plain).contains("content of a descriptor\nstandard input\n"), "{plain:?}");
    assert_eq!(text(&fallen_back), text(&plain));
    assert_eq!((fallen_back.stderr, fallen_back.status), (plain.stderr, plain.status));
}

#[sandboxed]
fn another_file_with_the_same_head_is_emulated() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    assert_eq!(machine.arch(), NATIVE);
    let original = fs::read(&machine.guest).unwrap();
    let mtime = 1_700_000_000;
    // Each change, and the program that runs then.
    fs::write(&machine.guest, [&original[..], b"more"].concat()).unwrap();
    assert_eq!(machine.arch(), EMULATED, "other size");
    fs::write(&machine.guest, &original).unwrap();
    assert_eq!(machine.arch(), NATIVE, "by digest: the same content at another time");
    patch(&machine.guest);
    assert_eq!(machine.arch(), EMULATED, "by digest: another content of the same size");
    replace_by_copy(&machine.guest);
    set_mtime(&machine.guest, mtime);
    assert_eq!(machine.arch(), EMULATED, "another inode and mtime");
}

/// What the documentation of `FileIdentity` says of a file whose size, mtime and build-id were kept.
#[sandboxed]
fn a_changed_file_with_the_same_build_id_is_known_by_its_mtime() {
    for (mtime, after_a_change) in [(1_700_000_000, NATIVE), (1, EMULATED), (0, EMULATED)] {
        let machine = Machine::new();
        set_mtime(&machine.guest, mtime);
        let machine = machine.accelerate_with(Machine::pair);
        assert_eq!(machine.pair().guest.build_id.len(), 40);
        assert_eq!(machine.arch(), NATIVE);
        patch(&machine.guest);
        set_mtime(&machine.guest, mtime);
        assert_eq!(machine.arch(), after_a_change, "{mtime}");
        set_mtime(&machine.guest, mtime + 5);
        assert_eq!(machine.arch(), EMULATED, "{mtime}");
        machine.tree.discard();
    }
}

/// In a store the path and its unchangeable state identify a file, without reading it.
#[sandboxed]
fn a_file_of_the_store_is_known_by_its_path() {
    let store = Path::new("/nix/store");
    if !Path::new("/nix").exists() {
        fs::create_dir("/nix").unwrap();
    }
    nix::mount::mount(None::<&str>, "/nix", Some("tmpfs"), nix::mount::MsFlags::empty(), Some("mode=755")).unwrap();
    let mut machine = Machine::new();
    let stored = store.join("00000000000000000000000000000000-gcc/bin/cc1");
    fs::create_dir_all(stored.parent().unwrap()).unwrap();
    fs::copy(&machine.guest, &stored).unwrap();
    set_mtime(&stored, 1);
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o555)).unwrap();
    machine.guest = stored;
    let mut pair = machine.pair();
    // Nothing else identifies it.
    pair.guest = FileIdentity { inode: None, build_id: String::new(), sha256: Sha256::of_bytes(b""), ..pair.guest };
    let machine = machine.accelerate(&[pair]);
    assert_eq!(machine.arch(), NATIVE);
    fs::set_permissions(&machine.guest, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(machine.arch(), EMULATED, "its owner may write to it");
    fs::set_permissions(&machine.guest, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(machine.arch(), NATIVE);
    let elsewhere = machine.guest.with_file_name("other");
    fs::rename(&machine.guest, &elsewhere).unwrap();
    let machine = Machine { guest: elsewhere, ..machine };
    assert_eq!(machine.arch(), EMULATED, "another path");
}

#[sandboxed]
fn a_native_program_that_is_not_the_recorded_one_is_not_executed() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    let native = machine.native.clone();
    let original = fs::read(&native).unwrap();
    let restore = || {
        let _: Result<_, _> = fs::remove_file(&native).or_else(|_| fs::remove_dir(&native));
        outside("native", &original);
        assert_eq!(machine.arch(), NATIVE, "restored: known by its digest");
    };
    restore();
    fs::remove_file(&native).unwrap();
    assert_eq!(machine.arch(), EMULATED, "missing");
    restore();
    fs::write(&native, &original[1..]).unwrap();
    assert_eq!(machine.arch(), EMULATED, "other size");
    restore();
    patch(&native);
    assert_eq!(machine.arch(), EMULATED, "other content");
    restore();
    fs::remove_file(&native).unwrap();
    nix::unistd::mkfifo(&native, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(machine.arch(), EMULATED, "a FIFO without a writer");
    restore();
    fs::remove_file(&native).unwrap();
    fs::create_dir(&native).unwrap();
    assert_eq!(machine.arch(), EMULATED, "a directory");
    restore();
    fs::remove_file(&native).unwrap();
    std::os::unix::fs::symlink(&native, &native).unwrap();
    assert_eq!(machine.arch(), EMULATED, "a circle of links");
    restore();
}

#[sandboxed]
fn a_native_program_that_cannot_be_executed_is_not_missed() {
    let machine = Machine::new();
    fs::set_permissions(&machine.native, fs::Permissions::from_mode(0o644)).unwrap();
    let machine = machine.accelerate_with(Machine::pair);
    assert_eq!(machine.arch(), EMULATED, "no permission");
    machine.tree.discard();

    let machine = Machine::new();
    fs::write(&machine.native, b"\x7fELF, but not a program").unwrap();
    let machine = machine.accelerate_with(Machine::pair);
    assert_eq!(machine.arch(), EMULATED, "no program");
    machine.tree.discard();

    let machine =
        Machine::new().accelerate_with(|machine| LauncherPair { start: "/no/loader".into(), ..machine.pair() });
    assert_eq!(machine.arch(), EMULATED, "no loader");
}

#[sandboxed]
fn variables_that_change_how_a_program_starts_are_left_to_the_emulator() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    for (name, value, expected) in [
        ("LD_PRELOAD", "/x", EMULATED),
        ("LD_PRELOAD", "", EMULATED),
        ("LD_LIBRARY_PATH", "/x", EMULATED),
        ("LD_TRACE_LOADED_OBJECTS", "1", EMULATED),
        ("LD_WARN", "1", EMULATED),
        ("QEMU_RAND_SEED", "1", EMULATED),
        ("QEMU_", "1", EMULATED),
        ("BINFMT_NIX_ACCELERATE", "off", EMULATED),
        ("BINFMT_NIX_ACCELERATE", "on", NATIVE),
        ("QEMU_CPU", "max", NATIVE),
        ("QEMU_STACK_SIZE", "8388608", NATIVE),
        ("LD", "ld", NATIVE),
        ("LD_RUN_PATH", "/x", NATIVE),
        ("MY_LD_PRELOAD", "/x", NATIVE),
        ("LANG", "de_DE.UTF-8", NATIVE),
    ] {
        assert_eq!(print(machine.guest_as("arch", &[]).env(name, value)), expected, "{name}={value}");
    }
}

#[sandboxed]
fn a_tool_that_depends_on_the_locale_runs_natively_in_the_c_locale_alone() {
    let machine = Machine::new().accelerate_with(|machine| LauncherPair { c_locale: true, ..machine.pair() });
    for (variables, expected) in [
        (&[][..], NATIVE),
        (&[("LANG", "C")], NATIVE),
        (&[("LANG", "")], NATIVE),
        (&[("LANG", "de_DE.UTF-8")], EMULATED),
        (&[("LANG", "C.UTF-8")], EMULATED),
        (&[("LC_CTYPE", "C.UTF-8")], EMULATED),
        (&[("LC_COLLATE", "POSIX"), ("LANG", "POSIX")], NATIVE),
        (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], NATIVE),
        (&[("LC_ALL", ""), ("LANG", "de_DE.UTF-8")], EMULATED),
        (&[("LC_ALL", "de_DE.UTF-8"), ("LANG", "C")], EMULATED),
    ] {
        let printed = print(machine.guest_as("arch", &[]).envs(variables.iter().copied()));
        assert_eq!(printed, expected, "{variables:?}");
    }
}

#[sandboxed]
fn a_pair_of_one_name_is_for_this_name_alone() {
    let named =
        |name: &str, machine: &Machine| LauncherPair { names: vec!["no".into(), name.into()], ..machine.pair() };
    let machine = Machine::new();
    // The first pair whose conditions hold is used, and one that cannot be executed is passed over.
    let broken = LauncherPair { start: "/no/program".into(), ..named("uname", &machine) };
    let pairs = [named("other", &machine), broken, named("uname", &machine)];
    let machine = machine.accelerate(&pairs);
    for (name, args, expected) in [
        ("uname", &["-m"][..], NATIVE),
        ("/some/where/uname", &["-m"], NATIVE),
        ("arch", &[], EMULATED),
        ("/uname/arch", &[], EMULATED),
    ] {
        assert_eq!(print(&mut machine.guest_as(name, args)), expected, "{name}");
    }
}

/// The kernel gives `AT_SECURE` to a program whose real and effective user differ.
#[sandboxed]
fn a_program_with_other_rights_than_its_caller_is_emulated() {
    with_all_users();
    let machine = Machine::new().accelerate_with(Machine::pair);
    let run = |arguments: &[&str]| {
        let mut command = Command::new("/usr/bin/setpriv");
        print(command.args(arguments).arg(&machine.guest).arg("arch").env_clear())
    };
    assert_eq!(run(&["--ruid", "0"]), NATIVE);
    assert_eq!(run(&["--ruid", "65534"]), EMULATED);
}

/// The interpreter holds the emulator, so it needs no file.
#[sandboxed]
fn a_guest_program_alone_in_a_chroot_is_emulated() {
    let machine = Machine::new().accelerate_with(Machine::pair);
    let room = Path::new(SCRATCH).join("room");
    fs::create_dir_all(room.join("scratch")).unwrap();
    fs::copy(&machine.guest, room.join("guest")).unwrap();
    let run = || print(itself("chroot").unwrap().arg(&room).args(["/guest", "arch"]));
    assert_eq!(run(), EMULATED);
    fs::copy(&machine.native, room.join("scratch/native")).unwrap();
    assert_eq!(run(), NATIVE, "both files are known by their digests");
}

/// execve(2) fails with E2BIG where the arguments of the pair and the caller's are too long together.
#[sandboxed]
fn long_arguments_reach_the_program() {
    let machine = Machine::new();
    let words = "x".repeat(100_000);
    let long = LauncherPair { environment: vec![format!("LONG={words}"); 12], ..machine.pair() };
    let machine = machine.accelerate(&[long]);
    let count = |words: usize| {
        let mut command = machine.guest_as("sh", &["-c", "uname -m; echo $#", "sh"]);
        // Each has 100 bytes and a pointer: the kernel allows 2 MiB in all, with a stack of 8 MiB.
        print(command.args(vec!["x".repeat(99); words]).env("OTHER", "y".repeat(100_000)))
    };
    assert_eq!(count(1), format!("{NATIVE}1\n"));
    assert_eq!(count(4000), format!("{NATIVE}4000\n"));
    assert_eq!(count(16000), format!("{EMULATED}16000\n"));
}

#[sandboxed]
fn arguments_and_variables_of_the_pair_are_added() {
    let machine = Machine::new().accelerate_with(|machine| LauncherPair {
        words: [None, Some("env"), Some("sh"), Some("-c"), Some("echo \"$*\"; env"), Some("name")]
            .map(|word| word.map(str::to_owned))
            .to_vec(),
        arguments: vec!["last".to_owned()],
        environment: vec!["REPLACED=new".to_owned(), "ADDED=1".to_owned()],
        ..machine.pair()
    });
    let mut command = machine.guest_as("busybox", &["one", "two words"]);
    let printed = print(command.envs([("KEPT", "1"), ("REPLACED", "old"), ("REPLACED_NOT", "1")]));
    let (arguments, variables) = printed.split_once('\n').unwrap();
    assert_eq!(arguments, "one two words last");
    let mut variables: Vec<_> =
        variables.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("PATH=")).collect();
    variables.sort_unstable();
    assert_eq!(variables, ["ADDED=1", "KEPT=1", "REPLACED=new", "REPLACED_NOT=1", "SHLVL=1"]);
}

#[sandboxed]
fn refused_arguments_and_variables_are_left_to_the_emulator() {
    let refused = |words: [&str; 2]| words.map(str::to_owned).to_vec();
    let machine = Machine::new().accelerate_with(|machine| LauncherPair {
        refused_arguments: refused(["-fplugin*", "-exact"]),
        refused_variables: refused(["GCC_EXEC_PREFIX", "CPATH"]),
        ..machine.pair()
    });
    let run = |argument: &str, name: &str| {
        print(machine.guest_as("sh", &["-c", "uname -m", "sh", argument, "end"]).env(name, ""))
    };
    for (argument, name, expected) in [
        ("-O2", "CC", NATIVE),
        ("-fplugin", "CC", EMULATED),
        ("-fplugin=x", "CC", EMULATED),
        ("-fplug", "CC", NATIVE),
        ("-exact", "CC", EMULATED),
        ("-exactly", "CC", NATIVE),
        ("-O2", "CPATH", EMULATED),
        ("-O2", "GCC_EXEC_PREFIX", EMULATED),
        ("-O2", "CPATHS", NATIVE),
        ("-O2", "CPAT", NATIVE),
    ] {
        assert_eq!(run(argument, name), expected, "{argument} {name}");
    }
    assert_eq!(print(machine.guest_as("-exact", &["arch"]).arg0("arch")), NATIVE, "argv[0] is not an argument");
}

#[sandboxed]
fn an_audit_replaces_the_command_for_some_starts() {
    let machine = Machine::new();
    let words = |words: &[&str]| words.iter().map(|word| Some((*word).to_owned())).collect();
    let pairs = [(1, "always"), (2, "sometimes"), (u32::MAX, "never")].map(|(every, name)| {
        let audit =
            LauncherAudit { every, start: machine.native.clone(), words: words(&["busybox", "echo", "audited"]) };
        let words = words(&["busybox", "echo"]);
        LauncherPair { names: vec![name.to_owned()], words, audit: Some(audit), ..machine.pair() }
    });
    let machine = machine.accelerate(&pairs);
    let count = |name: &str| (0..64).filter(|_| print(&mut machine.guest_as(name, &["x"])) == "audited x\n").count();
    assert_eq!(count("always"), 64);
    // The chance of none or only audited starts is 2^-63.
    assert!((1..64).contains(&count("sometimes")));
    // The chance of one is 2^-26.
    assert_eq!(count("never"), 0);
}

/// A program of the host and its libraries, by the loader of the host's glibc.
#[sandboxed]
fn a_dynamic_program_is_started_by_its_loader() {
    let machine = Machine::new();
    let program = fs::canonicalize("/bin/bash").unwrap();
    let libraries = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64";
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let words = [Some(loader), Some("--library-path"), Some(libraries), Some("--argv0"), None, program.to_str()];
    let words = words.map(|word| word.map(str::to_owned)).to_vec();
    let pair = LauncherPair { native: identify(&program), start: loader.into(), words, ..machine.pair() };
    let machine = machine.accelerate(&[pair]);
    let printed =
        print(&mut machine.guest_as("/odd/name", &["-c", "echo $BASH_VERSION; echo \"$BASH_ARGV0\"; echo $0"]));
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].starts_with("5."), "{printed}");
    assert_eq!(lines[1..], ["/odd/name", "/odd/name"], "{printed}");
}

/// Every length of the last block of SHA-256, and files that end with a part that is read at once.
#[sandboxed]
fn files_of_every_length_are_known_by_their_digest() {
    let machine = Machine::new();
    let original = fs::read(&machine.guest).unwrap();
    let to_part = original.len().next_multiple_of(1 << 14) - original.len();
    let lengths: Vec<usize> = (0..64).chain([to_part - 1, to_part, to_part + 1, to_part + (1 << 14)]).collect();
    let guests =
        lengths.iter().map(|length| outside(&format!("guest-{length}"), &[&original[..], &vec![7; *length]].concat()));
    let guests: Vec<PathBuf> = guests.collect();
    let by_digest =
        |path: &Path| FileIdentity { inode: None, mtime: (0, 0), build_id: String::new(), ..identify(path) };
    let pairs = guests.iter().map(|path| LauncherPair { guest: by_digest(path), ..machine.pair() });
    let pairs: Vec<_> = pairs.collect();
    let machine = machine.accelerate(&pairs);
    assert_eq!(machine.arch(), NATIVE);
    for path in &guests {
        let arch = || print(Command::new(path).arg0("arch").env_clear());
        assert_eq!(arch(), NATIVE, "{}", path.display());
        patch(path);
        assert_eq!(arch(), EMULATED, "{}", path.display());
    }
}

/// Started by its name, and not by the kernel, the interpreter is the emulator.
#[sandboxed]
fn the_interpreter_is_an_emulator_by_its_name() {
    let machine = Machine::new();
    let combined = combine(&fs::read(qemu("aarch64")).unwrap(), "x86_64", &[machine.pair()]).unwrap();
    let combined = outside("combined", &combined);
    assert_eq!(print(Command::new(&combined).arg("--version")), print(Command::new(qemu("aarch64")).arg("--version")));
    assert_eq!(print(Command::new(&combined).arg(&machine.guest).args(["uname", "-m"])), EMULATED);
}

/// A static program at a fixed address, as some QEMUs are, runs as before.
#[sandboxed]
fn a_program_at_a_fixed_address_runs_as_before() {
    let machine = Machine::new();
    let content = fs::read(&machine.native).unwrap();
    assert_eq!(content[16], 2, "ET_EXEC");
    let combined = outside("combined", &combine(&content, "x86_64", &[machine.pair()]).unwrap());
    // The shell grows its heap, which begins behind the launcher.
    let printed = print(Command::new(combined).arg0("sh").args(["-c", "x=$(seq 1 20000); echo ${#x}; uname -m"]));
    assert_eq!(printed, format!("108893\n{NATIVE}"));
}
