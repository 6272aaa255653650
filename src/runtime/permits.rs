//! Bounds on what may happen at once over all hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// OpenSSH's key exchange is bound by the processor: more logins at once than this per core only
/// make each of them slower.
const LOGINS_PER_CORE: usize = 4;

/// However many cores there are: a network's firewall sees a burst beyond this as an attack.
const MOST_LOGINS: usize = 16;

/// Behind one jump host every login is also one at its sshd, which by default begins to turn some away
/// at ten that have not finished (`MaxStartups 10:30:100`); others may be logging in there too.
const LOGINS_PER_JUMP: usize = 5;

/// A login keeps the processor busy for a fraction of this. One that takes longer waits for somebody
/// else, such as a host that never answers, and must not keep others from theirs.
const BUSY: Duration = Duration::from_secs(3);

/// The logins in flight; clones share them.
#[derive(Debug, Clone)]
pub struct LoginPermits {
    all: Arc<Semaphore>,
    behind: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
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

    /// Runs `login` when its turn comes, behind the jump host `jump` if there is one.
    pub async fn run<T>(&self, jump: Option<&str>, login: impl Future<Output = T>) -> T {
        // The narrower bound first: who waits behind a jump host keeps no permit from others. Neither
        // is ever closed, so there always is a permit in the end.
        let _of_jump = match jump {
            Some(jump) => self.behind(jump).acquire_owned().await.ok(),
            None => None,
        };
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        let mut login = std::pin::pin!(login);
        if let Ok(done) = timeout(BUSY, &mut login).await {
            return done;
        }
        drop(of_all);
        login.await
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
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{Instant, sleep};

    /// Runs logins that take this long each, and tells how many began within how many seconds.
    async fn begun(permits: &LoginPermits, jumps: &[Option<&str>], takes: u64, within: u64) -> usize {
        let begun = AtomicUsize::new(0);
        let logins = jumps.iter().map(|jump| {
            permits.run(*jump, async {
                begun.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(takes)).await;
            })
        });
        let _ = timeout(Duration::from_millis(within * 1000 + 500), join_all(logins)).await;
        begun.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn logins_behind_one_jump_host_leave_room_for_all_others() {
        let permits = LoginPermits::new(12);
        assert_eq!(begun(&permits, &[Some("bastion"); 20], 60, 30).await, 5);
        let mixed = [[Some("bastion"); 10], [Some("ops@other:2222"); 10], [None; 10]].concat();
        assert_eq!(begun(&permits, &mixed, 2, 0).await, 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_waits_for_its_host_keeps_nobody_else_waiting() {
        let permits = LoginPermits::new(8);
        let silent = [None; 16];
        let (good, all) = (Instant::now(), async { begun(&permits, &silent, 25, 24).await });
        let login = async {
            // After the others have asked.
            tokio::task::yield_now().await;
            permits.run(None, async { good.elapsed() }).await
        };
        let (begun, waited) = tokio::join!(all, login);
        assert_eq!((begun, waited.as_secs()), (16, 6));
    }
}
