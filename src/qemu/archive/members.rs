//! Recognition of the members of an archive that are emulators, by their paths.

use super::ArchiveError;

/// Prefixes of QEMU's name of the guest, the longer ones first. hermeticbuild/qemu-prebuilt includes the host.
const PREFIXES: [&[u8]; 3] = [b"qemu-user-linux-amd64-", b"qemu-user-linux-arm64-", b"qemu-"];

/// Returns which one of these targets the path has an emulator for, if any.
///
/// A path that leads out of the archive is refused. It could do no harm, because no file is written to such a path, but
/// regular archives do not contain one.
pub(super) fn target_of_path<'a>(path: &[u8], targets: &[&'a str]) -> Result<Option<&'a str>, ArchiveError> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix)) else { return Ok(None) };
    let rest = rest.strip_suffix(b"-static").unwrap_or(rest);
    let Some(target) = targets.iter().find(|target| target.as_bytes() == rest) else { return Ok(None) };
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        let shown = String::from_utf8_lossy(path);
        return Err(ArchiveError::Refused(format!("the path of its member {shown} leads out of the archive")));
    }
    Ok(Some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the target of a path, or "outside" for one that is refused.
    fn target(path: &str) -> Option<&'static str> {
        target_of_path(path.as_bytes(), &["arm", "aarch64"]).unwrap_or(Some("outside"))
    }

    #[test]
    fn an_emulator_is_recognised_by_its_file_name() {
        for path in [
            "qemu-arm",
            "./qemu-arm",
            "usr/bin/qemu-arm-static",
            "a/..b/qemu-arm/qemu-arm",
            "./qemu-user-linux-amd64-arm",
        ] {
            assert_eq!(target(path), Some("arm"), "{path}");
        }
        for path in ["", "/", "qemu-", "qemu-arm/", "qemu-arm64", "qemu-arm-static-static", "xqemu-arm", "qemu-armeb"] {
            assert_eq!(target(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["/qemu-arm", "../qemu-arm", "usr/../../qemu-arm", "/usr/bin/qemu-aarch64-static"] {
            assert_eq!(target(path), Some("outside"), "{path}");
        }
        // Paths of other files are not judged.
        assert_eq!(target("/etc/passwd"), None);
    }
}
