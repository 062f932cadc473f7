//! What an impaired path does to frames, as a string says it: `loss:1%,burst:3,delay:20ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{parse_time, show_time};

/// What happens to the frames of a path, each direction for itself.
///
/// | item | meaning |
/// |---|---|
/// | `loss:1%` | so many frames are lost |
/// | `burst:3` | losses come in bursts of so many frames on average (1: each for itself) |
/// | `delay:20ms` | so long a frame is under way, besides its transmission |
/// | `jitter:2ms` | the delay varies by up to so much; frames keep their order |
/// | `reorder:2%` | so many frames are overtaken: they come half a delay later, a millisecond at least |
/// | `dup:1%` | so many frames come twice |
/// | `corrupt:0.1%` | in so many frames one bit is wrong |
/// | `rate:100mbit` | bits a second that are transmitted; the units are `bit`, `kbit`, `mbit`, `gbit` |
/// | `queue:64k` | bytes that wait for their transmission at most; what is more is lost (256k) |
/// | `seed:7` | what chance follows from; the same seed gives the same fate to the same frames |
///
/// ```
/// use ioth_stack::link::impair::Impairments;
///
/// let path: Impairments = "loss:1%,burst:3,delay:20ms,rate:100mbit".parse()?;
/// assert_eq!(path.to_string(), "loss:1%,burst:3,delay:20ms,rate:100mbit");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impairments {
    /// Frames lost, in parts per million.
    pub loss: u32,
    /// Mean number of frames in a burst of losses, at least 1.
    pub burst: u32,
    /// Time under way.
    pub delay: Duration,
    /// How far the delay varies either way.
    pub jitter: Duration,
    /// Frames overtaken, in parts per million.
    pub reorder: u32,
    /// Frames doubled, in parts per million.
    pub duplicate: u32,
    /// Frames with a wrong bit, in parts per million.
    pub corrupt: u32,
    /// Bits a second; `None` for no limit.
    pub rate: Option<u64>,
    /// Bytes that wait for their transmission at most.
    pub queue: usize,
    /// What chance follows from.
    pub seed: u64,
}

impl Impairments {
    /// A path that does nothing to its frames.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            loss: 0,
            burst: 1,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0,
            duplicate: 0,
            corrupt: 0,
            rate: None,
            queue: QUEUE,
            seed: 0,
        }
    }

    fn item(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "loss" => self.loss = share(value)?,
            "burst" => {
                let wanted = || "a number from 1 on is wanted".to_owned();
                self.burst = count(value).filter(|burst| *burst > 0).ok_or_else(wanted)?;
            }
            "delay" => self.delay = parse_time(value)?,
            "jitter" => self.jitter = parse_time(value)?,
            "reorder" => self.reorder = share(value)?,
            "dup" => self.duplicate = share(value)?,
            "corrupt" => self.corrupt = share(value)?,
            "rate" => self.rate = Some(rate(value)?),
            "queue" => self.queue = bytes(value)?,
            "seed" => self.seed = value.parse().map_err(|_| "a number is wanted".to_owned())?,
            _ => return Err(format!("there is no such item; there are {}", ITEMS.join(" "))),
        }
        Ok(())
    }

    /// Whether `text` begins as one of the items does: `loss:`.
    pub(crate) fn is_item(text: &str) -> bool {
        text.split_once(':').is_some_and(|(name, _)| ITEMS.contains(&name.trim()))
    }
}

impl FromStr for Impairments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings = Self::none();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) =
                item.split_once(':').ok_or_else(|| format!("{item:?} has no value, as in loss:1%"))?;
            settings.item(name.trim(), value.trim()).map_err(|problem| format!("{item}: {problem}"))?;
        }
        Ok(settings)
    }
}

impl fmt::Display for Impairments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share =
            |name: &str, share: u32| (share > 0).then(|| format!("{name}:{}%", f64::from(share) / PERCENT));
        let time =
            |name: &str, time: Duration| (!time.is_zero()).then(|| format!("{name}:{}", show_time(time)));
        let items = [
            share("loss", self.loss),
            (self.burst > 1).then(|| format!("burst:{}", self.burst)),
            time("delay", self.delay),
            time("jitter", self.jitter),
            share("reorder", self.reorder),
            share("dup", self.duplicate),
            share("corrupt", self.corrupt),
            self.rate.map(|rate| format!("rate:{}", show_rate(rate))),
            (self.queue != QUEUE).then(|| format!("queue:{}", self.queue)),
            (self.seed > 0).then(|| format!("seed:{}", self.seed)),
        ];
        let text = items.into_iter().flatten().collect::<Vec<_>>().join(",");
        // An item without a value is none.
        f.write_str(if text.is_empty() { "loss:0%" } else { &text })
    }
}

/// A percentage as parts per million.
fn share(value: &str) -> Result<u32, String> {
    let wanted = || "a percentage from 0% to 100% is wanted".to_owned();
    let number: f64 =
        value.strip_suffix('%').and_then(|number| number.trim().parse().ok()).ok_or_else(wanted)?;
    if (0.0..=100.0).contains(&number) { Ok((number * PERCENT).round() as u32) } else { Err(wanted()) }
}

fn count<T: FromStr>(value: &str) -> Option<T> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

/// A number and a unit, by which it is multiplied.
fn scaled(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (_, unit) = units.iter().find(|(unit, _)| *unit == &value[end..])?;
    count::<u64>(&value[..end])?.checked_mul(*unit).filter(|product| *product > 0)
}

fn rate(value: &str) -> Result<u64, String> {
    scaled(value, &RATES)
        .ok_or_else(|| "a rate such as 100mbit is wanted; the units are bit kbit mbit gbit".to_owned())
}

fn show_rate(rate: u64) -> String {
    let (unit, size) = RATES.iter().rev().find(|(_, size)| rate.is_multiple_of(*size)).unwrap_or(&RATES[0]);
    format!("{}{unit}", rate / size)
}

fn bytes(value: &str) -> Result<usize, String> {
    scaled(value, &[("", 1), ("k", 1 << 10), ("m", 1 << 20)])
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes <= MOST_QUEUE)
        .ok_or_else(|| "a number of bytes such as 64k is wanted, 64m at most".to_owned())
}

/// Parts per million in a percent.
const PERCENT: f64 = 10_000.0;
/// Bytes that wait unless told otherwise: about what a router has for 100 Mbit/s.
const QUEUE: usize = 256 << 10;
/// The most that may be told.
const MOST_QUEUE: usize = 64 << 20;
const RATES: [(&str, u64); 4] = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
const ITEMS: [&str; 10] =
    ["loss", "burst", "delay", "jitter", "reorder", "dup", "corrupt", "rate", "queue", "seed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said_and_is_shown_again() {
        let text = "loss:1%,burst:3,delay:20ms,jitter:2ms,reorder:2%,dup:1%,corrupt:0.1%,rate:100mbit,queue:65536,seed:7";
        let settings: Impairments = text.parse().expect("good");
        assert_eq!((settings.loss, settings.corrupt, settings.queue), (10_000, 1_000, 65_536));
        assert_eq!(settings.to_string(), text);
        assert_eq!(
            "queue:64k, loss : 0.0001%".parse::<Impairments>().expect("good").to_string(),
            "loss:0.0001%,queue:65536"
        );
        assert_eq!("".parse(), Ok(Impairments::none()));
        assert_eq!(Impairments::none().to_string(), "loss:0%");
        assert_eq!("loss:0%".parse(), Ok(Impairments::none()));
        assert_eq!(show_rate(1_500), "1500bit");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, problem) in [
            ("loss", "has no value"),
            ("loss:1", "loss:1: a percentage"),
            ("loss:101%", "a percentage"),
            ("loss:-1%", "a percentage"),
            ("burst:0", "from 1 on"),
            ("delay:20", "a time"),
            ("rate:0mbit", "a rate"),
            ("rate:1mb", "a rate"),
            ("queue:65m", "64m at most"),
            ("seed:x", "a number"),
            ("lose:1%", "there are loss burst"),
        ] {
            let error = text.parse::<Impairments>().expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
