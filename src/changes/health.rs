//! Waiting until a container that was started is well.

use super::container::{LOOK_EVERY, id_of, made};
use super::{Found, name};
use crate::domain::change::{Before, Made};
use crate::engine::containers::ContainerDetail;
use crate::engine::{Engine, EngineError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A container without a health check has come up when it still runs after so long.
const STEADY: Duration = Duration::from_secs(3);

/// How a container is that was started.
#[derive(Debug, PartialEq, Eq)]
enum Health {
    /// It is healthy.
    Well,
    /// It does not run, or its check fails.
    Ill(String),
    /// Its check has said nothing yet.
    Starting,
    /// It runs, and has no check.
    Unchecked,
}

/// Waits until the container is well, at most so many seconds. Of one that is new every start of the engine's own
/// is a failure, of another one each that is seen.
pub(super) async fn settle(
    engine: &Engine,
    before: &Before,
    patience: u32,
    is_new: bool,
) -> Result<Made, EngineError> {
    let (container, begun) = (name(id_of(before))?, Instant::now());
    let patience = Duration::from_secs(patience.into());
    let mut restarts = is_new.then_some(0);
    loop {
        let found = engine.container(&container).await?;
        let passed = begun.elapsed();
        match state_of(&found, *restarts.get_or_insert(found.restart_count)) {
            Health::Well => return Ok(well(before, &found)),
            Health::Unchecked if passed >= STEADY.min(patience) => return Ok(well(before, &found)),
            Health::Ill(why) => return Err(EngineError::Unfit(why)),
            Health::Starting if passed >= patience => {
                let words = format!("{} did not become healthy within {} s", found.name, patience.as_secs());
                return Err(EngineError::Unfit(words));
            }
            Health::Starting | Health::Unchecked => sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether the container has become well, or cannot any more.
pub(super) fn probe(before: &Before, found: &ContainerDetail, is_new: bool) -> Found {
    match state_of(found, if is_new { 0 } else { found.restart_count }) {
        Health::Well => Found::Made(well(before, found)),
        Health::Ill(why) => Found::Gone(why),
        Health::Starting | Health::Unchecked => Found::NotYet,
    }
}

/// How the container is, which the engine had started again so many times before.
fn state_of(found: &ContainerDetail, restarts: i64) -> Health {
    let name = &found.name;
    if found.state != "running" {
        let code = found.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
        let killed = if found.oom_killed { ", killed for its memory" } else { "" };
        return Health::Ill(format!("{name} is {}{code}{killed}", found.state));
    }
    if found.restart_count > restarts {
        return Health::Ill(format!("{name} ended by itself and was started again"));
    }
    match found.health.as_ref().map(|health| &*health.status) {
        Some("healthy") => Health::Well,
        Some("unhealthy") => Health::Ill(format!("{name} is unhealthy")),
        Some(_) => Health::Starting,
        None => Health::Unchecked,
    }
}

fn well(before: &Before, found: &ContainerDetail) -> Made {
    Made { health: found.health.as_ref().map(|health| health.status.clone()), ..made(before, found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::Health as Check;

    #[test]
    fn a_container_is_well_when_it_runs_and_its_check_says_so() {
        let running =
            ContainerDetail { name: "web".into(), state: "running".into(), ..ContainerDetail::default() };
        let checked = |status: &str| {
            let health = Check { status: status.into(), failing_streak: 0, last_output: String::new() };
            state_of(&ContainerDetail { health: Some(health), ..running.clone() }, 0)
        };
        assert_eq!(state_of(&running, 0), Health::Unchecked);
        assert_eq!(checked("healthy"), Health::Well);
        assert_eq!(checked("starting"), Health::Starting);
        assert!(matches!(checked("unhealthy"), Health::Ill(_)));
        let again = ContainerDetail { restart_count: 3, ..running.clone() };
        assert!(matches!(state_of(&again, 2), Health::Ill(_)), "it crashes in a circle");
        assert_eq!(state_of(&again, 3), Health::Unchecked, "that was long ago");
        let ended = ContainerDetail { state: "exited".into(), exit_code: Some(3), ..running };
        assert_eq!(state_of(&ended, 0), Health::Ill("web is exited with code 3".into()));
    }
}
