//! Finds the row of a system by any of its names, or suggests similar names.
//!
//! Sources of the names, column by column, are with the fields of [`Arch`]; `Arch` and `names` agree because the
//! names known here are computed from those fields.

use crate::Arch;

/// No row has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown system {name:?}{}", suggestion_text(&self.suggestions()))]
pub struct UnknownSystem {
    /// The name that was looked up.
    pub name: String,
}

impl UnknownSystem {
    /// Returns names that are spelled alike, nearest first; at most three, of different rows. They are computed only here,
    /// which takes longer than the lookup.
    pub fn suggestions(&self) -> Vec<&'static str> {
        suggestions(&normalize(&self.name))
    }
}

pub(crate) fn find(name: &str) -> Result<&'static Arch, UnknownSystem> {
    let wanted = normalize(name);
    let program = wanted.strip_prefix("qemu-").map(|rest| rest.strip_suffix("-static").unwrap_or(rest));
    let target = |name: &str| Arch::by_target(name);
    target(program.unwrap_or(&wanted))
        // A target of another row was found above.
        .or_else(|| Arch::ALL.iter().find(|arch| names_in_fields(arch).any(|name| name == wanted)))
        .or_else(|| by_triple(&wanted))
        .ok_or_else(|| UnknownSystem { name: name.into() })
}

fn normalize(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// Returns all names of a row, each once.
pub(crate) fn names_of(arch: &'static Arch) -> Vec<&'static str> {
    let mut names = vec![arch.target];
    for name in names_in_fields(arch) {
        // The target of another row names only that row (`uname -m` prints `mips64` on mips64el too).
        if !names.contains(&name) && Arch::by_target(name).is_none() {
            names.push(name);
        }
    }
    names
}

fn names_in_fields(arch: &'static Arch) -> impl Iterator<Item = &'static str> {
    let short_systems = arch.nix_systems.iter().filter_map(|system| system.strip_suffix("-linux"));
    let oci_names = arch.oci_platforms.iter().filter_map(|platform| platform.strip_prefix("linux/"));
    let lists = [arch.nix_systems, arch.debian, arch.triples, arch.oci_platforms, arch.uname, arch.aliases];
    lists.into_iter().flatten().copied().chain(short_systems).chain(oci_names)
}

/// A triple that is not listed, such as `aarch64-alpine-linux-musl`: its first part decides, except where the ABI at
/// its end says that these are other programs.
fn by_triple(name: &str) -> Option<&'static Arch> {
    let (cpu, rest) = name.split_once('-')?;
    let (_, abi) = rest.split_once("linux-").filter(|(vendor, _)| vendor.is_empty() || vendor.ends_with('-'))?;
    if rest.contains('/') || !is_abi(abi) {
        return None;
    }
    match (cpu, abi) {
        (_, abi) if abi.ends_with("x32") || abi.ends_with("ilp32") => None,
        ("mips64" | "mipsisa64r6", abi) if abi.ends_with("abin32") => Arch::by_target("mipsn32"),
        ("mips64el" | "mipsisa64r6el", abi) if abi.ends_with("abin32") => Arch::by_target("mipsn32el"),
        // GNU tools read mips64 without an ABI as n32, other tools as n64.
        ("mips64" | "mips64el" | "mipsisa64r6" | "mipsisa64r6el", abi) if !abi.ends_with("abi64") => None,
        ("mipsisa64r6", _) => Arch::by_target("mips64"),
        ("mipsisa64r6el", _) => Arch::by_target("mips64el"),
        _ => Arch::ALL.iter().find(|arch| names_of(arch).contains(&cpu)),
    }
}

fn is_abi(abi: &str) -> bool {
    ["gnu", "musl", "uclibc", "android", "ohos"].iter().any(|libc| abi.starts_with(libc))
}

/// Returns the nearest names within a third of the length, one of each row.
fn suggestions(wanted: &str) -> Vec<&'static str> {
    let reach = (wanted.chars().count() / 3).min(3);
    let nearest = |arch| {
        let similar = names_of(arch).into_iter().filter(|name| name.len().abs_diff(wanted.len()) <= reach);
        similar.map(|name| (distance(wanted, name), name)).min_by_key(|nearest_names| nearest_names.0)
    };
    let mut nearest_names: Vec<_> =
        Arch::ALL.iter().filter_map(nearest).filter(|nearest_names| nearest_names.0 <= reach).collect();
    nearest_names.sort_by_key(|nearest_names| nearest_names.0);
    nearest_names.truncate(3);
    nearest_names.into_iter().map(|nearest_names| nearest_names.1).collect()
}

/// Returns the edit distance, in which a swap of two adjacent characters counts once.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let edit = |cost: Option<&usize>| cost.map_or(usize::MAX, |cost| cost.saturating_add(1));
    // Each row has the costs of turning the part of `a` that was read into each prefix of `b`.
    let (mut older, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let mut before = None;
    for from in a.chars() {
        let mut row = vec![edit(last.first())];
        for (j, &to) in b.iter().enumerate() {
            let insert_or_delete = edit(row.last()).min(edit(last.get(j.saturating_add(1))));
            let change = if from == to { last.get(j).copied().unwrap_or(usize::MAX) } else { edit(last.get(j)) };
            let swap = match j.checked_sub(1) {
                Some(left) if b.get(left) == Some(&from) && before == Some(to) => edit(older.get(left)),
                _ => usize::MAX,
            };
            row.push(insert_or_delete.min(change).min(swap));
        }
        older = std::mem::replace(&mut last, row);
        before = Some(from);
    }
    last.last().copied().unwrap_or_default()
}

fn suggestion_text(suggestions: &[&str]) -> String {
    match suggestions {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [first @ .., last] => format!("; did you mean {} or {last}?", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn target(name: &str) -> &str {
        find(name).map_or("-", |arch| arch.target)
    }

    #[test]
    fn every_name_is_of_one_row() {
        let mut seen = HashMap::new();
        for arch in Arch::ALL {
            for name in names_of(arch) {
                assert_eq!(seen.insert(name, arch.target), None, "{name}");
                assert_eq!(name, name.to_ascii_lowercase());
                assert_eq!(target(name), arch.target);
                assert_eq!(target(&name.to_ascii_uppercase()), arch.target);
            }
        }
    }

    #[test]
    fn a_name_that_is_left_out_is_another_rows_target() {
        for arch in Arch::ALL {
            let fields = [arch.nix_systems, arch.debian, arch.triples, arch.oci_platforms, arch.aliases, arch.uname];
            for name in fields.into_iter().flatten() {
                let shared = arch.uname.contains(name) && Arch::by_target(name).is_some();
                assert!(names_of(arch).contains(name) || shared, "{name}");
            }
        }
    }

    #[test]
    fn all_kinds_of_names_are_known() {
        for name in
            "aarch64 arm64 ARM64 aarch64-linux linux/arm64 linux/arm64/v8 arm64/v8 qemu-aarch64 qemu-aarch64-static \
             aarch64-unknown-linux-gnu aarch64-unknown-linux-musl aarch64-linux-gnu aarch64-alpine-linux-musl"
                .split_whitespace()
        {
            assert_eq!(target(name), "aarch64", "{name}");
        }
        assert_eq!(target("armv7-unknown-linux-musleabihf"), "arm");
        assert_eq!(target("i686-pc-linux-gnu"), "i386");
        assert_eq!(target("mips64el-linux-gnuabin32"), "mipsn32el");
        assert_eq!(target("mips64el-unknown-linux-muslabi64"), "mips64el");
        assert_eq!(target("ppc64el"), "ppc64le");
        assert_eq!(target("mips64"), "mips64");
    }

    #[test]
    fn others_are_not() {
        for name in ["", "linux", "x32", "x86_64-linux-gnux32", "mips64el-linux-gnu", "aarch64-darwin", "s390", "arc"] {
            assert_eq!(target(name), "-", "{name}");
        }
    }

    #[test]
    fn near_names_are_suggested() {
        let suggested = |name| find(name).map_or_else(|unknown| unknown.to_string(), |arch| arch.target.into());
        assert_eq!(suggested("aarch46"), "unknown system \"aarch46\"; did you mean aarch64?");
        assert!(find("riscv46").unwrap_err().suggestions().contains(&"riscv64"));
        assert!(find("amd46").unwrap_err().suggestions().contains(&"amd64"));
        assert_eq!(suggested("pdp11"), "unknown system \"pdp11\"");
        assert_eq!(suggested("z"), "unknown system \"z\"");
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!([distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")], [3, 0, 3]);
        assert_eq!(distance("aarch46", "aarch64"), 1);
    }
}
