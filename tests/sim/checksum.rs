//! Internet checksums (RFC 1071) by other means than the engine's.

/// Makes the checksums of a frame right, as far as its lengths allow.
pub(crate) fn fix(bytes: &mut [u8]) {
    let (transport, protocol, pseudo) = match bytes.get(14).map(|first| first >> 4) {
        Some(4) if bytes.len() >= 34 => {
            let header = usize::from(bytes[14] & 15) * 4;
            if header < 20 || bytes.len() < 14 + header {
                return;
            }
            bytes[24..26].fill(0);
            let check = !sum(&bytes[14..14 + header]);
            bytes[24..26].copy_from_slice(&check.to_be_bytes());
            let end = 14 + usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
            (14 + header..end, bytes[23], bytes[26..34].to_vec())
        }
        Some(6) if bytes.len() >= 54 => {
            let end = 54 + usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
            (54..end, bytes[20], bytes[22..54].to_vec())
        }
        _ => return,
    };
    let Some(payload) = bytes.get_mut(transport) else { return };
    let at = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    payload[at..at + 2].fill(0);
    let mut covered = payload.to_vec();
    if protocol != 1 {
        covered.extend([vec![0; payload.len() % 2], pseudo, vec![0, protocol]].concat());
        covered.extend((payload.len() as u16).to_be_bytes());
    }
    let check = match !sum(&covered) {
        0 if protocol == 17 => 0xffff,
        check => check,
    };
    payload[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

/// RFC 1071.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    fold(words.sum())
}

pub(crate) const fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
