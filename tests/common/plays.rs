//! The harness of test programs that play several parts: they start themselves again as the processes that they test.

use std::any::Any;
use std::process::ExitCode;
use std::{env, panic};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test's name and what it does.
pub(crate) type Test = (&'static str, fn());

/// Lists the tests of a module.
macro_rules! tests {
    ($($name:ident)*) => {
        pub(crate) const TESTS: &[crate::plays::Test] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

/// Why a test cannot be done here.
struct Skip(&'static str, String);

/// Ends the test that is running: something of the machine's is missing. If BINFMT_NIX_REQUIRE names `what`, it fails.
pub(crate) fn skip(what: &'static str, why: impl Into<String>) -> ! {
    panic::resume_unwind(Box::new(Skip(what, why.into())))
}

/// Runs those of these tests that the command line asks for.
pub(crate) fn harness(modules: &[&[Test]]) -> ExitCode {
    let all = modules.iter().copied().flatten().copied();
    let trials = all.map(|(name, test)| {
        // Without the name of the program.
        let name = name.split_once("::").map_or(name, |(_, name)| name);
        Trial::ignorable_test(name, move || run(test))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn run(test: fn()) -> Result<Completion, Failed> {
    let Err(payload) = panic::catch_unwind(test) else {
        return Ok(Completion::Completed);
    };
    match payload.downcast::<Skip>() {
        Ok(skip) => {
            let Skip(what, why) = *skip;
            let required = env::var("BINFMT_NIX_REQUIRE").unwrap_or_default();
            if required.split([' ', ',']).any(|word| word == what) {
                return Err(format!("{what} is required, but {why}").into());
            }
            Ok(Completion::ignored_with(why))
        }
        Err(payload) => Err(said(&*payload).into()),
    }
}

fn said(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".into())
}
