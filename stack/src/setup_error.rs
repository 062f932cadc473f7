//! Why a stack or a link could not be set up: what was tried, on what, why it failed, what to do next.

use std::io;

/// Why setting something up failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A virtual network locator that makes no sense. `EINVAL`.
    #[error("bad VNL {vnl:?}: {problem}")]
    Vnl {
        /// The locator as it was given.
        vnl: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration key that makes no sense, or has a value that makes none. `EINVAL`.
    #[error("bad configuration {key}={value}: {problem}")]
    Config {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
        /// What is wrong with them.
        problem: String,
    },
    /// A link that could not be opened. The errno of its source.
    #[error("cannot {attempted} {what}: {}; {advice}", reason(source))]
    Link {
        /// The link, e.g. `tap "red"`.
        what: String,
        /// What was tried on it, e.g. `open`.
        attempted: &'static str,
        /// What the system answered.
        source: io::Error,
        /// What to do next.
        advice: String,
    },
}

impl SetupError {
    /// The errno of the BSD calls for this error.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Vnl { .. } | Self::Config { .. } => libc::EINVAL,
            Self::Link { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl From<SetupError> for io::Error {
    /// Keeps the message; [`errno`](SetupError::errno) is behind
    /// [`get_ref`](io::Error::get_ref), not in `raw_os_error`.
    fn from(error: SetupError) -> Self {
        Self::new(Self::from_raw_os_error(error.errno()).kind(), error)
    }
}

/// What the system answered, in the words of somebody who opens a link, without the error number.
fn reason(source: &io::Error) -> String {
    match source.raw_os_error() {
        Some(libc::ENODEV) => "no such interface".into(),
        Some(libc::EPERM | libc::EACCES) => "permission denied".into(),
        Some(libc::EBUSY) => "another program has it open".into(),
        _ => {
            let text = source.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(errno: i32) -> SetupError {
        SetupError::Link {
            what: r#"tap "red""#.into(),
            attempted: "open",
            source: io::Error::from_raw_os_error(errno),
            advice: "try again".into(),
        }
    }

    #[test]
    fn messages_name_the_reason_and_the_next_step() {
        assert_eq!(link(libc::EPERM).to_string(), r#"cannot open tap "red": permission denied; try again"#);
        assert_eq!(
            link(libc::ENOENT).to_string(),
            r#"cannot open tap "red": no such file or directory; try again"#
        );
    }

    #[test]
    fn an_io_error_keeps_message_and_errno() {
        let message = link(libc::EACCES).to_string();
        let error = io::Error::from(link(libc::EACCES));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), message);
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<SetupError>()).expect("the set-up error");
        assert_eq!(inner.errno(), libc::EACCES);
    }
}
