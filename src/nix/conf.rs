//! Edits the text of nix.conf: adds one `!include` line, and removes it again.
//!
//! The functions are pure and work on bytes, because a nix.conf may have a comment in Latin-1 or CRLF line ends. Nix
//! splits `name = value` lines on white space, and `#` starts a comment anywhere. `!include FILE` is resolved relative
//! to the including file and ignores a missing file (Nix 2.36, `libutil/configuration.cc`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::sanitize::is_printable;
use crate::sorted;

/// The name of our own file, in the directory of nix.conf.
pub const OWN_FILE_NAME: &str = "binfmt-nix.conf";
/// The line that includes our own file.
pub const INCLUDE_LINE: &str = "!include binfmt-nix.conf";

/// The text of a nix.conf with our line at its end.
#[derive(Debug, PartialEq, Eq)]
pub struct EditedConf {
    /// The new content.
    pub text: Vec<u8>,
    /// Whether a line end was added to the last line, because it had none.
    pub newline_added: bool,
}

/// Whether the text includes this file, by its bare name or by its path in /etc/nix.
pub fn has_include(text: &[u8], file: &str) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| is_include_line(line, file))
}

/// Appends our line. It comes last because later lines take precedence: `extra-…` must append to the values of all
/// lines before.
pub fn add_include(text: &[u8]) -> EditedConf {
    let end: &[u8] = if text.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let newline_added = !text.is_empty() && !text.ends_with(b"\n");
    let mut text = text.to_vec();
    if newline_added {
        text.push(b'\n');
    }
    text.extend_from_slice(INCLUDE_LINE.as_bytes());
    text.extend_from_slice(end);
    EditedConf { text, newline_added }
}

/// Removes our line, wherever it is now; other lines stay as they are. Also removes the line end that [`add_include`]
/// added, if our line is still the last.
pub fn remove_include(text: &[u8], newline_added: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut is_own_line_last = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        is_own_line_last = is_include_line(line, OWN_FILE_NAME);
        if !is_own_line_last {
            out.extend_from_slice(line);
        }
    }
    if newline_added && is_own_line_last && out.ends_with(b"\n") {
        out.pop();
    }
    out
}

fn is_include_line(line: &[u8], file: &str) -> bool {
    let line = String::from_utf8_lossy(line);
    let code = line.split('#').next().unwrap_or_default();
    let mut words = code.split_whitespace();
    let (verb, target) = (words.next(), words.next());
    matches!(verb, Some("!include" | "include"))
        && target.is_some_and(|target| target.strip_prefix("/etc/nix/").unwrap_or(target) == file)
        && words.next().is_none()
}

/// One emulated system, as the settings of Nix need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixGuest<'a> {
    /// The names that Nix has for the system: `aarch64-linux`, …
    pub systems: &'a [&'a str],
    /// The logical path of the emulator.
    pub interpreter: PathBuf,
    /// The logical paths of native programs that are started instead of programs of the system.
    pub native: BTreeSet<PathBuf>,
}

/// Returns the setting lines for these systems, without comments.
///
/// A sandbox path that ends in `?` may be missing without breaking every build. A path is omitted if Nix could not
/// parse it (white space, `#`, `=`, `?`) or a person could not read it: with flag F the sandbox does not need it.
pub fn setting_lines(guests: &[NixGuest]) -> Vec<String> {
    let systems: Vec<_> = guests.iter().flat_map(|guest| guest.systems).copied().collect();
    let paths = guests.iter().flat_map(|guest| std::iter::once(&guest.interpreter).chain(&guest.native));
    let mut paths: Vec<_> = paths.filter_map(|path| sandbox_path_entry(path)).collect();
    // Systems that QEMU does not run may have the same emulator, and then follow each other.
    paths.dedup();
    let mut lines = platform_lines(&systems);
    if !systems.is_empty() && !paths.is_empty() {
        lines.push(format!("{SANDBOX_PATHS} = {}", paths.join(" ")));
    }
    lines
}

/// Returns the setting lines that let Nix accept builds for these systems.
///
/// `extra-platforms` is the real name of a setting, so `extra-platforms = X` would replace Nix's default and lose
/// `i686-linux`; `extra-extra-platforms` appends. The setting of the features is `system-features`, so
/// `extra-system-features` appends to the value of the lines before, or to the default (measured with Nix 2.8).
pub fn platform_lines(systems: &[&str]) -> Vec<String> {
    let features = required_features(systems);
    let lines = [
        (!systems.is_empty()).then(|| format!("{PLATFORMS} = {}", systems.join(" "))),
        (!features.is_empty()).then(|| format!("{FEATURES} = {}", features.join(" "))),
    ];
    lines.into_iter().flatten().collect()
}

/// Returns the system features that nixpkgs requires of a builder for these systems, each once.
pub fn required_features(systems: &[&str]) -> Vec<&'static str> {
    let features = sorted::set(systems.iter().filter_map(|system| binfmt_magic::required_feature(system)));
    features.into_iter().collect()
}

/// The setting that appends to the systems.
const PLATFORMS: &str = "extra-extra-platforms";
/// The setting that appends to the features.
const FEATURES: &str = "extra-system-features";
/// The setting that appends to the paths of the sandbox.
const SANDBOX_PATHS: &str = "extra-sandbox-paths";

fn sandbox_path_entry(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let plain = !text.contains(|c: char| c.is_whitespace() || !is_printable(c) || matches!(c, '#' | '=' | '?'));
    plain.then(|| format!("{text}?"))
}

const FILE_HEADER: &str = "# Written by binfmt-nix. It is rewritten by `binfmt-nix register` and goes with\n\
                      # `binfmt-nix unregister`; put settings of your own into nix.conf.\n";

/// Whether this is the text of a file that [`own_file_text`] could have written, for any systems.
pub fn is_own_file(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let is_own_line = |line: &str| {
        let setting = line.split_once(" = ").map(|(setting, _)| setting);
        setting.is_some_and(|setting| [PLATFORMS, FEATURES, SANDBOX_PATHS].contains(&setting))
    };
    text.strip_prefix(FILE_HEADER).is_some_and(|lines| lines.lines().all(is_own_line))
}

/// Returns the whole text of our own file.
pub fn own_file_text(guests: &[NixGuest]) -> String {
    let mut text = String::from(FILE_HEADER);
    for line in setting_lines(guests) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_line_ends_as_they_are() {
        assert_eq!(add_include(b"a = b\n").text, b"a = b\n!include binfmt-nix.conf\n");
        assert_eq!(add_include(b"a = b\r\n").text, b"a = b\r\n!include binfmt-nix.conf\r\n");
        assert_eq!(add_include(b"a = b").text, b"a = b\n!include binfmt-nix.conf\n");
        assert_eq!(add_include(b"").text, b"!include binfmt-nix.conf\n");
    }

    #[test]
    fn keeps_lines_that_were_added_later() {
        let text = b"a = b\n!include binfmt-nix.conf\nc = d\n";
        assert_eq!(remove_include(text, true), b"a = b\nc = d\n");
    }

    #[test]
    fn finds_the_include_line_in_every_spelling() {
        for line in
            ["!include binfmt-nix.conf", "  include /etc/nix/binfmt-nix.conf # x\r", "!include\tbinfmt-nix.conf"]
        {
            assert!(has_include(line.as_bytes(), "binfmt-nix.conf"), "{line}");
        }
        for line in ["# !include binfmt-nix.conf", "!include other.conf", "!include /tmp/binfmt-nix.conf", ""] {
            assert!(!has_include(line.as_bytes(), "binfmt-nix.conf"), "{line}");
        }
    }

    #[test]
    fn appends_to_the_platforms_and_features_and_makes_paths_optional() {
        let guest = |path: &str| NixGuest {
            systems: &["armv7l-linux", "armv6l-linux"],
            interpreter: path.into(),
            native: BTreeSet::new(),
        };
        let lines = [
            "extra-extra-platforms = armv7l-linux armv6l-linux",
            "extra-system-features = gccarch-armv6kz gccarch-armv7-a",
            "extra-sandbox-paths = /x/qemu-arm?",
        ];
        assert_eq!(setting_lines(&[guest("/x/qemu-arm")]), lines);
        assert_eq!(setting_lines(&[guest("/a b/qemu-arm")]), lines[..2]);
        let native = NixGuest { native: BTreeSet::from(["/x/native".into()]), ..guest("/x/qemu-arm") };
        assert_eq!(setting_lines(&[native])[2], "extra-sandbox-paths = /x/qemu-arm? /x/native?");
        assert_eq!(setting_lines(&[]), Vec::<String>::new());
        assert_eq!(platform_lines(&["riscv64-linux"]), ["extra-extra-platforms = riscv64-linux"]);
    }

    #[test]
    fn files_of_this_and_of_earlier_releases_are_recognised() {
        let guest = NixGuest { systems: &["armv7l-linux"], interpreter: "/x/qemu-arm".into(), native: BTreeSet::new() };
        let text = own_file_text(&[guest]);
        assert!(is_own_file(text.as_bytes()));
        let earlier: String = text.split_inclusive('\n').filter(|line| !line.contains("features")).collect();
        assert_ne!(earlier, text);
        assert!(is_own_file(earlier.as_bytes()));
        assert!(!is_own_file(format!("{text}system-features = kvm\n").as_bytes()));
        assert!(!is_own_file(&text.as_bytes()[1..]));
    }

    proptest! {
        #[test]
        fn removing_the_line_restores_the_original_bytes(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(!has_include(&text, "binfmt-nix.conf"));
            let edited = add_include(&text);
            prop_assert!(has_include(&edited.text, "binfmt-nix.conf"));
            prop_assert_eq!(remove_include(&edited.text, edited.newline_added), text);
        }
    }
}
