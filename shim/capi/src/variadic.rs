//! `ioth_newstackl`: Rust cannot define functions with any number of arguments, so this one is in assembly. All arguments
//! are pointers, NULL behind the last: those that came in registers are put in front of the others on the stack, and
//! there is the list that `newstackv` takes.

use crate::lifecycle::newstackv;
use crate::registry::Ioth;
use std::arch::naked_asm;
use std::ffi::c_char;

/// Makes a stack with an interface for each further argument, up to NULL.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn ioth_newstackl(stack: *const c_char, vnl: *const c_char) -> *mut Ioth {
    // System V ABI, 3.2.3: rdi, rsi, rdx, rcx, r8, r9, then the stack behind the return address, whose place the list needs.
    // It is kept below the list, and with it the stack is aligned to 16 bytes for the call.
    naked_asm!(
        "pop r10",
        "push r9",
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "mov rsi, rsp",
        "push r10",
        "call {newstackv}",
        "pop r10",
        "add rsp, 40",
        "push r10",
        "ret",
        newstackv = sym newstackv,
    )
}

/// Makes a stack with an interface for each further argument, up to NULL.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn ioth_newstackl(stack: *const c_char, vnl: *const c_char) -> *mut Ioth {
    // AAPCS64, 6.4: x0 to x7, then the stack, eight bytes each. The stack stays aligned to 16 bytes.
    naked_asm!(
        "sub sp, sp, #80",
        "str x30, [sp]",
        "str x1, [sp, #24]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "stp x6, x7, [sp, #64]",
        "add x1, sp, #24",
        "bl {newstackv}",
        "ldr x30, [sp]",
        "add sp, sp, #80",
        "ret",
        newstackv = sym newstackv,
    )
}
