//! Which member of an archive is an emulator, by its path.

use super::ArchiveError;

/// What comes before QEMU's name of the guest, the longer first: hermeticbuild/qemu-prebuilt names the host too.
const PREFIXES: [&[u8]; 3] = [b"qemu-user-linux-amd64-", b"qemu-user-linux-arm64-", b"qemu-"];

/// The target whose emulator a path names, if it is one of these.
///
/// Nothing is ever written by such a path, so one that leads out does no harm; but no honest archive has it.
pub(super) fn target_of_path<'a>(path: &[u8], targets: &[&'a str]) -> Result<Option<&'a str>, ArchiveError> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix)) else { return Ok(None) };
    let rest = rest.strip_suffix(b"-static").unwrap_or(rest);
    let Some(target) = targets.iter().find(|target| target.as_bytes() == rest) else { return Ok(None) };
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        let shown = String::from_utf8_lossy(path);
        return Err(ArchiveError::Refused(format!("its member {shown} would lie outside of it")));
    }
    Ok(Some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "outside" for what is refused.
    fn of(path: &str) -> Option<&'static str> {
        target_of_path(path.as_bytes(), &["arm", "aarch64"]).unwrap_or(Some("outside"))
    }

    #[test]
    fn an_emulator_is_known_by_its_last_name() {
        for path in [
            "qemu-arm",
            "./qemu-arm",
            "usr/bin/qemu-arm-static",
            "a/..b/qemu-arm/qemu-arm",
            "./qemu-user-linux-amd64-arm",
        ] {
            assert_eq!(of(path), Some("arm"), "{path}");
        }
        for path in ["", "/", "qemu-", "qemu-arm/", "qemu-arm64", "qemu-arm-static-static", "xqemu-arm", "qemu-armeb"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn a_way_out_is_refused() {
        for path in ["/qemu-arm", "../qemu-arm", "usr/../../qemu-arm", "/usr/bin/qemu-aarch64-static"] {
            assert_eq!(of(path), Some("outside"), "{path}");
        }
        // Of what nobody wants, nothing is said.
        assert_eq!(of("/etc/passwd"), None);
    }
}
