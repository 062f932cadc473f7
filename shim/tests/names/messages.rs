//! Messages of a name server, made by hand: the library that the resolver reads them with shall not have written them.

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
/// Where the question's name stands in a message.
pub(crate) const ASKED: [u8; 2] = [0xc0, 12];

/// A message that answers the question with these records.
pub(crate) fn reply(question: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    // The header and the question, without what EDNS puts behind them.
    let mut message = question[..question_end(question)].to_vec();
    message[2] |= 0x80;
    message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    message[8..12].copy_from_slice(&[0; 4]);
    [message, records.concat()].concat()
}

pub(crate) fn question_end(message: &[u8]) -> usize {
    let mut at = 12;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    at + 5
}

/// The labels of the name that is asked for.
pub(crate) fn asked(message: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    labels.join(".")
}

pub(crate) fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &len.to_be_bytes(), data].concat()
}

pub(crate) fn a(address: [u8; 4]) -> Vec<u8> {
    record(&ASKED, A, &address)
}

pub(crate) fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// Whether IPv4 addresses are asked for.
pub(crate) fn is_a(question: &[u8]) -> bool {
    question[question_end(question) - 3] == A as u8
}
