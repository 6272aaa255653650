//! Growing waits with jitter: the only place that names the `backoff` crate.
//!
//! The crate adds its jitter after its cap, and ends after 15 minutes unless told otherwise; here
//! a wait never exceeds the policy's maximum and the sequence never ends. The jitter comes from a
//! seeded generator, so that a run can be repeated.

use crate::domain::retry::BackoffPolicy;
use ::backoff::backoff::Backoff as _;
use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// A seed for the jitter of one sequence of waits. A test may fix those of its thread.
pub fn fresh_seed() -> u64 {
    #[cfg(test)]
    if let Some(seed) = fixed::next() {
        return seed;
    }
    rand::random()
}

#[cfg(test)]
pub(crate) mod fixed {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};
    use std::cell::RefCell;

    thread_local! {
        static SEEDS: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    }

    /// From now on all waits of this thread follow from `seed`.
    pub(crate) fn set(seed: u64) {
        SEEDS.set(Some(SmallRng::seed_from_u64(seed)));
    }

    pub(super) fn next() -> Option<u64> {
        SEEDS.with_borrow_mut(|seeds| seeds.as_mut().map(SmallRng::random))
    }
}

/// A sequence of waits.
#[derive(Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    waits: ExponentialBackoff,
    rng: SmallRng,
}

impl Backoff {
    /// A sequence that follows `policy`; equal seeds give equal waits.
    pub fn new(policy: BackoffPolicy, seed: u64) -> Self {
        let waits = ExponentialBackoffBuilder::new()
            .with_initial_interval(policy.initial())
            .with_max_interval(policy.max())
            .with_multiplier(policy.factor())
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { policy, waits, rng: SmallRng::seed_from_u64(seed) }
    }

    /// The next wait: within the policy's jitter around the grown one, and never above its maximum.
    pub fn next_wait(&mut self) -> Duration {
        let grown = self.waits.next_backoff().unwrap_or_else(|| self.policy.max());
        let jitter = self.policy.jitter();
        let stretched = grown.mul_f64(self.rng.random_range(1.0 - jitter..=1.0 + jitter));
        stretched.min(self.policy.max())
    }

    /// Starts again with the first wait.
    pub fn reset(&mut self) {
        self.waits.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn s4_waits_stay_within_jitter_and_maximum(seed: u64, count in 1_usize..40) {
            let policy = BackoffPolicy::BACKGROUND;
            let mut waits = Backoff::new(policy, seed);
            let mut nominal = policy.initial().as_secs_f64();
            for _ in 0..count {
                let wait = waits.next_wait().as_secs_f64();
                prop_assert!(wait <= policy.max().as_secs_f64());
                prop_assert!(wait >= (nominal * 0.5).min(policy.max().as_secs_f64() * 0.5) - 1e-6);
                nominal = (nominal * policy.factor()).min(policy.max().as_secs_f64());
            }
        }
    }

    #[test]
    fn s4_equal_seeds_give_equal_waits_and_reset_starts_small() {
        let run = |seed| {
            let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, seed);
            (0..10).map(|_| waits.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));

        let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, 1);
        for _ in 0..12 {
            waits.next_wait();
        }
        waits.reset();
        assert!(waits.next_wait() <= Duration::from_millis(1500));
    }

    #[test]
    fn s4_the_sequence_never_ends() {
        let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, 3);
        let total: Duration = (0..5000).map(|_| waits.next_wait()).sum();
        assert!(total > Duration::from_secs(24 * 3600));
    }
}
