//! gethostbyname(3), gethostbyaddr(3) on the default stack: what a thread is given stays its own until it asks again.

use crate::memory::{input, required};
use crate::registry;
use ioth::{GaiError, HostEntry};
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_void};
use std::net::IpAddr;
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
    aliases: Vec<CString>,
    addresses: Vec<Vec<u8>>,
    /// Aliases, then addresses; NULL behind each.
    list: Vec<*mut c_char>,
}

thread_local! {
    static ANSWER: RefCell<Option<Box<Answer>>> = const { RefCell::new(None) };
}

/// gethostbyname(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_gethostbyname(name: *const c_char) -> *mut libc::hostent {
    // SAFETY: the same conditions.
    unsafe { ioth_gethostbyname2(name, libc::AF_INET) }
}

/// gethostbyname2(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_gethostbyname2(name: *const c_char, family: i32) -> *mut libc::hostent {
    give(|| {
        // SAFETY: the caller has a string there.
        let name = unsafe { required(name) }?;
        answer(ioth::gethostbyname2(&registry::default_stack()?, name, family)?, family)
    })
}

/// gethostbyaddr(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_gethostbyaddr(
    address: *const c_void,
    len: libc::socklen_t,
    family: i32,
) -> *mut libc::hostent {
    give(|| {
        let wanted = match family {
            libc::AF_INET => 4,
            libc::AF_INET6 => 16,
            _ => return Err(GaiError::Family),
        };
        if len as usize != wanted {
            return Err(GaiError::Fail);
        }
        // SAFETY: the caller has an address of that length there.
        let bytes = unsafe { input(address, wanted) }?;
        let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
        let address = address.map_err(|_| GaiError::Fail)?;
        answer(ioth::gethostbyaddr(&registry::default_stack()?, address)?, family)
    })
}

/// Keeps an answer for the thread, or says in `h_errno` why there is none.
fn give(ask: impl FnOnce() -> Result<Box<Answer>, GaiError>) -> *mut libc::hostent {
    match catch_unwind(AssertUnwindSafe(ask)).unwrap_or(Err(GaiError::Fail)) {
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

fn answer(found: HostEntry, family: i32) -> Result<Box<Answer>, GaiError> {
    let text = |text: String| CString::new(text).map_err(|_| GaiError::Fail);
    let bytes = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let entry = libc::hostent {
        h_name: ptr::null_mut(),
        h_aliases: ptr::null_mut(),
        h_addrtype: family,
        h_length: if family == libc::AF_INET6 { 16 } else { 4 },
        h_addr_list: ptr::null_mut(),
    };
    let mut answer = Box::new(Answer {
        entry,
        name: text(found.name)?,
        aliases: found.aliases.into_iter().map(text).collect::<Result<_, _>>()?,
        addresses: found.addresses.iter().map(bytes).collect(),
        list: Vec::new(),
    });
    // They lead into allocations of the box, which do not move any more.
    let aliases = answer.aliases.len();
    let mut list: Vec<*mut c_char> = answer.aliases.iter().map(|alias| alias.as_ptr().cast_mut()).collect();
    list.push(ptr::null_mut());
    list.extend(answer.addresses.iter_mut().map(|octets| octets.as_mut_ptr().cast::<c_char>()));
    list.push(ptr::null_mut());
    answer.list = list;
    answer.entry.h_name = answer.name.as_ptr().cast_mut();
    answer.entry.h_aliases = answer.list.as_mut_ptr();
    answer.entry.h_addr_list = answer.list.as_mut_ptr().wrapping_add(aliases + 1);
    Ok(answer)
}
