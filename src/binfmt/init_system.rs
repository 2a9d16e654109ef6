//! The init system: the first process of a machine, which decides what starts at boot.
//!
//! On the running machine it is the process that runs, and in a tree (`--root`, a chroot, an image that is being built)
//! it is the program that `/sbin/init` leads to. The decisions are pure; [`InitSystem::detect`] reads the facts.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// WSL's settings of a distribution.
pub const WSL_CONF: &str = "/etc/wsl.conf";

/// Init system of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitSystem {
    /// systemd.
    Systemd,
    /// OpenRC, whichever program is the first process.
    OpenRc,
    /// The init of sysvinit, with the scripts of /etc/init.d.
    Sysvinit,
    /// runit.
    Runit,
    /// dinit.
    Dinit,
    /// s6.
    S6,
    /// The init of BusyBox, without OpenRC.
    BusyBox,
    /// WSL's own init, without systemd.
    Wsl,
    /// Another init system, by its name.
    Other(String),
    /// No init system was recognised: in a container the first process may be any program.
    Unknown,
}

impl fmt::Display for InitSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "OpenRC",
            Self::Sysvinit => "sysvinit",
            Self::Runit => "runit",
            Self::Dinit => "dinit",
            Self::S6 => "s6",
            Self::BusyBox => "BusyBox's init",
            Self::Wsl => "WSL's own init",
            Self::Other(name) => name,
            Self::Unknown => "an unknown init system",
        })
    }
}

/// Facts about the first process of the running machine.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a machine")]
struct RunningInit {
    /// Whether systemd runs (sd_booted(3)).
    has_systemd: bool,
    /// Whether OpenRC runs: it keeps the name of the current runlevel in /run/openrc/softlevel.
    has_openrc: bool,
    /// Whether this is the Windows Subsystem for Linux.
    is_wsl: bool,
    /// Whether /etc/wsl.conf starts systemd at the next boot.
    wants_systemd: bool,
    /// Name of the first process.
    name: String,
    /// File name of its program, if this process may read it.
    program: Option<String>,
    /// Whether /etc/inittab exists, which the init of sysvinit needs.
    has_inittab: bool,
}

/// Facts about the program that will be the first process.
#[derive(Debug, Clone, Default)]
struct InstalledInit {
    /// File that /sbin/init leads to, in the tree.
    program: PathBuf,
    /// Whether /etc/inittab or /etc/init.d/rc starts OpenRC, as on Alpine and in Debian's package.
    starts_openrc: bool,
}

impl InitSystem {
    /// Recognises the init system of a machine.
    pub fn detect(host: &Host) -> Self {
        let read = |path: &str| host.read_lossy(Path::new(path)).unwrap_or_default();
        let name = read("/proc/1/comm").trim().to_owned();
        let is_wsl = read("/proc/sys/kernel/osrelease").to_lowercase().contains("microsoft");
        let mentions_openrc = |path: &str| read(path).contains("openrc");
        if host.is_live() && !name.is_empty() && !host.is_in_chroot() {
            let program = host.read_link(Path::new("/proc/1/exe"));
            return identify_running(&RunningInit {
                has_systemd: host.exists(Path::new("/run/systemd/system")),
                has_openrc: host.exists(Path::new("/run/openrc/softlevel")),
                is_wsl,
                wants_systemd: find_wsl_key(&read(WSL_CONF), "systemd").is_some_and(|value| value == "true"),
                name,
                program: program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
                has_inittab: host.exists(Path::new("/etc/inittab")),
            });
        }
        let Some(program) = host.follow_links_in_tree(Path::new("/sbin/init")) else {
            return if is_wsl { Self::Wsl } else { Self::Unknown };
        };
        let starts_openrc = ["/etc/inittab", "/etc/init.d/rc"].into_iter().any(mentions_openrc);
        identify_installed(&InstalledInit { program, starts_openrc })
    }
}

fn identify_running(init: &RunningInit) -> InitSystem {
    match init.name.as_str() {
        _ if init.has_systemd => InitSystem::Systemd,
        _ if init.has_openrc => InitSystem::OpenRc,
        _ if init.is_wsl && init.wants_systemd => InitSystem::Systemd,
        _ if init.is_wsl => InitSystem::Wsl,
        "systemd" => InitSystem::Systemd,
        "openrc-init" => InitSystem::OpenRc,
        "runit" => InitSystem::Runit,
        "dinit" => InitSystem::Dinit,
        "s6-svscan" => InitSystem::S6,
        "init" | "busybox" if init.program.as_deref() == Some("busybox") => InitSystem::BusyBox,
        "init" if init.has_inittab => InitSystem::Sysvinit,
        name @ ("init" | "finit" | "shepherd" | "procd") => InitSystem::Other(name.to_owned()),
        _ => InitSystem::Unknown,
    }
}

fn identify_installed(init: &InstalledInit) -> InitSystem {
    let name = init.program.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match name {
        "systemd" => InitSystem::Systemd,
        "openrc-init" => InitSystem::OpenRc,
        "runit" | "runit-init" => InitSystem::Runit,
        "dinit" => InitSystem::Dinit,
        "busybox" | "init" if init.starts_openrc => InitSystem::OpenRc,
        "busybox" => InitSystem::BusyBox,
        // s6-linux-init-maker creates /etc/s6-linux-init/current/bin/init.
        _ if init.program.iter().any(|part| part == "s6-linux-init") || name.starts_with("s6-") => InitSystem::S6,
        "init" => InitSystem::Sysvinit,
        name => InitSystem::Other(name.to_owned()),
    }
}

/// Returns the value of a key in the section `[boot]` of a wsl.conf (learn.microsoft.com, "Advanced settings
/// configuration in WSL").
pub fn find_wsl_key<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut is_boot = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_boot = line.eq_ignore_ascii_case("[boot]");
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_boot && !line.starts_with('#'))
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.trim());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_init_is_recognised() {
        let plain = |name: &str| RunningInit { name: name.to_owned(), ..RunningInit::default() };
        let program = |name: &str, program: &str| RunningInit { program: Some(program.to_owned()), ..plain(name) };
        for (init, expected) in [
            (RunningInit { has_systemd: true, ..plain("systemd") }, InitSystem::Systemd),
            // In a container that systemd-nspawn starts, for example.
            (RunningInit { has_systemd: true, ..plain("init") }, InitSystem::Systemd),
            (RunningInit { has_openrc: true, has_inittab: true, ..plain("init") }, InitSystem::OpenRc),
            (RunningInit { has_inittab: true, ..program("init", "init") }, InitSystem::Sysvinit),
            (RunningInit { has_inittab: true, ..plain("init") }, InitSystem::Sysvinit),
            (RunningInit { has_inittab: true, ..program("init", "busybox") }, InitSystem::BusyBox),
            (program("init", "init"), InitSystem::Other("init".into())),
            (RunningInit { is_wsl: true, ..plain("init(Debian)") }, InitSystem::Wsl),
            (RunningInit { is_wsl: true, wants_systemd: true, ..plain("init") }, InitSystem::Systemd),
            (RunningInit { is_wsl: true, has_systemd: true, ..plain("systemd") }, InitSystem::Systemd),
            (plain("runit"), InitSystem::Runit),
            (plain("s6-svscan"), InitSystem::S6),
            (plain("dinit"), InitSystem::Dinit),
            (plain("shepherd"), InitSystem::Other("shepherd".into())),
            (plain("bash"), InitSystem::Unknown),
            (plain("tini"), InitSystem::Unknown),
        ] {
            assert_eq!(identify_running(&init), expected, "{init:?}");
        }
    }

    #[test]
    fn the_installed_init_is_recognised() {
        for (program, starts_openrc, expected) in [
            ("/usr/lib/systemd/systemd", false, InitSystem::Systemd),
            ("/usr/sbin/init", false, InitSystem::Sysvinit),
            ("/sbin/init", true, InitSystem::OpenRc),
            ("/bin/busybox", true, InitSystem::OpenRc),
            ("/bin/busybox", false, InitSystem::BusyBox),
            ("/usr/bin/runit-init", false, InitSystem::Runit),
            ("/usr/bin/openrc-init", false, InitSystem::OpenRc),
            ("/usr/bin/dinit", false, InitSystem::Dinit),
            ("/etc/s6-linux-init/current/bin/init", false, InitSystem::S6),
            ("/usr/bin/finit", false, InitSystem::Other("finit".into())),
        ] {
            let init = InstalledInit { program: program.into(), starts_openrc };
            assert_eq!(identify_installed(&init), expected, "{init:?}");
        }
    }

    #[test]
    fn keys_of_wsl_conf_count_in_their_section() {
        let text = "[boot]\n# command = a\nCommand= b c \n[user]\nsystemd=true\ncommand = d\n";
        assert_eq!(find_wsl_key(text, "command"), Some("b c"));
        assert_eq!(find_wsl_key(text, "systemd"), None);
        assert_eq!(find_wsl_key("[BOOT]\nsystemd = true", "systemd"), Some("true"));
    }
}
