//! The harness of a test program whose tests each have a world of their own.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use super::world::{self, Outcome};

/// A test's name and what it does.
pub(crate) type Test = (&'static str, fn());

/// Lists the tests of a module.
macro_rules! tests {
    ($($name:ident)*) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

/// Runs the tests that the command line asks for; or one of them, if this is its world.
pub(crate) fn main(modules: &[&[Test]]) -> ExitCode {
    let all = || modules.iter().copied().flatten().map(|(path, test)| (name(path), *test));
    if let Some(code) = world::play(|wanted| all().find(|(name, _)| *name == wanted).map(|(_, test)| test)) {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let args = Arguments::from_args();
    let mount = tempfile::tempdir().unwrap();
    let dir = mount.path().to_owned();
    let trials = all().map(|(name, _)| {
        let dir = dir.clone();
        Trial::ignorable_test(name, move || match world::run(name, &dir) {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::Skipped(why) => Ok(Completion::ignored_with(why)),
            Outcome::Failed(why) => Err(why.into()),
        })
    });
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

/// Without the test program's.
fn name(path: &'static str) -> &'static str {
    path.split_once("::").map_or(path, |(_, name)| name)
}
