//! The client side of a host's actor.

use super::machine::Unavailable;
use super::messages::HostMessage;
use crate::actors::ask::{NoAnswer, ask};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::HostSpec;
use crate::domain::phase::{HostStatus, Phase};
use crate::engine::{Engine, EngineError};
use crate::runtime::clock::Clock;
use jiff::Timestamp;
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A line to an engine.
pub struct Session {
    /// The engine.
    pub engine: Engine,
    /// Which link of the host this is.
    pub epoch: u64,
    /// How long connecting took, from the first packet to the engine's answer.
    pub connect_took: Duration,
}

/// What a host's actor publishes after every change.
#[derive(Clone)]
pub struct Published {
    /// The host's status.
    pub status: HostStatus,
    /// The line of a ready host: warm calls take it without asking the actor.
    pub session: Option<Arc<Session>>,
}

/// Why a call to a host failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no line.
    #[error("the host is not connected")]
    Unavailable(Box<Unavailable>),
    /// The line or the answer did not come within the call's time.
    #[error("no answer within {} s", limit.as_secs_f64())]
    Deadline {
        /// The call's time.
        limit: Duration,
        /// What the host was doing when it ran out.
        phase: Box<Phase>,
    },
    /// The engine or the line failed the call.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host's actor crashed and is being started again.
    #[error("the host's actor is being restarted; try again in a moment")]
    Restarting,
    /// The host left the configuration during the call.
    #[error("the host was removed from the configuration")]
    Removed,
}

/// When a host's engine answered a call last; written by whoever called.
#[derive(Debug)]
pub struct LastAnswer {
    clock: Clock,
    /// Milliseconds since the epoch; 0 is never.
    at: AtomicI64,
}

impl LastAnswer {
    /// No answer yet.
    pub(in crate::actors) fn new(clock: Clock) -> Self {
        Self { clock, at: AtomicI64::new(0) }
    }

    fn note(&self) {
        self.at.store(self.clock.now().as_millisecond(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Timestamp> {
        let at = self.at.load(Ordering::Relaxed);
        Timestamp::from_millisecond(at).ok().filter(|_| at != 0)
    }
}

/// The client side of a host; clones are cheap.
#[derive(Clone)]
pub struct HostHandle {
    spec: Arc<HostSpec>,
    published: watch::Receiver<Published>,
    actor: watch::Receiver<Option<ActorRef<HostMessage>>>,
    answered: Arc<LastAnswer>,
}

impl HostHandle {
    pub(in crate::actors) fn new(
        spec: Arc<HostSpec>,
        published: watch::Receiver<Published>,
        actor: watch::Receiver<Option<ActorRef<HostMessage>>>,
        answered: Arc<LastAnswer>,
    ) -> Self {
        Self { spec, published, actor, answered }
    }

    /// What is configured about the host.
    pub fn spec(&self) -> &Arc<HostSpec> {
        &self.spec
    }

    /// The host's status; never waits for anybody.
    pub fn status(&self) -> HostStatus {
        let mut status = self.published.borrow().status.clone();
        status.last_seen = status.last_seen.max(self.answered.get());
        status
    }

    /// The current line, when there is one; never waits for anybody.
    pub fn current_session(&self) -> Option<Arc<Session>> {
        self.published.borrow().session.clone()
    }

    /// Waits until the host's status fulfils `wanted`, or returns `None` when the host is removed.
    pub async fn wait_for(&mut self, wanted: impl Fn(&HostStatus) -> bool) -> Option<HostStatus> {
        let published = self.published.wait_for(|published| wanted(&published.status)).await.ok()?;
        Some(published.status.clone())
    }

    /// The line, connected first when need be, within `limit`. While the host's actor starts, or is
    /// started again, its next incarnation is waited for; a quarantined host is told at once.
    pub async fn session(&self, limit: Duration) -> Result<Arc<Session>, HostError> {
        let until = Instant::now() + limit;
        let mut actors = self.actor.clone();
        loop {
            if let Some(session) = self.current_session() {
                return Ok(session);
            }
            let HostStatus { phase, since, .. } = self.status();
            if let Phase::Quarantined { .. } = phase {
                return Err(HostError::Unavailable(Box::new(Unavailable { phase, since, attempts: vec![] })));
            }
            let actor = actors.borrow_and_update().clone();
            if let Some(actor) = actor {
                let left = until.saturating_duration_since(Instant::now());
                match ask(&actor, HostMessage::Ensure, left).await {
                    Ok(answer) => return answer.map_err(|refused| HostError::Unavailable(Box::new(refused))),
                    Err(NoAnswer::Late) => return Err(self.deadline(limit)),
                    Err(NoAnswer::Gone) => {}
                }
            }
            match timeout_at(until, actors.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(HostError::Removed),
                Err(_) => return Err(HostError::Restarting),
            }
        }
    }

    /// Reads over the host's line; connecting included, it takes at most `limit`. A call that breaks
    /// or takes too long makes the host's actor look whether the line still lives. When it does not,
    /// the call is made once more over the next line: reading twice does no harm.
    pub async fn read<T, F>(
        &self,
        limit: Duration,
        mut call: impl FnMut(Arc<Session>) -> F,
    ) -> Result<T, HostError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let until = Instant::now() + limit;
        let session = self.session(limit).await?;
        let broke = match self.attempt(&mut call, Arc::clone(&session), until, limit).await {
            Err(HostError::Engine(EngineError::Link(fault))) if is_link_fault(&fault) => fault,
            outcome => return outcome,
        };
        if timeout_at(until, self.replaced(&session)).await.is_err() {
            return Err(HostError::Engine(broke.into()));
        }
        let session = self.session(until.saturating_duration_since(Instant::now())).await?;
        self.attempt(&mut call, session, until, limit).await
    }

    async fn attempt<T, F>(
        &self,
        call: &mut impl FnMut(Arc<Session>) -> F,
        session: Arc<Session>,
        until: Instant,
        limit: Duration,
    ) -> Result<T, HostError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let epoch = session.epoch;
        let outcome = match timeout_at(until, call(session)).await {
            Ok(outcome) => {
                // A refusal is an answer too.
                if !matches!(outcome, Err(EngineError::Link(_))) {
                    self.answered.note();
                }
                outcome.map_err(HostError::from)
            }
            Err(_) => Err(self.deadline(limit)),
        };
        match &outcome {
            Err(HostError::Engine(EngineError::Link(fault))) if is_link_fault(fault) => self.suspect(epoch),
            Err(HostError::Deadline { .. }) => self.suspect(epoch),
            _ => {}
        }
        outcome
    }

    /// Waits until `session` is no longer the host's. Told by identity: another incarnation of the
    /// host's actor counts its epochs anew.
    async fn replaced(&self, session: &Arc<Session>) {
        let mut published = self.published.clone();
        let other = |published: &Published| {
            published.session.as_ref().is_none_or(|current| !Arc::ptr_eq(current, session))
        };
        // An error means that the host was removed: then its line is gone as well.
        let _ = published.wait_for(other).await;
    }

    /// Asks for an attempt now where the host waits or is held and trying can do no harm.
    pub fn wake(&self) {
        self.send(HostMessage::Wake);
    }

    /// The configuration of the host changed without needing a new link.
    pub(in crate::actors) fn retune(&self, spec: Arc<HostSpec>) {
        self.send(HostMessage::Retune(spec));
    }

    fn suspect(&self, epoch: u64) {
        self.send(HostMessage::Suspect { epoch });
    }

    fn deadline(&self, limit: Duration) -> HostError {
        HostError::Deadline { limit, phase: Box::new(self.status().phase) }
    }

    /// An actor that is gone needs no advice: its successor starts with an attempt.
    fn send(&self, message: HostMessage) {
        if let Some(actor) = self.actor() {
            let _ = actor.cast(message);
        }
    }

    fn actor(&self) -> Option<ActorRef<HostMessage>> {
        self.actor.borrow().clone()
    }
}

/// Whether a fault of a call may mean that the line is dead.
fn is_link_fault(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::LinkLost | FaultKind::EngineDown | FaultKind::NoEngine)
}
