//! Containers: are we in one, is the table that we see the machine's, and how long does it last there?
//!
//! An application's container (docker, podman, a pod) is thrown away, and its files with it; what it registers with the
//! machine's kernel stays. One that is run as a machine (lxc, systemd-nspawn) is taken for a machine.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{self, Host};

/// Kinds that are run as machines, with an init and a life of their own (systemd's CONTAINER_INTERFACE names them).
const MACHINE_CONTAINERS: [&str; 5] = ["lxc", "lxc-libvirt", "openvz", "systemd-nspawn", "wsl"];

/// An application's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What its manager calls it: "podman", "docker", "oci".
    pub kind: String,
    /// It is in a user namespace: tables that it mounts are its own.
    pub in_user_namespace: bool,
    /// Its entries end with it: nobody else has the table mounted.
    pub is_sole_mounter: bool,
    /// Why the machine's table cannot be seen in it.
    pub mount_error: Option<Errno>,
}

/// Looks whether this is a container, and sees to it that the machine's table can be seen in it: where none is mounted,
/// through a mount that ends with this process. In a user namespace it would be another table, an empty one that hides
/// the machine's (Linux 6.7, commit 21ca59b365c0), so there nothing is mounted.
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
    // Until Linux 6.6 an entry keeps the table, mounted or not (simple_pin_fs in fs/binfmt_misc.c).
    container.is_sole_mounter = is_newer == Some(true) && kernel >= (6, 7);
    Some(container)
}

/// Is this the container of an application?
pub fn is_app_container(host: &Host) -> bool {
    detect_app_container(host).is_some()
}

fn detect_app_container(host: &Host) -> Option<String> {
    detect_kind(host).filter(|kind| host.is_live() && !MACHINE_CONTAINERS.contains(&kind.as_str()))
}

impl Container {
    /// Whether the table that is seen here is the machine's.
    pub fn check_is_host_table(&self, host: &Host) -> Result<()> {
        if let Some(errno) = self.mount_error {
            return Err(table::mount_error(host, errno));
        }
        if !self.in_user_namespace {
            return Ok(());
        }
        let kind = &self.kind;
        Err(Error::Unsupported {
            what: format!(
                "this container ({kind}) is in a user namespace: the kernel would give it a table of its own, and what \
                 is registered there works in it alone"
            ),
            hint: "start it as root (sudo podman run --privileged …), or register on the machine itself; for one \
                   command in here: binfmt-nix run -s SYSTEM -- COMMAND"
                .into(),
        })
    }

    /// Whether what is registered here is the machine's, and stays; with `hold`, this process stays with it.
    pub fn check_entries_persist(&self, host: &Host, hold: bool) -> Result<()> {
        self.check_is_host_table(host)?;
        let kind = &self.kind;
        if self.is_sole_mounter && !hold {
            return Err(Error::Conflict {
                what: format!(
                    "nobody but this container ({kind}) has the kernel's table mounted: entries would end with it, for \
                     since Linux 6.7 they go with the last mount"
                ),
                hint: "on the machine: mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; or keep this \
                       container running: register SYSTEM --watch"
                    .into(),
            });
        }
        Ok(())
    }
}

/// Says whether nobody else had mounted it: the change time of `status` in a new table is when it was mounted; one that
/// was there keeps its age (measured on 6.18).
fn mount_private_table(host: &Host) -> std::result::Result<Option<bool>, Errno> {
    let mount_time = host::metadata::file_timestamp_now();
    host::mount::make_mounts_private()?;
    host.mount_binfmt_misc(Path::new(table::DIR))?;
    let status = host.lstat(&table::entry_path("status")).ok().flatten();
    Ok(status.map(|status| (status.ctime(), status.ctime_nsec()) >= mount_time))
}

/// The kind of container this is, as container managers say it (systemd's CONTAINER_INTERFACE; podman's and docker's
/// own files).
pub fn detect_kind(host: &Host) -> Option<String> {
    if let Some(kind) = host.read_lossy(Path::new("/run/systemd/container")) {
        return Some(kind.trim().to_owned()).filter(|kind| !kind.is_empty());
    }
    if host.exists(Path::new("/run/.containerenv")) {
        return Some("podman".into());
    }
    // A virtual machine may be made of an image's files, and have this one too.
    if host.exists(Path::new("/.dockerenv")) && !(host.is_live() && host.in_initial_namespaces()) {
        return Some("docker".into());
    }
    let environ = host.read_lossy(Path::new("/proc/1/environ")).unwrap_or_default();
    let declared = environ.split('\0').find_map(|variable| variable.strip_prefix("container="));
    declared.filter(|kind| !kind.is_empty()).map(str::to_owned).or_else(|| detect_kind_from_env(host))
}

/// What only our own environment says: where the container has the machine's processes, or is a pod's.
fn detect_kind_from_env(host: &Host) -> Option<String> {
    if !host.is_live() || host.in_initial_namespaces() {
        return None;
    }
    host::env::var("container").or_else(|| host::env::var("KUBERNETES_SERVICE_HOST").map(|_| "kubernetes".into()))
}

/// The table was mounted after the container's first process had started.
pub fn is_table_newer(host: &Host) -> Option<bool> {
    let status = host.lstat(&table::entry_path("status")).ok()??;
    Some(to_milliseconds(status.ctime(), status.ctime_nsec()) > process_start_time(host, "1")?)
}

/// When a process was started, in milliseconds since 1970, to some 20 of them: field 22 of /proc/PID/stat counts
/// hundredths of seconds since the boot (proc(5); USER_HZ is 100 wherever Linux runs today), as /proc/uptime does.
pub fn process_start_time(host: &Host, process: &str) -> Option<i64> {
    let stat = host.read_lossy(&Path::new("/proc").join(process).join("stat"))?;
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = host.read_lossy(Path::new("/proc/uptime"))?;
    let hundredths: i64 = uptime.split_whitespace().next()?.replace('.', "").parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
    let age = hundredths.saturating_sub(ticks).saturating_mul(10);
    Some(i64::try_from(now).ok()?.saturating_sub(age))
}

/// Of a file's times.
pub fn to_milliseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1000).saturating_add(nanoseconds.saturating_div(1_000_000))
}
