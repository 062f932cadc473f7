//! From the name somebody gives to the names that servers are asked for: search domains and `ndots` of resolv.conf(5).

use super::failure::Failure;
use hickory_proto::rr::Name;

/// So many search domains are tried at most, whatever the network tells.
const MOST: usize = 16;

/// The names to try, in order, each complete.
pub(super) fn candidates(text: &str, domains: &[String], ndots: u8) -> Result<Vec<Name>, Failure> {
    let name = parse(text)?;
    let alone = {
        let mut alone = name.clone();
        alone.set_fqdn(true);
        alone
    };
    if name.is_fqdn() {
        return Ok(vec![alone]);
    }
    let dots = text.matches('.').count();
    let in_domains = domains.iter().take(MOST).filter_map(|domain| {
        let mut domain = parse(domain).ok()?;
        domain.set_fqdn(true);
        // What becomes too long cannot exist.
        name.clone().append_domain(&domain).ok()
    });
    let mut all: Vec<_> = in_domains.collect();
    let first = dots >= ndots.into();
    all.insert(if first { 0 } else { all.len() }, alone);
    Ok(all)
}

/// A domain name, in lower case: what is not ASCII by the rules for international names (RFC 5891).
pub(super) fn parse(text: &str) -> Result<Name, Failure> {
    let name = if text.is_ascii() { Name::from_ascii(text) } else { Name::from_utf8(text) };
    let name = name.map_err(|_| Failure::BadName)?;
    if name.num_labels() == 0 { Err(Failure::BadName) } else { Ok(name.to_lowercase()) }
}

/// A name as people write it.
pub(super) fn show(name: &Name) -> String {
    let mut text = name.to_lowercase().to_ascii();
    if text.len() > 1 && text.ends_with('.') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(text: &str, ndots: u8) -> Vec<String> {
        let domains = ["lab.example", "example."].map(str::to_owned);
        candidates(text, &domains, ndots).unwrap().iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn search_list_and_ndots_as_resolv_conf_5() {
        assert_eq!(tried("www", 1), ["www.lab.example.", "www.example.", "www."]);
        assert_eq!(tried("www.a", 1), ["www.a.", "www.a.lab.example.", "www.a.example."]);
        assert_eq!(tried("www.a", 2), ["www.a.lab.example.", "www.a.example.", "www.a."]);
        assert_eq!(tried("www", 0), ["www.", "www.lab.example.", "www.example."]);
        assert_eq!(tried("WWW.", 1), ["www."]);
        assert_eq!(tried("www.a.", 5), ["www.a."]);
    }

    #[test]
    fn what_is_too_long_in_a_domain_is_tried_alone() {
        let long = [&"a".repeat(63)[..]; 3].join(".") + "." + &"b".repeat(55);
        assert_eq!(tried(&long, 1).len(), 1);
    }

    #[test]
    fn what_is_no_name() {
        for text in ["", ".", "a..b", ".a", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("Bücher.example").unwrap().to_ascii(), "xn--bcher-kva.example");
        assert_eq!(show(&parse("_ldap.Example.").unwrap()), "_ldap.example");
    }
}
