//! Who may work on a host now: a bounded number at once, a bounded number waiting, the rest is told
//! to come again. In front of the mailbox, which has no bound of its own.

use crate::actors::host::HostError;
use crate::domain::operation::{OperationContext, OperationId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Operations at once on one host: as many as the engine is asked at once over one line.
const AT_ONCE: usize = 16;

/// Changes among them, and long ones among those, such as pulls: the other turns are for those who look, and for
/// those who want a container stopped now.
const CHANGES_AT_ONCE: usize = 8;
const LONG_AT_ONCE: usize = 5;

/// Reads that go on for minutes: the other turns are for those who want an answer now.
const FOLLOWING_AT_ONCE: usize = 4;

/// How long a change may be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::actors) enum Pace {
    /// As long as it takes to stop a container or two.
    Short,
    /// As long as a download takes.
    Long,
}

/// Callers on one host, those at work included: as many as ssh's listen queue holds. More would only
/// wait longer than their deadlines.
const ADMITTED: usize = 128;

/// Sooner than this nothing has changed, and later than this nobody waits for.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// Too many callers on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls at once: {waiting} are waiting already")]
pub struct Overloaded {
    /// How many wait.
    pub waiting: usize,
    /// When to come again, by how long operations have been taking.
    pub retry_after: Duration,
}

/// What an operation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its work.
    Working,
    /// Letting go of what it held.
    Releasing,
}

/// An operation as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationStatus {
    /// What is known about it.
    pub context: Arc<OperationContext>,
    /// What it is doing.
    pub stage: Stage,
}

/// The operations of one host, and those who wait to make one; clones share them.
#[derive(Debug, Clone)]
pub struct Operations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    long: Arc<Semaphore>,
    following: Arc<Semaphore>,
    running: Mutex<BTreeMap<OperationId, Running>>,
    /// How long an operation takes on average, in microseconds.
    usual: AtomicU64,
}

#[derive(Debug)]
struct Running {
    status: OperationStatus,
    cancel: CancellationToken,
}

/// A place among the admitted callers, and one among the changes or the followers for one of those; given back
/// when dropped.
#[derive(Debug)]
pub(in crate::actors) struct Place {
    _admitted: OwnedSemaphorePermit,
    _others: Vec<OwnedSemaphorePermit>,
}

/// One of the operations at work; its row goes when it is dropped.
pub(in crate::actors) struct Turn {
    operations: Operations,
    id: OperationId,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Default for Operations {
    fn default() -> Self {
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(ADMITTED)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            changes: Arc::new(Semaphore::new(CHANGES_AT_ONCE)),
            long: Arc::new(Semaphore::new(LONG_AT_ONCE)),
            following: Arc::new(Semaphore::new(FOLLOWING_AT_ONCE)),
            running: Mutex::default(),
            usual: AtomicU64::new(0),
        }))
    }
}

impl Operations {
    /// A place for a caller, or when to come again, or that the host is no more.
    pub(in crate::actors) fn admit(&self) -> Result<Place, HostError> {
        let admitted = Arc::clone(&self.0.places).try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => self.overloaded().into(),
            TryAcquireError::Closed => HostError::Removed,
        })?;
        Ok(Place { _admitted: admitted, _others: vec![] })
    }

    /// As [`Self::admit`] for a change, once few enough others are at work; until then it takes no place from
    /// those who look.
    pub(in crate::actors) async fn admit_change(
        &self,
        pace: Pace,
        until: Instant,
    ) -> Result<Place, HostError> {
        let ways = match pace {
            Pace::Short => vec![&self.0.changes],
            Pace::Long => vec![&self.0.long, &self.0.changes],
        };
        let mut change = vec![];
        for way in ways {
            match timeout_at(until, Arc::clone(way).acquire_owned()).await {
                Ok(Ok(permit)) => change.push(permit),
                Ok(Err(_)) => return Err(HostError::Removed),
                Err(_) => return Err(self.overloaded().into()),
            }
        }
        Ok(Place { _others: change, ..self.admit()? })
    }

    /// As [`Self::admit`] for a read that goes on for long; `None` when enough others do.
    pub(in crate::actors) fn admit_follower(&self) -> Result<Option<Place>, HostError> {
        match Arc::clone(&self.0.following).try_acquire_owned() {
            Ok(follower) => Ok(Some(Place { _others: vec![follower], ..self.admit()? })),
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(HostError::Removed),
        }
    }

    /// The host has left: nobody is admitted any more.
    pub(in crate::actors) fn close(&self) {
        self.0.places.close();
        self.0.turns.close();
        self.0.changes.close();
        self.0.long.close();
        self.0.following.close();
    }

    /// Whether the host has left.
    pub(in crate::actors) fn is_closed(&self) -> bool {
        self.0.places.is_closed()
    }

    /// What a caller is told that got no turn.
    pub(in crate::actors) fn overloaded(&self) -> Overloaded {
        let waiting = self.waiting();
        let rounds = u32::try_from(waiting.div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
        let usual = Duration::from_micros(self.0.usual.load(Ordering::Relaxed));
        let retry_after = usual.saturating_mul(rounds).clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end());
        Overloaded { waiting, retry_after }
    }

    /// Waits for this operation's turn, in the order of asking, and shows it from then on. `None` when the
    /// host leaves meanwhile.
    pub(in crate::actors) async fn turn(
        &self,
        context: &Arc<OperationContext>,
        cancel: &CancellationToken,
    ) -> Option<Turn> {
        let permit = Arc::clone(&self.0.turns).acquire_owned().await.ok()?;
        let status = OperationStatus { context: Arc::clone(context), stage: Stage::Working };
        self.rows().insert(context.id, Running { status, cancel: cancel.clone() });
        Some(Turn { operations: self.clone(), id: context.id, since: Instant::now(), _permit: permit })
    }

    /// The operations at work, the oldest first; never waits for anybody.
    pub fn running(&self) -> Vec<OperationStatus> {
        self.rows().values().map(|running| running.status.clone()).collect()
    }

    /// How many are at work.
    pub fn at_work(&self) -> usize {
        AT_ONCE - self.0.turns.available_permits()
    }

    /// Callers that are admitted and not at work: they wait for the line or for their turn.
    pub fn waiting(&self) -> usize {
        let admitted = ADMITTED - self.0.places.available_permits();
        admitted.saturating_sub(self.at_work())
    }

    /// Ends an operation: a read at once, a change at its next step. `false` when there is none.
    pub fn cancel(&self, id: OperationId) -> bool {
        self.rows().get(&id).map(|running| running.cancel.cancel()).is_some()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, BTreeMap<OperationId, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The work is over, and letting go begins.
    pub(super) fn releasing(&self) {
        if let Some(running) = self.operations.rows().get_mut(&self.id) {
            running.status.stage = Stage::Releasing;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.operations.rows().remove(&self.id);
        let took = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        // A moving average: the last eight weigh two thirds. Lost updates of two at once do no harm.
        let usual = self.operations.0.usual.load(Ordering::Relaxed);
        let next = if usual == 0 { took } else { usual - usual / 8 + took / 8 };
        self.operations.0.usual.store(next, Ordering::Relaxed);
    }
}
