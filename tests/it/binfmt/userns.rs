//! `run`: a table for one command, made by an ordinary user or by root, which no other process sees.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::emulators::{busybox, outside};
use crate::support::output::{Done, tool, tool_path};
use crate::support::proposals::report_executed;
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};
use crate::support::{qemu, skip};

/// User id of joe, the ordinary user of these tests, with a home directory.
const JOE: u32 = 1000;

fn home() -> PathBuf {
    Path::new(SCRATCH).join("joe")
}

/// A copy that joe can read and execute.
pub(crate) fn shown(file: &Path) -> PathBuf {
    let copy = Path::new(SCRATCH).join(file.file_name().unwrap());
    if !copy.exists() {
        fs::copy(file, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

/// Makes /proc writable as on other machines; this sandbox mounts it read-only.
pub(crate) fn usual_proc() {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(None::<&str>, "/proc", None::<&str>, flags, None::<&str>).unwrap();
}

/// Mounts an empty directory in memory, which may hide another.
pub(crate) fn memory(place: &Path) {
    fs::create_dir_all(place).unwrap();
    mount(None::<&str>, place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
}

pub(crate) fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
}

/// A program that joe runs.
pub(crate) fn joe(program: &Path) -> Command {
    usual_proc();
    if !home().exists() {
        fs::create_dir(home()).unwrap();
        if let Err(error) = chown(home(), Some(JOE), Some(JOE)) {
            skip("users", format!("an ordinary user's namespace has one user: {error}"));
        }
        fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home()).env("SHELL", "/bin/sh");
    command.uid(JOE).gid(JOE).current_dir(home()).stdin(Stdio::null());
    command
}

/// `run` with the real QEMU of a system, as joe.
pub(crate) fn running(system: &str, words: &[&str]) -> Command {
    let mut command = joe(&shown(Path::new(tool_path())));
    let qemu = shown(&qemu(system));
    command.args(["run", "--system", system, "--qemu"]).arg(qemu).arg("--").args(words);
    command
}

#[track_caller]
fn prints(command: &mut Command, expected: &str) {
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

pub(crate) fn done(command: &mut Command) -> Done {
    command.output().unwrap().into()
}

/// Runs the tool as root of this sandbox.
pub(crate) fn run_as_root(args: &[&str]) -> Done {
    usual_proc();
    done(&mut tool(args))
}

fn arm64() -> String {
    shown(&busybox()).to_str().unwrap().to_owned()
}

#[sandboxed]
fn a_program_runs_for_an_ordinary_user() {
    prints(&mut running("aarch64", &[&arm64(), "uname", "-m"]), "aarch64\n");
    assert_eq!(fs::read_dir(home()).unwrap().count(), 0, "run left files behind");
}

/// Outside and inside, the ids, the directory and the variables are the same; joe's files belong to joe, and joe has
/// no more rights than before.
#[sandboxed]
fn the_caller_keeps_ids_directory_and_environment() {
    let script = "id -u; id -g; pwd; env | grep -v ^NIX_CONFIG= | sort; stat -c %u . ; touch x && stat -c %u x && rm x; \
                grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status; ls /proc/self/task | wc -l";
    let outside = joe(Path::new("/bin/sh")).args(["-c", script]).output().unwrap();
    let outside = String::from_utf8(outside.stdout).unwrap();
    assert!(
        outside.starts_with("1000\n1000\n/scratch/joe\n") && outside.contains("CapEff:\t0000000000000000"),
        "{outside}"
    );
    prints(&mut running("aarch64", &["sh", "-c", script]), &outside);
}

/// All ids of the user namespace are mapped, so files of other users keep their owners.
#[sandboxed]
fn root_keeps_all_ids() {
    usual_proc();
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %u /scratch";
    let outside = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
    let count = String::from_utf8(outside.stdout).unwrap();
    let mapped = count.lines().nth(1).unwrap().split(' ').next_back().unwrap();
    let mut command = tool(&["run", "--system", "aarch64", "--qemu"]);
    command.arg(qemu("aarch64")).args(["--", "/bin/sh", "-c", script]);
    prints(&mut command, &format!("0\n 0 0 {mapped}\n0\n"));
    let mut command = tool(&["run", "--system", "aarch64", "--qemu"]);
    command.arg(qemu("aarch64")).arg("--").arg(busybox()).args(["uname", "-m"]);
    prints(&mut command, "aarch64\n");
}

#[sandboxed]
fn arguments_are_passed_unchanged() {
    let words = ["printf", "%s.", "--system", "-x", "a b", "", "--", "$HOME"];
    prints(&mut running("aarch64", &words), "--system.-x.a b..--.$HOME.");
}

#[sandboxed]
fn the_exit_status_of_the_command_is_kept() {
    let status = |script: &str| running("aarch64", &["sh", "-c", script]).status().unwrap();
    assert_eq!(status("exit 7").code(), Some(7));
    assert_eq!(status("kill -TERM $$").signal(), Some(15));
    let foreign = |script: &str| running("aarch64", &[&arm64(), "sh", "-c", script]).status().unwrap();
    assert_eq!(foreign("exit 9").code(), Some(9));
    assert_eq!(foreign("kill -KILL $$").signal(), Some(9));
}

#[sandboxed]
fn a_command_that_cannot_start_exits_126_or_127() {
    done(&mut running("aarch64", &["no-such-command"])).exits(127).says("cannot run no-such-command: No such file");
    done(&mut running("aarch64", &["/etc/passwd"])).exits(126).says("cannot run /etc/passwd: Permission denied");
}

/// execvp(3) passes what the kernel rejects to `sh`. Only text is a script of it.
#[sandboxed]
fn a_program_of_another_system_is_not_read_as_a_script() {
    let program = probe("riscv64");
    let program = program.to_str().unwrap();
    let refused = done(&mut running("aarch64", &[program])).exits(126);
    refused.says(&format!("cannot run {program}: ")).says("does not run RISC-V programs").says("-s riscv64 is missing");
    let script = outside("script", format!("#!{program}\n").as_bytes());
    done(&mut running("aarch64", &[script.to_str().unwrap()])).exits(126).says("-s riscv64 is missing");
    let page = outside("page", b"<html>\n");
    done(&mut running("aarch64", &[page.to_str().unwrap()])).exits(126).says("it is a web page").omits("-s ");
    let cut = outside("cut", &fs::read(tool_path()).unwrap()[..60]);
    done(&mut running("aarch64", &[cut.to_str().unwrap()])).exits(126).says("is cut off");
    let text = outside("text", b"echo \"$1\"\n");
    prints(&mut running("aarch64", &[text.to_str().unwrap(), "as sh"]), "as sh\n");
}

/// A text without `#!` is a script of `sh` wherever it is found, with every C library: the tool starts the shell itself.
#[sandboxed]
fn a_text_is_passed_to_sh() {
    let make = |name: &str, text: &str, mode| {
        fs::write(home().join(name), text).unwrap();
        fs::set_permissions(home().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let in_path = |path: &str, words: &[&str]| {
        let mut command = running("aarch64", words);
        command.env("PATH", path);
        command
    };
    drop(joe(Path::new("/bin/true")));
    make("two words", "echo \"$0:$1:$#\"\n", 0o755);
    make("-c", "echo \"$0\"\n", 0o755);
    make("empty", "", 0o755);
    make("secret", "echo read\n", 0o711);
    chown(home().join("secret"), Some(0), Some(0)).unwrap();
    prints(&mut running("aarch64", &["./two words", "a b", ""]), "./two words:a b:2\n");
    prints(&mut in_path("/nowhere:/scratch/joe:/bin", &["two words"]), "/scratch/joe/two words::0\n");
    // An empty part of PATH is the working directory.
    prints(&mut in_path("/bin:", &["-c"]), "./-c\n");
    prints(&mut running("aarch64", &["./empty"]), "");
    done(&mut running("aarch64", &["./secret"])).exits(126).says("cannot run ./secret: Exec format error");
    // Rust's runtime ignores SIGPIPE; the command does not inherit that.
    let signals = ["-E", "Sig(Blk|Ign)", "/proc/self/status"];
    let outside = String::from_utf8(joe(Path::new("grep")).args(signals).output().unwrap().stdout).unwrap();
    prints(&mut running("aarch64", &[&["grep"], &signals[..]].concat()), &outside);
}

/// Directories of PATH that cannot be searched are skipped, and a file without its mode bit is an error only if no other
/// directory has the command.
#[sandboxed]
fn a_command_is_searched_in_path() {
    drop(joe(Path::new("/bin/true")));
    let dirs = ["closed", "first", "second"].map(|name| home().join(name));
    for (dir, mode) in dirs.iter().zip([0o644, 0o644, 0o755]) {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("command"), "#!/bin/sh\necho \"$0\"\n").unwrap();
        fs::set_permissions(dir.join("command"), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(&dirs[0], fs::Permissions::from_mode(0o700)).unwrap();
    let path = |dirs: &[&Path]| {
        let mut command = running("aarch64", &["command"]);
        command.env("PATH", std::env::join_paths(dirs).unwrap());
        command
    };
    let [closed, first, second] = dirs.each_ref().map(PathBuf::as_path);
    prints(&mut path(&[closed, first, second]), "/scratch/joe/second/command\n");
    done(&mut path(&[closed, first])).exits(126).says("cannot run command: Permission denied");
    done(&mut path(&[closed])).exits(127).says("cannot run command: No such file");
    done(&mut path(&[])).exits(127).says("cannot run command: No such file");
}

/// An inherited entry takes the program, and its interpreter is missing: execve(2) gives ENOENT although the file exists.
#[sandboxed]
fn a_missing_interpreter_is_named() {
    mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(format!("{TABLE}/register"), line("theirs", "riscv64", Path::new("/no/qemu"), "P")).unwrap();
    let program = outside("a program", &fs::read(probe("riscv64")).unwrap());
    let refused = done(&mut running("aarch64", &[program.to_str().unwrap()])).exits(127);
    let refused =
        refused.says("cannot run /scratch/a program: No such file").says("its interpreter /no/qemu does not exist");
    refused.says("-s riscv64 is missing");
    // The kernel's own loader takes these: no system is missing.
    let script = outside("script", b"#!/no/interpreter\n");
    let refused = done(&mut running("aarch64", &[script.to_str().unwrap()])).exits(127);
    refused.says("its interpreter /no/interpreter does not exist").omits("-s ");
    umount2(TABLE, MntFlags::empty()).unwrap();
}

/// The command of the hint runs the program.
#[sandboxed]
fn the_missing_system_is_added_by_the_proposed_command() {
    let emulators = Path::new(SCRATCH).join("emulators");
    fs::create_dir(&emulators).unwrap();
    for system in ["aarch64", "riscv64"] {
        fs::copy(qemu(system), emulators.join(format!("qemu-{system}"))).unwrap();
    }
    let program = probe("riscv64");
    let args = ["run", "-s", "aarch64", "--from", emulators.to_str().unwrap(), "--", program.to_str().unwrap()];
    let refused = run_as_root(&args).exits(126);
    let line = refused.err.split_once("-s riscv64 is missing: ").expect("the hint has a command").1;
    let run = Command::new("sh").args(["-c", line]).output().unwrap();
    report_executed(line);
    assert_eq!(Done::from(run).exits(0).out, &program.to_str().unwrap()[..16]);
}

#[sandboxed]
fn the_shell_is_the_default_command() {
    let mut command = running("aarch64", &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{} uname -m", arm64()).as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"aarch64\n");
}

/// The tool executes the command in its own process: no process is between.
#[sandboxed]
fn signals_reach_the_command() {
    let mut command =
        running("aarch64", &["sh", "-c", "trap 'echo got it; exit 3' INT; echo ready; while :; do sleep 0.02; done"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!((line.as_str(), child.wait().unwrap().code()), ("ready\ngot it\n", Some(3)));
}

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

#[sandboxed]
fn run_has_a_table_of_its_own() {
    let mut listing = running("aarch64", &["ls", TABLE]);
    let before = (fs::read_to_string("/proc/self/mountinfo").unwrap(), paths_in(TABLE));
    let listing = done(&mut listing).exits(0);
    assert_eq!(listing.out, "qemu-aarch64\nregister\nstatus\n");
    let entry = done(&mut running("aarch64", &["cat", &format!("{TABLE}/qemu-aarch64")])).exits(0);
    entry.prints("enabled\n").prints("flags: PF\n").prints("magic 7f454c4602010100");
    assert_eq!((fs::read_to_string("/proc/self/mountinfo").unwrap(), paths_in(TABLE)), before);
}

fn paths_in(dir: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Each run has only its own system.
#[sandboxed]
fn fifty_runs_at_once_have_separate_tables() {
    let systems = ["aarch64", "riscv64", "s390x", "ppc64le", "arm", "mips", "m68k", "alpha", "hppa", "sparc64"];
    let start = |system: &&str| {
        let script = format!("sleep 0.3; ls {TABLE}");
        running(system, &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..5).flat_map(|_| systems.iter().map(|system| (*system, start(system)))).collect();
    assert_eq!(children.len(), 50);
    for (system, child) in children {
        let Output { stdout, .. } = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(stdout).unwrap(), format!("qemu-{system}\nregister\nstatus\n"));
    }
}

/// In a `run` inside of a `run`, the inner table has the outer entries in their order, below its own.
#[sandboxed]
fn entries_of_the_outer_table_are_copied() {
    let tool = shown(Path::new(tool_path()));
    let riscv = shown(&qemu("riscv64"));
    let inner =
        [tool.to_str().unwrap(), "run", "--system", "riscv64", "--qemu", riscv.to_str().unwrap(), "--verbose", "--"];
    let outer = |words: &[&str]| done(&mut running("aarch64", &[&inner[..], words].concat()));
    outer(&[&arm64(), "uname", "-m"]).exits(0).prints("aarch64").says("entries copied from the machine's own table: 1");
    let listed = outer(&["ls", "-U", TABLE]).exits(0);
    let entries: Vec<_> = listed.out.lines().filter(|name| name.starts_with("qemu")).collect();
    assert_eq!(entries, ["qemu-riscv64", "qemu-aarch64"]);
}

/// An entry whose interpreter was deleted runs outside (flag F), but its interpreter cannot be opened again.
#[sandboxed]
fn entries_that_cannot_be_copied_are_named() {
    mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    let gone = Path::new(SCRATCH).join("gone");
    fs::copy("/bin/true", &gone).unwrap();
    fs::write(format!("{TABLE}/register"), format!(":gone:E::gone::{}:F", gone.display())).unwrap();
    fs::write(format!("{TABLE}/register"), ":there:E::there::/bin/true:F").unwrap();
    fs::remove_file(gone).unwrap();
    let mut command = joe(&shown(Path::new(tool_path())));
    command.args(["run", "-v", "-s", "aarch64", "--qemu"]).arg(shown(&qemu("aarch64"))).args(["--", "ls", "-U", TABLE]);
    let said = done(&mut command)
        .exits(0)
        .says("entries copied from the machine's own table: 1")
        .says("gone could not be inherited: ")
        .says("No such file");
    assert_eq!(
        said.out.lines().filter(|name| !name.starts_with(['r', 's'])).collect::<Vec<_>>(),
        ["qemu-aarch64", "there"]
    );
    umount2(TABLE, MntFlags::empty()).unwrap();
}

#[sandboxed]
fn nix_config_names_the_system() {
    let print = ["sh", "-c", "printf %s \"$NIX_CONFIG\""];
    prints(&mut running("aarch64", &print), "extra-extra-platforms = aarch64-linux");
    let mut command = running("aarch64", &print);
    prints(command.env("NIX_CONFIG", "cores = 1"), "cores = 1\nextra-extra-platforms = aarch64-linux");
}

/// A note explains that the daemon of the machine's own store builds outside.
#[sandboxed]
fn a_note_explains_that_the_nix_daemon_is_outside() {
    let nix = Path::new(SCRATCH).join("nix");
    fs::copy("/bin/true", &nix).unwrap();
    let nix = nix.to_str().unwrap();
    if !Path::new("/nix").exists() {
        fs::create_dir("/nix").unwrap();
    }
    memory(Path::new("/nix"));
    fs::create_dir_all("/nix/var/nix/daemon-socket").unwrap();
    fs::write("/nix/var/nix/daemon-socket/socket", "").unwrap();
    let note = "outside of this namespace, so these builds are not emulated";
    done(&mut running("aarch64", &[nix, "build"])).exits(0).says(note).says("--store ~/store").says("register aarch64");
    done(&mut running("aarch64", &[nix, "build", "--store", "/x"])).exits(0).omits(note);
    done(running("aarch64", &[nix, "build"]).env("NIX_REMOTE", "local")).exits(0).omits(note);
    done(&mut running("aarch64", &["true"])).exits(0).omits(note);
}

/// A sandbox made by the command, like Nix's, has the table too.
#[sandboxed]
fn nested_namespaces_keep_the_table() {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"];
    prints(&mut running("aarch64", &[&unshare[..], &[&arm64(), "uname", "-m"]].concat()), "aarch64\n");
}

#[sandboxed]
fn several_systems_share_one_table() {
    let mut command = joe(&shown(Path::new(tool_path())));
    memory(Path::new("/usr/local/bin"));
    for system in ["aarch64", "riscv64"] {
        fs::copy(qemu(system), format!("/usr/local/bin/qemu-{system}")).unwrap();
    }
    command.args(["run", "-s", "arm64", "-s", "linux/riscv64", "--source", "host", "--", "ls", TABLE]);
    prints(&mut command, "qemu-aarch64\nqemu-riscv64\nregister\nstatus\n");
}
