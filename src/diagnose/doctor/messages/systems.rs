//! Finds the systems that a text names. Pure.

use binfmt_magic::Arch;

/// The name of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemName {
    /// A system that an emulator of QEMU can run.
    Known(&'static Arch),
    /// Another system, by Nix's name: `aarch64-darwin`, `x86_64-freebsd`.
    NotEmulated(String),
}

impl SystemName {
    /// Parses the name of a system where a message has one: `aarch64-linux`, `arm64`, `linux/arm64/v8`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some(arch) = find_name(name) {
            return Some(Self::Known(arch));
        }
        let (cpu, system) = name.split_once('-')?;
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        (is_word(cpu) && is_word(system) && name.len() <= 30).then(|| Self::NotEmulated(name.to_owned()))
    }

    /// Returns the system, if QEMU can run it.
    pub fn arch(&self) -> Option<&'static Arch> {
        match self {
            Self::Known(arch) => Some(arch),
            Self::NotEmulated(_) => None,
        }
    }
}

/// Finds a name, also with a level of a processor that our table does not have: docker's `linux/amd64/v4`, and
/// `x86_64-v3-linux`, which Nix lists since 2.4.
fn find_name(name: &str) -> Option<&'static Arch> {
    let find = |name: &str| Arch::find(name).ok();
    if let Some(platform) = name.strip_prefix("linux/") {
        return find(name).or_else(|| find(&format!("linux/{}", platform.split('/').next()?)));
    }
    find(name).or_else(|| find(name.strip_suffix("-linux")?.rsplit_once("-v")?.0))
}

/// Finds the systems in a text, in order, each once. Only unambiguous forms count, because `arm` may be any word.
pub fn find_systems(text: &str) -> Vec<&'static Arch> {
    let mut found: Vec<&'static Arch> = Vec::new();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_/.-".contains(c)));
    for arch in words.filter_map(parse_word) {
        if !found.iter().any(|known| known.target == arch.target) {
            found.push(arch);
        }
    }
    found
}

/// Parses a word such as `aarch64-linux`, `linux/arm64/v8`, Java's `linux-aarch64`, `qemu-aarch64-static`,
/// `ld-linux-aarch64.so.1`, or a path in which a name has a triple or Nix's name of a system.
fn parse_word(word: &str) -> Option<&'static Arch> {
    let word = word.trim_matches(['.', '-', '/']);
    let find = |name: &str| Arch::find(name).ok();
    if word.starts_with("linux/") {
        return find_name(word);
    }
    if let Some((_, cross)) = word.split_once("pkgsCross.") {
        // `aarch64-multiplatform`, `riscv64`, `armv7l-hf-multiplatform`
        return find(cross.split(['-', '.']).next()?);
    }
    let last = word.rsplit('/').next()?;
    if let Some((_, target)) = last.rsplit_once("qemu-") {
        return find(target.trim_end_matches("-static"));
    }
    if let Some(loader) = last.strip_prefix("ld-linux-").or_else(|| last.strip_prefix("ld-musl-")) {
        return find(&loader.split(".so").next()?.replace("x86-64", "x86_64"));
    }
    // A package of Debian, as debootstrap and apt name it: `vim-tiny_8.2.2434-3_arm64.deb`.
    if let Some((_, debian)) = last.strip_suffix(".deb").and_then(|package| package.rsplit_once('_')) {
        return find(debian);
    }
    // The name of the system is in that of a program, or of a directory above it.
    word.rsplit('/').find_map(find_in_name).or_else(|| find(last.strip_prefix("linux-")?))
}

/// Finds a system in a name whose parts are joined by `-`: `hello-aarch64-unknown-linux-gnu-2.12`, `aarch64-linux-gnu`,
/// `image-26.05-aarch64-linux.img.drv`.
fn find_in_name(name: &str) -> Option<&'static Arch> {
    find_triple(name).or_else(|| {
        let parts: Vec<&str> = name.split('-').collect();
        parts.windows(2).find_map(|pair| match pair {
            // `image-aarch64-linux.img`, `x86_64-linux-6.12`, but not `arm-linux-gnueabi`.
            [cpu, system] if system.split('.').next() == Some("linux") => {
                Arch::ALL.iter().find(|arch| arch.nix_systems.contains(&format!("{cpu}-linux").as_str()))
            }
            _ => None,
        })
    })
}

/// Finds a triple such as `aarch64-unknown-linux-gnu` or `arm-linux-gnueabihf` in a name whose parts are joined by `-`.
pub(super) fn find_triple(name: &str) -> Option<&'static Arch> {
    triple_in(name).map(|(arch, _)| arch)
}

/// Finds a triple in a name, and what follows it.
pub(super) fn triple_in(name: &str) -> Option<(&'static Arch, String)> {
    let parts: Vec<&str> = name.split('-').collect();
    let at = |place: usize| parts.get(place).copied().unwrap_or_default();
    (1..parts.len()).filter(|place| at(*place) == "linux").find_map(|linux| {
        let after = linux.saturating_add(1);
        let abi = at(after).split('.').next().filter(|abi| ["gnu", "musl"].iter().any(|c| abi.starts_with(c)))?;
        let rest = at(after).strip_prefix(abi)?;
        let tail = parts.get(after.saturating_add(1)..).unwrap_or_default().join("-");
        // With a vendor, and without one.
        let vendor = linux.checked_sub(2).map(|cpu| format!("{}-{}-linux-{abi}", at(cpu), at(cpu.saturating_add(1))));
        let plain = linux.checked_sub(1).map(|cpu| format!("{}-linux-{abi}", at(cpu)));
        let arch = vendor.into_iter().chain(plain).find_map(|triple| Arch::find(&triple).ok())?;
        Some((arch, [rest, tail.as_str()].join("-").trim_matches('-').to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_as_programs_write_them() {
        let targets = |text: &str| find_systems(text).iter().map(|arch| arch.target).collect::<Vec<_>>().join(" ");
        assert_eq!(targets("a 'aarch64-linux' with features {}"), "aarch64");
        assert_eq!(targets("(linux/arm64/v8) does not match (linux/amd64/v4)"), "aarch64 x86_64");
        assert_eq!(targets("qemu-riscv64-static: Could not open '/lib/ld-linux-riscv64-lp64d.so.1'"), "riscv64");
        assert_eq!(targets("/lib64/ld-linux-x86-64.so.2 /lib/ld-musl-armhf.so.1"), "x86_64 arm");
        assert_eq!(targets("/nix/store/0q-hello-aarch64-unknown-linux-gnu-2.12.1.drv"), "aarch64");
        assert_eq!(targets("/nix/store/0q-hello-aarch64-unknown-linux-gnu-2.12.1/bin/hello: ENOEXEC"), "aarch64");
        assert_eq!(targets("/nix/store/0q-riscv64-unknown-linux-musl-binutils-2.43/bin/ld"), "riscv64");
        assert_eq!(targets("/usr/arm-linux-gnueabihf/lib/libc.so, x-armv7l-unknown-linux-gnueabihf.drv"), "arm");
        assert_eq!(targets("/nix/store/0q-nixos-sd-image-26.05-aarch64-linux.img.zst.drv"), "aarch64");
        assert_eq!(targets("URL:http://h/main/v/vim/vim-tiny_8.2.2434-3_arm64.deb x_1_all.deb"), "aarch64");
        assert_eq!(targets("(25.171 mixed mode linux-aarch64 compressed oops)"), "aarch64");
        assert_eq!(targets("nixpkgs#pkgsCross.armv7l-hf-multiplatform.hello pkgsCross.mingwW64"), "arm");
        assert_eq!(targets("alarm -linux linux/ qemu- ld-linux- the arm of a chair, a linux-image, gnu-linux"), "");
    }

    #[test]
    fn a_name_may_be_that_of_a_system_without_an_emulator() {
        let target = |name: &str| SystemName::parse(name).map(|name| name.arch().map(|arch| arch.target));
        assert_eq!(target("x86_64-v3-linux"), Some(Some("x86_64")));
        assert_eq!(target("linux/amd64/v4"), Some(Some("x86_64")));
        assert_eq!(target("aarch64-darwin"), Some(None));
        assert_eq!(target("Hello World"), None);
        assert_eq!(target("builtin"), None);
    }

    #[test]
    fn a_triple_has_a_rest() {
        let rest = |name: &str| triple_in(name).map(|(_, rest)| rest).unwrap_or_default();
        assert_eq!(rest("cargo-1.81.0-x86_64-unknown-linux-gnu.tar.gz.drv"), ".tar.gz.drv");
        assert_eq!(rest("hello-aarch64-unknown-linux-gnu-2.12.1.drv"), "2.12.1.drv");
        assert_eq!(rest("btrfs-fs.img-aarch64-unknown-linux-gnu.drv"), ".drv");
    }
}
