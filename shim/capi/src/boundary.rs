//! The one way from a result to what C gets: a value, or -1 (NULL) and errno. No panic passes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// What a call returns when it fails.
pub(crate) trait Failure {
    const FAILURE: Self;
}

impl Failure for i32 {
    const FAILURE: Self = -1;
}

impl Failure for isize {
    const FAILURE: Self = -1;
}

impl Failure for u32 {
    const FAILURE: Self = 0;
}

impl<T> Failure for *mut T {
    const FAILURE: Self = ptr::null_mut();
}

impl<T> Failure for *const T {
    const FAILURE: Self = ptr::null();
}

/// Runs the body of an exported function.
pub(crate) fn call<T: Failure>(body: impl FnOnce() -> io::Result<T>) -> T {
    // What a panic leaves behind is behind locks that tell of it.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            set_errno(number(&error));
            T::FAILURE
        }
        Err(_) => {
            set_errno(libc::EIO);
            T::FAILURE
        }
    }
}

/// The errno of an error; what went wrong with a stack has it inside.
pub(crate) fn number(error: &io::Error) -> i32 {
    let inner = || error.get_ref()?.downcast_ref::<ioth::SetupError>().map(ioth::SetupError::errno);
    error.raw_os_error().or_else(inner).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::InvalidInput => libc::EINVAL,
        io::ErrorKind::OutOfMemory => libc::ENOMEM,
        _ => libc::EIO,
    })
}

/// Fails with an errno.
pub(crate) fn fail<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}

/// The result of a call of the C library.
pub(crate) fn checked(result: i32) -> io::Result<i32> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A length as C returns it.
pub(crate) fn length(len: usize) -> isize {
    isize::try_from(len).unwrap_or(isize::MAX)
}

fn set_errno(value: i32) {
    // SAFETY: it has no conditions, and gives a place of this thread.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is writable while the thread lives.
    unsafe { place.write(value) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno() -> i32 {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    #[test]
    fn no_panic_passes() {
        assert_eq!(call::<i32>(|| panic!("one that a test wants")), -1);
        assert_eq!(errno(), libc::EIO);
    }

    #[test]
    fn errors_have_their_errno_wherever_it_is() {
        assert_eq!(call::<isize>(|| fail(libc::EXDEV)), -1);
        assert_eq!(errno(), libc::EXDEV);
        let made =
            call::<*mut u8>(|| Ok(ioth::Stack::new("tap://no-such-tap0", "").map(|_| ptr::dangling_mut())?));
        assert!(made.is_null());
        // Without /dev/net/tun or the right to open it, it is another.
        assert!([libc::ENODEV, libc::ENOENT, libc::EACCES, libc::EPERM].contains(&errno()), "{}", errno());
    }
}
