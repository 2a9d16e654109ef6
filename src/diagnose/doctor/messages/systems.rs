//! Finds the systems that a text names. Pure.

use binfmt_magic::Arch;

/// Finds the systems in a text, in order, each once. Only unambiguous forms count, because `arm` may be any word.
pub fn find_systems(text: &str) -> Vec<&'static Arch> {
    let mut found: Vec<&'static Arch> = Vec::new();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_/.-".contains(c)));
    for arch in words.filter_map(parse_system) {
        if !found.iter().any(|known| known.target == arch.target) {
            found.push(arch);
        }
    }
    found
}

/// Parses a word such as `aarch64-linux`, `linux/arm64/v8`, `qemu-aarch64-static`, `ld-linux-aarch64.so.1`, or a path in
/// which a name has a triple.
fn parse_system(word: &str) -> Option<&'static Arch> {
    let word = word.trim_matches(['.', '-', '/']);
    let find = |name: &str| Arch::find(name).ok();
    if let Some(platform) = word.strip_prefix("linux/") {
        // Docker has levels of amd64 (linux/amd64/v4) that our table does not have.
        return find(word).or_else(|| find(&format!("linux/{}", platform.split('/').next()?)));
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
    // The triple is in the name of a program, or of a directory above it.
    word.rsplit('/').find_map(find_triple).or_else(|| last.ends_with("-linux").then(|| find(last))?)
}

/// Parses a triple such as `aarch64-unknown-linux-gnu`, alone or in the name of a derivation.
pub(super) fn find_triple(word: &str) -> Option<&'static Arch> {
    let (before, rest) = word.split_once("-unknown-linux-")?;
    let cpu = before.rsplit('-').next()?;
    let abi = rest.split(['-', '.']).next()?;
    Arch::find(&format!("{cpu}-unknown-linux-{abi}")).or_else(|_| Arch::find(cpu)).ok()
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
        assert_eq!(targets("nixpkgs#pkgsCross.armv7l-hf-multiplatform.hello pkgsCross.mingwW64"), "arm");
        assert_eq!(targets("alarm -linux linux/ qemu- ld-linux- the arm of a chair"), "");
    }
}
