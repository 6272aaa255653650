//! Waiting for a state, never for a time: the only places here that sleep.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// Blocks until `condition` holds, and panics naming `what` when it does not within `limit`.
pub fn wait_for(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "after {limit:?} still not true: {what}");
}

/// Blocks until `condition` holds, for at most `limit`; whether it does.
#[allow(clippy::disallowed_methods, reason = "the interval between two looks, not a synchronisation")]
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// [`wait_for`] with an async condition, for which the limit holds too when it hangs.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !condition().await {
            tokio::time::sleep(POLL).await;
        }
    };
    assert!(tokio::time::timeout(limit, looking).await.is_ok(), "after {limit:?} still not true: {what}");
}
