//! How many sessions of a login are used for what.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a session that sshd refused is not asked for again. The refusal may have had a passing cause:
/// sshd takes a moment to close a session that has ended here.
const WITHHELD: Duration = Duration::from_secs(600);

/// Sessions for one purpose: a number that shrinks when sshd says no.
#[derive(Debug)]
pub(super) struct Budget {
    size: usize,
    permits: Arc<Semaphore>,
    withheld: Mutex<Vec<(Instant, OwnedSemaphorePermit)>>,
}

impl Budget {
    pub(super) fn new(size: usize) -> Self {
        Self { size, permits: Arc::new(Semaphore::new(size)), withheld: Mutex::default() }
    }

    /// A session, when its turn comes.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.restore();
        // Never closed.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// A session, if one is free.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.restore();
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// sshd refused the session of `permit`: from now on one less, for a while. The last one stays; then
    /// the answer is no.
    pub(super) fn shrink(&self, permit: OwnedSemaphorePermit) -> bool {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        let shrinks = withheld.len() + 1 < self.size;
        if shrinks {
            withheld.push((Instant::now() + WITHHELD, permit));
        }
        shrinks
    }

    fn restore(&self) {
        let now = Instant::now();
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner).retain(|(until, _)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_shrinks_to_one_and_recovers() {
        let budget = Budget::new(3);
        for shrinks in [true, true, false] {
            let permit = budget.try_take().unwrap();
            assert_eq!(budget.shrink(permit), shrinks);
        }
        let last = budget.take().await.unwrap();
        assert!(budget.try_take().is_none());
        tokio::time::advance(WITHHELD).await;
        let (second, third) = (budget.try_take(), budget.try_take());
        assert!(second.is_some() && third.is_some() && budget.try_take().is_none());
        drop(last);
    }
}
