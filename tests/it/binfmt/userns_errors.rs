//! Hosts on which `run` is not possible: each error names the cause and the help.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, umount2};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::binfmt::userns::{bind, done, joe, memory, running, shown};
use crate::support::output::{Done, tool, tool_path};
use crate::support::qemu;
use crate::support::sandbox::SCRATCH;

#[sandboxed]
fn a_native_system_is_refused() {
    done(&mut running("x86_64", &["true"])).exits(2).says("without an emulator");
}

#[sandboxed]
fn invalid_arguments_are_rejected() {
    let run = |args: &[&str]| Done::from(tool(args).output().unwrap());
    run(&["run", "--", "true"]).exits(2).says("--system");
    run(&["run", "--all", "--system", "arm", "true"]).exits(2);
    run(&["run", "--system", "arm46", "true"]).exits(2).says("did you mean");
    run(&["run", "-s", "arm", "-s", "hppa", "--qemu", "/x", "true"]).exits(2).says("one system");
    run(&["--root", "/tmp", "run", "-s", "arm", "true"]).exits(2).says("--root");
}

#[sandboxed]
fn disabled_user_namespaces_are_reported() {
    let mut command = running("aarch64", &["true"]);
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let refused = done(&mut command).exits(6);
    refused
        .says("cannot make a user namespace")
        .says("max_user_namespaces is 0")
        .says("sysctl user.max_user_namespaces=");
}

/// Containers have such a filter: unshare(2) is not permitted.
#[sandboxed]
fn a_seccomp_filter_is_reported() {
    let mut command = running("aarch64", &["true"]);
    let refused = SeccompAction::Errno(nix::libc::EPERM.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = [(nix::libc::SYS_unshare, Vec::new())].into_iter().collect();
    let filter = SeccompFilter::new(filter, SeccompAction::Allow, refused, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    done(&mut command).exits(6).says("cannot make a user namespace").says("seccomp").says("--security-opt");
}

/// The kernel makes no user namespace in a chroot (user_namespaces(7), EPERM).
#[sandboxed]
fn a_chroot_is_reported() {
    let room = Path::new(SCRATCH).join("room");
    memory(&room);
    for dir in ["usr", "proc", "dev"] {
        fs::create_dir(room.join(dir)).unwrap();
        bind(&Path::new("/").join(dir), &room.join(dir));
    }
    for dir in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{dir}"), room.join(dir)).unwrap();
    }
    fs::copy(tool_path(), room.join("tool")).unwrap();
    fs::copy(qemu("aarch64"), room.join("qemu")).unwrap();
    let mut command = Command::new("chroot");
    command.arg(&room).args(["/tool", "run", "-s", "aarch64", "--qemu", "/qemu", "/bin/true"]);
    done(&mut command).exits(6).says("cannot make a user namespace").says("chroot");
}

#[sandboxed]
fn a_missing_proc_is_reported() {
    let (tool, qemu) = (shown(Path::new(tool_path())), shown(&qemu("aarch64")));
    umount2("/proc", MntFlags::MNT_DETACH).unwrap();
    let mut command = Command::new(tool);
    command.args(["run", "-s", "aarch64", "--qemu"]).arg(qemu).arg("true");
    done(&mut command).exits(6).says("/proc");
}

#[sandboxed]
fn missing_subordinate_ids_are_reported() {
    let empty = Path::new(SCRATCH).join("files/empty");
    memory(empty.parent().unwrap());
    fs::write(&empty, "").unwrap();
    for file in ["/etc/subuid", "/etc/subgid"] {
        if Path::new(file).exists() {
            bind(&empty, Path::new(file));
        }
    }
    let mut command = joe(&shown(Path::new(tool_path())));
    command.args(["run", "--map-root", "-s", "aarch64", "--qemu"]).arg(shown(&qemu("aarch64"))).args(["--", "true"]);
    done(&mut command).exits(6).says("/etc/subuid has no subordinate ids for user").says("usermod --add-subuids");
}

/// An ordinary user, who cannot register, gets a command that works.
#[sandboxed]
fn register_suggests_run_to_ordinary_users() {
    let mut command = joe(&shown(Path::new(tool_path())));
    let said = done(command.args(["register", "aarch64"])).exits(4);
    said.says("sudo /scratch/binfmt-nix register aarch64").says("run --system aarch64 -- COMMAND");
}
