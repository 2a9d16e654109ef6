//! Lines of a `machines` file, which describe this host as a builder for Nix on other machines. Pure.
//!
//! `libstore/machines.cc` reads the file, in the same way from Nix 2.8 on (seen with 2.8, 2.26 and 2.34). Lines end at
//! `;` and `#`, and a line that begins with `@` names a file. Lines are split at white space into fields: store URI,
//! systems, ssh key, jobs, speed factor, supported features, mandatory features, public host key in base64. `-` is the
//! default of a field. The elements of a list are separated by commas. Nothing can be quoted.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binfmt_magic::Arch;
use serde::Serialize;

/// The speed factor for native systems. Speed factors are whole numbers: Nix 2.8 reads no others.
pub const NATIVE_SPEED_FACTOR: u32 = 10;
/// The speed factor for emulated systems. A build goes to the free machine with the lowest load divided by this factor,
/// and among equals to the one with the greater factor (`build-remote.cc`). So an emulated build comes to this host
/// only if no native machine is free.
pub const EMULATED_SPEED_FACTOR: u32 = 1;

/// The features of a Nix that does not list its own (`globals.cc`, `getDefaultSystemFeatures`). If `/dev/kvm` can be
/// opened, `kvm` is one more.
pub const DEFAULT_FEATURES: [&str; 3] = ["nixos-test", "benchmark", "big-parallel"];

/// Features that depend on the processor or its speed. An emulated system does not have them.
///
/// `kvm` runs only guests of the host's own processor. All tests of nixpkgs require `nixos-test` together with `kvm`
/// (`nixos/lib/testing/run.nix`), and a test without `kvm` would emulate a machine within the emulation. A `benchmark`
/// would measure QEMU.
const FEATURES_WITHOUT_EMULATION: [&str; 5] = ["kvm", "nixos-test", "benchmark", "apple-virt", "hvf"];
/// The prefixes of the features by which NixOS names the processors that the host can build for
/// (`nixos/modules/config/nix.nix`).
const CPU_FEATURE_PREFIXES: [&str; 2] = ["gccarch-", "gcctune-"];

/// One line of a `machines` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BuildMachine {
    /// The URI of the machine's store.
    pub uri: String,
    /// The systems that the machine builds for.
    pub systems: Vec<String>,
    /// The maximum number of simultaneous builds. Nix counts builds by URI, over all lines with the same one.
    pub max_jobs: usize,
    /// The speed, relative to other machines.
    pub speed_factor: u32,
    /// The features that builds may require.
    pub features: Vec<String>,
    /// The public host key: the text of its .pub file in base64.
    pub host_key: Option<String>,
    /// Whether the systems are emulated.
    pub emulated: bool,
    /// The complete line.
    pub line: String,
}

/// This host, as other machines reach it.
#[derive(Debug, Clone)]
pub struct BuilderHost {
    /// The URI of its store; see [`store_uri`].
    pub uri: String,
    /// The number of its processors.
    pub max_jobs: usize,
    /// The features that native builds may require.
    pub features: Vec<String>,
    /// The text of its public host key file.
    pub host_key: Option<String>,
}

impl BuilderHost {
    /// Returns the lines of the native systems, then those of the emulated ones. Nix has no features per system, and a
    /// line has one list of features for all of its systems. So each list has a line of its own.
    pub fn machine_lines(&self, native: &[String], emulated: &[String]) -> Vec<BuildMachine> {
        let lines = [(native, false), (emulated, true)].into_iter().flat_map(|(systems, emulated)| {
            let groups = self.group_by_features(systems, emulated);
            groups.into_iter().map(move |(features, systems)| self.machine_line(&systems, features, emulated))
        });
        lines.collect()
    }

    /// Groups systems with the same features, in the order of the first system of each group.
    fn group_by_features(&self, systems: &[String], emulated: bool) -> Vec<(Vec<String>, Vec<String>)> {
        let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        for system in systems {
            let features = self.features_of(system, emulated);
            match groups.iter_mut().find(|(known, _)| *known == features) {
                Some((_, members)) => members.push(system.clone()),
                None => groups.push((features, vec![system.clone()])),
            }
        }
        groups
    }

    /// Returns the features of this host that belong to a system, sorted.
    fn features_of(&self, system: &str, emulated: bool) -> Vec<String> {
        let belongs = |feature: &&String| {
            if is_required_feature(feature) {
                binfmt_magic::required_feature(system) == Some(feature.as_str())
            } else {
                !emulated || is_kept_under_emulation(feature)
            }
        };
        let features: BTreeSet<_> =
            self.features.iter().filter(|name| is_word(name)).filter(belongs).cloned().collect();
        features.into_iter().collect()
    }

    fn machine_line(&self, systems: &[String], features: Vec<String>, emulated: bool) -> BuildMachine {
        let host_key = self.host_key.as_ref().map(|text| STANDARD.encode(text.trim()));
        let speed_factor = if emulated { EMULATED_SPEED_FACTOR } else { NATIVE_SPEED_FACTOR };
        let line = format!(
            "{} {} - {} {speed_factor} {} - {}",
            self.uri,
            systems.join(","),
            self.max_jobs,
            dash_if_empty(&features.join(",")),
            dash_if_empty(host_key.as_deref().unwrap_or_default()),
        );
        BuildMachine {
            uri: self.uri.clone(),
            systems: systems.to_vec(),
            max_jobs: self.max_jobs,
            speed_factor,
            features,
            host_key,
            emulated,
            line,
        }
    }
}

/// Whether nixpkgs requires this feature for some systems, so that it belongs to no other system.
fn is_required_feature(feature: &str) -> bool {
    let mut systems = Arch::ALL.iter().flat_map(|arch| arch.nix_systems);
    systems.any(|system| binfmt_magic::required_feature(system) == Some(feature))
}

fn dash_if_empty(field: &str) -> &str {
    if field.is_empty() { "-" } else { field }
}

/// Whether an emulated system has this feature of the host, too.
fn is_kept_under_emulation(feature: &str) -> bool {
    !FEATURES_WITHOUT_EMULATION.contains(&feature)
        && !CPU_FEATURE_PREFIXES.iter().any(|prefix| feature.starts_with(prefix))
}

/// Whether the text can be an element of a list in a line.
fn is_word(text: &str) -> bool {
    text != "-" && !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | ';' | '#'))
}

/// The error for a text that is neither the name of a host nor the URI of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuilder {
    /// The text contains a separator of the `machines` format.
    #[error("it contains white space, ';' or '#', which split a machines line and cannot be quoted")]
    Cut,
    /// The text is neither a name nor a URI.
    #[error("it is neither the name of a host nor the URI of a store")]
    NotHost,
}

/// Returns the URI of a host's store. `host` is a host name, or a URI, which is returned as it is.
pub fn store_uri(host: &str) -> Result<String, InvalidBuilder> {
    if !host.chars().all(|c| c.is_ascii_graphic()) || host.contains([';', '#']) {
        return Err(InvalidBuilder::Cut);
    }
    if host.contains("://") && !host.starts_with(['@', ':']) {
        return Ok(host.to_owned());
    }
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    let user = host.strip_suffix(name).unwrap_or_default();
    // Nix 2.36 and ssh reject a name that could be an option; `/` begins a path.
    if name.is_empty() || user == "@" || host.starts_with('-') || name.starts_with('-') || host.contains('/') {
        return Err(InvalidBuilder::NotHost);
    }
    Ok(format!("ssh-ng://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_host_makes_a_line_that_nix_reads(host in "\\PC{0,12}(://\\PC{0,12})?|[ -~]{0,24}") {
            let Ok(uri) = store_uri(&host) else { return Ok(()) };
            prop_assert!(uri.contains("://") && !uri.contains(['#', ';']) && !uri.starts_with('@'));
            let builder = BuilderHost { uri, max_jobs: 1, features: Vec::new(), host_key: None };
            for machine in builder.machine_lines(&strings(&["a-linux"]), &strings(&["b-linux"])) {
                prop_assert_eq!(machine.line.split_whitespace().count(), 8);
            }
        }
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn lines(features: &[&str], native: &[&str], emulated: &[&str]) -> Vec<String> {
        let builder = BuilderHost {
            uri: "ssh-ng://build".into(),
            max_jobs: 8,
            features: strings(features),
            host_key: Some("ssh-ed25519 AAAA root@build\n".into()),
        };
        builder.machine_lines(&strings(native), &strings(emulated)).into_iter().map(|machine| machine.line).collect()
    }

    #[test]
    fn emulated_systems_are_slower_and_lack_features_of_the_processor() {
        let features = ["kvm", "nixos-test", "benchmark", "big-parallel", "gccarch-znver3", "uid-range"];
        let key = "c3NoLWVkMjU1MTkgQUFBQSByb290QGJ1aWxk";
        assert_eq!(
            lines(&features, &["x86_64-linux", "i686-linux"], &["aarch64-linux", "riscv64-linux"]),
            [
                format!(
                    "ssh-ng://build x86_64-linux,i686-linux - 8 10 \
                     benchmark,big-parallel,gccarch-znver3,kvm,nixos-test,uid-range - {key}"
                ),
                format!("ssh-ng://build aarch64-linux,riscv64-linux - 8 1 big-parallel,uid-range - {key}"),
            ]
        );
    }

    #[test]
    fn a_required_feature_is_only_on_the_line_of_its_systems() {
        let features = ["kvm", "big-parallel", "gccarch-znver3", "gccarch-armv7-a", "gccarch-armv6kz"];
        let key = "c3NoLWVkMjU1MTkgQUFBQSByb290QGJ1aWxk";
        let arm = ["armv7l-linux", "riscv64-linux", "armv6l-linux", "armv5tel-linux", "armv7a-linux"];
        assert_eq!(
            lines(&features, &["x86_64-linux"], &arm),
            [
                format!("ssh-ng://build x86_64-linux - 8 10 big-parallel,gccarch-znver3,kvm - {key}"),
                format!("ssh-ng://build armv7l-linux,armv7a-linux - 8 1 big-parallel,gccarch-armv7-a - {key}"),
                format!("ssh-ng://build riscv64-linux,armv5tel-linux - 8 1 big-parallel - {key}"),
                format!("ssh-ng://build armv6l-linux - 8 1 big-parallel,gccarch-armv6kz - {key}"),
            ]
        );
        // An arm64 host that runs armv7l natively.
        assert_eq!(
            lines(&features[3..4], &["aarch64-linux", "armv7l-linux"], &[]),
            [
                format!("ssh-ng://build aarch64-linux - 8 10 - - {key}"),
                format!("ssh-ng://build armv7l-linux - 8 10 gccarch-armv7-a - {key}"),
            ]
        );
    }

    #[test]
    fn features_that_would_split_the_line_are_omitted() {
        assert_eq!(
            lines(&["kvm", "a,b", "a#b", "a;b", "-", ""], &[], &["aarch64-linux"]),
            ["ssh-ng://build aarch64-linux - 8 1 - - c3NoLWVkMjU1MTkgQUFBQSByb290QGJ1aWxk"]
        );
        assert_eq!(lines(&[], &[], &[]), Vec::<String>::new());
        for line in lines(&DEFAULT_FEATURES, &["x86_64-linux"], &["aarch64-linux"]) {
            assert_eq!(line.split_whitespace().count(), 8, "{line}");
        }
    }

    #[test]
    fn host_names_become_ssh_ng_uris_and_uris_are_kept() {
        for (host, expected) in [
            ("build", "ssh-ng://build"),
            ("nix@build.example.org", "ssh-ng://nix@build.example.org"),
            ("ssh://build?compress=true", "ssh://build?compress=true"),
            ("unix:///run/nix/socket", "unix:///run/nix/socket"),
        ] {
            assert_eq!(store_uri(host).as_deref(), Ok(expected));
        }
        for host in
            ["", "a b", "a\tb", "a\n", "a#b", "a;b", "-oProxyCommand=x", "a@-b", "a@", "@a", "@/a://b", "/a", "ä"]
        {
            assert!(store_uri(host).is_err(), "{host}");
        }
    }
}
