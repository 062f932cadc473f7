//! C programs on the C library: the compiler, and where things are.

use crate::netns::{Net, need};
use anyhow::{Context, Result};
use std::env;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The folder of `ioth.h`.
pub const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shim/capi/include");

/// A folder of its own for what a test compiles, with the library under its names in it; gone when this is dropped.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// Makes the folder; `name` is for those who look.
    ///
    /// # Errors
    /// When there is no compiler, and those of the file system.
    pub fn new(name: &str) -> Result<Self> {
        need("cc", "build-essential")?;
        let folder = env::temp_dir().join(format!("ioth-c-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let library = library()?;
        for link in ["libioth.so", "libioth.so.1", "ioth_smoltcp-r.so"] {
            symlink(&library, folder.join(link))?;
        }
        Ok(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Compiles a program under the name `output` and gives its path. `flags` are added to those of every program.
    ///
    /// # Errors
    /// What the compiler says; a warning is one.
    pub fn compile(&self, net: &Net, source: &str, output: &str, flags: &str) -> Result<String> {
        let program = format!("{}/{output}", self.folder.display());
        net.run(&format!(
            "cc -std=gnu11 -Wall -Wextra -Werror -g -I{INCLUDE} -o {program} {source} {flags} -pthread -ldl"
        ))?;
        Ok(program)
    }

    /// The flags that link a program with the library.
    #[must_use]
    pub fn link(&self) -> String {
        let folder = self.folder.display();
        format!("-L{folder} -Wl,-rpath,{folder} -lioth")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The shared library, which cargo puts beside a test that depends on it.
///
/// # Errors
/// When it is not there.
pub fn library() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let library = here.parent().context("the test is in a folder")?.join("libioth_c.so");
    anyhow::ensure!(library.exists(), "{} is missing: the package does not depend on it", library.display());
    Ok(library)
}
