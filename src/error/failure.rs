//! The interface by which an error of a room becomes an [`Error`].

use super::{Error, ExitCode};

/// An error of a room, with its own hint and exit code.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// Returns what repairs the failure, if that is known.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Returns lines that belong to the message: what failed in detail.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns another way to what the user wanted, as words that follow "or".
    fn alternative(&self) -> Option<String> {
        None
    }

    /// Returns the exit code of the failure.
    fn exit_code(&self) -> ExitCode {
        ExitCode::Failed
    }
}

impl Error {
    /// Wraps an error of a room.
    pub fn other(failure: impl Failure) -> Self {
        Self::Other(Box::new(failure))
    }

    /// Returns the wrapped error of a room if it has the type `T`.
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
