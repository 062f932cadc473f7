//! One question on its way, and what counts as the answer to it.
//!
//! Whoever wants to slip in an answer must guess the identifier, the port and the case of every letter of the name, and
//! come before the server does (RFC 5452). What does not fit is not looked at any further.

use super::answer::{self, Answer};
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

/// What a name is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses.
    Aaaa,
    /// The names behind an address.
    Ptr,
}

impl Kind {
    /// The type of the records that answer.
    pub(super) const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Ptr => RecordType::PTR,
        }
    }
}

/// A question to one server.
#[derive(Clone, Debug)]
pub(super) struct Question {
    name: Name,
    kind: Kind,
    id: u16,
    edns: bool,
}

/// What a message was carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Anybody may have sent it.
    Datagram,
    /// It is from whom the connection is to.
    Connection,
}

/// What a message is to a question.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Not an answer to it: forged, late, or broken where it would have to show.
    Foreign,
    /// To be asked over TCP: it was cut, or is in doubt.
    OverTcp,
    /// To be asked without EDNS, which the server does not know (RFC 6891 section 7).
    WithoutEdns,
    /// The server cannot say. Whether it may later.
    Failed {
        /// By its own account.
        later: bool,
    },
    /// The answer.
    Answer(Answer),
}

/// The payload of a datagram that passes everywhere in one piece (<https://www.dnsflagday.net/2020/>).
const PAYLOAD: u16 = 1232;

/// More records than this in one section are not read: each may cost a long walk through the message.
const RECORDS: u16 = 1024;

impl Question {
    /// A question that nobody can guess: a random identifier, and letters of random case (draft-vixie-dnsext-dns0x20).
    pub(super) fn new(name: &Name, kind: Kind) -> Self {
        let mut name = name.clone();
        name.randomize_label_case();
        Self { name, kind, id: Message::query().metadata.id, edns: true }
    }

    /// The same question under another identifier, without EDNS.
    pub(super) fn without_edns(&self) -> Self {
        Self { edns: false, ..Self::new(&self.name, self.kind) }
    }

    /// The message that asks.
    pub(super) fn to_message(&self) -> Result<Vec<u8>, ProtoError> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind.record_type()));
        if self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD);
            message.set_edns(edns);
        }
        message.to_vec()
    }

    /// What a message is to this question.
    pub(super) fn judge(&self, message: &[u8], carrier: Carrier) -> Verdict {
        let mut decoder = BinDecoder::new(message);
        let Ok(header) = Header::read(&mut decoder) else { return Verdict::Foreign };
        let about = header.metadata;
        let fits = about.id == self.id
            && about.message_type == MessageType::Response
            && about.op_code == OpCode::Query;
        if !fits {
            return Verdict::Foreign;
        }
        // What does not understand the question need not repeat it.
        let baffled = matches!(about.response_code, ResponseCode::FormErr | ResponseCode::NotImp);
        if baffled && self.edns && header.counts.queries == 0 {
            return Verdict::WithoutEdns;
        }
        if header.counts.queries != 1 {
            return Verdict::Foreign;
        }
        let Ok(asked) = Query::read(&mut decoder) else { return Verdict::Foreign };
        let same = *asked.name() == self.name
            && asked.query_type() == self.kind.record_type()
            && asked.query_class() == DNSClass::IN;
        if !same {
            return Verdict::Foreign;
        }
        // Some servers do not keep the case; a connection says that it is them.
        if carrier == Carrier::Datagram && (about.truncation || !asked.name().eq_case(&self.name)) {
            return Verdict::OverTcp;
        }
        match about.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if !about.truncation => {}
            _ if baffled && self.edns => return Verdict::WithoutEdns,
            ResponseCode::ServFail => return Verdict::Failed { later: true },
            _ => return Verdict::Failed { later: false },
        }
        if header.counts.answers > RECORDS || header.counts.authorities > RECORDS {
            return Verdict::Failed { later: false };
        }
        let exists = about.response_code == ResponseCode::NoError;
        match self.read(&mut decoder, &header, exists) {
            Ok(Some(answer)) => Verdict::Answer(answer),
            Ok(None) | Err(_) => Verdict::Failed { later: false },
        }
    }

    fn read(
        &self,
        decoder: &mut BinDecoder<'_>,
        header: &Header,
        exists: bool,
    ) -> Result<Option<Answer>, DecodeError> {
        let mut section = |count: u16| {
            Message::read_records(decoder, count.into(), false, OpCode::Query).map(|read| read.0)
        };
        let answers = section(header.counts.answers)?;
        let authorities = section(header.counts.authorities)?;
        Ok(answer::find(&self.name, self.kind, exists, &answers, &authorities))
    }
}

#[cfg(test)]
mod tests;
