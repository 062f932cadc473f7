//! Handlers for fork and exit, and the signal of a broken pipe.

#![allow(unsafe_code)]

use std::io;

/// Has `prepare` called before each fork, `parent` and `child` after it, as pthread_atfork(3).
pub(crate) fn on_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: pthread_atfork needs functions that may be called for the rest of the process: they are
    // plain functions of this library, which is never unloaded while its driver thread runs in it.
    let result = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Has `handler` called when the process ends by exit(3) or by returning from main.
pub(crate) fn on_exit(handler: extern "C" fn()) -> io::Result<()> {
    // SAFETY: atexit needs a function that may be called at exit: the same as for `on_fork`.
    let result = unsafe { libc::atexit(handler) };
    if result == 0 { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
}

/// Sends SIGPIPE to the calling thread, as send(2) does with `EPIPE`.
pub(crate) fn raise_broken_pipe() {
    // SAFETY: raise has no conditions; whatever handler the program installed is the program's.
    unsafe { libc::raise(libc::SIGPIPE) };
}
