//! Comparison with the kernel: what `explain` reports of a file, and what execve(2) does with it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use binfmt_magic::Arch;
use binfmt_nix::diagnose::explain;
use binfmt_nix::diagnose::explain::{ExecVerdict, Explanation, MachineFacts};
use binfmt_nix::host::Host;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::sandbox::SCRATCH;
use crate::support::skip;

/// The table of the sandbox, at the usual path, so that the tool needs no `--root`.
pub(crate) const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// `argv[0]` of a directly started program: the probe prints these 16 bytes.
const DIRECT: &str = "direct..........";

/// The facts of the machine with its current entries, and the number of comparisons.
pub(super) struct Judge {
    host: Host,
    machine: MachineFacts,
    pub(super) agreed: usize,
    pub(super) started: usize,
    /// Number of refusals by errno.
    pub(super) refused: BTreeMap<String, usize>,
}

/// Result of execve(2): what the program that ran printed, and the signal that ended it; or the errno.
type Did = Result<(String, Option<i32>), i32>;

impl Judge {
    pub(super) fn new() -> Self {
        let host = Host::live();
        let machine = MachineFacts::gather(&host).unwrap();
        Self { host, machine, agreed: 0, started: 0, refused: BTreeMap::new() }
    }

    /// Reads the facts again, after a change of the table.
    pub(super) fn reload_facts(&mut self) {
        self.machine = MachineFacts::gather(&self.host).unwrap();
    }

    pub(super) fn says(&self, file: &Path) -> Explanation {
        explain::explain_file(&self.host, &self.machine, file)
    }

    /// Checks that `explain` and the kernel agree on a file: which program starts, or with which errno it is refused.
    #[track_caller]
    pub(super) fn assert_agrees(&mut self, file: &Path) -> Explanation {
        let said = self.says(file);
        let did = execute(file);
        let shown = || format!("{}: {did:?}, but {said:#?}", file.display());
        assert_ne!(said.verdict, ExecVerdict::Unknown, "{}", shown());
        match &did {
            Ok((name, _)) => {
                assert_eq!(said.errno, None, "{}", shown());
                let last = said.steps.iter().rev().find_map(|step| step.interpreter.as_ref());
                let expected = last.map_or(DIRECT, |interpreter| interpreter.path.as_str());
                // A program that was damaged may have died before it could print its name.
                assert!(name.is_empty() || cut(expected) == cut(name), "{}", shown());
                self.started += 1;
            }
            Err(errno) => {
                let name = format!("{:?}", nix::errno::Errno::from_raw(*errno));
                assert_eq!(said.errno.as_ref(), Some(&name), "{}", shown());
                assert!(!said.runs, "{}", shown());
                *self.refused.entry(name).or_default() += 1;
            }
        }
        self.agreed += 1;
        said
    }

    /// Checks that `explain` and the kernel agree on a file of another project: with which errno it is refused, or
    /// whether it is started and then ends by a fault of the processor. Returns that signal, too.
    #[track_caller]
    pub(super) fn assert_agrees_on_real_file(&mut self, file: &Path) -> (Explanation, Option<i32>) {
        let said = self.says(file);
        let did = execute(file);
        let shown = || format!("{}: {did:?}, but {said:#?}", file.display());
        let errno = did.as_ref().err().map(|errno| format!("{:?}", nix::errno::Errno::from_raw(*errno)));
        assert_eq!(said.errno, errno, "{}", shown());
        assert_eq!(errno.is_some(), said.verdict == ExecVerdict::Refused, "{}", shown());
        self.agreed += 1;
        let signal = did.as_ref().ok().and_then(|(_, signal)| *signal);
        (said, signal)
    }
}

/// Cuts a name like the probe does: at 16 bytes, and at a NUL.
fn cut(name: &str) -> &str {
    let name = name.split('\0').next().unwrap_or_default();
    &name[..name.len().min(16)]
}

fn execute(file: &Path) -> Did {
    let mut command = Command::new(file);
    command.arg0(DIRECT).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Err(e.raw_os_error().unwrap()),
    };
    let deadline = Instant::now() + Duration::from_secs(300);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_micros(50));
    };
    let mut name = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut name).unwrap();
    Ok((String::from_utf8_lossy(&name).into_owned(), status.signal()))
}

/// Mounts the table at its usual path.
pub(crate) fn mount_table() {
    if let Err(e) = mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>) {
        skip("kernel", format!("the table cannot be mounted on {TABLE}: {}", e.desc()));
    }
}

pub(crate) fn unmount_table() {
    umount2(TABLE, MntFlags::empty()).unwrap();
}

/// Registers an entry. The kernel may refuse it, for example with flag F and a missing interpreter.
pub(crate) fn enter(line: &[u8]) -> io::Result<()> {
    write(&format!("{TABLE}/register"), line)
}

/// Removes all entries.
pub(crate) fn clear() {
    write(&format!("{TABLE}/status"), b"-1").unwrap();
}

pub(crate) fn write(path: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write(bytes).map(drop)
}

/// A program of this machine that prints its name.
pub(crate) fn native() -> &'static [u8] {
    let machine = nix::sys::utsname::uname().unwrap().machine().to_owned();
    Arch::of_host(machine.to_str().unwrap()).and_then(Arch::probe).unwrap()
}

/// Creates an executable file.
pub(super) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    file_with(name, bytes, 0o755)
}

pub(super) fn file_with(name: &str, bytes: &[u8], mode: u32) -> PathBuf {
    let path = Path::new(SCRATCH).join(OsStr::from_bytes(name.as_bytes()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Creates an interpreter with a path of 16 bytes, which the probe prints completely.
pub(super) fn interpreter(number: usize) -> PathBuf {
    let name = format!("i/{number:05}");
    let path = Path::new(SCRATCH).join(&name);
    if !path.exists() {
        file(&name, native());
    }
    path
}

/// Returns a directory on a file system with the option noexec.
pub(super) fn noexec() -> PathBuf {
    let dir = Path::new(SCRATCH).join("noexec");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        mount(None::<&str>, &dir, Some("tmpfs"), MsFlags::MS_NOEXEC, None::<&str>).unwrap();
    }
    dir
}

/// Reproducible pseudo-random numbers (xorshift).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % bound
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
