//! The compiler, and where things are.

use anyhow::{Context, Result};
use ioth_tests::netns::{Net, need};
use std::env;
use std::path::{Path, PathBuf};

/// The folder of the C programs.
pub(crate) const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/c");
/// The folder of `ioth.h`.
pub(crate) const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shim/capi/include");

/// A folder of its own for what a test compiles; gone with it.
#[derive(Debug)]
pub(crate) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    pub(crate) fn new(name: &str) -> Result<Self> {
        need("cc", "build-essential")?;
        let folder = env::temp_dir().join(format!("ioth-abi-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let library = library()?;
        for link in ["libioth.so", "libioth.so.1", "ioth_smoltcp-r.so"] {
            std::os::unix::fs::symlink(&library, folder.join(link))?;
        }
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Compiles a program and gives its path. `flags` are added to those of every program.
    pub(crate) fn compile(&self, net: &Net, source: &str, output: &str, flags: &str) -> Result<String> {
        let folder = self.folder.display();
        let program = format!("{folder}/{output}");
        // The programs pass wrong arguments on purpose.
        let wrong = "-Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread";
        net.run(&format!(
            "cc -std=gnu11 -Wall -Wextra -Werror {wrong} -g -I{INCLUDE} {flags} -o {program} {PROGRAMS}/{source} -pthread -ldl"
        ))?;
        Ok(program)
    }

    /// The flags that link a program with the library.
    pub(crate) fn link(&self) -> String {
        let folder = self.folder.display();
        format!("-DIOTH -L{folder} -Wl,-rpath,{folder} -Wl,--no-as-needed -lioth")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The shared library, which cargo puts beside the test.
pub(crate) fn library() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let library = here.parent().context("the test is in a folder")?.join("libioth_c.so");
    anyhow::ensure!(library.exists(), "{} is missing", library.display());
    Ok(library)
}
