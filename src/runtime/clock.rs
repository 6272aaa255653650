//! Wall time that follows tokio's clock.
//!
//! Read once at start and advanced by tokio's monotonic clock, so that a jump of the system's clock
//! moves no age or deadline, and a paused clock in a test moves both alike.

use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// A clock; copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
    wall: Timestamp,
}

impl Clock {
    /// A clock that starts at the system's time.
    pub fn start() -> Self {
        Self { epoch: Instant::now(), wall: Timestamp::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.wall.saturating_add(self.epoch.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// How long ago `then` was at `now`; zero for the future.
pub fn age(now: Timestamp, then: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}
