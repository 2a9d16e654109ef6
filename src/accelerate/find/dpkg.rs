//! The list of packages of dpkg: which version of which package is installed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::host::{Host, regular_file};

/// List of all packages (dpkg(1)).
const STATUS: &str = "/var/lib/dpkg/status";
/// Largest list that is read. That of a machine with 10,000 packages has about 15 MB.
const MAX_STATUS: u64 = 64 << 20;

/// The installed packages of a machine or tree.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// Version and architecture of each package.
    versions: BTreeMap<String, (String, String)>,
}

impl Packages {
    /// Reads the list. Returns `None` if dpkg has none.
    pub(super) fn read(host: &Host) -> Result<Option<Self>> {
        let path = Path::new(STATUS);
        let failed = |e| Error::io("read", &host.real_path(path), e);
        let file = match host.open_nofollow(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = regular_file::read_limited(&file, MAX_STATUS).map_err(failed)?;
        Ok(Some(Self::parse(&String::from_utf8_lossy(&bytes))))
    }

    /// Parses the list: paragraphs of fields, with an empty line between them (deb-control(5)).
    pub(super) fn parse(text: &str) -> Self {
        let mut packages = Self::default();
        for paragraph in text.split("\n\n") {
            let field = |name: &str| {
                let value = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                value.map(str::trim).unwrap_or_default().to_owned()
            };
            if field("Status").ends_with(" installed") {
                packages.versions.insert(field("Package"), (field("Version"), field("Architecture")));
            }
        }
        packages
    }

    /// Whether the C library of this architecture is installed.
    pub(super) fn has_architecture(&self, name: &str) -> bool {
        self.versions.iter().any(|(package, (_, architecture))| package.starts_with("libc6") && architecture == name)
    }

    /// Returns the version of a package's source: without the numbers of a cross compiler's package (`14.2.0-19cross1`)
    /// and of a rebuild (`1.2-3+b1`).
    pub(super) fn source_version(&self, package: &str) -> Option<&str> {
        let (version, _) = self.versions.get(package)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let without = |version: &'_ str, mark: &str| {
            version.rsplit_once(mark).filter(|(_, number)| digits(number)).map(|(start, _)| start.len())
        };
        let end = without(version, "cross").or_else(|| without(version, "+b"));
        version.get(..end.unwrap_or(version.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_source_are_equal() {
        let text = "Package: cpp-14-aarch64-linux-gnu\nStatus: install ok installed\nArchitecture: amd64\nVersion: 14.2.0-19cross1\n\n\
                    Package: cpp-14\nStatus: install ok installed\nArchitecture: arm64\nVersion: 14.2.0-19\nDescription: x\n y\n\n\
                    Package: xz-utils\nStatus: install ok installed\nVersion: 5.8.1-1+deb13u2\nArchitecture: arm64\n\n\
                    Package: sed\nStatus: install ok installed\nVersion: 4.9-2+b1\n\n\
                    Package: tar\nStatus: deinstall ok config-files\nVersion: 1.35\n";
        let packages = Packages::parse(text);
        assert_eq!(packages.source_version("cpp-14-aarch64-linux-gnu"), Some("14.2.0-19"));
        assert_eq!(packages.source_version("cpp-14"), Some("14.2.0-19"));
        assert_eq!(packages.source_version("xz-utils"), Some("5.8.1-1+deb13u2"));
        assert_eq!(packages.source_version("sed"), Some("4.9-2"));
        assert_eq!(packages.source_version("tar"), None);
    }
}
