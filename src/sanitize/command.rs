//! Commands that users paste into a shell: the name or path by which their shell finds this program, and `sudo` where it
//! is needed.
//!
//! The program sets the style once, when it starts. Code that no program runs, such as a unit test, gets the default:
//! `binfmt-nix`, and `sudo` for root.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{AsText as _, shell_quote};

/// Name of the program where the shell finds it by PATH.
const NAME: &str = "binfmt-nix";
/// Directories that the `secure_path` of every distribution's sudoers has.
const SUDO_DIRS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

static STYLE: OnceLock<CommandStyle> = OnceLock::new();

/// The way in which commands are written for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandStyle {
    /// The program, quoted for the user's own shell.
    program: String,
    /// The program behind `sudo`, which has a PATH of its own.
    program_for_sudo: String,
    /// Whether the user's shell is not root's.
    needs_sudo: bool,
    /// The option `--root DIR` of this run, with a blank at its end; empty for the running machine.
    root: String,
    /// Whether the user's shell is inside of `run`, where commands that need root do not work.
    is_in_run: bool,
}

impl CommandStyle {
    /// Chooses the style. `path` is the value of PATH, and `root` the directory of `--root`.
    pub fn new(program: &Path, path: Option<&OsStr>, needs_sudo: bool, root: Option<&Path>) -> Self {
        let dir = program.parent();
        let is_in = |dirs: &[PathBuf]| {
            program.file_name() == Some(OsStr::new(NAME)) && dirs.iter().any(|other| Some(other.as_path()) == dir)
        };
        let path: Vec<_> = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
        let named = |is_found| if is_found { NAME.to_owned() } else { shell_quote(&program.as_text()) };
        Self {
            program: named(is_in(&path)),
            program_for_sudo: named(is_in(&SUDO_DIRS.map(PathBuf::from))),
            needs_sudo: needs_sudo && root.is_none(),
            root: root.map(|root| format!("--root {} ", shell_quote(&root.as_text()))).unwrap_or_default(),
            is_in_run: false,
        }
    }

    /// Returns the style of a shell inside of `run`: a comment says where commands that need root work.
    #[must_use]
    pub fn inside_run(self, is_in_run: bool) -> Self {
        Self { is_in_run: is_in_run && self.root.is_empty(), ..self }
    }

    fn mark_outside(&self, line: String) -> String {
        if self.is_in_run { format!("{line}   # outside of run") } else { line }
    }

    fn tool(&self, words: &impl Display) -> String {
        format!("{} {}{words}", self.program, self.root)
    }

    fn tool_as_root(&self, words: &impl Display) -> String {
        let line = if self.needs_sudo {
            format!("sudo {} {}{words}", self.program_for_sudo, self.root)
        } else {
            self.tool(words)
        };
        self.mark_outside(line)
    }
}

/// Sets the style of all commands. Later calls have no effect.
pub fn set_style(style: CommandStyle) {
    // The first style is the one of this process.
    let _ = STYLE.set(style);
}

fn style() -> &'static CommandStyle {
    STYLE.get_or_init(|| CommandStyle {
        program: NAME.into(),
        program_for_sudo: NAME.into(),
        needs_sudo: true,
        root: String::new(),
        is_in_run: false,
    })
}

/// Whether commands that need root begin with `sudo`.
pub fn needs_sudo() -> bool {
    style().needs_sudo
}

/// Returns the program as the user's shell finds it.
pub fn program() -> &'static str {
    &style().program
}

/// Returns the program as sudo(8) finds it.
pub fn program_for_sudo() -> &'static str {
    &style().program_for_sudo
}

/// Returns a command of this tool that every user may run.
pub fn tool(words: impl Display) -> String {
    style().tool(&words)
}

/// Returns a command of this tool that needs root.
pub fn tool_as_root(words: impl Display) -> String {
    style().tool_as_root(&words)
}

/// Returns a command that needs root.
pub fn as_root(line: impl Display) -> String {
    let line = if needs_sudo() { format!("sudo {line}") } else { line.to_string() };
    style().mark_outside(line)
}

/// Returns a line that needs root. A line with operators of the shell runs in a shell of root as a whole.
pub fn shell_line_as_root(line: &str) -> String {
    if needs_sudo() && line.contains(['&', '|', ';', '<', '>']) {
        style().mark_outside(format!("sudo sh -c {}", shell_quote(line)))
    } else {
        as_root(line)
    }
}

/// Returns the command that writes a word to a file of root. The path is quoted already.
pub fn write_word(word: &str, path: &str) -> String {
    let line = if needs_sudo() { format!("echo {word} | sudo tee {path}") } else { format!("echo {word} > {path}") };
    style().mark_outside(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(program: &str, needs_sudo: bool, root: Option<&str>) -> CommandStyle {
        let path = Some(OsStr::new("/home/joe/bin:/usr/local/bin:/usr/bin"));
        CommandStyle::new(Path::new(program), path, needs_sudo, root.map(Path::new))
    }

    #[test]
    fn the_shell_finds_the_program() {
        let both = |program: &str| {
            let style = style(program, true, None);
            [style.tool(&"status"), style.tool_as_root(&"register arm")]
        };
        assert_eq!(both("/usr/bin/binfmt-nix"), ["binfmt-nix status", "sudo binfmt-nix register arm"]);
        // sudo of some distributions does not search /usr/local/bin, and never a directory of the user.
        for dir in ["/usr/local/bin", "/home/joe/bin"] {
            let lines = ["binfmt-nix status".to_owned(), format!("sudo {dir}/binfmt-nix register arm")];
            assert_eq!(both(&format!("{dir}/binfmt-nix")), lines);
        }
        let lines = ["'/a b/binfmt-nix' status", "sudo '/a b/binfmt-nix' register arm"];
        assert_eq!(both("/a b/binfmt-nix"), lines);
        assert_eq!(both("/usr/bin/other")[0], "/usr/bin/other status");
    }

    #[test]
    fn sudo_and_root_directory_are_written_where_they_are_needed() {
        assert_eq!(style("/usr/bin/binfmt-nix", false, None).tool_as_root(&"register arm"), "binfmt-nix register arm");
        let inside = style("/usr/bin/binfmt-nix", true, None).inside_run(true);
        assert_eq!(inside.tool_as_root(&"register arm"), "sudo binfmt-nix register arm   # outside of run");
        assert_eq!(inside.tool(&"run"), "binfmt-nix run");
        let image = style("/usr/bin/binfmt-nix", true, Some("/mnt/an image"));
        assert_eq!(image.tool_as_root(&"register arm"), "binfmt-nix --root '/mnt/an image' register arm");
    }
}
