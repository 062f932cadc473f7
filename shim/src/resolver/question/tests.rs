//! Messages made by hand, since no library makes such.

use super::super::answer::Content;
use super::*;
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Duration;

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
/// Where the question's name stands in a message.
const ASKED: [u8; 2] = [0xc0, 12];
const NXDOMAIN: u8 = 3;

fn question() -> Question {
    Question::new(&Name::from_ascii("www.example.").unwrap(), Kind::A)
}

/// A record in the answer section; lengths as they should be.
fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    [owner, &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// An answer to the question: answers, then what stands in the authority section.
fn reply(question: &Question, code: u8, answers: &[Vec<u8>], authorities: &[Vec<u8>]) -> Vec<u8> {
    let mut message = question.to_message().unwrap();
    // Without the EDNS record, which is eleven bytes.
    message.truncate(message.len() - 11);
    message[2] |= 0x80;
    message[3] = code;
    message[6..8].copy_from_slice(&(answers.len() as u16).to_be_bytes());
    message[8..10].copy_from_slice(&(authorities.len() as u16).to_be_bytes());
    message[10..12].copy_from_slice(&[0, 0]);
    [message, answers.concat(), authorities.concat()].concat()
}

fn answer(question: &Question, message: &[u8]) -> Answer {
    match question.judge(message, Carrier::Datagram) {
        Verdict::Answer(answer) => answer,
        verdict => panic!("{verdict:?}"),
    }
}

fn addresses(list: &[[u8; 4]]) -> Content {
    Content::Addresses(list.iter().map(|address| IpAddr::from(*address)).collect())
}

#[test]
fn an_honest_answer() {
    let question = question();
    let records = [record(&ASKED, A, 60, &[10, 0, 0, 1]), record(&ASKED, A, 30, &[10, 0, 0, 2])];
    let answer = answer(&question, &reply(&question, 0, &records, &[]));
    assert_eq!(answer.content, addresses(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    assert_eq!(answer.ttl, Duration::from_secs(30));
}

#[test]
fn only_what_the_question_leads_to_counts() {
    let question = question();
    let alias = [
        record(&name("other.example"), A, 9, &[10, 6, 6, 6]),
        record(&name("web.example"), A, 60, &[10, 0, 0, 1]),
        record(&ASKED, CNAME, 20, &name("Web.Example")),
        // Of another class, and of another type.
        [&name("web.example")[..], &[0, 1, 0, 3, 0, 0, 0, 9, 0, 4, 10, 6, 6, 7]].concat(),
        record(&name("web.example"), 28, 5, &[0; 16]),
    ];
    let found = answer(&question, &reply(&question, 0, &alias, &[]));
    assert_eq!(found.content, addresses(&[[10, 0, 0, 1]]));
    assert_eq!((found.canonical.to_ascii().as_str(), found.ttl.as_secs()), ("web.example.", 20));
    // An alias that leads to nothing yet.
    let found = answer(&question, &reply(&question, 0, &alias[2..3], &[]));
    assert_eq!((found.content, found.canonical.to_ascii().as_str()), (Content::Alias, "web.example."));
}

#[test]
fn denials_last_as_long_as_their_zone_says_rfc_2308_3() {
    let question = question();
    let soa = |zone: &str, ttl: u32, minimum: u32| {
        let numbers = [1u32, 2, 3, 4, minimum].map(u32::to_be_bytes).concat();
        record(&name(zone), SOA, ttl, &[name("ns.example"), name("root.example"), numbers].concat())
    };
    let cases = [
        (NXDOMAIN, Some(soa("example", 300, 60)), Content::NoName, 60),
        (0, Some(soa("example", 50, 60)), Content::Nothing, 50),
        (NXDOMAIN, None, Content::NoName, 0),
        // Who is not above the name has no say, and what is negative is nothing (RFC 2181 section 8).
        (NXDOMAIN, Some(soa("elsewhere", 300, 60)), Content::NoName, 0),
        (0, Some(soa("example", 1 << 31, 60)), Content::Nothing, 0),
    ];
    for (code, soa, content, ttl) in cases {
        let authorities: Vec<_> = soa.into_iter().collect();
        let found = answer(&question, &reply(&question, code, &[], &authorities));
        assert_eq!((found.content, found.ttl.as_secs()), (content, ttl));
    }
}

#[test]
fn what_is_not_the_answer_is_not_looked_at() {
    let question = question();
    let honest = reply(&question, 0, &[record(&ASKED, A, 60, &[10, 0, 0, 1])], &[]);
    assert!(matches!(question.judge(&honest, Carrier::Datagram), Verdict::Answer(_)));
    // RFC 5452 section 9.1: identifier, being an answer, kind of query, number of questions, name, type, class.
    for (at, bits) in [(0, 1), (1, 1), (2, 0x80), (2, 0x08), (5, 1), (5, 2), (13, 0x02), (26, 3), (28, 2)] {
        let mut message = honest.clone();
        message[at] ^= bits;
        let verdict = question.judge(&message, Carrier::Connection);
        assert!(matches!(verdict, Verdict::Foreign), "byte {at}: {verdict:?}");
    }
    for len in 0..29 {
        assert!(matches!(question.judge(&honest[..len], Carrier::Datagram), Verdict::Foreign), "{len} bytes");
    }
}

#[test]
fn an_answer_in_another_case_is_doubted_until_it_comes_over_tcp() {
    let question = question();
    let mut message = reply(&question, 0, &[record(&ASKED, A, 60, &[10, 0, 0, 1])], &[]);
    message[13] ^= 0x20;
    assert!(matches!(question.judge(&message, Carrier::Datagram), Verdict::OverTcp));
    assert!(matches!(question.judge(&message, Carrier::Connection), Verdict::Answer(_)));
}

#[test]
fn every_question_has_its_own_number_and_case() {
    let ids: std::collections::HashSet<_> = (0..100).map(|_| question().id).collect();
    assert!(ids.len() > 90, "{} of 100", ids.len());
    let cases: std::collections::HashSet<_> = (0..100).map(|_| question().name.to_ascii()).collect();
    assert!(cases.len() > 50, "{} of 100", cases.len());
}

#[test]
fn codes_of_servers() {
    let question = question();
    let verdict = |code| question.judge(&reply(&question, code, &[], &[]), Carrier::Datagram);
    assert!(matches!(verdict(1), Verdict::WithoutEdns), "RFC 6891 section 7");
    assert!(matches!(verdict(2), Verdict::Failed { later: true }));
    assert!(matches!(verdict(5), Verdict::Failed { later: false }));
    let plain = question.without_edns();
    assert!(matches!(
        plain.judge(&reply_plain(&plain, 1), Carrier::Datagram),
        Verdict::Failed { later: false }
    ));
    // Only a header.
    let mut bare = reply(&question, 1, &[], &[]);
    bare.truncate(12);
    bare[5] = 0;
    assert!(matches!(question.judge(&bare, Carrier::Datagram), Verdict::WithoutEdns));
    let mut cut = reply(&question, 0, &[], &[]);
    cut[2] |= 2;
    assert!(matches!(question.judge(&cut, Carrier::Datagram), Verdict::OverTcp));
    assert!(matches!(question.judge(&cut, Carrier::Connection), Verdict::Failed { later: false }));
}

fn reply_plain(question: &Question, code: u8) -> Vec<u8> {
    let mut message = question.to_message().unwrap();
    message[2] |= 0x80;
    message[3] = code;
    message
}

/// Records that lie. They have the right number and question, so they are the server's, who fails.
#[test]
fn broken_records_are_the_failure_of_the_server() {
    let question = question();
    let long_name: Vec<u8> = [[&[63][..], &[b'a'; 63]].concat().repeat(4), vec![0]].concat();
    let with_len = |len: u16| {
        let mut record = record(&ASKED, A, 60, &[10, 0, 0, 1]);
        let at = record.len() - 6;
        record[at..at + 2].copy_from_slice(&len.to_be_bytes());
        record
    };
    let cases: [(&str, Vec<u8>); 11] = [
        ("a pointer to itself", record(&[0xc0, 29], A, 60, &[10, 0, 0, 1])),
        ("a pointer in a circle", record(&[1, b'a', 0xc0, 29], A, 60, &[10, 0, 0, 1])),
        ("a pointer ahead", record(&[0xc0, 60], A, 60, &[10, 0, 0, 1])),
        ("a pointer outside", record(&[0xff, 0xff], A, 60, &[10, 0, 0, 1])),
        ("a label of 64", record(&[&[64][..], &[b'a'; 64], &[0]].concat(), A, 60, &[10, 0, 0, 1])),
        ("a label of 191", record(&[&[0xbf][..], &[b'a'; 191], &[0]].concat(), A, 60, &[10, 0, 0, 1])),
        ("a name of 257", record(&long_name, A, 60, &[10, 0, 0, 1])),
        ("an address of no byte", with_len(0)),
        ("an address of three bytes", with_len(3)),
        ("an address of five bytes", with_len(5)),
        ("an address of 65535 bytes", with_len(65535)),
    ];
    for (what, record) in cases {
        let message = reply(&question, 0, &[record], &[]);
        let verdict = question.judge(&message, Carrier::Datagram);
        assert!(matches!(verdict, Verdict::Failed { later: false }), "{what}: {verdict:?}");
    }
    for count in [2, 1025, 65535u16] {
        let mut message = reply(&question, 0, &[record(&ASKED, A, 60, &[10, 0, 0, 1])], &[]);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        assert!(
            matches!(question.judge(&message, Carrier::Datagram), Verdict::Failed { .. }),
            "{count} announced"
        );
    }
}

#[test]
fn aliases_that_lead_in_a_circle_or_too_far() {
    let question = question();
    let circle =
        [record(&ASKED, CNAME, 60, &name("a.example")), record(&name("a.example"), CNAME, 60, &ASKED)];
    let itself = [record(&ASKED, CNAME, 60, &ASKED)];
    let hop =
        |at: u32| record(&name(&format!("a{at}.example")), CNAME, 60, &name(&format!("a{}.example", at + 1)));
    let mut far = vec![record(&ASKED, CNAME, 60, &name("a0.example"))];
    far.extend((0..100).map(hop));
    for records in [&circle[..], &itself, &far] {
        let verdict = question.judge(&reply(&question, 0, records, &[]), Carrier::Datagram);
        assert!(matches!(verdict, Verdict::Failed { later: false }), "{verdict:?}");
    }
    assert_eq!(answer(&question, &reply(&question, 0, &far[..16], &[])).content, Content::Alias);
}

#[test]
fn a_long_walk_through_pointers_ends_soon() {
    let question = question();
    // Pointers to pointers to …, as many as a name can go through, then as many names as are read.
    let steps: u16 = 8000;
    let mut chain = record(&ASKED, 65280, 60, &[]);
    let start = 29 + chain.len() as u16;
    let pointer = |to: u16| (0xc000 | to).to_be_bytes();
    let data: Vec<u8> =
        (0..steps).flat_map(|at| pointer(if at == 0 { 12 } else { start + 2 * (at - 1) })).collect();
    let len = chain.len();
    chain[len - 2..].copy_from_slice(&(data.len() as u16).to_be_bytes());
    chain.extend(data);
    let mut records = vec![chain];
    let last = start + 2 * (steps - 1);
    records.extend((1..RECORDS).map(|_| record(&pointer(last), A, 60, &[10, 0, 0, 1])));
    let message = reply(&question, 0, &records, &[]);
    let began = std::time::Instant::now();
    assert_eq!(answer(&question, &message).content, addresses(&[[10, 0, 0, 1]]));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}, unoptimised", began.elapsed());
}

proptest! {
    #[test]
    fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let question = question();
        let _ = question.judge(&bytes, Carrier::Datagram);
        // The same behind a header and a question that fit.
        let mut message = reply(&question, 0, &[], &[]);
        message[7] = 3;
        message[9] = 2;
        message.extend(&bytes);
        let _ = question.judge(&message, Carrier::Connection);
    }

    #[test]
    fn no_change_of_an_honest_answer_makes_more_of_it(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let question = question();
        let records = [record(&ASKED, CNAME, 60, &name("web.example")), record(&name("web.example"), A, 60, &[10, 0, 0, 1])];
        let mut message = reply(&question, 0, &records, &[]);
        let at = at.index(message.len());
        message[at] = byte;
        let cut = cut.index(message.len()) + 1;
        for message in [&message[..], &message[..cut]] {
            if let Verdict::Answer(Answer { content: Content::Addresses(found), .. }) = question.judge(message, Carrier::Datagram) {
                prop_assert_eq!(found.len(), 1);
            }
        }
    }
}
