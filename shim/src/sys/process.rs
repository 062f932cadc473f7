//! Handlers for fork and exit, and the signal of a broken pipe.

#![allow(unsafe_code)]

use crate::fork;
use std::io;

/// Has [`fork`] told of every fork, from before main on: one that began before the handlers were there would
/// give the child whatever locks other threads held.
// SAFETY: the section is an array of such functions, which are called one after the other before main. This one
// uses nothing that is made later.
#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER: extern "C" fn() = register;

extern "C" fn register() {
    // SAFETY: pthread_atfork needs functions that may be called for the rest of the process: they are plain
    // functions of this library, which is never unloaded while its driver thread runs in it. It fails without
    // memory only, and so early that nothing else would start either.
    unsafe { libc::pthread_atfork(Some(fork::before), Some(fork::in_parent), Some(fork::in_child)) };
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
