//! One build by the Nix that is installed here, in its sandbox: a probe is the builder.
//!
//! Nothing is needed but Nix: no nixpkgs, no cache, no network. The probe prints the first 16 bytes of its `argv[0]`,
//! which Nix makes of its store path, and that is in the log then. It makes no output, so the build ends with Nix's
//! complaint that there is none, which it comes to only if the builder ended with 0 (seen with Nix 2.8, 2.26 and 2.34).

use std::path::{Path, PathBuf};

use crate::host::{self, Host, ProcessOutput};
use crate::nix::config_show;

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestBuild {
    /// The probe ran; whether it was given its name.
    Ran {
        /// its `argv[0]` was the name that Nix gave it
        keeps_argv0: bool,
        /// Nix was made to use its sandbox, or does so by its settings
        in_sandbox: bool,
    },
    /// Nix does not build for this system.
    Refused(String),
    /// The build failed.
    Failed(String),
    /// It could not be tried.
    NotRun(String),
}

/// So many bytes of its `argv[0]` a probe prints.
const PRINTED_BYTES: usize = 16;

/// Builds, with a probe for `system` as the builder. What it leaves in the store is deleted again, or is garbage there.
pub fn run_test_build(host: &Host, system: &str, probe: &[u8]) -> TestBuild {
    let untried = |what: &str| TestBuild::NotRun(what.to_owned());
    let Some(nix) = config_show::find_nix(host) else {
        return untried("there is no nix here that only root could have put there");
    };
    let tool = |name: &str| nix.with_file_name(name);
    let probe_program = match host::temp_program::create_program("probe", probe) {
        Ok(probe_program) => probe_program,
        Err(e) => return TestBuild::NotRun(format!("the probe cannot be given to Nix: {e}")),
    };
    let Some(expression) = write_expression(host, system, &probe_program.program) else {
        return untried("the probe's path cannot be written for Nix");
    };
    let instantiated = run_nix(&tool("nix-instantiate"), &["--expr", &expression]);
    let derivation = match instantiated {
        Ok(done) if done.status.success() => done.stdout.trim().to_owned(),
        Ok(done) => return TestBuild::NotRun(format!("nix-instantiate: {}", last_lines(&done.stderr))),
        Err(why) => return TestBuild::NotRun(why.to_string()),
    };
    let store = tool("nix-store");
    let builder = run_nix(&store, &["--query", "--binding", "builder", &derivation]).map(|done| done.stdout);
    let builder = builder.unwrap_or_default().trim().to_owned();
    let built = run_nix(&store, &[&["--realise", derivation.as_str()], OPTIONS].concat());
    // Both are of no use any more; whoever may not delete them leaves it to the garbage collector.
    drop(run_nix(&store, &["--delete", &derivation, &builder]));
    match built {
        Ok(done) => classify_build(&done.stderr, &builder, host::env::effective_ids().0 == 0, is_sandbox_enabled(host)),
        Err(why) => TestBuild::Failed(why.to_string()),
    }
}

/// On this machine, now, in the sandbox, and never without it. `builders =` is what everybody may ask for.
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

/// By the settings of the machine, whatever the caller's own say.
fn is_sandbox_enabled(host: &Host) -> bool {
    config_show::show_config(host).is_some_and(|answer| answer.sandbox == "true")
}

/// A command of Nix cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", program.display())]
struct NixCommandError {
    program: PathBuf,
    source: std::io::Error,
}

fn run_nix(program: &Path, words: &[&str]) -> Result<ProcessOutput, NixCommandError> {
    let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
    let done = host::process::run_with_nix_variables(program, words)
        .map_err(|source| NixCommandError { program: program.to_owned(), source })?;
    // Nix colours some of its errors wherever they go.
    Ok(ProcessOutput { stdout: plain(&done.stdout), stderr: plain(&done.stderr), ..done })
}

/// A new derivation each time, so that there is something to build.
fn write_expression(host: &Host, system: &str, probe: &Path) -> Option<String> {
    let probe = probe.to_str().filter(|path| !path.contains(['"', '\\', '$']))?;
    let serial = host.read_lossy(&PathBuf::from("/proc/sys/kernel/random/uuid"))?;
    Some(format!(
        "derivation {{ name = \"binfmt-nix-probe\"; system = \"{system}\"; serial = \"{}\"; builder = builtins.path {{ \
         path = \"{probe}\"; name = \"binfmt-nix-probe\"; }}; }}",
        serial.trim()
    ))
}

/// What Nix said, three generations of it. Pure.
///
/// A daemon does not let whom it does not trust choose the sandbox, and Nix 2.8 does not even say so: only root has
/// certainly forced it.
fn classify_build(output: &str, builder: &str, root: bool, in_sandbox_by_settings: bool) -> TestBuild {
    // Such as the log's, and Nix's "       > " before its last lines.
    let lines = || output.lines().map(|line| line.trim().trim_start_matches("> ").trim());
    let name = builder.rsplit('/').next().unwrap_or_default().get(..PRINTED_BYTES);
    let path = builder.get(..PRINTED_BYTES);
    let printed = |text: Option<&str>| text.is_some_and(|text| lines().any(|line| line == text));
    let ended_well = output.contains("failed to produce output");
    let forced = root && !lines().any(|line| line.contains("'sandbox'") && line.contains("restricted setting"));
    let refused = ["is required to build", "Required system:", "platform mismatch"];
    if ended_well && (printed(name) || printed(path)) {
        return TestBuild::Ran { keeps_argv0: printed(name), in_sandbox: forced || in_sandbox_by_settings };
    }
    match lines().find(|line| refused.iter().any(|words| line.contains(words))) {
        Some(line) => TestBuild::Refused(line.to_owned()),
        None => TestBuild::Failed(last_lines(output)),
    }
}

/// The last lines that say something.
fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDER: &str = "/nix/store/0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f-binfmt-nix-probe";

    #[test]
    fn what_the_probe_printed_is_the_proof() {
        let complaint = "error: builder for '/nix/store/x.drv' failed to produce output path '/nix/store/y'";
        let ran = |keeps_argv0, in_sandbox| TestBuild::Ran { keeps_argv0, in_sandbox };
        let said = format!("building...\n0a1b2c3d4e5f6g7h\n{complaint}");
        assert_eq!(classify_build(&said, BUILDER, true, false), ran(true, true));
        let quoted = format!("{complaint};\n       last 1 log lines:\n       > 0a1b2c3d4e5f6g7h\n");
        assert_eq!(classify_build(&quoted, BUILDER, true, false), ran(true, true));
        assert_eq!(classify_build(&format!("/nix/store/0a1b2\n{complaint}"), BUILDER, true, false), ran(false, true));
        assert_eq!(classify_build(&said, BUILDER, false, true), ran(true, true));
        assert_eq!(classify_build(&said, BUILDER, false, false), ran(true, false));
        let ignored = "warning: ignoring the client-specified setting 'sandbox', because it is a restricted setting";
        assert_eq!(classify_build(&format!("{ignored}\n{said}"), BUILDER, true, false), ran(true, false));
        assert_eq!(classify_build(&format!("{ignored}\n{said}"), BUILDER, true, true), ran(true, true));
    }

    #[test]
    fn nothing_else_is() {
        assert!(matches!(classify_build("0a1b2c3d4e5f6g7h", BUILDER, true, true), TestBuild::Failed(_)));
        assert!(matches!(classify_build("failed to produce output path", BUILDER, true, true), TestBuild::Failed(_)));
        let old = "error: a 'aarch64-linux' with features {} is required to build '/x.drv', but I am a 'x86_64-linux'";
        assert!(matches!(classify_build(old, BUILDER, true, true), TestBuild::Refused(_)));
        assert!(matches!(classify_build("Reason: platform mismatch", BUILDER, true, true), TestBuild::Refused(_)));
        assert_eq!(classify_build("a\n\nb\nc\nd\n", "", true, true), TestBuild::Failed("b; c; d".into()));
    }
}
