//! What a host says about a group in the current versions: records, which IGMPv3 (RFC 3376 section 4.2) and MLDv2 (RFC 3810
//! section 5.2) write alike but for the length of an address.

use std::net::IpAddr;

/// What a record says (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// `MODE_IS_INCLUDE`: an answer; these sources are wanted.
    IsInclude = 1,
    /// `MODE_IS_EXCLUDE`: an answer; all but these.
    IsExclude = 2,
    /// `CHANGE_TO_INCLUDE_MODE`.
    ToInclude = 3,
    /// `CHANGE_TO_EXCLUDE_MODE`.
    ToExclude = 4,
    /// `ALLOW_NEW_SOURCES`.
    Allow = 5,
    /// `BLOCK_OLD_SOURCES`.
    Block = 6,
}

/// A record about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) group: IpAddr,
    pub(crate) sources: Vec<IpAddr>,
}

impl Record {
    /// Length in bytes.
    fn len(&self) -> usize {
        fixed_len(self.group) + self.sources.len() * address_len(self.group)
    }

    fn write(&self, message: &mut Vec<u8>) {
        let count = u16::try_from(self.sources.len()).unwrap_or(u16::MAX);
        message.extend([self.kind as u8, 0]);
        message.extend(count.to_be_bytes());
        for address in std::iter::once(&self.group).chain(&self.sources) {
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
    }
}

/// A report of the current version, with the checksum field 0.
pub(crate) fn report(kind: u8, records: &[Record]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
    let mut message = vec![kind, 0, 0, 0, 0, 0];
    message.extend(count.to_be_bytes());
    records.iter().for_each(|record| record.write(&mut message));
    message
}

/// Divides records among reports, each with room for so many bytes of them. What is too long for one report alone is divided,
/// too; where that would change what is said, sources are left out (RFC 3376 section 4.2.16, RFC 3810 section 5.2.15).
pub(crate) fn divide(records: Vec<Record>, room: usize) -> Vec<Vec<Record>> {
    let mut reports: Vec<Vec<Record>> = Vec::new();
    let mut left = 0;
    let mut add = |record: Record| {
        let len = record.len();
        match reports.last_mut() {
            Some(last) if len <= left => last.push(record),
            _ => {
                reports.push(vec![record]);
                left = room;
            }
        }
        left = left.saturating_sub(len);
    };
    for mut record in records {
        let most = room.saturating_sub(fixed_len(record.group)) / address_len(record.group);
        if record.sources.len() <= most {
            add(record);
        } else if matches!(record.kind, RecordKind::IsExclude | RecordKind::ToExclude) {
            record.sources.truncate(most);
            add(record);
        } else {
            for sources in record.sources.chunks(most.max(1)) {
                add(Record { sources: sources.to_vec(), ..record });
            }
        }
    }
    reports
}

const fn fixed_len(group: IpAddr) -> usize {
    4 + address_len(group)
}

const fn address_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}

/// A number in the floating-point form of a code field that has so many bits of mantissa behind the three of the exponent
/// (RFC 3376 section 4.1.1, RFC 3810 section 5.1.3).
pub(crate) const fn decode(code: u32, mantissa_bits: u32) -> u32 {
    let floating = 1 << (mantissa_bits + 3);
    if code < floating {
        return code;
    }
    let mantissa = code & ((1 << mantissa_bits) - 1) | 1 << mantissa_bits;
    let exponent = code >> mantissa_bits & 7;
    mantissa << (exponent + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordKind, sources: u8) -> Record {
        let sources = (0..sources).map(|last| [10, 0, 0, last].into()).collect();
        Record { kind, group: [239, 1, 2, 3].into(), sources }
    }

    #[test]
    fn a_record_as_it_is_written_rfc_3376_4_2() {
        let written = report(0x22, &[record(RecordKind::Allow, 1)]);
        assert_eq!(written, [0x22, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 1, 239, 1, 2, 3, 10, 0, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_divided_or_cut_rfc_3376_4_2_16() {
        let divided = |records: &[Record]| {
            let reports = divide(records.to_vec(), 24);
            let sources = |report: &Vec<Record>| report.iter().map(|record| record.sources.len()).collect();
            reports.iter().map(sources).collect::<Vec<Vec<_>>>()
        };
        let plain = record(RecordKind::ToExclude, 0);
        assert_eq!(divided(&[plain.clone(), plain.clone(), plain.clone(), plain]), [vec![0, 0, 0], vec![0]]);
        assert_eq!(divided(&[record(RecordKind::Block, 9)]), [vec![4], vec![4], vec![1]]);
        assert_eq!(divided(&[record(RecordKind::IsExclude, 9)]), [vec![4]]);
    }

    #[test]
    fn codes_are_floating_point_rfc_3376_4_1_1_rfc_3810_5_1_3() {
        assert_eq!([0, 127, 128, 255].map(|code| decode(code, 4)), [0, 127, 128, 31 << 10]);
        assert_eq!([32_767, 32_768, 65_535].map(|code| decode(code, 12)), [32_767, 32_768, 8191 << 10]);
    }
}
