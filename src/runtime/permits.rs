//! Bounds on what may happen at once over all hosts.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// OpenSSH's key exchange is bound by the processor: more logins at once than this per core only
/// make each of them slower.
const LOGINS_PER_CORE: usize = 4;

/// However many cores there are: a network's firewall sees a burst beyond this as an attack.
const MOST_LOGINS: usize = 16;

/// The logins in flight; clones share them.
#[derive(Debug, Clone)]
pub struct LoginPermits(Arc<Semaphore>);

impl LoginPermits {
    /// As many permits as the machine's cores warrant, at most 16.
    pub fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores * LOGINS_PER_CORE).min(MOST_LOGINS))
    }

    /// Exactly `count` permits.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// Waits for a permit; it is given back when dropped. `None` only if the permits were closed,
    /// which nobody does.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}
