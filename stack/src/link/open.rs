//! From a locator to a link.

use std::io;

use super::Link;
use super::capture::Capture;
use super::impair::Impaired;
use super::switch::{DEFAULT_MTU, Switches};
use super::tap::Tap;
use super::tap_plain::PlainTap;
use super::vlan::Vlan;
use crate::setup_error::SetupError;
use crate::vnl::{Target, Vnl};

/// Opens the link that the locator names, in one of its VLANs, impaired and with a capture around it if it asks for that.
///
/// TAP devices are looked for in the network namespace of the calling thread, switches in `switches`.
///
/// # Errors
/// [`SetupError::Link`] with what the system answered, [`SetupError::Vnl`] when the switch exists with
/// another MTU.
pub fn open(vnl: &Vnl, switches: &Switches) -> Result<Box<dyn Link>, SetupError> {
    let mut link: Box<dyn Link> = match &vnl.target {
        // An impaired path carries what a wire does: the kernel splits its super-frames itself.
        Target::Tap { name, offload: true, create } if vnl.impair.is_none() => {
            Box::new(Tap::open(name, *create)?)
        }
        Target::Tap { name, create, .. } => Box::new(PlainTap::open(name, *create)?),
        Target::Switch { name, mtu } => {
            let switch = switches.get_or_create_with_mtu(name, mtu.unwrap_or(DEFAULT_MTU));
            if mtu.is_some_and(|mtu| mtu != switch.mtu()) {
                let problem = format!("the switch has an MTU of {} already", switch.mtu());
                return Err(SetupError::Vnl { vnl: vnl.to_string(), problem });
            }
            let port = switch.port().map_err(|source| SetupError::Link {
                what: format!("switch {name:?}"),
                attempted: "make a port of",
                source,
                advice: "allow the program more descriptors with: ulimit -n".into(),
            })?;
            Box::new(port)
        }
    };
    // Everything around it sees frames without tags, as on a VLAN device of Linux.
    if let Some(identifier) = vnl.vlan {
        link = Box::new(Vlan::new(link, identifier));
    }
    if let Some(settings) = &vnl.impair {
        link = Box::new(Impaired::new(link, settings).map_err(|source| SetupError::Link {
            what: format!("path {settings}"),
            attempted: "impair with",
            source,
            advice: "allow the program more descriptors with: ulimit -n".into(),
        })?);
    }
    let Some(file) = &vnl.capture else { return Ok(link) };
    let name = vnl.ifname.as_deref().unwrap_or(match &vnl.target {
        Target::Tap { name, .. } | Target::Switch { name, .. } => name,
    });
    let capture = Capture::create(link, file, name).map_err(|source: io::Error| SetupError::Link {
        what: format!("capture file {file:?}"),
        attempted: "write",
        source,
        advice: "name a file in a directory that exists and may be written to".into(),
    })?;
    Ok(Box::new(capture))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Frame;

    fn open_text(text: &str, switches: &Switches) -> Result<Box<dyn Link>, SetupError> {
        open(&text.parse()?, switches)
    }

    #[test]
    fn switches_are_shared_by_name() {
        let switches = Switches::default();
        let mut a = open_text("switch://lan", &switches).expect("a port");
        let mut b = open_text("eth1:switch://lan?mtu=1500", &switches).expect("a port");
        a.transmit(Frame::from_slice(&[0xff; 60])).expect("sent");
        assert!(b.receive().expect("alive").is_some());
        assert!(open_text("switch://other", &switches).expect("a port").receive().expect("alive").is_none());
    }

    #[test]
    fn the_first_decides_the_mtu() {
        let switches = Switches::default();
        let first = open_text("switch://lan?mtu=9000", &switches).expect("a port");
        let next = open_text("switch://lan", &switches).expect("a port");
        assert_eq!((first.capabilities().mtu, next.capabilities().mtu), (9000, 9000));
        let error = open_text("switch://lan?mtu=1500", &switches).expect_err("another MTU");
        assert_eq!(
            error.to_string(),
            r#"bad VNL "switch://lan?mtu=1500": the switch has an MTU of 9000 already"#
        );
    }

    #[test]
    fn a_capture_that_cannot_be_made_says_what_to_do() {
        let error = open_text("switch://lan?capture=/nowhere/x.pcapng", &Switches::default());
        assert_eq!(
            error.expect_err("no such directory").to_string(),
            "cannot write capture file \"/nowhere/x.pcapng\": no such file or directory; \
             name a file in a directory that exists and may be written to"
        );
    }
}
