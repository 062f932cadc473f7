//! The manual: its pages name every call of `ioth.h`.

use anyhow::{Context, Result, ensure};
use ioth_tests::c::INCLUDE;
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("manual::it_names_every_call", it_names_every_call)]
}

fn it_names_every_call(net: &Net) -> Result<()> {
    let declared = crate::header::declared(net)?;
    let mut manual = String::new();
    for page in ["ioth_newstack.3", "ioth_msocket.3", "ioth_config.3"] {
        let text = std::fs::read_to_string(format!("{INCLUDE}/../man/{page}"))?;
        let (_, rest) = text.split_once(".SH NAME\n").context("it has a name")?;
        manual += rest.split_once(".SH SYNOPSIS").context("it has a synopsis")?.0;
    }
    let named: Vec<&str> = manual.split([',', '\n', ' ']).filter(|word| word.starts_with("ioth_")).collect();
    let missing: Vec<_> = declared.iter().filter(|name| !named.contains(&name.as_str())).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !declared.contains(**name)).collect();
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "not in the manual: {missing:?}; not there: {unknown:?}"
    );
    Ok(())
}
