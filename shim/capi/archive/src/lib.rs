//! The static library: everything that [`ioth_c`] exports to C, in one archive.

pub use ioth_c;
