//! The kernel as the judge: what `explain` says of a file, and what execve(2) does with it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
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

/// The table of this world: the kernel's own path, so that the tool needs no `--root`.
pub(crate) const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// What a native program is started as: the probe prints these 16 bytes.
const DIRECT: &str = "direct..........";

/// The machine with the entries of the moment, and how often the kernel agreed.
pub(super) struct Judge {
    host: Host,
    machine: MachineFacts,
    pub(super) agreed: usize,
    pub(super) started: usize,
    /// How often with which errno nothing was started.
    pub(super) refused: BTreeMap<String, usize>,
}

/// What execve(2) did: which name the program that ran was given, or why none ran.
type Did = Result<String, i32>;

impl Judge {
    pub(super) fn new() -> Self {
        let host = Host::live();
        let machine = MachineFacts::gather(&host).unwrap();
        Self { host, machine, agreed: 0, started: 0, refused: BTreeMap::new() }
    }

    /// After the table has changed.
    pub(super) fn look_again(&mut self) {
        self.machine = MachineFacts::gather(&self.host).unwrap();
    }

    pub(super) fn says(&self, file: &Path) -> Explanation {
        explain::explain_file(&self.host, &self.machine, file)
    }

    /// Both say the same of a file: whether something is started, what, and else the very errno.
    #[track_caller]
    pub(super) fn agrees(&mut self, file: &Path) -> Explanation {
        let said = self.says(file);
        let did = execute(file);
        let shown = || format!("{}: {did:?}, but {said:#?}", file.display());
        assert_ne!(said.verdict, ExecVerdict::Unknown, "{}", shown());
        match &did {
            Ok(name) => {
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
}

/// The probe prints 16 bytes; what is behind a NUL is another string.
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
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    let mut name = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut name).unwrap();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Mounts the table where the machine has it.
pub(crate) fn mount_table() {
    if let Err(e) = mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>) {
        skip("kernel", format!("the table cannot be mounted on {TABLE}: {}", e.desc()));
    }
}

pub(crate) fn unmount_table() {
    umount2(TABLE, MntFlags::empty()).unwrap();
}

/// One entry more, the newest; the kernel may refuse it (flag F, and no such interpreter).
pub(crate) fn enter(line: &[u8]) -> io::Result<()> {
    write(&format!("{TABLE}/register"), line)
}

/// Takes all entries away.
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

/// A file that may be executed.
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

/// An interpreter whose path has 16 bytes, all of which the probe prints.
pub(super) fn interpreter(number: usize) -> PathBuf {
    let name = format!("i/{number:05}");
    let path = Path::new(SCRATCH).join(&name);
    if !path.exists() {
        file(&name, native());
    }
    path
}

/// A directory on a file system from which nothing is executed.
pub(super) fn noexec() -> PathBuf {
    let dir = Path::new(SCRATCH).join("noexec");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        mount(None::<&str>, &dir, Some("tmpfs"), MsFlags::MS_NOEXEC, None::<&str>).unwrap();
    }
    dir
}

/// Numbers that are the same each time (xorshift).
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
