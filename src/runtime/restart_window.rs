//! How many restarts fell into the last period: OTP's restart intensity.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// At most `intensity` restarts within `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartIntensity {
    /// How many restarts a period may hold.
    pub intensity: usize,
    /// The length of the period.
    pub period: Duration,
}

/// The restarts of the last period.
#[derive(Debug)]
pub struct RestartWindow {
    limit: RestartIntensity,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    /// An empty window.
    pub fn new(limit: RestartIntensity) -> Self {
        Self { limit, restarts: VecDeque::new() }
    }

    /// Counts a restart at `now`; `false` when it is one too many for the period.
    pub fn admit(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.restarts.push_back(now);
        self.restarts.len() <= self.limit.intensity
    }

    /// How many restarts the period ending at `now` holds.
    pub fn count(&self, now: Instant) -> usize {
        self.restarts.iter().filter(|at| now.duration_since(**at) < self.limit.period).count()
    }

    /// Starts with an empty window.
    pub fn clear(&mut self) {
        self.restarts.clear();
    }

    fn forget(&mut self, now: Instant) {
        while self.restarts.front().is_some_and(|at| now.duration_since(*at) >= self.limit.period) {
            self.restarts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_window_slides_and_refuses_exactly_the_one_too_many() {
        let period = Duration::from_secs(60);
        let mut window = RestartWindow::new(RestartIntensity { intensity: 3, period });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(window.admit(at(0)) && window.admit(at(10)) && window.admit(at(20)));
        assert!(!window.admit(at(59)));
        assert_eq!(window.count(at(59)), 4);
        // At 80 s the restarts at 0, 10 and 20 s lie a whole period back.
        assert!(window.admit(at(80)));
        assert_eq!(window.count(at(80)), 2);
    }
}
