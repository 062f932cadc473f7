//! `ioth.h`: it compiles as C and C++, and names what the library exports, no more and no less.

use anyhow::{Result, ensure};
use ioth_tests::c::{INCLUDE, library};
use ioth_tests::netns::{Net, Test, need};
use std::collections::BTreeSet;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("header::it_compiles_as_c_and_cpp", it_compiles_as_c_and_cpp),
        Test::new("header::it_names_what_is_exported", it_names_what_is_exported),
    ]
}

fn it_compiles_as_c_and_cpp(net: &Net) -> Result<()> {
    need("cc", "build-essential")?;
    need("c++", "build-essential")?;
    let strict = "-Wall -Wextra -Werror -Wpedantic -fsyntax-only";
    for compiler in ["cc -std=c11 -x c", "cc -std=gnu11 -D_GNU_SOURCE -x c", "c++ -std=c++11 -x c++"] {
        net.run(&format!("echo '#include <ioth.h>' | {compiler} {strict} -I{INCLUDE} -"))?;
    }
    Ok(())
}

fn it_names_what_is_exported(net: &Net) -> Result<()> {
    let symbols = net.run(&format!("nm -D --defined-only {}", library()?.display()))?;
    // What libioth looks up in a plugin is in no header.
    let exported: BTreeSet<String> = symbols
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .filter(|name| !name.starts_with("ioth_smoltcp_"))
        .map(str::to_owned)
        .collect();
    let declared = declared(net)?;
    let missing: Vec<_> = declared.difference(&exported).collect();
    let unknown: Vec<_> = exported.difference(&declared).collect();
    ensure!(missing.is_empty(), "not exported: {missing:?}");
    ensure!(unknown.is_empty(), "not in the header: {unknown:?}");
    Ok(())
}

/// The functions of the header, as the preprocessor leaves them.
pub(crate) fn declared(net: &Net) -> Result<BTreeSet<String>> {
    need("cc", "build-essential")?;
    let text = net.run(&format!("cc -E -P {INCLUDE}/ioth.h"))?;
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('));
    let names = words.filter_map(|word| word.split_once('(').map(|(name, _)| name));
    let declared: BTreeSet<String> =
        names.filter(|name| name.starts_with("ioth_")).map(str::to_owned).collect();
    ensure!(declared.len() > 50, "only {declared:?}");
    Ok(declared)
}
