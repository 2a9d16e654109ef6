//! Properties of small parsers: version texts, settings, boot rules, mount points, URLs, and headers of programs.

use std::path::Path;

use binfmt_magic::Arch;
use binfmt_nix::binfmt::boot;
use binfmt_nix::host::mount::parse_mountinfo_line;
use binfmt_nix::nix::config_show;
use binfmt_nix::qemu::binary::{QemuVersion, check_binary, parse_version};
use binfmt_nix::qemu::download::BaseUrl;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::config;
use crate::support::texts::{files, texts};

const VERSIONS: &[&str] = &["qemu-arm", " ", "version", "10.0.13", "7.2", ".", "4294967296", "-rc1", "(Debian", ","];
const SETTINGS: &[&str] = &["extra-platforms", "sandbox", " = ", "=", "aarch64-linux", " ", "true", "relaxed"];
const RULES: &[&str] = &["#", ";", ":", ":a:M:0:abc::/bin/x:F", ":b:E::x::/bin/x:", "\\x7f", "/bin/x", "PF", " "];
const MOUNTS: &[&str] =
    &["36", " ", "35", "98:0", "/", "/proc/sys/fs/binfmt_misc", "\\040", "\\134", "\\0", "rw", "- ext4"];
const URLS: &[&str] =
    &["http", "https", "HTTPS", "file", "://", "/", "@", ":", "user", "host.example", "[::1]", "?", "#", " "];

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn versions_are_parsed_or_rejected(output in texts(VERSIONS)) {
        let _ = QemuVersion::parse(&output);
        if let Ok(version) = parse_version(&output, "qemu-arm") {
            prop_assert_eq!(QemuVersion::parse(&version.to_string()), Some(version));
        }
    }

    #[test]
    fn printed_versions_are_parsed(major: u32, minor: u32, patch: u32, rest in "[^0-9]{0,9}") {
        let line = format!("qemu-arm version {major}.{minor}.{patch} {rest}");
        prop_assert_eq!(parse_version(&line, "qemu-arm"), Ok(QemuVersion(major, minor, patch)));
    }

    #[test]
    fn nix_settings_come_from_the_output(output in texts(SETTINGS)) {
        if let Some(answer) = config_show::parse_config(&output) {
            prop_assert!(answer.extra_platforms.iter().all(|word| output.contains(word)));
            prop_assert!(output.contains(&answer.sandbox));
        }
    }

    #[test]
    fn parsed_boot_rules_can_be_written_again(content in files(RULES)) {
        for rule in boot::parse_binfmt_d(&String::from_utf8_lossy(&content)) {
            for enabled in [true, false] {
                let file = boot::OwnBootFile { rule: rule.clone(), enabled };
                prop_assert_eq!(boot::OwnBootFile::parse(&file.to_text().unwrap()), Some(file));
            }
        }
        if let Some(file) = boot::OwnBootFile::parse(&content) {
            prop_assert_eq!(file.to_text().unwrap(), content);
        }
    }

    #[test]
    fn mount_points_are_unescaped(id in "[0-9]{1,9}", name in "[ -~\t\n]{0,20}", rest in texts(MOUNTS)) {
        let _ = parse_mountinfo_line(&rest);
        let point = format!("/{name}");
        // In the kernel's order: seq_path escapes " \t\n\\".
        let escaped = point.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
        let line = format!("{id} 35 98:0 /root {escaped} rw - ext4 /dev/x rw");
        prop_assert_eq!(parse_mountinfo_line(&line), Some((id.as_str(), Path::new(&point).to_owned())));
    }

    #[test]
    fn mirror_urls_are_http_and_show_no_password(text in texts(URLS)) {
        if let Ok(base) = text.parse::<BaseUrl>() {
            let shown = base.to_string();
            let (scheme, rest) = shown.split_once("://").unwrap();
            prop_assert!(matches!(scheme, "http" | "https"));
            prop_assert!(!rest.split('/').next().unwrap().contains('@'));
            prop_assert!(shown.chars().all(|c| c.is_ascii_graphic()) && !shown.contains(['?', '#']));
        }
    }

    /// After any change in a program's header nothing panics, and a program of another machine is never accepted.
    #[test]
    fn damaged_programs_never_pass_for_another_machine(row: Index, changes in vec((any::<Index>(), any::<u8>()), 0..8), end: Index) {
        let arch = &Arch::ALL[row.index(Arch::ALL.len())];
        let probe = arch.probe().unwrap();
        let mut head = probe.to_vec();
        for (at, byte) in changes {
            let at = at.index(head.len());
            head[at] = byte;
        }
        let whole = &head[..end.index(head.len() + 1)];
        for machine in ["x86_64", "aarch64", "i686", "ppc64le", "s390x", "vax"] {
            let _ = check_binary(whole, machine);
        }
        if arch.target != "x86_64" && head[..20] == probe[..20] {
            prop_assert!(check_binary(whole, "x86_64").is_err());
        }
    }
}
