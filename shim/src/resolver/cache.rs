//! Answers that are kept until their time is over, within bounds.

use super::answer::{Answer, Content};
use super::question::Kind;
use hickory_proto::rr::Name;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Answers by name and kind. The sum of what the entries weigh is bounded; what was not used for longest goes first.
#[derive(Debug)]
pub(super) struct Cache {
    entries: HashMap<(Name, Kind), Entry>,
    weight: usize,
    limit: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    until: Instant,
    used: u64,
}

/// Addresses and names that are kept, in all; one of either is a few dozen bytes, or a few hundred.
const WEIGHT: usize = 8192;
/// RFC 8767 section 4 suggests days for what a resolver keeps; a stack's programs want to see changes sooner.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// RFC 2308 section 5: one to three hours work well, a day is a problem.
const LONGEST_DENIAL: Duration = Duration::from_secs(3 * 3600);

impl Default for Cache {
    fn default() -> Self {
        Self::new(WEIGHT)
    }
}

impl Cache {
    /// One that holds entries of so much weight.
    fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), weight: 0, limit, uses: 0 }
    }

    /// What is known of a name, if its time is not over.
    pub(super) fn answer(&mut self, now: Instant, name: &Name, kind: Kind) -> Option<Answer> {
        self.uses += 1;
        let entry = self.entries.get_mut(&(name.clone(), kind)).filter(|entry| now < entry.until)?;
        entry.used = self.uses;
        Some(answer_left(entry, now))
    }

    /// Keeps an answer for as long as it says, and no longer than is wise.
    pub(super) fn keep(&mut self, now: Instant, name: &Name, kind: Kind, answer: &Answer) {
        let longest = match answer.content {
            Content::Addresses(_) | Content::Names(_) => LONGEST,
            Content::Nothing | Content::NoName => LONGEST_DENIAL,
            Content::Alias => return,
        };
        let weight = weight(answer);
        if answer.ttl.is_zero() || weight > self.limit {
            return;
        }
        let key = (name.to_lowercase(), kind);
        self.remove(&key);
        self.make_room(now, weight);
        self.uses += 1;
        self.weight += weight;
        let until = now + answer.ttl.min(longest);
        self.entries.insert(key, Entry { answer: answer.clone(), until, used: self.uses });
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.weight = 0;
    }

    fn make_room(&mut self, now: Instant, weight: usize) {
        if self.weight + weight <= self.limit {
            return;
        }
        let total = &mut self.weight;
        self.entries.retain(|_, entry| {
            let keep = now < entry.until;
            if !keep {
                *total -= self::weight(&entry.answer);
            }
            keep
        });
        while self.weight + weight > self.limit {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &(Name, Kind)) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= weight(&entry.answer);
        }
    }
}

fn weight(answer: &Answer) -> usize {
    match &answer.content {
        Content::Addresses(addresses) => 1 + addresses.len(),
        Content::Names(names) => 1 + names.len(),
        Content::Nothing | Content::NoName | Content::Alias => 1,
    }
}

fn answer_left(entry: &Entry, now: Instant) -> Answer {
    Answer { ttl: entry.until.saturating_duration_since(now), ..entry.answer.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn found(count: u8, ttl: u64) -> Answer {
        let addresses = (0..count).map(|last| [10, 0, 0, last].into()).collect();
        answer(Content::Addresses(addresses), ttl)
    }

    fn answer(content: Content, ttl: u64) -> Answer {
        Answer { canonical: name("a."), content, ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn an_answer_lasts_as_long_as_it_says_rfc_1035_3_2_1() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        cache.keep(start, &name("A."), Kind::A, &found(1, 60));
        assert_eq!(cache.answer(after(59), &name("a."), Kind::A), Some(found(1, 1)));
        assert_eq!(cache.answer(after(60), &name("a."), Kind::A), None);
        assert_eq!(cache.answer(start, &name("a."), Kind::Aaaa), None);
        cache.keep(start, &name("b."), Kind::A, &found(1, 0));
        assert_eq!(cache.answer(start, &name("b."), Kind::A), None);
    }

    #[test]
    fn nothing_lasts_for_ever() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.keep(start, &name("a."), Kind::A, &found(1, 1 << 30));
        cache.keep(start, &name("b."), Kind::A, &answer(Content::NoName, 1 << 30));
        assert!(cache.answer(start + LONGEST_DENIAL, &name("b."), Kind::A).is_none(), "RFC 2308 section 5");
        assert!(cache.answer(start + LONGEST_DENIAL, &name("a."), Kind::A).is_some());
        assert!(cache.answer(start + LONGEST, &name("a."), Kind::A).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let (mut cache, now) = (Cache::new(100), Instant::now());
        cache.keep(now, &name("used."), Kind::A, &found(1, 60));
        cache.keep(now, &name("used."), Kind::A, &found(1, 60));
        for number in 0..1000u32 {
            cache.keep(now, &name(&format!("n{number}.")), Kind::A, &found((number % 9) as u8, 60));
            assert!(cache.answer(now, &name("used."), Kind::A).is_some());
            assert!(cache.weight <= 100);
        }
        assert_eq!(cache.weight, cache.entries.values().map(|entry| weight(&entry.answer)).sum::<usize>());
        cache.keep(now, &name("large."), Kind::A, &found(200, 60));
        assert!(cache.answer(now, &name("large."), Kind::A).is_none(), "more than all of it");
        assert!(cache.answer(now, &name("used."), Kind::A).is_some());
    }
}
