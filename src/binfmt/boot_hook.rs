//! The boot hook: files with which an init system starts `binfmt-nix restore` where nothing reads binfmt.d.
//!
//! A hook is a closed set of files, links and lines for each init system. `choose_hook` decides from facts which hook a
//! machine gets, and [`BootHook::objects`] has the content. Both are pure.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::binfmt::boot_reader::has_systemd_reader;
use crate::binfmt::init_system::{InitSystem, WSL_CONF, find_wsl_key};
use crate::host::Host;
use crate::paths;
use crate::sanitize::AsText as _;

/// Script of sysvinit and of OpenRC.
const SCRIPT: &str = "/etc/init.d/binfmt-nix";
/// Script that Buildroot's rcS starts.
const BUSYBOX_SCRIPT: &str = "/etc/init.d/S99binfmt-nix";
const OPENRC_LINK: &str = "/etc/runlevels/default/binfmt-nix";
const SYSTEMD_UNIT: &str = "/etc/systemd/system/binfmt-nix.service";
const SYSTEMD_LINK: &str = "/etc/systemd/system/multi-user.target.wants/binfmt-nix.service";
/// Paths of the unit of a package. `systemctl enable binfmt-nix` makes a link to it, or to [`SYSTEMD_UNIT`]. systemd finds
/// units by their names, and the one in /etc comes first (systemd.unit(5)).
const PACKAGED_UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/binfmt-nix.service", "/lib/systemd/system/binfmt-nix.service"];
const VOID_SCRIPTS: &str = "/etc/runit/core-services";
const VOID_SCRIPT: &str = "/etc/runit/core-services/90-binfmt-nix.sh";
const CRON_TABLES: &str = "/etc/cron.d";
const CRON_TABLE: &str = "/etc/cron.d/binfmt-nix";
/// Directories of sysvinit's runlevels in which the script is started, as those of binfmt-support are.
const RUNLEVELS: [&str; 4] = ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc4.d", "/etc/rc5.d"];
/// List of the scripts that startpar(8) starts on Debian: it ignores links of other scripts (`filter_files` of startpar's
/// makeboot.c; seen with startpar 0.65).
pub const SCRIPT_LIST: &str = "/etc/init.d/.depend.start";
/// Paths of the program that writes the list (update-rc.d of Debian's init-system-helpers).
const INSSERV: [&str; 2] = ["/usr/lib/insserv/insserv", "/sbin/insserv"];
/// Name of the links in [`RUNLEVELS`], after a letter and two digits.
const RUNLEVEL_NAME: &str = "binfmt-nix";
/// Target of the links in [`RUNLEVELS`].
const RUNLEVEL_TARGET: &str = "../init.d/binfmt-nix";

/// Way in which a machine starts `binfmt-nix restore` at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootHook {
    /// A unit of systemd, where systemd-binfmt is missing or switched off.
    Systemd,
    /// An LSB script with links in the runlevels. Debian's runit starts these links, too (`run_sysv_scripts`).
    Sysvinit,
    /// A script of OpenRC in the runlevel `default`.
    OpenRc,
    /// A script that Void's first stage of runit reads (`/etc/runit/1`).
    VoidRunit,
    /// A script that Buildroot's `rcS` starts (`package/initscripts/init.d/rcS`).
    BusyBox,
    /// The command of `[boot]` in /etc/wsl.conf.
    Wsl,
    /// A line `@reboot` in a table of cron.
    Cron,
}

/// Reason why no hook is possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBootHook {
    /// WSL starts one command, and the user has one already.
    #[error("the [boot] section of {WSL_CONF} starts another command already: {0}")]
    CommandTaken(String),
    /// The init system is not supported, and cron is not installed.
    #[error("binfmt-nix has no boot script for {0}, and no cron that runs @reboot lines is installed")]
    NoWay(String),
}

/// Facts that decide which hook a machine gets.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a machine")]
struct HookFacts {
    init: InitSystem,
    /// Whether the reader of systemd is installed.
    has_systemd: bool,
    /// Whether stage 1 of runit reads scripts of a directory, as Void's does.
    has_void_scripts: bool,
    /// Whether stage 2 of runit starts the links of /etc/rc2.d, as Debian's does.
    runs_sysv_scripts: bool,
    /// Whether /etc/init.d/rcS starts every script of a pattern, as Buildroot's does.
    starts_s_scripts: bool,
    /// Text of /etc/wsl.conf.
    wsl_conf: String,
    /// Whether a cron is installed that reads /etc/cron.d and knows @reboot: Debian's or cronie.
    has_cron: bool,
}

/// One object of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookObject {
    /// A file that belongs to this tool as a whole.
    File {
        /// Path of the file.
        path: &'static str,
        /// Complete content of the file.
        text: String,
        /// Whether the file can be executed.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Path of the link.
        path: PathBuf,
        /// Target of the link.
        target: &'static str,
    },
    /// The boot command in /etc/wsl.conf, which is the user's file.
    BootCommand {
        /// Line of the command.
        line: String,
    },
}

/// State of the hook of a machine where nothing reads binfmt.d.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookState {
    /// Hook that the machine gets, or the reason why there is none.
    pub hook: Result<BootHook, NoBootHook>,
    /// Program that the installed hook starts; `None` if no hook is complete.
    pub program: Option<PathBuf>,
    /// Objects of the hook that exist, and are as this tool makes them.
    pub present: Vec<PathBuf>,
    /// Objects of the hook that are missing or were changed.
    pub missing: Vec<PathBuf>,
    /// Whether the boot ignores the links of the hook, because a list of scripts does not contain it.
    pub is_unlisted: bool,
    /// The program that writes this list, if it is installed on the running machine.
    pub insserv: Option<PathBuf>,
}

impl HookState {
    /// Reads the state of the hook.
    pub(super) fn inspect(host: &Host, init: &InitSystem) -> Self {
        let hook = choose_hook(&HookFacts::gather(host, init));
        let list = host.read_lossy(Path::new(SCRIPT_LIST)).unwrap_or_default();
        let has_name = list.split([' ', '\n', ':']).any(|word| word == RUNLEVEL_NAME);
        let is_unlisted = hook == Ok(BootHook::Sysvinit) && !list.is_empty() && !has_name;
        let insserv =
            if host.exists(Path::new("/etc/insserv.conf")) { host.find_trusted_program(&INSSERV) } else { None };
        let nothing = |hook| {
            let (present, missing, insserv) = (Vec::new(), Vec::new(), insserv.clone());
            Self { hook, program: None, present, missing, is_unlisted, insserv }
        };
        let Ok(chosen) = hook else { return nothing(hook) };
        if chosen == BootHook::Systemd && has_packaged_unit(host) {
            let program = Some(paths::PACKAGED_PROGRAM.into());
            return Self { program, present: vec![SYSTEMD_LINK.into()], ..nothing(Ok(chosen)) };
        }
        let programs = [paths::PROGRAM, paths::PACKAGED_PROGRAM].map(Path::new);
        let states = programs.map(|program| {
            let mut state = nothing(Ok(chosen));
            for object in chosen.objects(program) {
                let list = if object.is_present(host) { &mut state.present } else { &mut state.missing };
                list.push(object.path().to_owned());
            }
            let list = if host.has_mode(program, 0o111) { &mut state.present } else { &mut state.missing };
            list.push(program.to_owned());
            if is_unlisted {
                state.missing.push(SCRIPT_LIST.into());
            }
            state.program = state.missing.is_empty().then(|| program.to_owned());
            state
        });
        let complete = states.iter().find(|state| state.program.is_some()).cloned();
        complete.unwrap_or_else(|| states.into_iter().next().unwrap_or_else(|| nothing(Ok(chosen))))
    }

    /// Whether a hook is complete: the machine registers its entries at boot.
    pub fn is_installed(&self) -> bool {
        self.program.is_some()
    }
}

impl HookFacts {
    fn gather(host: &Host, init: &InitSystem) -> Self {
        let read = |path: &str| host.read_lossy(Path::new(path)).unwrap_or_default();
        let exists = |path: &str| host.exists(Path::new(path));
        // BusyBox's crond reads no /etc/cron.d. cronie installs cronnext(1).
        let has_daemon = exists("/usr/sbin/cron") || (exists("/usr/sbin/crond") && exists("/usr/bin/cronnext"));
        Self {
            init: init.clone(),
            has_systemd: has_systemd_reader(host),
            has_void_scripts: exists(VOID_SCRIPTS) && read("/etc/runit/1").contains(VOID_SCRIPTS),
            runs_sysv_scripts: read("/etc/runit/2").contains("run_sysv_scripts"),
            starts_s_scripts: read("/etc/init.d/rcS").contains("/etc/init.d/S??*"),
            wsl_conf: read(WSL_CONF),
            has_cron: has_daemon && exists(CRON_TABLES),
        }
    }
}

/// Decides which hook a machine gets.
fn choose_hook(facts: &HookFacts) -> Result<BootHook, NoBootHook> {
    match &facts.init {
        InitSystem::Systemd => Ok(BootHook::Systemd),
        // An image may have systemd and no /sbin/init yet.
        InitSystem::Unknown if facts.has_systemd => Ok(BootHook::Systemd),
        InitSystem::OpenRc => Ok(BootHook::OpenRc),
        InitSystem::Sysvinit => Ok(BootHook::Sysvinit),
        InitSystem::Runit if facts.has_void_scripts => Ok(BootHook::VoidRunit),
        InitSystem::Runit if facts.runs_sysv_scripts => Ok(BootHook::Sysvinit),
        InitSystem::BusyBox if facts.starts_s_scripts => Ok(BootHook::BusyBox),
        InitSystem::Wsl => match find_wsl_key(&facts.wsl_conf, "command") {
            Some(command) if !is_own_command(command) => Err(NoBootHook::CommandTaken(command.to_owned())),
            _ => Ok(BootHook::Wsl),
        },
        _ if facts.has_cron => Ok(BootHook::Cron),
        init => Err(NoBootHook::NoWay(init.to_string())),
    }
}

/// Whether `systemctl enable` has linked the unit of a package. A unit in /etc comes before it. The unit has to have the
/// lines that this tool would write after its first one, which is a comment; a package may have other comments there.
fn has_packaged_unit(host: &Host) -> bool {
    let link = host.read_link(Path::new(SYSTEMD_LINK));
    let Some(unit) = PACKAGED_UNITS.iter().map(Path::new).find(|unit| link.as_deref() == Some(unit)) else {
        return false;
    };
    let own = systemd_unit(paths::PACKAGED_PROGRAM);
    let text = host.read_lossy(unit).unwrap_or_default();
    let head = own.split_once('\n').and_then(|(_, own)| text.strip_suffix(own));
    head.is_some_and(|head| head.lines().all(|line| line.starts_with('#')))
        && host.read_lossy(Path::new(SYSTEMD_UNIT)).is_none()
        && host.has_mode(Path::new(paths::PACKAGED_PROGRAM), 0o111)
}

fn is_own_command(command: &str) -> bool {
    [paths::PROGRAM, paths::PACKAGED_PROGRAM].iter().any(|program| command == format!("{program} restore"))
}

impl BootHook {
    /// All hooks.
    pub const ALL: [Self; 7] =
        [Self::Systemd, Self::Sysvinit, Self::OpenRc, Self::VoidRunit, Self::BusyBox, Self::Wsl, Self::Cron];

    /// Returns the objects of the hook, in the order in which they are made. `program` is the program that the hook starts.
    pub fn objects(self, program: &Path) -> Vec<HookObject> {
        let program = program.as_text();
        let file = |path, text, executable| HookObject::File { path, text, executable };
        let link = |path: &str, target| HookObject::Link { path: path.into(), target };
        match self {
            Self::Systemd => {
                let text = systemd_unit(&program);
                vec![file(SYSTEMD_UNIT, text, false), link(SYSTEMD_LINK, "../binfmt-nix.service")]
            }
            Self::Sysvinit => {
                let links = RUNLEVELS.iter().map(|dir| link(&format!("{dir}/S99{RUNLEVEL_NAME}"), RUNLEVEL_TARGET));
                [file(SCRIPT, lsb_script(&program), true)].into_iter().chain(links).collect()
            }
            Self::OpenRc => vec![file(SCRIPT, openrc_script(&program), true), link(OPENRC_LINK, SCRIPT)],
            Self::VoidRunit => vec![file(VOID_SCRIPT, sourced_script(&program), false)],
            Self::BusyBox => vec![file(BUSYBOX_SCRIPT, lsb_script(&program), true)],
            Self::Wsl => vec![HookObject::BootCommand { line: format!("command = {program} restore") }],
            Self::Cron => vec![file(CRON_TABLE, format!("{MARK}\n@reboot root {program} restore >/dev/null\n"), false)],
        }
    }
}

impl fmt::Display for BootHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => SYSTEMD_UNIT,
            Self::Sysvinit | Self::OpenRc => SCRIPT,
            Self::VoidRunit => VOID_SCRIPT,
            Self::BusyBox => BUSYBOX_SCRIPT,
            Self::Wsl => WSL_CONF,
            Self::Cron => CRON_TABLE,
        })
    }
}

impl HookObject {
    /// Path of the file or link.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } => Path::new(path),
            Self::Link { path, .. } => path,
            Self::BootCommand { .. } => Path::new(WSL_CONF),
        }
    }

    /// Whether the object exists as this tool makes it.
    pub fn is_present(&self, host: &Host) -> bool {
        match self {
            Self::File { path, text, executable } => {
                let path = Path::new(path);
                host.read_lossy(path).as_deref() == Some(text) && (!executable || host.has_mode(path, 0o111))
            }
            Self::Link { path, target } => {
                let found = host.read_link(&renumbered_link(host, path));
                found.is_some_and(|found| is_equivalent_link(path, Path::new(target), &found))
            }
            Self::BootCommand { line } => {
                let command = line.split_once('=').map(|(_, command)| command.trim());
                find_wsl_key(&host.read_lossy(Path::new(WSL_CONF)).unwrap_or_default(), "command") == command
            }
        }
    }
}

/// Whether this is the path of a file that a hook has.
pub fn is_hook_file(path: &Path) -> bool {
    [SYSTEMD_UNIT, SCRIPT, VOID_SCRIPT, BUSYBOX_SCRIPT, CRON_TABLE].iter().any(|file| path == Path::new(file))
}

/// Whether these bytes, which were added to a wsl.conf, are those of [`add_boot_command`].
pub fn is_own_addition(added: &str) -> bool {
    let mut lines = added.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let command = lines.next().and_then(|line| line.strip_prefix("command = "));
    command.is_some_and(is_own_command) && lines.next().is_none_or(|line| line == "[boot]") && lines.next().is_none()
}

/// Whether a hook has a link at this path, with this target.
pub fn is_hook_link(path: &Path, target: &Path) -> bool {
    let fixed = [(SYSTEMD_LINK, "../binfmt-nix.service"), (OPENRC_LINK, SCRIPT)];
    fixed.iter().any(|(link, to)| path == Path::new(link) && target == Path::new(to))
        || (is_runlevel_link(path) && target == Path::new(RUNLEVEL_TARGET))
}

/// Whether a link with the target `found` does the same as the link of a hook at this path.
pub fn is_equivalent_link(path: &Path, target: &Path, found: &Path) -> bool {
    found == target
        || (path == Path::new(SYSTEMD_LINK)
            && [SYSTEMD_UNIT].iter().chain(&PACKAGED_UNITS).any(|unit| found == Path::new(unit)))
}

/// Whether the path is that of a link in a runlevel: `S` and two digits, which insserv(8) chooses.
pub fn is_runlevel_link(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.strip_prefix('S').and_then(|name| name.strip_suffix(RUNLEVEL_NAME));
    RUNLEVELS.iter().any(|dir| path.parent() == Some(Path::new(dir)))
        && number.is_some_and(|number| number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the path that a link in a runlevel has now, whose number insserv(8) may have changed. Other paths are
/// returned as they are.
pub fn renumbered_link(host: &Host, path: &Path) -> PathBuf {
    let Some(dir) = path.parent().filter(|_| is_runlevel_link(path) && !host.exists(path)) else {
        return path.to_owned();
    };
    let found = host.list_dir(dir).unwrap_or_default().into_iter().map(|name| dir.join(name));
    found.filter(|found| is_runlevel_link(found)).min().unwrap_or_else(|| path.to_owned())
}

/// Adds the boot command to the text of a wsl.conf. Returns the new text, and the bytes that were added.
pub fn add_boot_command(text: &str, line: &str) -> (String, String) {
    let boot = text.split_inclusive('\n').scan(0_usize, |end, part| {
        *end = end.saturating_add(part.len());
        Some((*end, part))
    });
    let header = boot.into_iter().find(|(_, part)| part.trim().eq_ignore_ascii_case("[boot]"));
    let Some((end, part)) = header else {
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let added = format!("{newline}[boot]\n{line}\n");
        return (format!("{text}{added}"), added);
    };
    let newline = if part.ends_with('\n') { "" } else { "\n" };
    let added = format!("{newline}{line}\n");
    let (before, after) = text.split_at_checked(end).unwrap_or((text, ""));
    (format!("{before}{added}{after}"), added)
}

/// Comment in the files of a hook.
const MARK: &str = "# Written by binfmt-nix; goes with `binfmt-nix unregister`.";

/// The fields are those of Debian's binfmt-support, which is started before. `stop` removes nothing, as a stop of a service
/// must not break running builds. Exit statuses are those of the LSB: 5 for a missing program (4 for `status`), and 3 for
/// `status` if `restore --check` reports a missing entry.
fn lsb_script(program: &str) -> String {
    format!(
        r#"#!/bin/sh
### BEGIN INIT INFO
# Provides:          binfmt-nix
# Required-Start:    $local_fs
# Required-Stop:
# Should-Start:      binfmt-support
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: Register the emulators of binfmt-nix
# Description:       Registers emulators with the kernel (binfmt_misc).
### END INIT INFO
{MARK}

program={program}
case "$1" in
start | restart | reload | force-reload)
    [ -x "$program" ] || exit 5
    exec "$program" restore
    ;;
stop)
    exit 0
    ;;
status)
    [ -x "$program" ] || exit 4
    exec "$program" restore --check
    ;;
*)
    echo "usage: $0 start|stop|restart|reload|force-reload|status" >&2
    exit 2
    ;;
esac
"#
    )
}

/// A service that does not exist is ignored in `after` and an error in `need`: Debian has no `localmount` (seen with OpenRC
/// 0.56, whose boot starts the scripts of sysvinit).
fn openrc_script(program: &str) -> String {
    format!(
        r#"#!/sbin/openrc-run
{MARK}

description="Registers the emulators of binfmt-nix with the kernel"

depend() {{
    after localmount binfmt binfmt-support modules
}}

start() {{
    ebegin "Registering the emulators of binfmt-nix"
    {program} restore
    eend $?
}}

stop() {{
    return 0
}}
"#
    )
}

/// The shell of the first stage reads this script, so it must not exit.
fn sourced_script(program: &str) -> String {
    format!("{MARK}\nif [ -x {program} ]; then\n    {program} restore || :\nfi\n")
}

fn systemd_unit(program: &str) -> String {
    format!(
        "{MARK}\n[Unit]\nDescription=Register the emulators of binfmt-nix\nDocumentation=man:binfmt-nix-restore(8)\n\
         After=systemd-binfmt.service\nRequiresMountsFor={program} {}\nConditionFileIsExecutable={program}\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={program} restore\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        paths::RECEIPT_DIR
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(init: InitSystem) -> HookFacts {
        HookFacts {
            init,
            has_systemd: false,
            has_void_scripts: false,
            runs_sysv_scripts: false,
            starts_s_scripts: false,
            wsl_conf: String::new(),
            has_cron: false,
        }
    }

    #[test]
    fn every_init_system_gets_its_hook() {
        let no_way = |name: &str| Err(NoBootHook::NoWay(name.to_owned()));
        for (facts, expected) in [
            (facts(InitSystem::Systemd), Ok(BootHook::Systemd)),
            (HookFacts { has_systemd: true, ..facts(InitSystem::Unknown) }, Ok(BootHook::Systemd)),
            (HookFacts { has_systemd: true, ..facts(InitSystem::Sysvinit) }, Ok(BootHook::Sysvinit)),
            (facts(InitSystem::OpenRc), Ok(BootHook::OpenRc)),
            (facts(InitSystem::Sysvinit), Ok(BootHook::Sysvinit)),
            (facts(InitSystem::Runit), no_way("runit")),
            (HookFacts { has_void_scripts: true, ..facts(InitSystem::Runit) }, Ok(BootHook::VoidRunit)),
            (HookFacts { runs_sysv_scripts: true, ..facts(InitSystem::Runit) }, Ok(BootHook::Sysvinit)),
            (facts(InitSystem::BusyBox), no_way("BusyBox's init")),
            (HookFacts { starts_s_scripts: true, ..facts(InitSystem::BusyBox) }, Ok(BootHook::BusyBox)),
            (facts(InitSystem::Wsl), Ok(BootHook::Wsl)),
            (
                HookFacts { wsl_conf: "[boot]\ncommand = x\n".into(), has_cron: true, ..facts(InitSystem::Wsl) },
                Err(NoBootHook::CommandTaken("x".into())),
            ),
            (facts(InitSystem::S6), no_way("s6")),
            (HookFacts { has_cron: true, ..facts(InitSystem::S6) }, Ok(BootHook::Cron)),
            (HookFacts { has_cron: true, ..facts(InitSystem::Dinit) }, Ok(BootHook::Cron)),
            (HookFacts { has_cron: true, ..facts(InitSystem::Other("finit".into())) }, Ok(BootHook::Cron)),
            (HookFacts { has_cron: true, ..facts(InitSystem::Unknown) }, Ok(BootHook::Cron)),
            (facts(InitSystem::Other("finit".into())), no_way("finit")),
        ] {
            assert_eq!(choose_hook(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_boot_command_is_added_to_any_wsl_conf() {
        for (text, expected) in [
            ("", "[boot]\nL\n"),
            ("[user]\ndefault = a\n", "[user]\ndefault = a\n[boot]\nL\n"),
            ("[user]\ndefault = a", "[user]\ndefault = a\n[boot]\nL\n"),
            ("[boot]\nsystemd = false\n[user]\n", "[boot]\nL\nsystemd = false\n[user]\n"),
            (" [Boot]", " [Boot]\nL\n"),
        ] {
            let (after, added) = add_boot_command(text, "L");
            assert_eq!(after, expected, "{text:?}");
            assert_eq!(after.replacen(&added, "", 1), text);
            let line = format!("command = {} restore", paths::PROGRAM);
            assert!(is_own_addition(&add_boot_command(text, &line).1), "{text:?}");
        }
        for added in ["", "\n", "[boot]\n", "command = rm -r /\n", "[user]\ncommand = /usr/bin/binfmt-nix restore\n"] {
            assert!(!is_own_addition(added), "{added:?}");
        }
    }

    #[test]
    fn only_links_of_hooks_are_links_of_hooks() {
        for (path, target, is_one) in [
            ("/etc/rc2.d/S99binfmt-nix", RUNLEVEL_TARGET, true),
            ("/etc/rc5.d/S01binfmt-nix", RUNLEVEL_TARGET, true),
            ("/etc/rc2.d/K01binfmt-nix", RUNLEVEL_TARGET, false),
            ("/etc/rc2.d/S1binfmt-nix", RUNLEVEL_TARGET, false),
            ("/etc/rc2.d/S001binfmt-nix", RUNLEVEL_TARGET, false),
            ("/etc/rc6.d/S01binfmt-nix", RUNLEVEL_TARGET, false),
            ("/etc/rc2.d/S01binfmt-nix", "/etc/passwd", false),
            (OPENRC_LINK, SCRIPT, true),
            (OPENRC_LINK, RUNLEVEL_TARGET, false),
            ("/etc/passwd", SCRIPT, false),
        ] {
            assert_eq!(is_hook_link(Path::new(path), Path::new(target)), is_one, "{path} {target}");
        }
        for hook in BootHook::ALL {
            for object in hook.objects(Path::new(paths::PROGRAM)) {
                let is_in = |dir: &str| object.path().parent() == Some(Path::new(dir));
                assert!(paths::HOOK_DIRS.iter().chain(&["/etc"]).any(|dir| is_in(dir)), "{object:?}");
                match object {
                    HookObject::File { path, .. } => assert!(is_hook_file(Path::new(path)), "{path}"),
                    HookObject::Link { path, target } => assert!(is_hook_link(&path, Path::new(target)), "{path:?}"),
                    HookObject::BootCommand { .. } => {}
                }
            }
        }
    }
}
