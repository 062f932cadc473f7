//! Why a name was not found.

use super::gai::GaiError;
use std::io;
use std::net::SocketAddr;

/// Why a name was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is nobody to ask.
    #[error("the stack knows no name server; name one with dns=ADDRESS")]
    NoServer,
    /// Nobody answered in time.
    #[error("no answer from {}", list(.0))]
    Silent(Vec<SocketAddr>),
    /// The servers could not say, and may later.
    #[error("the name server cannot tell now")]
    Later,
    /// The servers refuse, or what they say makes no sense.
    #[error("the name server gives no proper answer")]
    Never,
    /// There is no such name.
    #[error("there is no such name")]
    NoName,
    /// The name exists and has nothing of what was asked for.
    #[error("the name has no such address")]
    NoData,
    /// It could not be the name of anything.
    #[error("this is no domain name")]
    BadName,
    /// The stack, or a file, could not be used.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Failure {
    /// The error of a name, for people.
    pub(super) fn about(self, subject: &str) -> io::Error {
        let kind = match &self {
            Self::NoName | Self::NoData => io::ErrorKind::NotFound,
            Self::Silent(_) => io::ErrorKind::TimedOut,
            Self::BadName => io::ErrorKind::InvalidInput,
            Self::NoServer | Self::Later | Self::Never => io::ErrorKind::Other,
            Self::System(error) => error.kind(),
        };
        io::Error::new(kind, format!("cannot look up {subject}: {self}"))
    }
}

impl From<Failure> for GaiError {
    /// As glibc has them.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoServer | Failure::Silent(_) | Failure::Later => Self::Again,
            Failure::Never => Self::Fail,
            Failure::NoName | Failure::BadName => Self::NoName,
            Failure::NoData => Self::NoData,
            Failure::System(error) => Self::System(error),
        }
    }
}

fn list(servers: &[SocketAddr]) -> String {
    servers.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>().join(", ")
}
