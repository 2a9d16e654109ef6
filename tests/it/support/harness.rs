//! The harness: finds the tests that carry one of the attributes of `tests/macros`, and runs them.

use std::any::Any;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, panic};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::{fault_table, proposals, sandbox};

/// Every function with an attribute of `tests/macros`.
#[linkme::distributed_slice]
#[allow(unsafe_code, reason = "linkme names the section of the slice")]
pub(crate) static TESTS: [Test];

/// A test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// Path of the function, starting with the name of the test program.
    path: &'static str,
    run: fn(),
    /// Whether the test runs in namespaces of its own.
    sandboxed: bool,
}

impl Test {
    pub(crate) const fn in_thread(path: &'static str, run: fn()) -> Self {
        Self { path, run, sandboxed: false }
    }

    pub(crate) const fn in_sandbox(path: &'static str, run: fn()) -> Self {
        Self { path, run, sandboxed: true }
    }

    fn name(self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }
}

/// The outcome of a test.
pub(crate) enum Outcome {
    Passed,
    Skipped { what: String, why: String },
    Failed(String),
}

/// The reason why a test cannot run on this machine.
pub(crate) struct Skip {
    pub(crate) what: &'static str,
    pub(crate) why: String,
}

/// Ends the current test, because the machine lacks something. The test fails if BINFMT_NIX_REQUIRE names `what`.
pub(crate) fn skip(what: &'static str, why: impl Into<String>) -> ! {
    panic::resume_unwind(Box::new(Skip { what, why: why.into() }))
}

/// Runs the tests that the command line selects, or only one of them if this process is its sandbox.
pub(crate) fn main() -> ExitCode {
    if let Some(code) = sandbox::run_role(|wanted| TESTS.iter().find(|test| test.name() == wanted).map(|test| test.run))
    {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let args = Arguments::from_args();
    let mount = tempfile::tempdir().unwrap();
    let dir = mount.path().to_owned();
    let durations = Arc::new(Mutex::new(Vec::new()));
    let mut tests = TESTS.to_vec();
    tests.sort_by_key(|test| test.path);
    let trials = tests.into_iter().map(|test| {
        let dir = dir.clone();
        let durations = durations.clone();
        Trial::ignorable_test(test.name(), move || {
            let start = Instant::now();
            let outcome = if test.sandboxed { sandbox::run(test.name(), &dir) } else { in_thread(test.run) };
            durations.lock().unwrap().push((start.elapsed(), test.name()));
            completion(outcome)
        })
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    fault_table::print_samples();
    print_slowest(durations.lock().unwrap().clone());
    let is_whole = !args.list && args.filter.is_none() && args.skip.is_empty() && conclusion.num_ignored == 0;
    let is_asked = env::var_os("BINFMT_NIX_TEST_UNEXECUTED").is_some();
    if (is_whole || is_asked) && !report_unexecuted() && !conclusion.has_failed() {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Whether every command was executed that the list of proposals has for these tests; prints the others. This is checked
/// after a run of all tests, and with `BINFMT_NIX_TEST_UNEXECUTED` also after others.
fn report_unexecuted() -> bool {
    let missing = proposals::unexecuted();
    if !missing.is_empty() {
        eprintln!("no test executed these commands, which tests/proposals.txt has for `it`: {missing:#?}");
    }
    missing.is_empty()
}

/// If `BINFMT_NIX_TEST_SLOWEST` is a number: prints that many tests, the slowest first.
fn print_slowest(mut durations: Vec<(Duration, &str)>) {
    let count = env::var("BINFMT_NIX_TEST_SLOWEST").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    durations.sort_by(|a, b| b.cmp(a));
    for (duration, name) in durations.into_iter().take(count) {
        println!("{:8.2} s  {name}", duration.as_secs_f64());
    }
}

fn completion(outcome: Outcome) -> Result<Completion, Failed> {
    match outcome {
        Outcome::Passed => Ok(Completion::Completed),
        Outcome::Skipped { what, why } => {
            let required = env::var("BINFMT_NIX_REQUIRE").unwrap_or_default();
            if required.split([' ', ',']).any(|word| word == what) {
                return Err(format!("{what} is required, but {why}").into());
            }
            Ok(Completion::ignored_with(why))
        }
        Outcome::Failed(why) => Err(why.into()),
    }
}

fn in_thread(test: fn()) -> Outcome {
    let Err(payload) = panic::catch_unwind(test) else { return Outcome::Passed };
    match payload.downcast::<Skip>() {
        Ok(skip) => Outcome::Skipped { what: skip.what.to_owned(), why: skip.why },
        Err(payload) => Outcome::Failed(message(&*payload)),
    }
}

fn message(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".into())
}
