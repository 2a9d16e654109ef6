//! Whiteouts: which files of lower layers the upper layers of an image hide (image-spec v1.1, `layer.md`, "Whiteouts"
//! and "Representing Changes").

use std::collections::BTreeSet;

use super::ArchiveError;

/// Prefix of a whiteout; the name of the hidden file follows.
const WHITEOUT: &[u8] = b".wh.";
/// Name of the file that hides everything that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of the metadata of AUFS, which invented the format. These files hide nothing.
const AUFS_METADATA: &[u8] = b".wh..wh.";

/// Maximum length of all names together, which are kept in memory. It is more than the names of any distribution have.
const MAX_NAME_BYTES: usize = 64 << 20;

/// Files that are hidden by upper layers. A whiteout hides nothing of its own layer.
#[derive(Debug, Default)]
pub(super) struct Whiteouts {
    upper_layers: HiddenNames,
    this_layer: HiddenNames,
    /// Length of all names so far.
    name_bytes: usize,
}

#[derive(Debug, Default)]
struct HiddenNames {
    /// Names with a whiteout, or with another file in an upper layer. If such a name is a directory in a lower layer,
    /// everything in it is hidden, too.
    removed: BTreeSet<Vec<u8>>,
    /// Directories whose contents in lower layers are hidden.
    opaque_dirs: BTreeSet<Vec<u8>>,
    /// Names that are a directory in an upper layer. A file of that name in a lower layer is hidden, a directory is
    /// not.
    replaced_dirs: BTreeSet<Vec<u8>>,
}

impl Whiteouts {
    /// Records a member of the current layer. Returns whether to ignore it, because it is a whiteout or hidden.
    pub(super) fn visit(&mut self, path: &[u8], is_dir: bool) -> Result<bool, ArchiveError> {
        self.name_bytes = self.name_bytes.saturating_add(path.len());
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(ArchiveError::Refused(format!("its members have names of more than {MAX_NAME_BYTES} bytes")));
        }
        let Some(parts) = split_path(path) else { return Ok(false) };
        let Some((name, parent)) = parts.split_last() else {
            return Ok(true);
        };
        if *name == OPAQUE {
            self.this_layer.opaque_dirs.insert(parent.join(&b'/'));
            return Ok(true);
        }
        if name.starts_with(AUFS_METADATA) {
            return Ok(true);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if hidden.is_empty() || hidden == b"." || hidden == b".." {
                let shown = String::from_utf8_lossy(path);
                return Err(ArchiveError::Refused(format!("its {shown} is a whiteout of an impossible name")));
            }
            self.this_layer.removed.insert([parent, &[hidden]].concat().join(&b'/'));
            return Ok(true);
        }
        let path = parts.join(&b'/');
        let hidden = self.upper_layers.is_hidden(&parts, &path);
        let names = if is_dir { &mut self.this_layer.replaced_dirs } else { &mut self.this_layer.removed };
        // Only a directory that has the name of an emulator can hide one; other directories need no memory.
        if !is_dir || name.starts_with(b"qemu-") {
            names.insert(path);
        }
        Ok(hidden)
    }

    /// Ends the current layer: its whiteouts apply to the layers below.
    pub(super) fn next_layer(&mut self) {
        let HiddenNames { removed, opaque_dirs, replaced_dirs } = std::mem::take(&mut self.this_layer);
        self.upper_layers.removed.extend(removed);
        self.upper_layers.opaque_dirs.extend(opaque_dirs);
        self.upper_layers.replaced_dirs.extend(replaced_dirs);
    }
}

impl HiddenNames {
    fn is_hidden(&self, parts: &[&[u8]], path: &[u8]) -> bool {
        let mut parent: Vec<u8> = Vec::new();
        self.replaced_dirs.contains(path)
            || self.removed.contains(path)
            || parts.iter().any(|part| {
                let hidden = self.opaque_dirs.contains(&parent) || self.removed.contains(&parent);
                if !parent.is_empty() {
                    parent.push(b'/');
                }
                parent.extend_from_slice(part);
                hidden
            })
    }
}

/// Splits a path into its components, or returns `None` if one of them is `..`.
fn split_path(path: &[u8]) -> Option<Vec<&[u8]>> {
    let parts: Vec<_> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    (!parts.contains(&b"..".as_slice())).then_some(parts)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Whether an upper layer with these members hides this file of a lower one.
    fn hides(members: &[&str], file: &str) -> bool {
        let mut hidden = Whiteouts::default();
        for member in members {
            hidden.visit(member.as_bytes(), member.ends_with('/')).unwrap();
        }
        // A layer hides nothing of its own members.
        assert!(!hidden.visit(b"usr/bin/qemu-new", false).unwrap());
        hidden.next_layer();
        hidden.visit(file.as_bytes(), false).unwrap()
    }

    #[test]
    fn whiteouts_and_replacements_hide_a_file() {
        let members = [
            "usr/bin/.wh.qemu-arm",
            "./usr/.wh.bin",
            ".wh.usr",
            "usr/bin/.wh..wh..opq",
            ".wh..wh..opq",
            "usr/bin",
            "usr",
            "usr/bin/qemu-arm",
            "usr/bin/qemu-arm/",
        ];
        for member in members {
            assert!(hides(&[member], "usr/bin/qemu-arm"), "{member}");
        }
    }

    #[test]
    fn other_members_do_not_hide_it() {
        let members = [
            "usr/",
            "usr/bin/",
            "usr/bin/.wh.qemu",
            "usr/bin/.wh.qemu-armeb",
            ".wh.qemu-arm",
            "usr/lib/.wh..wh..opq",
            "usr/bin/.wh..wh.plnk",
            "usr/bin/qemu-ar",
            "bin/.wh.qemu-arm",
        ];
        assert!(!hides(&members, "usr/bin/qemu-arm"));
        // Directories are merged.
        assert!(!hides(&["qemu-x/"], "qemu-x/qemu-arm"));
    }

    #[test]
    fn whiteouts_of_impossible_names_are_refused() {
        for odd in [".wh.", "a/.wh..", "a/.wh..."] {
            assert!(Whiteouts::default().visit(odd.as_bytes(), false).is_err(), "{odd}");
        }
        assert_eq!(Whiteouts::default().visit(b"../.wh.x", false).ok(), Some(false));
    }
}
