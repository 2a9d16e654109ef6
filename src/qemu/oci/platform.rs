//! Platforms of images, to select the variant of an image that this machine runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Linux on one kind of machine, by Go's name for the architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    architecture: String,
}

/// `uname -m`, and the architecture in images (image-spec v1.1, `image-index.md`: "values listed in the Go Language
/// document for GOARCH").
const MACHINES: &[(&str, &str)] = &[
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("riscv64", "riscv64"),
    ("ppc64le", "ppc64le"),
    ("s390x", "s390x"),
    ("loongarch64", "loong64"),
];

impl Platform {
    /// Returns the platform of a machine (`uname -m`), or `None` if its architecture in images is not known.
    pub fn for_machine(machine: &str) -> Option<Self> {
        let (_, architecture) = MACHINES.iter().find(|(known, _)| *known == machine)?;
        Some(Self { architecture: (*architecture).to_owned() })
    }

    /// Whether an image for this operating system, architecture and variant runs on the platform. A variant is the
    /// minimum that a machine must support; only the lowest one is certain to run (`v1` of amd64, `v8` of arm64).
    pub(super) fn accepts_image(&self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        let lowest = match architecture {
            "amd64" => "v1",
            "arm64" => "v8",
            _ => "",
        };
        os == "linux" && architecture == self.architecture && variant.is_none_or(|variant| variant == lowest)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variants_that_are_certain_to_run_are_accepted() {
        let Some(arm64) = Platform::for_machine("aarch64") else { panic!("no arm64") };
        assert!(arm64.accepts_image("linux", "arm64", None) && arm64.accepts_image("linux", "arm64", Some("v8")));
        let others = [("linux", "arm64", Some("v9")), ("windows", "arm64", None), ("linux", "amd64", None)];
        assert!(!others.into_iter().any(|(os, architecture, variant)| arm64.accepts_image(os, architecture, variant)));
        assert!(!arm64.accepts_image("unknown", "unknown", None));
        assert_eq!(Platform::for_machine("sparc64"), None);
    }
}
