//! What a supervisor knows about a child before it runs.

use crate::domain::retry::BackoffPolicy;
use crate::runtime::restart_window::RestartIntensity;
use futures_util::future::BoxFuture;
use ractor::{ActorCell, SpawnErr};
use std::sync::Arc;
use std::time::Duration;

/// When an exited child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After an abnormal exit.
    Transient,
    /// Never.
    Temporary,
}

/// What happens when a child exceeds its restart intensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The supervisor gives up and leaves it to its own supervisor.
    Meltdown,
    /// The child alone stays down for a while: `first`, doubling up to `longest`.
    Quarantine {
        /// The first quarantine.
        first: Duration,
        /// The longest.
        longest: Duration,
    },
}

/// Starts a child linked to the given supervisor; the number is the child's incarnation, from 1.
/// What it awaits, the supervisor waits for: `pre_start` of every child is trivial by rule.
pub type StartChild =
    Arc<dyn Fn(ActorCell, u64) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child specification.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its name among its siblings.
    pub name: String,
    /// When it is started again.
    pub restart: Restart,
    /// How many restarts are bearable.
    pub intensity: RestartIntensity,
    /// What happens beyond that.
    pub excess: Excess,
    /// Waits before a restart; the first is short, because most crashes are lone ones.
    pub backoff: BackoffPolicy,
    /// How long it may take to stop before it is killed.
    pub grace: Duration,
    /// Starts it.
    pub start: StartChild,
}

impl ChildSpec {
    /// A child without which the service is none: always started again, and its supervisor gives up
    /// when that takes more than five restarts in a minute.
    pub fn of_the_service(name: &str, grace: Duration, start: StartChild) -> Self {
        Self {
            name: name.to_owned(),
            restart: Restart::Permanent,
            intensity: RestartIntensity { intensity: 5, period: Duration::from_secs(60) },
            excess: Excess::Meltdown,
            backoff: BackoffPolicy::SERIES,
            grace,
            start,
        }
    }
}
