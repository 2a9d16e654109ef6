//! Lines of a `machines` file: what this host builds for other machines, as Nix's distributed builds want it. Pure.
//!
//! `libstore/machines.cc`, the same from Nix 2.8 on (seen with 2.8, 2.26 and 2.34): lines are cut at `;` and `#`, one that begins with `@` names a file, and
//! words are split at white space: store URI, systems, ssh key, jobs, speed factor, supported features, mandatory
//! features, public host key in base64; `-` is the default. Lists have commas. Nothing can be quoted.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// How fast the host is with its own programs. Whole numbers: Nix 2.8 reads nothing else.
pub const NATIVE_SPEED_FACTOR: u32 = 10;
/// How fast it is with those of others, by emulation. The free machine with the lowest load divided by this gets a
/// build, the one with the greater factor if these are alike (`build-remote.cc`): so ours when no native one is free.
pub const EMULATED_SPEED_FACTOR: u32 = 1;

/// What a Nix that says nothing has (`globals.cc`, `getDefaultSystemFeatures`), beside `kvm` where that can be opened.
pub const DEFAULT_FEATURES: [&str; 3] = ["nixos-test", "benchmark", "big-parallel"];

/// Of the processor, or of its speed; a foreign system has none of it.
///
/// `kvm` runs guests of the host's own processor alone. `nixos-test` comes with `kvm` in all tests of nixpkgs
/// (`nixos/lib/testing/run.nix`), and those that do without would emulate a machine within the emulation. What a
/// `benchmark` measured would be QEMU.
const FEATURES_WITHOUT_EMULATION: [&str; 5] = ["kvm", "nixos-test", "benchmark", "apple-virt", "hvf"];
/// What NixOS calls the processors that the host can build for (`nixos/modules/config/nix.nix`).
const CPU_FEATURE_PREFIXES: [&str; 2] = ["gccarch-", "gcctune-"];

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BuildMachine {
    /// Where its store is.
    pub uri: String,
    /// The systems that it builds for.
    pub systems: Vec<String>,
    /// So many builds at once. Nix counts them by the URI, over all lines that have it.
    pub max_jobs: usize,
    /// Against other machines.
    pub speed_factor: u32,
    /// What builds may require of it.
    pub features: Vec<String>,
    /// The key by which it is known, as its .pub file has it, in base64.
    pub host_key: Option<String>,
    /// By emulation.
    pub emulated: bool,
    /// All of it as a line.
    pub line: String,
}

/// The host, as others reach it.
#[derive(Debug, Clone)]
pub struct BuilderHost {
    /// See [`uri`].
    pub uri: String,
    /// How many processors it has.
    pub max_jobs: usize,
    /// What its own builds may require.
    pub features: Vec<String>,
    /// The public half of its host key: the text of the file.
    pub host_key: Option<String>,
}

impl BuilderHost {
    /// One line for what it runs by itself, one for the rest; none for nothing.
    pub fn machine_lines(&self, native: &[String], emulated: &[String]) -> Vec<BuildMachine> {
        let lines = [(native, false), (emulated, true)];
        lines
            .into_iter()
            .filter(|(systems, _)| !systems.is_empty())
            .map(|(systems, emulated)| self.machine_line(systems, emulated))
            .collect()
    }

    fn machine_line(&self, systems: &[String], emulated: bool) -> BuildMachine {
        let features: BTreeSet<_> = self
            .features
            .iter()
            .filter(|name| is_word(name) && (!emulated || is_kept_under_emulation(name)))
            .cloned()
            .collect();
        let features: Vec<_> = features.into_iter().collect();
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

fn dash_if_empty(field: &str) -> &str {
    if field.is_empty() { "-" } else { field }
}

/// Does emulation leave it true?
fn is_kept_under_emulation(feature: &str) -> bool {
    !FEATURES_WITHOUT_EMULATION.contains(&feature)
        && !CPU_FEATURE_PREFIXES.iter().any(|prefix| feature.starts_with(prefix))
}

/// One element of a list in a line.
fn is_word(text: &str) -> bool {
    text != "-" && !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | ';' | '#'))
}

/// A text is not the name of a host or the URI of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuilder {
    /// Nix would read a part of it as something else.
    #[error("a machines line is cut at white space, ';' and '#', and nothing in it can be quoted")]
    Cut,
    /// It is neither.
    #[error("it is neither a host's name nor a store's URI")]
    NotHost,
}

/// The store of a host by its name, or the URI that was given.
pub fn store_uri(host: &str) -> Result<String, InvalidBuilder> {
    if !host.chars().all(|c| c.is_ascii_graphic()) || host.contains([';', '#']) {
        return Err(InvalidBuilder::Cut);
    }
    if host.contains("://") && !host.starts_with(['@', ':']) {
        return Ok(host.to_owned());
    }
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    let user = host.strip_suffix(name).unwrap_or_default();
    // Nix 2.36 and ssh take no name that could be an option; `/` begins a path.
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
    fn emulation_is_slower_and_has_nothing_of_the_processor() {
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
    fn nothing_breaks_the_line() {
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
    fn a_host_is_reached_by_ssh_ng_and_a_uri_as_it_says() {
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
