//! How often, how long apart: the numbers of reconnecting, validated once.

use std::time::Duration;

/// Growing waits between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffPolicy {
    initial: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
}

/// A backoff policy that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidBackoff {
    /// The first wait is zero or longer than the longest.
    #[error("the first wait ({initial:?}) must be above zero and not above the longest ({max:?})")]
    Waits {
        /// The first wait.
        initial: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// Waits would shrink.
    #[error("the factor must be a number of at least 1, not {0}")]
    Factor(f64),
    /// The jitter is no proportion.
    #[error("the jitter must lie between 0 and 1, not {0}")]
    Jitter(f64),
}

impl BackoffPolicy {
    /// Between the attempts of a caller's series: 1 s, 2 s (the mission's `2^n`), each ×0.5 to ×1.5.
    pub const SERIES: Self =
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(2), factor: 2.0, jitter: 0.5 };

    /// Between attempts in the background: 1 s doubling to 60 s, each ×0.5 to ×1.5, never above 60 s.
    pub const BACKGROUND: Self =
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60), factor: 2.0, jitter: 0.5 };

    /// A policy whose waits start at `initial`, grow by `factor` and, jitter included, stay at or
    /// below `max`; `jitter` is the proportion by which a wait may vary to either side.
    pub fn new(initial: Duration, max: Duration, factor: f64, jitter: f64) -> Result<Self, InvalidBackoff> {
        if initial.is_zero() || initial > max {
            return Err(InvalidBackoff::Waits { initial, max });
        }
        if !factor.is_finite() || factor < 1.0 {
            return Err(InvalidBackoff::Factor(factor));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(InvalidBackoff::Jitter(jitter));
        }
        Ok(Self { initial, max, factor, jitter })
    }

    /// The first wait, before jitter.
    pub fn initial(&self) -> Duration {
        self.initial
    }

    /// No wait is longer.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// By how much a wait grows.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The proportion by which a wait may vary.
    pub fn jitter(&self) -> f64 {
        self.jitter
    }
}

/// The numbers a host's connection lives by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConnectPolicy {
    /// Attempts a caller's request is worth (the mission's three).
    pub attempts: u32,
    /// Waits within those attempts.
    pub series: BackoffPolicy,
    /// Waits of the attempts that go on in the background afterwards.
    pub background: BackoffPolicy,
    /// How long a link must hold before the waits start small again.
    pub stable_after: Duration,
    /// The one retry after a refused login.
    pub auth_retry: Duration,
    /// How long a host is held before it is looked at again.
    pub hold: Duration,
    /// How often everything on a host is looked at, whatever its events say.
    pub full_look: Duration,
    /// How long it is waited, at most, for an engine that may still be at what it was asked to before the line
    /// broke.
    pub doubt: Duration,
}

impl Default for ConnectPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            series: BackoffPolicy::SERIES,
            background: BackoffPolicy::BACKGROUND,
            stable_after: Duration::from_secs(60),
            auth_retry: Duration::from_secs(60),
            hold: Duration::from_secs(600),
            full_look: Duration::from_secs(300),
            // As long as a step can last.
            doubt: Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_work_are_refused() {
        let second = Duration::from_secs(1);
        assert!(BackoffPolicy::new(Duration::ZERO, second, 2.0, 0.5).is_err());
        assert!(BackoffPolicy::new(second * 2, second, 2.0, 0.5).is_err());
        assert!(BackoffPolicy::new(second, second, 0.5, 0.5).is_err());
        assert!(BackoffPolicy::new(second, second, f64::NAN, 0.5).is_err());
        assert!(BackoffPolicy::new(second, second, 2.0, 1.5).is_err());
        assert_eq!(BackoffPolicy::new(second, second * 60, 2.0, 0.5), Ok(BackoffPolicy::BACKGROUND));
    }
}
