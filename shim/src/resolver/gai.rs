//! The errors of getaddrinfo(3) and getnameinfo(3).

use std::io;

/// An error of getaddrinfo(3); each is an `EAI_…` of netdb.h.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GaiError {
    /// `EAI_ADDRFAMILY`: the name has no addresses of that family.
    #[error("address family for hostname not supported")]
    AddrFamily,
    /// `EAI_AGAIN`: no answer now; later there may be one.
    #[error("temporary failure in name resolution")]
    Again,
    /// `EAI_BADFLAGS`: flags that there are not, or that do not go together.
    #[error("bad value for ai_flags")]
    BadFlags,
    /// `EAI_FAIL`: the servers give no proper answer, and will not.
    #[error("non-recoverable failure in name resolution")]
    Fail,
    /// `EAI_FAMILY`: a family without IP addresses.
    #[error("ai_family not supported")]
    Family,
    /// `EAI_MEMORY`: no memory.
    #[error("memory allocation failure")]
    Memory,
    /// `EAI_NODATA`: the name exists and has no such addresses.
    #[error("no address associated with hostname")]
    NoData,
    /// `EAI_NONAME`: there is no such name, or neither name nor service was given.
    #[error("name or service not known")]
    NoName,
    /// `EAI_OVERFLOW`: a name is too long.
    #[error("argument buffer overflow")]
    Overflow,
    /// `EAI_SERVICE`: the type of socket has no such service.
    #[error("servname not supported for ai_socktype")]
    Service,
    /// `EAI_SOCKTYPE`: there is no such type of socket, or not with that protocol.
    #[error("ai_socktype not supported")]
    SockType,
    /// `EAI_SYSTEM`: something else failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// netdb.h; libc lacks it.
const EAI_ADDRFAMILY: i32 = -9;

impl GaiError {
    /// The number that the C library has for it.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::AddrFamily => EAI_ADDRFAMILY,
            Self::Again => libc::EAI_AGAIN,
            Self::BadFlags => libc::EAI_BADFLAGS,
            Self::Fail => libc::EAI_FAIL,
            Self::Family => libc::EAI_FAMILY,
            Self::Memory => libc::EAI_MEMORY,
            Self::NoData => libc::EAI_NODATA,
            Self::NoName => libc::EAI_NONAME,
            Self::Overflow => libc::EAI_OVERFLOW,
            Self::Service => libc::EAI_SERVICE,
            Self::SockType => libc::EAI_SOCKTYPE,
            Self::System(_) => libc::EAI_SYSTEM,
        }
    }

    /// The error that the C library has just returned.
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            EAI_ADDRFAMILY => Self::AddrFamily,
            libc::EAI_AGAIN => Self::Again,
            libc::EAI_BADFLAGS => Self::BadFlags,
            libc::EAI_FAIL => Self::Fail,
            libc::EAI_FAMILY => Self::Family,
            libc::EAI_MEMORY => Self::Memory,
            libc::EAI_NODATA => Self::NoData,
            libc::EAI_NONAME => Self::NoName,
            libc::EAI_OVERFLOW => Self::Overflow,
            libc::EAI_SERVICE => Self::Service,
            libc::EAI_SOCKTYPE => Self::SockType,
            libc::EAI_SYSTEM => Self::System(io::Error::last_os_error()),
            _ => Self::System(io::Error::other(format!("the C library says {code}"))),
        }
    }
}

impl From<GaiError> for io::Error {
    fn from(error: GaiError) -> Self {
        let kind = match error {
            GaiError::System(error) => return error,
            GaiError::NoName | GaiError::NoData | GaiError::AddrFamily => io::ErrorKind::NotFound,
            GaiError::Memory => io::ErrorKind::OutOfMemory,
            GaiError::Again | GaiError::Fail => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
