//! Judges the words of `extra-platforms`: names of systems, and what people write instead of them. Pure.
//!
//! Nix compares each word with the `system` of a derivation, byte by byte, and accepts any text (`StringSet` in
//! `libutil/configuration.cc`; measured with 2.8 and 2.34). So a wrong word has no effect and no message.

use binfmt_magic::Arch;

/// One word of `extra-platforms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformWord {
    /// The name of a system.
    System,
    /// Another text for the names of these systems.
    Misspelled(Vec<String>),
    /// A text that names no system.
    Unknown,
}

/// Systems of nixpkgs (`lib/systems/doubles.nix`) that QEMU does not run as user programs.
const LINUX_WITHOUT_QEMU: [&str; 2] = ["s390-linux", "powerpcle-linux"];

/// Judges one word.
pub fn judge_platform(word: &str) -> PlatformWord {
    if is_system(word) {
        return PlatformWord::System;
    }
    // Brackets, quotes and commas of Nix expressions and of other file formats.
    let parts = word.split(|c: char| "[](){}\"'`‘’“”,;".contains(c)).filter(|part| !part.is_empty());
    match parts.filter_map(correct_name).collect::<Vec<_>>() {
        names if names.is_empty() => PlatformWord::Unknown,
        names => PlatformWord::Misspelled(names),
    }
}

/// Whether a word has the form of a system's name and, for Linux, names a processor that is known.
fn is_system(word: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if Arch::ALL.iter().any(|arch| arch.nix_systems.contains(&word)) || LINUX_WITHOUT_QEMU.contains(&word) {
        return true;
    }
    match word.rsplit_once('-') {
        // The levels of x86_64 (Nix since 2.4, `globals.cc`).
        Some((cpu, "linux")) => cpu.strip_prefix("x86_64-v").is_some_and(|level| ["1", "2", "3", "4"].contains(&level)),
        Some((cpu, os)) => is_part(cpu) && is_part(os),
        None => false,
    }
}

/// Returns the name that Nix has for what another program calls so.
fn correct_name(part: &str) -> Option<String> {
    if is_system(part) {
        return Some(part.to_owned());
    }
    let lower = part.to_ascii_lowercase().replace("x86-64", "x86_64").replace("linux/arm/v6", "armv6l-linux");
    let candidates = [lower.as_str(), lower.strip_suffix("-linux").unwrap_or(&lower)];
    if is_system(&lower) {
        return Some(lower);
    }
    let arch = candidates.iter().find_map(|name| Arch::find(name).ok())?;
    // `armv6-linux` and the like name one of several systems.
    let cpu = candidates[1];
    let exact = arch.nix_systems.iter().find(|system| system.strip_suffix("-linux") == Some(cpu));
    exact.or(arch.nix_systems.first()).map(|system| (*system).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_systems_are_accepted() {
        let known = Arch::ALL.iter().flat_map(|arch| arch.nix_systems).copied();
        let others = [
            "x86_64-v1-linux",
            "x86_64-v4-linux",
            "s390-linux",
            "x86_64-darwin",
            "aarch64-darwin",
            "i686-freebsd13",
            "wasm32-wasi",
            "x86_64-windows",
            "js-ghcjs",
            "aarch64_be-none",
        ];
        for word in known.chain(others) {
            assert_eq!(judge_platform(word), PlatformWord::System, "{word}");
        }
    }

    #[test]
    fn other_texts_are_corrected_or_unknown() {
        for (word, names) in [
            ("arm64-linux", "aarch64-linux"),
            ("amd64-linux", "x86_64-linux"),
            ("x86-64-linux", "x86_64-linux"),
            ("aarch64", "aarch64-linux"),
            ("AArch64-Linux", "aarch64-linux"),
            ("linux/arm64", "aarch64-linux"),
            ("linux/arm/v6", "armv6l-linux"),
            ("armhf-linux", "armv7l-linux"),
            ("arm-linux", "armv7l-linux"),
            ("armv6l", "armv6l-linux"),
            ("i386", "i386-linux"),
            ("ppc64le-linux", "powerpc64le-linux"),
            ("aarch64-unknown-linux-gnu", "aarch64-linux"),
            ("[\"aarch64-linux\"", "aarch64-linux"),
            ("'armv7l-linux']", "armv7l-linux"),
            ("aarch64-linux,armv7l-linux,", "aarch64-linux armv7l-linux"),
            ("\"arm64\",", "aarch64-linux"),
            ("aarch64-linux,foo", "aarch64-linux"),
        ] {
            let names = names.split(' ').map(str::to_owned).collect();
            assert_eq!(judge_platform(word), PlatformWord::Misspelled(names), "{word}");
        }
        for word in [",", "[", "]", "\"\"", "foo", "foo-linux", "=", "x86_64-v5-linux", "-linux", "linux"] {
            assert_eq!(judge_platform(word), PlatformWord::Unknown, "{word}");
        }
    }
}
