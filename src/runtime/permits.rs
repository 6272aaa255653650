//! Bounds on what may happen at once over all hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// OpenSSH's key exchange is bound by the processor: more logins at once than this per core only
/// make each of them slower.
const LOGINS_PER_CORE: usize = 4;

/// However many cores there are: a network's firewall sees a burst beyond this as an attack.
const MOST_LOGINS: usize = 16;

/// Behind one jump host every login is also one at its sshd, which by default begins to turn some away
/// at ten that have not finished (`MaxStartups 10:30:100`); others may be logging in there too.
const LOGINS_PER_JUMP: usize = 5;

/// The logins in flight; clones share them.
#[derive(Debug, Clone)]
pub struct LoginPermits {
    all: Arc<Semaphore>,
    behind: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// Given back when dropped.
#[derive(Debug)]
pub struct LoginPermit {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_jump: Option<OwnedSemaphorePermit>,
}

impl LoginPermits {
    /// As many permits as the machine's cores warrant, at most 16.
    pub fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores * LOGINS_PER_CORE).min(MOST_LOGINS))
    }

    /// Exactly `count` permits.
    pub fn new(count: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(count)), behind: Arc::default() }
    }

    /// Waits for a permit for a login, behind the jump host `jump` if there is one.
    pub async fn acquire(&self, jump: Option<&str>) -> LoginPermit {
        // The narrower bound first: who waits behind a jump host keeps no permit from others. Neither
        // is ever closed, so there always is a permit in the end.
        let of_jump = match jump {
            Some(jump) => self.behind(jump).acquire_owned().await.ok(),
            None => None,
        };
        LoginPermit { _of_all: Arc::clone(&self.all).acquire_owned().await.ok(), _of_jump: of_jump }
    }

    fn behind(&self, jump: &str) -> Arc<Semaphore> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let permits =
            behind.entry(jump.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(LOGINS_PER_JUMP)));
        Arc::clone(permits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    /// Takes permits until there is none at once.
    fn take_all(permits: &LoginPermits, jump: Option<&str>) -> Vec<LoginPermit> {
        std::iter::from_fn(|| permits.acquire(jump).now_or_never()).collect()
    }

    #[test]
    fn logins_behind_one_jump_host_leave_room_for_all_others() {
        let permits = LoginPermits::new(12);
        let behind = take_all(&permits, Some("bastion"));
        assert_eq!(behind.len(), 5);
        let other = take_all(&permits, Some("ops@other:2222"));
        assert_eq!(other.len(), 5);
        let direct = take_all(&permits, None);
        assert_eq!(direct.len(), 2);
        drop(behind);
        assert_eq!(take_all(&permits, Some("bastion")).len(), 5);
    }
}
