//! What the upper layers of an image hide of those below them (image-spec v1.1, `layer.md`, "Whiteouts" and
//! "Representing Changes").

use std::collections::BTreeSet;

use super::ArchiveError;

/// Before the name of what is hidden.
const WHITEOUT: &[u8] = b".wh.";
/// All that a directory had below.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Of the program whose format this was (AUFS); they hide nothing.
const AUFS_METADATA: &[u8] = b".wh..wh.";

/// More than the names in any distribution have together; they are kept in memory.
const MAX_NAME_BYTES: usize = 64 << 20;

/// What is hidden of a layer by those above it. What hides in a layer, hides nothing of that layer itself.
#[derive(Debug, Default)]
pub(super) struct Whiteouts {
    upper_layers: HiddenNames,
    this_layer: HiddenNames,
    /// How long all names were.
    name_bytes: usize,
}

#[derive(Debug, Default)]
struct HiddenNames {
    /// Whited out, or another file's by now; and all that was in there if it was a directory.
    removed: BTreeSet<Vec<u8>>,
    /// Directories with an end to what was in them.
    opaque_dirs: BTreeSet<Vec<u8>>,
    /// Directories by now: a file of that name is hidden, and another directory is not.
    replaced_dirs: BTreeSet<Vec<u8>>,
}

impl Whiteouts {
    /// A member comes. Whether it is to be passed over: it is a whiteout, or hidden.
    pub(super) fn visit(&mut self, path: &[u8], is_dir: bool) -> Result<bool, ArchiveError> {
        self.name_bytes = self.name_bytes.saturating_add(path.len());
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(ArchiveError::Refused(format!("its members have names of more than {MAX_NAME_BYTES} bytes")));
        }
        let Some(parts) = split_path(path) else { return Ok(false) };
        let Some((name, above)) = parts.split_last() else {
            return Ok(true);
        };
        if *name == OPAQUE {
            self.this_layer.opaque_dirs.insert(above.join(&b'/'));
            return Ok(true);
        }
        if name.starts_with(AUFS_METADATA) {
            return Ok(true);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if hidden.is_empty() || hidden == b"." || hidden == b".." {
                let shown = String::from_utf8_lossy(path);
                return Err(ArchiveError::Refused(format!("its {shown} hides nothing that there could be")));
            }
            self.this_layer.removed.insert([above, &[hidden]].concat().join(&b'/'));
            return Ok(true);
        }
        let path = parts.join(&b'/');
        let hidden = self.upper_layers.is_hidden(&parts, &path);
        let names = if is_dir { &mut self.this_layer.replaced_dirs } else { &mut self.this_layer.removed };
        // Of directories, those alone that are where an emulator may be.
        if !is_dir || name.starts_with(b"qemu-") {
            names.insert(path);
        }
        Ok(hidden)
    }

    /// The layer is read: what hid in it counts from now on.
    pub(super) fn next_layer(&mut self) {
        let HiddenNames { removed: whole, opaque_dirs: inside, replaced_dirs: files } =
            std::mem::take(&mut self.this_layer);
        self.upper_layers.removed.extend(whole);
        self.upper_layers.opaque_dirs.extend(inside);
        self.upper_layers.replaced_dirs.extend(files);
    }
}

impl HiddenNames {
    fn is_hidden(&self, parts: &[&[u8]], path: &[u8]) -> bool {
        let mut above: Vec<u8> = Vec::new();
        self.replaced_dirs.contains(path)
            || self.removed.contains(path)
            || parts.iter().any(|part| {
                let hidden = self.opaque_dirs.contains(&above) || self.removed.contains(&above);
                if !above.is_empty() {
                    above.push(b'/');
                }
                above.extend_from_slice(part);
                hidden
            })
    }
}

/// The names on the way, unless it leads out.
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
        // It hides nothing of its own.
        assert!(!hidden.visit(b"usr/bin/qemu-new", false).unwrap());
        hidden.next_layer();
        hidden.visit(file.as_bytes(), false).unwrap()
    }

    #[test]
    fn what_hides_a_file() {
        let ways = [
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
        for way in ways {
            assert!(hides(&[way], "usr/bin/qemu-arm"), "{way}");
        }
    }

    #[test]
    fn what_does_not() {
        let ways = [
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
        assert!(!hides(&ways, "usr/bin/qemu-arm"));
        // Directories are merged.
        assert!(!hides(&["qemu-x/"], "qemu-x/qemu-arm"));
    }

    #[test]
    fn whiteouts_of_nothing_are_refused() {
        for odd in [".wh.", "a/.wh..", "a/.wh..."] {
            assert!(Whiteouts::default().visit(odd.as_bytes(), false).is_err(), "{odd}");
        }
        assert_eq!(Whiteouts::default().visit(b"../.wh.x", false).ok(), Some(false));
    }
}
