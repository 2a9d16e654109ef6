//! Test builds: builds one derivation for each of some systems with the installed Nix, with a probe as its builder.
//!
//! A test build needs only Nix: no nixpkgs, no cache, no network. It runs with the settings of the user, so that it
//! shows what that user's own builds do.
//!
//! The probe makes the directory that its argument names. For a derivation that is the output, written as a path
//! relative to the working directory: `../nix/store/…`. That is the output only from a directory at the root, such as
//! `/build`, where the sandbox starts builders (`sandbox-build-dir` in nix.conf(5)); without a sandbox they start in a
//! directory below `/tmp` or `/nix/var`. So an output proves that the builder ran in the sandbox. If there is none,
//! a second derivation, which names its output by the absolute path, shows whether Nix builds at all.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use binfmt_magic::required_feature;
use serde::Deserialize;

use crate::host::{self, Host, ProcessOutput, TempProgram};
use crate::nix::build_user::{BuildUser, NixCommandError};

/// The result of a test build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestBuild {
    /// Nix built the derivation.
    Built {
        /// Whether the builder ran in Nix's sandbox.
        in_sandbox: bool,
    },
    /// Nix did not build the derivation; what it printed.
    Failed(String),
    /// A signal ended the build.
    Interrupted,
    /// The build could not be tried, for this reason.
    NotRun(String),
}

/// A derivation to build.
#[derive(Debug, Clone, Copy)]
pub struct TestDerivation<'a> {
    /// The system of the derivation, by Nix's name.
    pub system: &'a str,
    /// The probe of that system.
    pub probe: &'a [u8],
}

/// The paths of a derivation in the store.
#[derive(Debug, Deserialize)]
struct StorePaths {
    /// The derivation that makes its output only in a sandbox.
    sandboxed: Derivation,
    /// The derivation that makes its output anywhere.
    plain: Derivation,
    /// The builder of both.
    probe: String,
}

#[derive(Debug, Deserialize)]
struct Derivation {
    drv: String,
    out: String,
}

/// Builds all derivations with one run of Nix, and those that failed again, one by one, for their messages. Returns one
/// result for each. Deletes the files from the store again; if that fails, they are garbage there.
pub fn run_test_builds(host: &Host, user: &BuildUser, derivations: &[TestDerivation]) -> Vec<TestBuild> {
    let for_all = |result: TestBuild| vec![result; derivations.len()];
    match instantiate(host, user, derivations) {
        Ok(paths) if paths.len() == derivations.len() => {
            let results = StoreBuilds { host, user }.build_all(&paths);
            delete(host, user, &paths);
            results
        }
        Ok(_) => for_all(TestBuild::NotRun("nix-instantiate returned something else than was asked for".into())),
        Err(result) => for_all(result),
    }
}

/// Writes the derivations and their builders to the store.
fn instantiate(host: &Host, user: &BuildUser, derivations: &[TestDerivation]) -> Result<Vec<StorePaths>, TestBuild> {
    let not_run = |why: &str| TestBuild::NotRun(why.to_owned());
    let mut programs: Vec<TempProgram> = Vec::new();
    for derivation in derivations {
        let program = host::temp_program::create_program("probe", derivation.probe);
        programs.push(program.map_err(|e| not_run(&format!("cannot write the probe program to a file: {e}")))?);
    }
    let probes: Vec<&Path> = programs.iter().map(|program| program.program.as_path()).collect();
    // A new value each time, so that Nix really builds.
    let serial = host.read_lossy(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    let expression = write_expression(derivations, &probes, serial.trim())
        .ok_or_else(|| not_run("the path of the probe program cannot be quoted in a Nix expression"))?;
    let args = ["--eval", "--strict", "--json", "--read-write-mode", "--expr", &expression];
    match user.run(host, "nix-instantiate", &args) {
        Ok(output) if output.status.success() => {
            serde_json::from_str(&output.stdout).map_err(|e| not_run(&format!("nix-instantiate: {e}")))
        }
        Ok(output) => Err(TestBuild::Failed(output.stderr)),
        Err(error) => Err(result_of_error(&error)),
    }
}

/// Writes the Nix expression: a list with the store paths of each derivation. Evaluating a `drvPath` writes the
/// derivation to the store.
fn write_expression(derivations: &[TestDerivation], probes: &[&Path], serial: &str) -> Option<String> {
    let is_plain = |text: &&str| !text.contains(['"', '\\', '$']);
    let item = |(derivation, probe): (&TestDerivation, &&Path)| {
        let (system, probe) = (Some(derivation.system).filter(is_plain)?, probe.to_str().filter(is_plain)?);
        // What nixpkgs requires of a builder for the system.
        let feature = required_feature(system).map(|feature| format!("\"{feature}\"")).unwrap_or_default();
        Some(format!("(test \"{system}\" \"{probe}\" [ {feature} ])"))
    };
    let items: Option<Vec<_>> = derivations.iter().zip(probes).map(item).collect();
    Some(format!(
        "let test = system: path: requiredSystemFeatures: let
           probe = builtins.path {{ inherit path; name = \"binfmt-nix-probe\"; }};
           make = prefix: let made = derivation {{
             name = \"binfmt-nix-probe\"; inherit system requiredSystemFeatures; builder = probe;
             serial = \"{serial}\";
             args = [ \"${{prefix}}${{builtins.placeholder \"out\"}}\" ];
             allowSubstitutes = false; preferLocalBuild = true;
           }}; in {{ drv = made.drvPath; out = made.outPath; }};
         in {{ sandboxed = make \"..\"; plain = make \"\"; probe = \"${{probe}}\"; }}; in [ {} ]",
        items?.join(" ")
    ))
}

/// Builds of derivations that are in the store.
struct StoreBuilds<'a> {
    host: &'a Host,
    user: &'a BuildUser,
}

impl StoreBuilds<'_> {
    fn build_all(&self, paths: &[StorePaths]) -> Vec<TestBuild> {
        let sandboxed: Vec<_> = paths.iter().map(|paths| &paths.sandboxed).collect();
        let mut results = self.build_group(&sandboxed, true);
        let failed = || results.iter().map(|result| matches!(result, TestBuild::Failed(_)));
        let plain: Vec<_> = paths.iter().zip(failed()).filter(|(_, failed)| *failed).map(|(p, _)| &p.plain).collect();
        let mut second = self.build_group(&plain, false).into_iter();
        for result in results.iter_mut().filter(|result| matches!(result, TestBuild::Failed(_))) {
            *result = second.next().unwrap_or(TestBuild::Interrupted);
        }
        results
    }

    /// Builds derivations with one run of Nix.
    fn build_group(&self, group: &[&Derivation], in_sandbox: bool) -> Vec<TestBuild> {
        let drvs: Vec<&str> = group.iter().map(|derivation| derivation.drv.as_str()).collect();
        let built = TestBuild::Built { in_sandbox };
        if group.is_empty() {
            return Vec::new();
        }
        match self.realise(&drvs) {
            Err(error) => vec![result_of_error(&error); group.len()],
            Ok(output) if output.status.success() => vec![built; group.len()],
            Ok(output) if group.len() == 1 => vec![TestBuild::Failed(output.stderr)],
            // `--keep-going` has built those that can be built. Of the others the second run has the message.
            Ok(output) if in_sandbox => {
                let result = |out: &str| {
                    if self.host.exists(Path::new(out)) {
                        built.clone()
                    } else {
                        TestBuild::Failed(output.stderr.clone())
                    }
                };
                group.iter().map(|derivation| result(&derivation.out)).collect()
            }
            Ok(_) => group.iter().flat_map(|derivation| self.build_group(&[derivation], in_sandbox)).collect(),
        }
    }

    /// Every user may set `builders` to nothing (Nix 2.36, `daemon.cc`). Then Nix builds on this machine.
    fn realise(&self, drvs: &[&str]) -> Result<ProcessOutput, NixCommandError> {
        let args = [&["--realise", "--keep-going"], drvs, &["--option", "builders", ""]].concat();
        self.user.run(self.host, "nix-store", &args)
    }
}

fn result_of_error(error: &NixCommandError) -> TestBuild {
    match error.source.kind() {
        ErrorKind::Interrupted => TestBuild::Interrupted,
        ErrorKind::TimedOut => TestBuild::Failed(format!("{error}: it did not end within two minutes")),
        _ => TestBuild::NotRun(error.to_string()),
    }
}

/// Deletes everything. A user who may not delete it leaves it to the garbage collector.
fn delete(host: &Host, user: &BuildUser, paths: &[StorePaths]) {
    let mut all = vec!["--delete"];
    for StorePaths { sandboxed, plain, probe } in paths {
        all.extend([&sandboxed.drv, &sandboxed.out, &plain.drv, &plain.out, probe].map(String::as_str));
    }
    // The daemon's process for an earlier connection keeps paths alive until it has ended.
    for _ in 0..10 {
        match user.run(host, "nix-store", &all) {
            Ok(output) if !output.status.success() => std::thread::sleep(Duration::from_millis(50)),
            Ok(_) | Err(_) => break,
        }
    }
}

/// Returns the part of Nix's output that says why a build failed: what follows the last line about a build that starts,
/// or else the first error, at most eight lines.
pub fn error_lines(output: &str) -> Vec<String> {
    const MAX_LINES: usize = 8;
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "error:").collect();
    let start = lines.iter().rposition(|line| line.starts_with("building '")).and_then(|line| line.checked_add(1));
    let start = start.or_else(|| lines.iter().position(|line| line.starts_with("error:") || line.starts_with('…')));
    let lines = lines.get(start.unwrap_or_default()..).unwrap_or_default();
    lines.iter().take(MAX_LINES).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_error_are_found_in_every_layout() {
        let old = "these derivations will be built:\n  /nix/store/x.drv\nerror: a 'aarch64-linux' is required\n";
        assert_eq!(error_lines(old), ["error: a 'aarch64-linux' is required"]);
        let new = "error:\n       … while setting up the build environment\n\n       error: getting attributes of path";
        assert_eq!(error_lines(new), ["… while setting up the build environment", "error: getting attributes of path"]);
        // Nix 2.8 reports what failed inside the sandbox as a line of the log.
        let log = "building '/nix/store/x.drv'...\nexecuting 'x': No such file\nerror: builder for 'x' failed\n";
        assert_eq!(error_lines(log), ["executing 'x': No such file", "error: builder for 'x' failed"]);
        assert_eq!(error_lines("something\nelse\n"), ["something", "else"]);
        assert!(error_lines("").is_empty());
    }

    #[test]
    fn paths_that_end_a_string_are_not_written_into_the_expression() {
        let derivation = TestDerivation { system: "aarch64-linux", probe: b"" };
        let write = |path: &str| write_expression(&[derivation], &[Path::new(path)], "1");
        assert!(
            write("/tmp/probe").is_some_and(|text| text.ends_with("[ (test \"aarch64-linux\" \"/tmp/probe\" [  ]) ]"))
        );
        let derivation = TestDerivation { system: "armv7l-linux", probe: b"" };
        let text = write_expression(&[derivation], &[Path::new("/x")], "1").unwrap_or_default();
        assert!(text.ends_with("[ (test \"armv7l-linux\" \"/x\" [ \"gccarch-armv7-a\" ]) ]"), "{text}");
        assert_eq!(write("/tmp/\"${x}"), None);
    }
}
