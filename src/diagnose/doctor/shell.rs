//! Commands that a user can paste into a shell. Pure.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::binfmt::table;
use crate::sanitize::{AsText as _, command, shell_quote};

/// The way in which commands for a machine are written.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// The directory that contains the machine's tree, if it is not the running machine.
    pub root: Option<PathBuf>,
    /// Whether the user's shell is root's.
    pub is_root: bool,
}

impl Shell {
    /// Returns a command that needs root.
    pub fn as_root(&self, line: impl Display) -> String {
        if self.is_root { line.to_string() } else { format!("sudo {line}") }
    }

    /// Returns a command that an ordinary user has to run. Root would change the owner of what it writes.
    pub fn as_user(&self, name: &str, line: impl Display) -> String {
        if self.is_root { format!("sudo -u {} {line}", shell_quote(name)) } else { line.to_string() }
    }

    /// Returns a command of this tool, with these arguments.
    pub fn tool_command(&self, words: impl Display) -> String {
        match &self.root {
            Some(root) => format!("{} --root {} {words}", command::program(), shell_quote(&root.as_text())),
            None if self.is_root => format!("{} {words}", command::program()),
            None => format!("sudo {} {words}", command::program_for_sudo()),
        }
    }

    /// Returns the command that registers a system, again or for the first time.
    pub fn register_command(&self, arch: &Arch) -> String {
        self.tool_command(format_args!("register {}", arch.target))
    }

    /// Returns the command that writes a word to a file of the kernel's table.
    pub fn write_command(&self, word: &str, file: &str) -> String {
        let path = self.quote_path(&table::entry_path(file));
        if self.is_root { format!("echo {word} > {path}") } else { format!("echo {word} | sudo tee {path}") }
    }

    /// Returns a path of the machine, quoted for a shell.
    pub fn quote_path(&self, path: &Path) -> String {
        shell_quote(&self.real_path(path).as_text())
    }

    /// Returns the real path of a path of the machine.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fit_the_machine_and_the_user() {
        let live = Shell::default();
        assert_eq!(live.tool_command("register arm"), "sudo binfmt-nix register arm");
        assert_eq!(live.write_command("1", "status"), "echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status");
        let image = Shell { root: Some("/mnt/an image".into()), is_root: true };
        assert_eq!(image.tool_command("status"), "binfmt-nix --root '/mnt/an image' status");
        assert_eq!(image.write_command("-1", "x y"), "echo -1 > '/mnt/an image/proc/sys/fs/binfmt_misc/x y'");
    }
}
