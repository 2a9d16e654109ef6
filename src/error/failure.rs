//! What an error of a room has to say so that it can be an [`Error`].

use super::{Error, ExitCode};

/// An error of a room that knows its own hint and exit code.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// What repairs it, if that is known.
    fn hint(&self) -> Option<String> {
        None
    }

    /// What it means to a script.
    fn exit_code(&self) -> ExitCode {
        ExitCode::Failed
    }
}

impl Error {
    /// Wraps an error of a room.
    pub fn other(failure: impl Failure) -> Self {
        Self::Other(Box::new(failure))
    }

    /// The error of a room that this one wraps, if it is of this type.
    pub fn as_failure<T: Failure>(&self) -> Option<&T> {
        let Self::Other(failure) = self else { return None };
        let error: &(dyn std::error::Error + 'static) = &**failure;
        error.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the test failed")]
    struct TestError;

    impl Failure for TestError {
        fn exit_code(&self) -> ExitCode {
            ExitCode::Unsupported
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("another test failed")]
    struct OtherTestError;

    impl Failure for OtherTestError {}

    #[test]
    fn a_failure_is_found_by_its_type() {
        let error = Error::other(TestError);
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("the test failed", ExitCode::Unsupported));
        assert!(error.as_failure::<TestError>().is_some());
        assert!(error.as_failure::<OtherTestError>().is_none());
        assert!(Error::Usage(String::new()).as_failure::<TestError>().is_none());
        assert_eq!(Error::other(OtherTestError).hint(), None);
    }
}
