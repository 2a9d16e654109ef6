//! `explain --pid`: running processes, and how they were started.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::diagnose::explain::execve::judge::{clear, mount_table};
use crate::diagnose::explain::text::{explain, register_rule};
use crate::support::emulators::{busybox, outside};
use crate::support::sandbox::SCRATCH;
use crate::support::{qemu, skip};

/// A process that waits for its standard input, which stays open. Dropping this value kills it.
struct Waiting(Child);

impl Waiting {
    /// Starts a process and waits until it prints something.
    fn start(command: &mut Command) -> Self {
        let mut child = command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let read = child.stdout.as_mut().unwrap().read(&mut [0; 64]).unwrap();
        assert!(read > 0, "it ended: {:?}", child.wait());
        Self(child)
    }

    #[track_caller]
    fn explained(&self, code: i32) -> Value {
        let pid = self.0.id().to_string();
        // The text report works too.
        explain(&["--pid", &pid]).exits(code).prints(&format!("process {pid} executes"));
        explain(&["--json", "--pid", &pid]).exits(code).json()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A real program for aarch64, whose argv[1] selects what it does.
fn foreign() -> PathBuf {
    let path = Path::new(SCRATCH).join("busybox");
    fs::copy(busybox(), &path).unwrap();
    path
}

const SCRIPT: &str = "echo ready; read line";

#[sandboxed]
fn an_emulated_process_is_explained() {
    let (emulator, program) = (qemu("aarch64"), foreign());
    mount_table();
    for (flags, argv0) in
        [("PF", Some("busybox")), ("F", None), ("P", Some("busybox")), ("", None), ("POCF", Some("busybox"))]
    {
        register_rule("arm64", "aarch64", &emulator, flags);
        let process = Waiting::start(Command::new(&program).arg0("busybox").args(["sh", "-c", SCRIPT]));
        let value = process.explained(0);
        assert_eq!((&value["verdict"], &value["program"]), (&"emulated".into(), &program.to_str().into()), "{value:#}");
        assert_eq!((&value["argv0"], &value["arguments"]), (&argv0.into(), &serde_json::json!(["sh", "-c", SCRIPT])));
        let entry = serde_json::json!({"name": "arm64", "takes_it_now": true, "starts": "same"});
        assert_eq!(value["entry"], entry, "{flags}");
        assert_eq!(value["now"]["verdict"], "emulated");
        clear();
    }
    let by_hand = Waiting::start(Command::new(&emulator).arg(&program).args(["sh", "-c", SCRIPT]));
    assert_eq!(by_hand.explained(0)["verdict"], "by-hand");
}

#[sandboxed]
fn a_replaced_emulator_of_a_running_process_is_reported() {
    let program = foreign();
    let bytes = fs::read(qemu("aarch64")).unwrap();
    mount_table();
    let emulator = outside("qemu-aarch64", &bytes);
    register_rule("arm64", "aarch64", &emulator, "PF");
    let process = Waiting::start(Command::new(&program).arg0("busybox").args(["sh", "-c", SCRIPT]));
    // An upgrade: another file at the same path, which the entry does not know.
    fs::remove_file(&emulator).unwrap();
    outside("qemu-aarch64", &bytes);
    let upgraded = process.explained(0);
    assert_eq!((&upgraded["entry"]["starts"], &upgraded["verdict"]), (&"same".into(), &"emulated".into()));
    assert!(upgraded["notes"].to_string().contains("was deleted"), "{upgraded:#}");
    // An entry that is registered again starts the new file.
    clear();
    register_rule("arm64", "aarch64", &emulator, "PF");
    let other = process.explained(0);
    assert_eq!(other["entry"]["starts"], "other", "{other:#}");
    assert!(other["notes"].to_string().contains("starts another file now"), "{other:#}");
    clear();
    let gone = process.explained(0);
    assert_eq!((&gone["entry"], &gone["verdict"]), (&Value::Null, &"emulated".into()), "{gone:#}");
}

#[sandboxed]
fn native_and_script_processes_are_explained() {
    let Ok(shell) = fs::canonicalize("/bin/sh") else { skip("kernel", "there is no /bin/sh") };
    let native = Waiting::start(Command::new("/bin/sh").args(["-c", SCRIPT]));
    let value = native.explained(0);
    assert_eq!((&value["verdict"], &value["program"]), (&"native".into(), &"/bin/sh".into()), "{value:#}");
    assert_eq!(value["executes"], shell.to_str().unwrap());
    let script = outside("script", format!("#!/bin/sh\n{SCRIPT}\n").as_bytes());
    let value = Waiting::start(&mut Command::new(&script)).explained(0);
    assert_eq!((&value["verdict"], &value["program"]), (&"script".into(), &"/scratch/script".into()), "{value:#}");
    explain(&["--pid", "4194305"]).exits(1).says("cannot inspect process 4194305");
}

/// A script of a foreign shell: execve(2) was called with the script, and its interpreter is emulated.
#[sandboxed]
fn a_script_of_an_emulated_shell_is_explained() {
    let (emulator, program) = (qemu("aarch64"), foreign());
    mount_table();
    register_rule("arm64", "aarch64", &emulator, "PF");
    let script = outside("script", format!("#!{} sh\n{SCRIPT}\n", program.display()).as_bytes());
    let value = Waiting::start(&mut Command::new(&script)).explained(0);
    assert_eq!(
        (&value["verdict"], &value["called_with"]),
        (&"emulated".into(), &"/scratch/script".into()),
        "{value:#}"
    );
    assert_eq!((&value["program"], &value["entry"]["name"]), (&program.to_str().into(), &"arm64".into()));
    assert_eq!(value["arguments"], serde_json::json!(["sh", "/scratch/script"]));
}
