//! The congestion window: slow start, and CUBIC or Reno behind it (RFC 5681, RFC 9438, RFC 9406).

use std::time::Duration;

use super::cubic::Cubic;
use super::hystart::{CAREFUL, HyStart};
use crate::time::Instant;

/// How a connection shares a path with others, as `TCP_CONGESTION` of tcp(7) names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// `cubic` (RFC 9438).
    #[default]
    Cubic,
    /// `reno` (RFC 5681).
    Reno,
}

/// RFC 6928 section 2, in segments.
const INITIAL: u64 = 10;
/// RFC 5681 section 3.1, equation 4, in segments.
const LEAST_THRESHOLD: u64 = 2;

/// What an undone reduction goes back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    window: f64,
    threshold: f64,
}

/// What an acknowledgement says about the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Bytes acknowledged.
    pub(super) bytes: u64,
    /// Everything below it was acknowledged.
    pub(super) ack: u64,
    /// The end of what was sent.
    pub(super) next: u64,
    /// A round trip that was measured.
    pub(super) measured: Option<Duration>,
    /// The smoothed round trip.
    pub(super) smoothed: Option<Duration>,
    /// Whether the window held the sender back.
    pub(super) limited: bool,
}

/// The congestion window of a connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Congestion {
    control: CongestionControl,
    mss: u64,
    window: f64,
    threshold: f64,
    cubic: Cubic,
    hystart: HyStart,
}

impl Congestion {
    pub(super) fn new(control: CongestionControl, mss: u64) -> Self {
        Self {
            control,
            mss,
            window: (INITIAL * mss) as f64,
            threshold: f64::INFINITY,
            cubic: Cubic::new(),
            hystart: HyStart::new(),
        }
    }

    pub(super) const fn window(&self) -> u64 {
        self.window as u64
    }

    pub(super) const fn threshold(&self) -> u64 {
        self.threshold as u64
    }

    /// Repairs decide about the window meanwhile (RFC 6937).
    pub(super) const fn set_window(&mut self, window: u64) {
        self.window = window as f64;
    }

    pub(super) const fn set_mss(&mut self, mss: u64) {
        self.mss = mss;
    }

    pub(super) const fn set_control(&mut self, control: CongestionControl) {
        if self.control as u8 != control as u8 {
            self.control = control;
            self.cubic.forget_epoch();
        }
    }

    pub(super) const fn control(&self) -> CongestionControl {
        self.control
    }

    /// Grows the window.
    pub(super) fn acknowledged(&mut self, now: Instant, progress: &Progress) {
        let slow_start = self.window < self.threshold;
        // The first slow start only: later ones know where to end (RFC 9406 section 4.3).
        let over = self.threshold.is_infinite()
            && self.hystart.acknowledged(progress.ack, progress.next, progress.measured);
        if !progress.limited {
            // RFC 7661 section 4: what was not used proves nothing.
            return;
        }
        let bytes = progress.bytes as f64;
        if slow_start {
            let careful = self.threshold.is_infinite() && self.hystart.is_careful();
            self.window += if careful { bytes / CAREFUL as f64 } else { bytes };
            if over {
                self.threshold = self.window;
            }
            return;
        }
        let mss = self.mss as f64;
        self.window += match (self.control, progress.smoothed) {
            (CongestionControl::Cubic, Some(smoothed)) => {
                mss * self.cubic.growth(now, self.window / mss, bytes / mss, smoothed)
            }
            _ => mss * bytes / self.window,
        };
    }

    /// A loss, or a timeout, says that the window is too large: the threshold is where to go.
    pub(super) fn reduce(&mut self) -> Before {
        let before = self.before();
        let mss = self.mss as f64;
        let reduced = match self.control {
            CongestionControl::Cubic => mss * self.cubic.reduced(self.window / mss),
            CongestionControl::Reno => self.window / 2.0,
        };
        self.threshold = reduced.max((LEAST_THRESHOLD * self.mss) as f64);
        before
    }

    pub(super) const fn before(&self) -> Before {
        Before { window: self.window, threshold: self.threshold }
    }

    /// It was no loss (RFC 3522, RFC 3708).
    pub(super) const fn undo(&mut self, before: Before) {
        self.window = self.window.max(before.window);
        self.threshold = before.threshold;
        self.cubic.forget_epoch();
    }

    /// The repairs are over.
    pub(super) const fn settle(&mut self) {
        self.window = self.threshold.max(self.mss as f64);
    }

    /// Nothing was sent for a while (RFC 7661 section 4.4.3, RFC 5681 section 4.1): half the window for each timeout of
    /// silence, down to the initial one.
    pub(super) fn idle(&mut self, time: Duration, timeout: Duration) {
        self.cubic.idle(time);
        let periods = (time.as_nanos() / timeout.as_nanos().max(1)).min(30) as i32;
        let least = self.window.min((INITIAL * self.mss) as f64);
        if periods > 0 {
            self.threshold = self.threshold.max(self.window * 0.75);
            self.window = (self.window / 2f64.powi(periods)).max(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    fn acknowledge(congestion: &mut Congestion, bytes: u64, limited: bool) {
        let smoothed = Some(Duration::from_millis(20));
        let progress = Progress { bytes, ack: 1, next: 2, measured: None, smoothed, limited };
        congestion.acknowledged(Instant::from_millis(1), &progress);
    }

    #[test]
    fn it_begins_with_ten_segments_and_doubles_rfc_6928_2_rfc_5681_3_1() {
        let mut congestion = Congestion::new(CongestionControl::Cubic, MSS);
        assert_eq!(congestion.window(), 10 * MSS);
        acknowledge(&mut congestion, 10 * MSS, true);
        assert_eq!(congestion.window(), 20 * MSS);
        acknowledge(&mut congestion, 10 * MSS, false);
        assert_eq!(congestion.window(), 20 * MSS, "not used, not grown: RFC 7661");
    }

    #[test]
    fn a_loss_takes_a_part_of_it_rfc_9438_4_6_rfc_5681_3_1() {
        for (control, threshold) in [(CongestionControl::Cubic, 70), (CongestionControl::Reno, 50)] {
            let mut congestion = Congestion::new(control, MSS);
            congestion.set_window(100 * MSS);
            let before = congestion.reduce();
            congestion.settle();
            assert_eq!(congestion.window(), threshold * MSS);
            acknowledge(&mut congestion, threshold * MSS, true);
            let grown = congestion.window() - threshold * MSS;
            assert!((MSS / 2..=4 * MSS).contains(&grown), "{control:?} {grown}");
            congestion.undo(before);
            assert_eq!(congestion.window(), 100 * MSS);
            assert!(congestion.threshold() > 1 << 50);
        }
        let mut congestion = Congestion::new(CongestionControl::Reno, MSS);
        congestion.set_window(MSS);
        congestion.reduce();
        assert_eq!(congestion.threshold(), 2 * MSS);
    }

    #[test]
    fn silence_makes_it_smaller_rfc_5681_4_1() {
        let mut congestion = Congestion::new(CongestionControl::Cubic, MSS);
        congestion.set_window(100 * MSS);
        let timeout = Duration::from_millis(200);
        congestion.idle(Duration::from_millis(100), timeout);
        assert_eq!(congestion.window(), 100 * MSS);
        congestion.idle(Duration::from_millis(500), timeout);
        assert_eq!(congestion.window(), 25 * MSS);
        congestion.idle(Duration::from_secs(1000), timeout);
        assert_eq!(congestion.window(), 10 * MSS);
    }
}
