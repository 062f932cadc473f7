//! CUBIC (RFC 9438): how the congestion window grows after a loss, and how far it shrinks.

use std::time::Duration;

use crate::time::Instant;

/// RFC 9438 section 4.1.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// A window that has grown so much since it was reduced is one of its own.
const REGROWN: f64 = 1.1;
/// So many reductions may follow one: others overflow a path for no longer.
const MOST_REPEATS: u32 = 3;

/// The state of an epoch. Windows are in segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cubic {
    /// The window before the last reduction.
    w_max: f64,
    /// Seconds until the window is `w_max` again.
    k: f64,
    /// Since when it grows.
    epoch: Option<Instant>,
    /// The window that Reno would have.
    w_est: f64,
    /// The window before the reduction, up to which Reno is outdone.
    prior: f64,
    /// The window after it, and how many reductions followed before it had grown again.
    reduced: f64,
    repeats: u32,
}

impl Cubic {
    pub(super) const fn new() -> Self {
        Self { w_max: 0.0, k: 0.0, epoch: None, w_est: 0.0, prior: 0.0, reduced: 0.0, repeats: 0 }
    }

    /// The window after a loss at `window` segments (RFC 9438 section 4.6 and 4.7).
    ///
    /// Somebody else's slow start overflows the path for several round trips, and a loss in each of them reduces the window
    /// again and again. That says how much is lost, not how much there is room for: where the window goes back to is where
    /// it was before the first of these losses. Otherwise who left slow start in time would have less for a minute.
    pub(super) fn reduced(&mut self, window: f64) -> f64 {
        if window < self.reduced * REGROWN && self.repeats < MOST_REPEATS {
            self.repeats += 1;
        } else {
            self.repeats = 0;
            self.prior = window;
            // Fast convergence: others want more.
            self.w_max = if window < self.w_max { window * (1.0 + BETA) / 2.0 } else { window };
        }
        self.epoch = None;
        self.reduced = window * BETA;
        self.reduced
    }

    /// Time during which nothing was to be sent does not count (RFC 9438 section 5.8).
    pub(super) fn idle(&mut self, time: Duration) {
        if let Some(epoch) = &mut self.epoch {
            *epoch += time;
        }
    }

    /// Starts over: what was known is of another time.
    pub(super) const fn forget_epoch(&mut self) {
        self.epoch = None;
    }

    /// How many segments `window` grows when `acked` were acknowledged, with round trips of `rtt` (RFC 9438 section 4.2
    /// to 4.5).
    pub(super) fn growth(&mut self, now: Instant, window: f64, acked: f64, rtt: Duration) -> f64 {
        let epoch = *self.epoch.get_or_insert_with(|| {
            if self.w_max <= window {
                (self.k, self.w_max) = (0.0, window);
            } else {
                self.k = cube_root((self.w_max - window) / C);
            }
            self.w_est = window;
            now
        });
        let at = (now - epoch + rtt).as_secs_f64() - self.k;
        let target = (C * at * at * at + self.w_max).clamp(window, window * 1.5);
        // RFC 9438 section 4.3: as fast as Reno would have after such a reduction, and as Reno from where it was.
        let alpha = if self.w_est < self.prior { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        self.w_est += alpha * acked / window;
        let cubic = (target - window) / window * acked;
        cubic.max(self.w_est - window).max(0.0).min(acked / 2.0)
    }
}

/// The cube root of a positive number, the same on every machine: libm's is not.
fn cube_root(number: f64) -> f64 {
    // A third of the exponent is a guess within some percent; Newton's method doubles the digits that are right.
    let mut root = f64::from_bits(number.to_bits() / 3 + (682 << 52));
    for _ in 0..4 {
        root = (2.0 * root + number / (root * root)) / 3.0;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after each of so many round trips of 100 ms.
    fn course(cubic: &mut Cubic, mut window: f64, rounds: u64) -> Vec<f64> {
        (1..=rounds)
            .map(|round| {
                let now = Instant::from_millis(round * 100);
                for _ in 0..10 {
                    window += cubic.growth(now, window, window / 10.0, Duration::from_millis(100));
                }
                window
            })
            .collect()
    }

    #[test]
    fn it_is_back_after_k_seconds_and_slow_there_rfc_9438_4_2() {
        let mut cubic = Cubic::new();
        let window = cubic.reduced(1000.0);
        assert!((window - 700.0).abs() < 1e-9);
        let course = course(&mut cubic, window, 130);
        // K = (300 / 0.4)^(1/3) = 9.09 s
        let back = course.iter().position(|window| *window >= 990.0).expect("it comes back");
        assert!((60..95).contains(&back), "{back}");
        let plateau = course[back + 10] - course[back];
        let start = course[10] - course[0];
        assert!(plateau < start / 4.0, "{plateau} {start}");
        assert!(course[129] > 1000.0);
    }

    #[test]
    fn cube_roots_are_right() {
        for number in [1e-3, 0.1, 1.0, 8.0, 750.0, 1e6, 1e12] {
            let root = cube_root(number);
            assert!((root * root * root / number - 1.0).abs() < 1e-9, "{number} {root}");
        }
    }

    #[test]
    fn a_small_window_grows_as_with_reno_rfc_9438_4_3() {
        let mut cubic = Cubic::new();
        let window = cubic.reduced(10.0);
        let course = course(&mut cubic, window, 20);
        // 0.53 segments a round up to 10, then one.
        assert!((9.0..13.0).contains(&course[4]), "{course:?}");
        assert!(course[19] > 16.0, "{course:?}");
    }

    #[test]
    fn who_loses_again_below_the_last_window_gives_way_rfc_9438_4_7() {
        let mut cubic = Cubic::new();
        cubic.reduced(1000.0);
        cubic.reduced(800.0);
        assert!((cubic.w_max - 680.0).abs() < 1e-9);
    }

    #[test]
    fn losses_in_a_row_are_one() {
        let mut cubic = Cubic::new();
        for (window, reduced) in [(1000.0, 700.0), (710.0, 497.0), (500.0, 350.0), (350.0, 245.0)] {
            assert!((cubic.reduced(window) - reduced).abs() < 1e-9);
            assert!((cubic.w_max - 1000.0).abs() < 1e-9);
        }
        // No longer than others may overflow a path.
        cubic.reduced(245.0);
        assert!((cubic.w_max - 208.25).abs() < 1e-9);
    }
}
