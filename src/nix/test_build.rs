//! Test builds: builds one derivation with the installed Nix, in its sandbox, and with a probe as the builder.
//!
//! A test build needs only Nix: no nixpkgs, no cache, no network. The probe prints the first 16 bytes of its `argv[0]`,
//! which Nix derives from the store path, and so they appear in the log. The probe makes no output. So the build ends
//! with Nix's error that an output is missing, which Nix reports only if the builder ended with 0 (seen with Nix 2.8,
//! 2.26 and 2.34).

use std::path::{Path, PathBuf};

use crate::host::user_rights::User;
use crate::host::{self, Host, ProcessOutput};
use crate::nix::config_show;
use crate::sanitize::AsText as _;

/// The result of a test build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestBuild {
    /// The probe ran.
    Ran {
        /// whether its `argv[0]` was the name that Nix gave it
        keeps_argv0: bool,
        /// whether Nix was forced to use its sandbox, or its settings enable it
        in_sandbox: bool,
    },
    /// Nix does not build for this system; the line in which it reports that.
    Refused(String),
    /// The build failed, for this reason.
    Failed(String),
    /// The build could not be tried, for this reason.
    NotRun(String),
}

/// The number of bytes of its `argv[0]` that a probe prints.
const PRINTED_BYTES: usize = 16;

/// Builds a derivation for `system` with the probe as its builder, as `user`, or else as the user of this process.
/// Deletes its files from the store again; if that fails, they are garbage there.
pub fn run_test_build(host: &Host, user: Option<&User>, system: &str, probe: &[u8]) -> TestBuild {
    let run_nix = |program: &Path, args: &[&str]| run_nix(user, program, args);
    let not_run = |why: &str| TestBuild::NotRun(why.to_owned());
    let nix = match config_show::find_nix(host) {
        Ok(nix) => nix,
        Err(error) => return TestBuild::NotRun(format!("no nix was found that can be run safely: {error}")),
    };
    let tool = |name: &str| nix.with_file_name(name);
    let probe_program = match host::temp_program::create_program("probe", probe) {
        Ok(probe_program) => probe_program,
        Err(e) => return TestBuild::NotRun(format!("cannot write the probe program to a file: {e}")),
    };
    let Some(expression) = write_expression(host, system, &probe_program.program) else {
        return not_run("the path of the probe program cannot be quoted in a Nix expression");
    };
    let instantiated = run_nix(&tool("nix-instantiate"), &["--expr", &expression]);
    let derivation = match instantiated {
        Ok(output) if output.status.success() => output.stdout.trim().to_owned(),
        Ok(output) => return TestBuild::NotRun(format!("nix-instantiate: {}", last_lines(&output.stderr))),
        Err(error) => return TestBuild::NotRun(error.to_string()),
    };
    let store = tool("nix-store");
    let builder = run_nix(&store, &["--query", "--binding", "builder", &derivation]).map(|output| output.stdout);
    let builder = builder.unwrap_or_default().trim().to_owned();
    let built = run_nix(&store, &[&["--realise", derivation.as_str()], OPTIONS].concat());
    // Both files are no longer needed. A user who may not delete them leaves them to the garbage collector.
    drop(run_nix(&store, &["--delete", &derivation, &builder]));
    match built {
        Ok(output) => {
            let is_root = host::env::effective_ids().0 == 0 && user.is_none();
            classify_build(&output.stderr, &builder, is_root, is_sandbox_enabled(host))
        }
        Err(error) => TestBuild::Failed(error.to_string()),
    }
}

/// The options with which Nix builds on this machine, now, and only in the sandbox. Every user may set `builders =`.
const OPTIONS: &[&str] = &[
    "--option",
    "sandbox",
    "true",
    "--option",
    "sandbox-fallback",
    "false",
    "--option",
    "substitute",
    "false",
    "--option",
    "builders",
    "",
    "--max-jobs",
    "1",
];

/// Whether the machine's settings enable the sandbox; the caller's own settings do not count.
fn is_sandbox_enabled(host: &Host) -> bool {
    config_show::show_config(host).is_ok_and(|config| config.sandbox == "true")
}

/// The error of a Nix command that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", program.as_text())]
struct NixCommandError {
    program: PathBuf,
    source: std::io::Error,
}

fn run_nix(user: Option<&User>, program: &Path, args: &[&str]) -> Result<ProcessOutput, NixCommandError> {
    let without_escapes = |text: &str| anstream::adapter::strip_str(text).to_string();
    let output = host::run_as_user::run_for_caller(user, program, args)
        .map_err(|source| NixCommandError { program: program.to_owned(), source })?;
    // Nix colours some of its errors even if the output is not a terminal.
    let (stdout, stderr) = (without_escapes(&output.stdout), without_escapes(&output.stderr));
    Ok(ProcessOutput { stdout, stderr, ..output })
}

/// Writes the expression of a derivation that is different each time, so that Nix really builds it.
fn write_expression(host: &Host, system: &str, probe: &Path) -> Option<String> {
    let probe = probe.to_str().filter(|path| !path.contains(['"', '\\', '$']))?;
    let serial = host.read_lossy(&PathBuf::from("/proc/sys/kernel/random/uuid"))?;
    Some(format!(
        "derivation {{ name = \"binfmt-nix-probe\"; system = \"{system}\"; serial = \"{}\"; builder = builtins.path {{ \
         path = \"{probe}\"; name = \"binfmt-nix-probe\"; }}; }}",
        serial.trim()
    ))
}

/// Interprets the output of Nix, in the wording of three generations of Nix. Pure.
///
/// A daemon does not let an untrusted user choose the sandbox, and Nix 2.8 does not even report that. So only root has
/// certainly forced the sandbox.
fn classify_build(output: &str, builder: &str, is_root: bool, in_sandbox_by_settings: bool) -> TestBuild {
    // The lines of the log have no prefix; Nix puts "       > " before the last lines of a failed build.
    let lines = || output.lines().map(|line| line.trim().trim_start_matches("> ").trim());
    let name = builder.rsplit('/').next().unwrap_or_default().get(..PRINTED_BYTES);
    let path = builder.get(..PRINTED_BYTES);
    let is_printed = |text: Option<&str>| text.is_some_and(|text| lines().any(|line| line == text));
    let builder_succeeded = output.contains("failed to produce output");
    let is_forced = is_root && !lines().any(|line| line.contains("'sandbox'") && line.contains("restricted setting"));
    let refusals = ["is required to build", "Required system:", "platform mismatch"];
    if builder_succeeded && (is_printed(name) || is_printed(path)) {
        return TestBuild::Ran { keeps_argv0: is_printed(name), in_sandbox: is_forced || in_sandbox_by_settings };
    }
    match lines().find(|line| refusals.iter().any(|words| line.contains(words))) {
        Some(line) => TestBuild::Refused(line.to_owned()),
        None => TestBuild::Failed(last_lines(output)),
    }
}

/// Returns the last three lines that are not empty.
fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDER: &str = "/nix/store/0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f-binfmt-nix-probe";

    #[test]
    fn the_output_of_the_probe_proves_that_it_ran() {
        let no_output = "error: builder for '/nix/store/x.drv' failed to produce output path '/nix/store/y'";
        let ran = |keeps_argv0, in_sandbox| TestBuild::Ran { keeps_argv0, in_sandbox };
        let log = format!("building...\n0a1b2c3d4e5f6g7h\n{no_output}");
        assert_eq!(classify_build(&log, BUILDER, true, false), ran(true, true));
        let quoted = format!("{no_output};\n       last 1 log lines:\n       > 0a1b2c3d4e5f6g7h\n");
        assert_eq!(classify_build(&quoted, BUILDER, true, false), ran(true, true));
        assert_eq!(classify_build(&format!("/nix/store/0a1b2\n{no_output}"), BUILDER, true, false), ran(false, true));
        assert_eq!(classify_build(&log, BUILDER, false, true), ran(true, true));
        assert_eq!(classify_build(&log, BUILDER, false, false), ran(true, false));
        let ignored = "warning: ignoring the client-specified setting 'sandbox', because it is a restricted setting";
        assert_eq!(classify_build(&format!("{ignored}\n{log}"), BUILDER, true, false), ran(true, false));
        assert_eq!(classify_build(&format!("{ignored}\n{log}"), BUILDER, true, true), ran(true, true));
    }

    #[test]
    fn output_without_the_probes_line_is_not_a_proof() {
        assert!(matches!(classify_build("0a1b2c3d4e5f6g7h", BUILDER, true, true), TestBuild::Failed(_)));
        assert!(matches!(classify_build("failed to produce output path", BUILDER, true, true), TestBuild::Failed(_)));
        let old = "error: a 'aarch64-linux' with features {} is required to build '/x.drv', but I am a 'x86_64-linux'";
        assert!(matches!(classify_build(old, BUILDER, true, true), TestBuild::Refused(_)));
        assert!(matches!(classify_build("Reason: platform mismatch", BUILDER, true, true), TestBuild::Refused(_)));
        assert_eq!(classify_build("a\n\nb\nc\nd\n", "", true, true), TestBuild::Failed("b; c; d".into()));
    }
}
