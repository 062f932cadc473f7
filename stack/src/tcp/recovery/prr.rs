//! How much may be sent while losses are repaired: proportional rate reduction (RFC 6937, RFC 9937).

/// One recovery. All sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// What was under way when it began (RecoverFS).
    flight: u64,
    delivered: u64,
    sent: u64,
}

impl Prr {
    pub(super) fn new(flight: u64) -> Self {
        Self { flight: flight.max(1), delivered: 0, sent: 0 }
    }

    pub(super) const fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// The congestion window after an acknowledgement that delivered so much, with `pipe` under way (RFC 9937
    /// section 6.2). `safe` if it moved on and showed no further loss.
    pub(super) fn window(&mut self, delivered: u64, pipe: u64, threshold: u64, mss: u64, safe: bool) -> u64 {
        self.delivered += delivered;
        let mut may = if pipe > threshold {
            let share = u128::from(self.delivered) * u128::from(threshold);
            let share = u64::try_from(share.div_ceil(self.flight.into())).unwrap_or(u64::MAX);
            share.saturating_sub(self.sent)
        } else {
            let earned = self.delivered.saturating_sub(self.sent).max(delivered);
            (if safe { earned + mss } else { earned }).min(threshold - pipe)
        };
        if self.sent == 0 {
            // The first repair leaves at once.
            may = may.max(mss);
        }
        pipe + may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_down_in_proportion_rfc_6937_3() {
        // 100 segments under way, one lost, to go on with 70: seven sent for ten delivered.
        let mut prr = Prr::new(100_000);
        let (mut pipe, mut sent) = (98_000, 0);
        for _ in 0..60 {
            pipe -= 1000;
            let window = prr.window(1000, pipe, 70_000, 1000, false);
            while pipe + 1000 <= window {
                prr.sent(1000);
                (pipe, sent) = (pipe + 1000, sent + 1);
            }
        }
        assert!((41..=43).contains(&sent), "{sent}");
    }

    #[test]
    fn after_heavy_losses_it_grows_back_to_the_threshold_and_no_further_rfc_9937_6_2() {
        let mut prr = Prr::new(100_000);
        assert_eq!(prr.window(1000, 10_000, 70_000, 1000, false), 11_000);
        prr.sent(1000);
        assert_eq!(prr.window(1000, 10_000, 70_000, 1000, true), 12_000);
        assert_eq!(prr.window(1000, 69_500, 70_000, 1000, true), 70_000);
    }
}
