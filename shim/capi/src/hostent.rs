//! gethostbyname(3) on the default stack: what a thread is given stays its own until it asks again.

use crate::memory::required;
use crate::registry;
use ioth::{GaiError, Hints};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

// netdb.h: what `h_errno` may be.
const HOST_NOT_FOUND: i32 = 1;
const TRY_AGAIN: i32 = 2;
const NO_RECOVERY: i32 = 3;
const NO_DATA: i32 = 4;

unsafe extern "C" {
    /// Where `h_errno` of the thread lies.
    fn __h_errno_location() -> *mut i32;
}

/// A `hostent`, and what its pointers lead to.
struct Answer {
    entry: libc::hostent,
    name: CString,
    aliases: [*mut c_char; 1],
    addresses: Vec<[u8; 4]>,
    list: Vec<*mut c_char>,
}

thread_local! {
    static ANSWER: RefCell<Option<Box<Answer>>> = const { RefCell::new(None) };
}

/// gethostbyname(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_gethostbyname(name: *const c_char) -> *mut libc::hostent {
    // SAFETY: the caller has a string there.
    match catch_unwind(AssertUnwindSafe(|| ask(unsafe { required(name) }?))).unwrap_or(Err(GaiError::Fail)) {
        Ok(answer) => ANSWER
            .try_with(|kept| ptr::from_mut(&mut kept.borrow_mut().insert(answer).entry))
            .unwrap_or(ptr::null_mut()),
        Err(error) => {
            let code = match error {
                GaiError::Again => TRY_AGAIN,
                GaiError::NoData | GaiError::AddrFamily => NO_DATA,
                GaiError::NoName => HOST_NOT_FOUND,
                _ => NO_RECOVERY,
            };
            // SAFETY: it has no conditions, and gives a place of this thread.
            let place = unsafe { __h_errno_location() };
            // SAFETY: the place is writable while the thread lives.
            unsafe { place.write(code) };
            ptr::null_mut()
        }
    }
}

fn ask(name: &str) -> Result<Box<Answer>, GaiError> {
    let stack = registry::default_stack()?;
    let hints = Hints {
        flags: libc::AI_CANONNAME,
        family: libc::AF_INET,
        socktype: libc::SOCK_STREAM,
        ..Hints::default()
    };
    let found = ioth::getaddrinfo(&stack, Some(name), None, &hints)?;
    let canonical = found.first().and_then(|first| first.canonical.as_deref()).unwrap_or(name);
    let addresses = found.iter().filter_map(|info| match info.address {
        SocketAddr::V4(v4) => Some(v4.ip().octets()),
        SocketAddr::V6(_) => None,
    });
    let name = CString::new(canonical).map_err(|_| GaiError::Fail)?;
    let addresses: Vec<_> = addresses.collect();
    let entry = libc::hostent {
        h_name: ptr::null_mut(),
        h_aliases: ptr::null_mut(),
        h_addrtype: libc::AF_INET,
        h_length: 4,
        h_addr_list: ptr::null_mut(),
    };
    let mut answer =
        Box::new(Answer { entry, name, aliases: [ptr::null_mut()], addresses, list: Vec::new() });
    // They lead into the box and its allocations, which do not move any more.
    answer.list = answer.addresses.iter_mut().map(|octets| octets.as_mut_ptr().cast()).collect();
    answer.list.push(ptr::null_mut());
    answer.entry.h_name = answer.name.as_ptr().cast_mut();
    answer.entry.h_aliases = answer.aliases.as_mut_ptr();
    answer.entry.h_addr_list = answer.list.as_mut_ptr();
    Ok(answer)
}
