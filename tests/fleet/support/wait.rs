//! Waiting for a state, never for a time: the only places here that sleep.

use std::time::{Duration, Instant};

/// All limits are what a machine needs that does nothing else; they get so many times that, because trials run side by
/// side. None of them is what a trial judges.
pub const BUSY: u32 = 3;

const POLL: Duration = Duration::from_millis(5);

/// How long to wait between two looks: as long as one takes, so that looking keeps nobody from what is waited for.
fn pause(look: Instant) -> Duration {
    look.elapsed().max(POLL)
}

/// Blocks until `condition` holds, and panics naming `what` when it does not within `limit`, times [`BUSY`].
pub fn wait_for(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "after {limit:?} still not true: {what}");
}

/// Blocks until `condition` holds, for at most `limit`, times [`BUSY`]; whether it does.
#[allow(clippy::disallowed_methods, reason = "the interval between two looks, not a synchronisation")]
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        let look = Instant::now();
        if condition() {
            return true;
        }
        if start.elapsed() >= limit * BUSY {
            return false;
        }
        std::thread::sleep(pause(look));
    }
}

/// [`wait_for`] with an async condition, for which the limit holds too when it hangs.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let looking = async {
        loop {
            let look = Instant::now();
            if condition().await {
                return;
            }
            tokio::time::sleep(pause(look)).await;
        }
    };
    assert!(
        tokio::time::timeout(limit * BUSY, looking).await.is_ok(),
        "after {limit:?} still not true: {what}"
    );
}
