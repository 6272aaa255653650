//! How many sessions of a login are used for what.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a session that sshd refused is not asked for again. The refusal may have had a passing cause:
/// sshd takes a moment to close a session that has ended here.
pub(super) const WITHHELD: Duration = Duration::from_secs(600);

/// Sessions for commands beside the anchor's, where the engine's streams need none: sshd allows 10 by
/// default, and the user may have one or two of their own on the same login.
const COMMANDS: usize = 7;

/// Sessions for commands where streams take theirs from the same ten.
const COMMANDS_BESIDE_STREAMS: usize = 1;

/// Sessions that carry calls to the engine: no more than the pool keeps idle, so that none is closed and
/// opened again under load.
const CALLS: usize = 2;

/// The session of the engine's events.
const EVENTS: usize = 1;

/// Sessions that carry streams of other programs, which may last for hours; `docker run` in the
/// foreground needs three. With the anchor, a command, calls and events eight, of the ten that sshd allows
/// by default.
const FOREIGN: usize = 3;

/// The sessions of one login, by purpose.
#[derive(Debug)]
pub(super) struct Budgets {
    /// Commands where streams need no sessions.
    pub(super) commands: Budget,
    /// Commands where they do.
    pub(super) commands_beside_streams: Budget,
    /// Calls to the engine.
    pub(super) calls: Budget,
    /// Its events.
    pub(super) events: Budget,
    /// Streams of other programs.
    pub(super) foreign: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            commands: Budget::new(COMMANDS),
            commands_beside_streams: Budget::new(COMMANDS_BESIDE_STREAMS),
            calls: Budget::new(CALLS),
            events: Budget::new(EVENTS),
            foreign: Budget::new(FOREIGN),
        }
    }
}

/// Sessions for one purpose: a number that shrinks when sshd says no.
#[derive(Debug)]
pub(super) struct Budget {
    size: usize,
    permits: Arc<Semaphore>,
    withheld: Mutex<Vec<(Instant, OwnedSemaphorePermit)>>,
}

impl Budget {
    fn new(size: usize) -> Self {
        Self { size, permits: Arc::new(Semaphore::new(size)), withheld: Mutex::default() }
    }

    /// How many there may be at most.
    pub(super) fn size(&self) -> usize {
        self.size
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

    /// sshd refused the session of `permit`: from now on one less, for a while. The last one stays, and is
    /// given back.
    pub(super) fn shrink(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        if withheld.len() + 1 >= self.size {
            return Some(permit);
        }
        withheld.push((Instant::now() + WITHHELD, permit));
        None
    }

    /// How many are in use; those withheld are not.
    pub(super) fn in_use(&self) -> usize {
        let withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.size - withheld - self.permits.available_permits()
    }

    /// Whether sshd refused one lately.
    pub(super) fn is_shrunk(&self) -> bool {
        self.restore();
        !self.withheld.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether whoever comes has to wait.
    pub(super) fn is_used_up(&self) -> bool {
        self.restore();
        self.permits.available_permits() == 0
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
            assert_eq!(budget.shrink(permit).is_none(), shrinks);
            assert!(budget.is_shrunk());
        }
        let last = budget.take().await.unwrap();
        assert!(budget.try_take().is_none() && budget.is_used_up());
        assert_eq!(budget.in_use(), 1);
        tokio::time::advance(WITHHELD).await;
        let (second, third) = (budget.try_take(), budget.try_take());
        assert!(second.is_some() && third.is_some() && budget.try_take().is_none());
        drop(last);
    }
}
