//! Gives the shared library the name that programs look for at run time, wherever the file lies.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libioth.so.1");
    // Threads and exit handlers of it run: whoever loaded it as a plugin cannot unload it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
