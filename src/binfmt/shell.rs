//! Commands that a user can paste into a shell. Pure, except for [`Shell::for_host`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::binfmt::harm::Harm;
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name};
use crate::binfmt::userns::run_table::RunTable;
use crate::host::{self, Host};
use crate::sanitize::{AsText as _, bytes_of, command, shell_quote};

/// The way in which commands for a machine are written.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// The directory that contains the machine's tree, if it is not the running machine.
    pub root: Option<PathBuf>,
    /// Whether the shell of the user is one of root.
    pub is_root: bool,
    /// Whether sudo(8) started this process, so that the shell of the user is not one of root.
    pub is_below_sudo: bool,
    /// The place in which the user's shell runs.
    pub place: ShellPlace,
}

/// The place in which the user's shell runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShellPlace {
    /// The machine itself, or a container.
    #[default]
    Machine,
    /// The namespace of `run`, in which nothing has the rights of the machine's root: sudo(8) does not work.
    Run,
    /// The namespace of a `run` that root started: it may change files of the machine, but has a table of its own.
    RunOfRoot,
}

impl Shell {
    /// Returns the way in which commands for this machine and this user are written.
    pub fn for_host(host: &Host) -> Self {
        let is_root = host::env::effective_ids().0 == 0;
        let place = match RunTable::find(host) {
            None => ShellPlace::Machine,
            Some(_) if host::trust::is_process_of_machine_root() => ShellPlace::RunOfRoot,
            Some(_) => ShellPlace::Run,
        };
        // sudo(8) may have started the `run` with the shell, but not the shell.
        let is_below_sudo = is_root && place == ShellPlace::Machine && host::env::var("SUDO_UID").is_some();
        let root = || host.real_path(Path::new("/")).components().collect();
        Self { root: (!host.is_live()).then(root), is_root: is_root && !is_below_sudo, is_below_sudo, place }
    }

    /// Whether the shell is inside of `run`, whose table ends with it.
    pub fn is_in_run(&self) -> bool {
        self.place != ShellPlace::Machine
    }

    /// Whether this process is one of root, whatever shell its user has.
    pub fn is_process_root(&self) -> bool {
        self.is_root || self.is_below_sudo
    }

    /// Returns a command that needs root. Inside of `run` it is a comment that names the command.
    pub fn as_root(&self, line: impl Display) -> String {
        match self.place {
            ShellPlace::Run => format!("{OUTSIDE}sudo {line}"),
            _ if self.is_root => line.to_string(),
            _ => format!("sudo {line}"),
        }
    }

    /// Returns the command that runs a line with operators of the shell as root.
    pub fn line_as_root(&self, line: &str) -> String {
        self.as_root(format_args!("sh -c {}", shell_quote(line)))
    }

    /// Returns a command that an ordinary user has to run. Root would change the owner of what it writes.
    pub fn as_user(&self, name: &str, line: impl Display) -> String {
        // sudo(8) lets its user do this, too. Inside of `run` the user is the one of the shell.
        if !self.is_in_run() && self.is_process_root() {
            format!("sudo -u {} {line}", shell_quote(name))
        } else {
            line.to_string()
        }
    }

    /// Returns a command of this tool, with these arguments, that changes the machine. Inside of `run` it is a comment.
    pub fn tool_command(&self, words: impl Display) -> String {
        match self.root {
            Some(_) => self.query_command(words),
            None if self.place == ShellPlace::RunOfRoot => format!("{OUTSIDE}{}", self.query_command(words)),
            None if self.is_in_run() => self.as_root(format_args!("{} {words}", command::program_for_sudo())),
            None if self.is_root => self.query_command(words),
            None => format!("sudo {} {words}", command::program_for_sudo()),
        }
    }

    /// Returns a command of this tool, with these arguments, that every user may run.
    pub fn query_command(&self, words: impl Display) -> String {
        match &self.root {
            Some(root) => format!("{} --root {} {words}", command::program(), shell_quote(&root.as_text())),
            None => format!("{} {words}", command::program()),
        }
    }

    /// Returns the command that registers a system, again or for the first time. Inside of `run`, where a registration
    /// would not be one of the machine, it is another `run`.
    pub fn register_command(&self, arch: &Arch) -> String {
        if self.is_in_run() {
            return self.query_command(format_args!("run -s {}", arch.target));
        }
        self.tool_command(format_args!("register {}", arch.target))
    }

    /// Returns the command that writes a word to a file of the kernel's table.
    pub fn write_command(&self, word: &str, file: &str) -> String {
        let path = self.quote_path(&table::entry_path(file));
        let line =
            if self.is_root { format!("echo {word} > {path}") } else { format!("echo {word} | sudo tee {path}") };
        // Entries of an ordinary user's `run` cannot be changed inside, but those that it copied can be changed outside.
        if self.place == ShellPlace::Run && !self.is_root { format!("{OUTSIDE}{line}") } else { line }
    }

    /// Returns the command that makes a file of the machine consist of one line.
    pub fn write_line_command(&self, line: &str, file: &Path) -> String {
        let (line, path) = (shell_quote(line), self.quote_path(file));
        match self.place {
            ShellPlace::Run => format!("{OUTSIDE}echo {line} | sudo tee {path}"),
            _ if self.is_root => format!("echo {line} > {path}"),
            _ => format!("echo {line} | sudo tee {path}"),
        }
    }

    /// Returns the commands that put a table in force whose `status` is "disabled". `harmful` are the entries that must
    /// not be in force (see [`harm`](super::harm)); they are removed first.
    pub fn switch_on_commands(&self, table: &Table, harmful: &BTreeMap<String, Harm>) -> Vec<String> {
        let enabled = table.entries().iter().filter(|entry| entry.enabled).map(entry_name);
        let removals = enabled.filter(|name| harmful.contains_key(name)).map(|name| self.write_command("-1", &name));
        removals.chain([self.write_command("1", "status")]).collect()
    }

    /// Returns the command that makes a table writable that is mounted read-only.
    pub fn remount_command(&self) -> String {
        self.as_root(format_args!("mount -o remount,rw {}", self.quote_path(Path::new(table::DIR))))
    }

    /// Returns a path of the machine, quoted for a shell.
    pub fn quote_path(&self, path: &Path) -> String {
        shell_quote(&self.real_path(path).as_text())
    }

    /// Returns a file that the user named, quoted as an argument. An absolute path is one of the machine.
    pub fn quote_named_file(&self, path: &str) -> String {
        let bytes = bytes_of(path);
        if bytes.starts_with(b"/") { self.quote_path(Path::new(OsStr::from_bytes(&bytes))) } else { quote_file(path) }
    }

    /// Returns the real path of a path of the machine.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// The beginning of a comment with a command that works only outside of `run`.
const OUTSIDE: &str = "# outside of run: ";

/// Quotes the path of a file for commands that take it as an argument: a name that begins with a hyphen, or has no
/// slash, gets `./` in front, so that it is neither an option nor looked up in PATH.
pub fn quote_file(path: &str) -> String {
    if path.contains('/') { shell_quote(path) } else { format!("./{}", shell_quote(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fit_the_machine_and_the_user() {
        let live = Shell::default();
        assert_eq!(live.tool_command("register arm"), "sudo binfmt-nix register arm");
        assert_eq!(live.query_command("status"), "binfmt-nix status");
        assert_eq!(live.write_command("1", "status"), "echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status");
        let image = Shell { root: Some("/mnt/an image".into()), is_root: true, ..Shell::default() };
        assert_eq!(image.tool_command("status"), "binfmt-nix --root '/mnt/an image' status");
        assert_eq!(image.write_command("-1", "x y"), "echo -1 > '/mnt/an image/proc/sys/fs/binfmt_misc/x y'");
    }

    #[test]
    fn commands_of_root_are_comments_inside_of_run() {
        let mut shell = Shell { place: ShellPlace::Run, ..Shell::default() };
        let arm = Arch::by_target("arm").unwrap_or_else(|| panic!("no arm"));
        let lines = |shell: &Shell| {
            let write = shell.write_command("-1", "x").replace("/proc/sys/fs/binfmt_misc/", "");
            [shell.register_command(arm), shell.tool_command("unregister arm"), shell.as_root("reboot"), write]
        };
        let outside = ["unregister arm", "reboot"].map(|words| format!("# outside of run: sudo {words}"));
        let unregister = outside[0].replace("unregister", "binfmt-nix unregister");
        let run = "binfmt-nix run -s arm";
        assert_eq!(lines(&shell), [run, &unregister, &outside[1], "# outside of run: echo -1 | sudo tee x"]);
        // With --map-root the table can be changed, and nothing else.
        shell.is_root = true;
        assert_eq!(shell.write_line_command("a", Path::new("/etc/x")), "# outside of run: echo a | sudo tee /etc/x");
        assert_eq!(lines(&shell), [run, &unregister, &outside[1], "echo -1 > x"]);
        shell.place = ShellPlace::RunOfRoot;
        assert_eq!(lines(&shell), [run, "# outside of run: binfmt-nix unregister arm", "reboot", "echo -1 > x"]);
    }

    #[test]
    fn files_are_neither_options_nor_commands() {
        assert_eq!(quote_file("-x"), "./-x");
        assert_eq!(quote_file("a b"), "./'a b'");
        assert_eq!(quote_file("./a"), "./a");
        assert_eq!(quote_file("bytes:\\xff"), "./$'\\377'");
    }
}
