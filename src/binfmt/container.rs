//! Containers: whether the tool runs in one, whether the visible table is the host's, and how long its entries last.
//!
//! The container of an application (docker, podman, a pod) is deleted together with its files, but the entries that it
//! registers with the host's kernel stay. A container that is run as a machine (lxc, systemd-nspawn) is treated as a
//! machine.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::sanitize::command;

/// The kinds that are run as machines, with an init system and a lifetime of their own (named in systemd's
/// CONTAINER_INTERFACE).
const MACHINE_CONTAINERS: [&str; 5] = ["lxc", "lxc-libvirt", "openvz", "systemd-nspawn", "wsl"];

/// The container of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The kind, as the container manager names it: "podman", "docker", "oci".
    pub kind: String,
    /// Whether the container is in a user namespace: a table that it mounts is then its own.
    pub in_user_namespace: bool,
    /// Whether only this container has the table mounted: its entries then end with it.
    pub is_sole_mounter: bool,
    /// The error with which the host's table could not be mounted.
    pub mount_error: Option<Errno>,
}

/// Detects whether the tool runs in a container, and makes the host's table visible in it. If no table is mounted, this
/// function mounts it in a mount namespace that ends with this process. In a user namespace it mounts nothing: there
/// the kernel would create another table, an empty one that hides the host's (Linux 6.7, commit 21ca59b365c0).
pub fn enter_container(host: &Host, kernel: (u32, u32)) -> Option<Container> {
    let kind = detect_app_container(host)?;
    let mut container = Container {
        kind,
        in_user_namespace: host::namespaces::is_in_user_namespace(),
        is_sole_mounter: false,
        mount_error: None,
    };
    let is_newer = if host.exists(&table::entry_path("register")) {
        is_table_newer(host)
    } else if container.in_user_namespace {
        None
    } else {
        mount_private_table(host).map_err(|errno| container.mount_error = Some(errno)).ok().flatten()
    };
    // Until Linux 6.6 an entry keeps the table alive, mounted or not (simple_pin_fs in fs/binfmt_misc.c).
    container.is_sole_mounter = is_newer == Some(true) && kernel >= (6, 7);
    Some(container)
}

/// Whether the tool runs in the container of an application.
pub fn is_app_container(host: &Host) -> bool {
    detect_app_container(host).is_some()
}

/// Returns the kind of a container that is run as a machine and has the table of the machine below it: the kernel has one
/// for each user namespace (Linux 6.7), and such a container has none of its own. WSL is a virtual machine.
pub fn detect_shared_table(host: &Host) -> Option<String> {
    let is_machine = |kind: &String| kind != "wsl" && MACHINE_CONTAINERS.contains(&kind.as_str());
    let kind = detect_kind(host).filter(|_| host.is_live() && !host::namespaces::is_in_user_namespace());
    kind.filter(is_machine)
}

fn detect_app_container(host: &Host) -> Option<String> {
    detect_kind(host).filter(|kind| host.is_live() && !MACHINE_CONTAINERS.contains(&kind.as_str()))
}

impl Container {
    /// Checks that the visible table is the host's.
    pub fn check_is_host_table(&self, host: &Host) -> Result<()> {
        if let Some(errno) = self.mount_error {
            return Err(table::mount_error(host, errno));
        }
        if !self.in_user_namespace {
            return Ok(());
        }
        let kind = &self.kind;
        // `run` needs a table of its own.
        let run = format!("; for one command in this container: {}", command::tool("run -s SYSTEM -- COMMAND"));
        let run = if host::env::kernel_release().1 >= (6, 7) { run } else { String::new() };
        Err(Error::Unsupported {
            what: format!(
                "this container ({kind}) is in a user namespace: the kernel would give it a table of its own, whose \
                 entries work only in this container"
            ),
            hint: format!("start the container as root (sudo podman run --privileged …), or register on the host{run}"),
        })
    }

    /// Checks that new entries would be the host's and would stay. With `keeps_running`, this process keeps running and
    /// thus keeps the table mounted.
    pub fn check_entries_persist(&self, host: &Host, keeps_running: bool) -> Result<()> {
        self.check_is_host_table(host)?;
        let kind = &self.kind;
        if self.is_sole_mounter && !keeps_running {
            return Err(Error::Conflict {
                what: format!(
                    "only this container ({kind}) has the kernel's table mounted: its entries would end with it, \
                     because since Linux 6.7 the last unmount removes all entries"
                ),
                hint: "on the host: mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; or keep this \
                       container running: register SYSTEM --watch"
                    .into(),
            });
        }
        Ok(())
    }
}

/// Mounts the table and returns whether it is a new one, that is, whether it was mounted nowhere else. The change time
/// of `status` in a new table is the time of the mount; a table that already existed keeps its older time (measured on
/// 6.18).
fn mount_private_table(host: &Host) -> std::result::Result<Option<bool>, Errno> {
    let mount_time = host::metadata::file_timestamp_now();
    host::mount::make_mounts_private()?;
    host.mount_binfmt_misc(Path::new(table::DIR))?;
    let status = host.lstat(&table::entry_path("status")).ok().flatten();
    Ok(status.map(|status| (status.ctime(), status.ctime_nsec()) >= mount_time))
}

/// Returns the kind of container, as the container manager declares it (systemd's CONTAINER_INTERFACE; the files that
/// podman and docker create).
pub fn detect_kind(host: &Host) -> Option<String> {
    if let Some(kind) = host.read_lossy(Path::new("/run/systemd/container")) {
        return Some(kind.trim().to_owned()).filter(|kind| !kind.is_empty());
    }
    if host.exists(Path::new("/run/.containerenv")) {
        return Some("podman".into());
    }
    // A virtual machine may be built from the files of an image, and have this file, too.
    if host.exists(Path::new("/.dockerenv")) && !(host.is_live() && host.in_initial_namespaces()) {
        return Some("docker".into());
    }
    let environ = host.read_lossy(Path::new("/proc/1/environ")).unwrap_or_default();
    let declared = environ.split('\0').find_map(|variable| variable.strip_prefix("container="));
    declared.filter(|kind| !kind.is_empty()).map(str::to_owned).or_else(|| detect_kind_from_env(host))
}

/// Returns the kind that only the tool's own environment declares: if the container shares the host's process
/// namespace, or belongs to a pod.
fn detect_kind_from_env(host: &Host) -> Option<String> {
    if !host.is_live() || host.in_initial_namespaces() {
        return None;
    }
    host::env::var("container").or_else(|| host::env::var("KUBERNETES_SERVICE_HOST").map(|_| "kubernetes".into()))
}

/// Whether the table was mounted after the container's first process had started; `None` if unknown.
pub fn is_table_newer(host: &Host) -> Option<bool> {
    let status = host.lstat(&table::entry_path("status")).ok()??;
    Some(to_milliseconds(status.ctime(), status.ctime_nsec()) > process_start_time(host, "1")?)
}

/// Returns the start time of a process in milliseconds since 1970, exact to some 20 milliseconds. Field 22 of
/// /proc/PID/stat counts hundredths of seconds since the boot (proc(5); USER_HZ is 100 wherever Linux runs today), as
/// /proc/uptime does.
pub fn process_start_time(host: &Host, process: &str) -> Option<i64> {
    let stat = host.read_lossy(&Path::new("/proc").join(process).join("stat"))?;
    let ticks = i64::try_from(host::procfs::parse_start_ticks(&stat)?).ok()?;
    let uptime = host.read_lossy(Path::new("/proc/uptime"))?;
    let hundredths: i64 = uptime.split_whitespace().next()?.replace('.', "").parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
    let age = hundredths.saturating_sub(ticks).saturating_mul(10);
    Some(i64::try_from(now).ok()?.saturating_sub(age))
}

/// Converts a timestamp of a file to milliseconds.
pub fn to_milliseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1000).saturating_add(nanoseconds.saturating_div(1_000_000))
}
