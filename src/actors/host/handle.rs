//! The client side of a host's actor.

use super::follow::Known;
use super::machine::Unavailable;
use super::messages::HostMessage;
use crate::actors::ask::{NoAnswer, ask};
use crate::actors::operation::{
    Cancelled, Operation, Operations, Outcome, Overloaded, Pace, Place, Terms, launch,
};
use crate::actors::reaper::ReaperHandle;
use crate::actors::slot::Slot;
use crate::actors::supervision::SupervisorHandle;
use crate::contexts::ContextError;
use crate::domain::fault::Fault;
use crate::domain::host::{Endpoint, HostId, HostSpec};
use crate::domain::operation::{OperationContext, OperationId, OperationKind};
use crate::domain::phase::{HostStatus, Phase};
use crate::engine::{Engine, EngineError};
use crate::journal::record::Machine;
use crate::runtime::clock::Clock;
use jiff::Timestamp;
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a line that seems broken is waited for to prove it.
const SUSPENSE: Duration = Duration::from_secs(2);

/// A line to an engine.
pub struct Session {
    /// The engine.
    pub engine: Engine,
    /// Where it leads.
    pub endpoint: Endpoint,
    /// Which link of the host this is.
    pub epoch: u64,
    /// How long connecting took, from the first packet to the engine's answer.
    pub connect_took: Duration,
}

impl Session {
    /// The machine it leads to, as the host `id`.
    pub fn machine(&self, id: &HostId) -> Machine {
        Machine {
            host: id.clone(),
            endpoint: self.endpoint.url(),
            engine: self.engine.info().id.clone(),
            host_key: self.engine.link().route().host_key.clone(),
        }
    }
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
    },
    /// The host has as many callers as it takes.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The engine or the line failed the call.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no Docker context for the host.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The host's actor crashed and is being started again.
    #[error("the host's actor is being restarted; try again in a moment")]
    Restarting,
    /// Somebody cancelled the operation.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The operation ran into a fault of Dockmaster's own.
    #[error("operation {operation} crashed; Dockmaster's log says why")]
    Crashed {
        /// The operation.
        operation: OperationId,
    },
    /// A change was cut off: nobody knows how much of it was made.
    #[error("operation {operation} was cut off: {why}; look at the host before doing it again")]
    OutcomeUnknown {
        /// The operation.
        operation: OperationId,
        /// What cut it off.
        why: &'static str,
    },
    /// The host left the configuration during the call.
    #[error("the host was removed from the configuration")]
    Removed,
}

impl From<Fault> for HostError {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault.into())
    }
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
    pub(in crate::actors) spec: Arc<HostSpec>,
    pub(in crate::actors) published: watch::Receiver<Published>,
    pub(in crate::actors) known: watch::Receiver<Option<Known>>,
    pub(in crate::actors) actor: watch::Receiver<Option<ActorRef<HostMessage>>>,
    pub(in crate::actors) answered: Arc<LastAnswer>,
    pub(in crate::actors) operations: Operations,
    pub(in crate::actors) reaper: ReaperHandle,
    pub(in crate::actors) supervisor: Slot<SupervisorHandle>,
}

impl HostHandle {
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

    /// What there is on the host, as far as that was ever seen; never waits for anybody.
    pub fn known(&self) -> Option<Known> {
        self.known.borrow().as_ref().filter(|known| known.endpoint == self.spec.endpoint).cloned()
    }

    /// Waits until what is known of the host fulfils `wanted`, or returns `None` when the host is removed.
    pub async fn wait_for_known(&mut self, wanted: impl Fn(&Known) -> bool) -> Option<Known> {
        let known = self.known.wait_for(|known| known.as_ref().is_some_and(&wanted)).await.ok()?;
        known.clone()
    }

    /// Waits until the host's status fulfils `wanted`, or returns `None` when the host is removed.
    pub async fn wait_for(&mut self, wanted: impl Fn(&HostStatus) -> bool) -> Option<HostStatus> {
        let published = self.published.wait_for(|published| wanted(&published.status)).await.ok()?;
        Some(published.status.clone())
    }

    /// Waits for a line, however long it takes; `None` when the host is removed.
    pub(in crate::actors) async fn next_session(&mut self) -> Option<Arc<Session>> {
        self.published.wait_for(|published| published.session.is_some()).await.ok()?.session.clone()
    }

    /// The operations on the host.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The line, connected first when need be, within `limit`. While
    /// the host's actor starts, or is started again, its next incarnation is waited for; a quarantined
    /// host is told at once.
    pub async fn session(&self, limit: Duration) -> Result<Arc<Session>, HostError> {
        let _place = self.operations.admit()?;
        self.line(Instant::now() + limit, limit).await
    }

    /// The name of the host's Docker context (the mission's `ensure_context`): the line is connected first
    /// when need be; then the context is verified by its endpoint, and made or led back where it is not
    /// as configured. Any number of callers make it once. All within `limit`.
    pub async fn ensure_context(&self, limit: Duration) -> Result<String, HostError> {
        let _place = self.operations.admit()?;
        let until = Instant::now() + limit;
        self.line(until, limit).await?;
        let actor = self.actor().ok_or(HostError::Restarting)?;
        let left = until.saturating_duration_since(Instant::now());
        match ask(&actor, HostMessage::Context, left).await {
            Ok(settled) => Ok(settled?),
            Err(NoAnswer::Late) => Err(HostError::Deadline { limit }),
            Err(NoAnswer::Gone) => Err(HostError::Restarting),
        }
    }

    async fn line(&self, until: Instant, limit: Duration) -> Result<Arc<Session>, HostError> {
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
                    Err(NoAnswer::Late) => return Err(HostError::Deadline { limit }),
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

    /// Reads over the host's line, as an operation of this `name`; connecting included, it takes at
    /// most `limit`. Dropping the returned future ends the operation. A call that breaks or takes too
    /// long makes the host's actor look whether the line still lives. When it does not, or when the
    /// actor itself crashed, the call is made once more over the next line: reading twice does no harm.
    pub async fn read<T, F>(
        &self,
        name: &str,
        limit: Duration,
        call: impl Fn(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let place = Arc::new(self.operations.admit()?);
        let until = Instant::now() + limit;
        let session = self.line(until, limit).await?;
        let bounds = || Bounds { id: OperationId::fresh(), name, kind: OperationKind::Read, until, limit };
        let broke = match self.operate(bounds(), &place, &session, &call).await {
            Err(HostError::Engine(error)) if error.is_broken_line() => HostError::Engine(error),
            Err(HostError::Restarting) => HostError::Restarting,
            outcome => return outcome,
        };
        if timeout_at(until, self.replaced(&session)).await.is_err() {
            return Err(broke);
        }
        let session = self.line(until, limit).await?;
        self.operate(bounds(), &place, &session, &call).await
    }

    /// As [`Self::read`], for what goes on until `limit` or until the returned future is dropped. Whenever
    /// the line breaks, `call` is made anew over the next one: it goes on where it was. `None` when enough
    /// others follow something on this host.
    pub async fn follow<T, F>(
        &self,
        name: &str,
        limit: Duration,
        call: impl Fn(Operation) -> F,
    ) -> Result<Option<T>, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let Some(place) = self.operations.admit_follower()?.map(Arc::new) else { return Ok(None) };
        let until = Instant::now() + limit;
        loop {
            let session = self.line(until, limit).await?;
            let id = OperationId::fresh();
            let bounds = Bounds { id, name, kind: OperationKind::Read, until, limit };
            match self.operate(bounds, &place, &session, &call).await {
                Err(HostError::Engine(error)) if error.is_broken_line() => {}
                Err(HostError::Restarting) => {}
                outcome => return outcome.map(Some),
            }
            // The line may live all the same: then it was the call's stream alone that broke.
            let _ = timeout_at(until.min(Instant::now() + SUSPENSE), self.replaced(&session)).await;
        }
    }

    /// Changes something over the host's line, as an operation of this `name`; connecting included, it
    /// takes at most `limit`. Once begun, it goes on without its caller. It is made once: when it is cut
    /// off, the caller is told that its outcome is unknown.
    pub async fn change<T, F>(
        &self,
        name: &str,
        limit: Duration,
        call: impl FnOnce(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        self.perform(OperationId::fresh(), name, Pace::Short, limit, call).await
    }

    /// As [`Self::change`], for an operation that has its name already.
    pub(in crate::actors) async fn perform<T, F>(
        &self,
        id: OperationId,
        name: &str,
        pace: Pace,
        limit: Duration,
        call: impl FnOnce(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let until = Instant::now() + limit;
        let admitted = self.operations.admit_change(pace, until).await?;
        self.perform_in(admitted, id, name, limit, until, call).await
    }

    /// As [`Self::perform`], for what another host's change needs of this one: it has its place among the changes
    /// there, and two that need each other's hosts do not wait for each other.
    pub(in crate::actors) async fn serve<T, F>(
        &self,
        name: &str,
        limit: Duration,
        call: impl FnOnce(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let until = Instant::now() + limit;
        self.perform_in(self.operations.admit()?, OperationId::fresh(), name, limit, until, call).await
    }

    async fn perform_in<T, F>(
        &self,
        admitted: Place,
        id: OperationId,
        name: &str,
        limit: Duration,
        until: Instant,
        call: impl FnOnce(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let admitted = Arc::new(admitted);
        let session = self.line(until, limit).await?;
        let bounds = Bounds { id, name, kind: OperationKind::Change, until, limit };
        self.operate(bounds, &admitted, &session, call).await
    }

    /// One operation over `session`, from waiting for its turn to its outcome.
    async fn operate<T, F>(
        &self,
        bounds: Bounds<'_>,
        place: &Arc<Place>,
        session: &Arc<Session>,
        call: impl FnOnce(Operation) -> F,
    ) -> Result<T, HostError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HostError>> + Send + 'static,
    {
        let Bounds { id, name, kind, until, limit } = bounds;
        let context = Arc::new(OperationContext {
            id,
            name: name.to_owned(),
            kind,
            host: self.spec.id.clone(),
            docker_context: self.spec.context_name(),
            started: self.answered.clock.now(),
            limit,
        });
        let cancel = CancellationToken::new();
        let turn = match timeout_at(until, self.operations.turn(&context, &cancel)).await {
            Ok(turn) => turn.ok_or(HostError::Removed)?,
            Err(_) => return Err(self.operations.overloaded().into()),
        };
        let (session, reaper, place) = (Arc::clone(session), self.reaper.clone(), Arc::clone(place));
        let (epoch, operation) = (session.epoch, context.id);
        let _gone = (kind == OperationKind::Read).then(|| cancel.clone().drop_guard());
        let terms = Terms { context, session, until, cancel, reaper, place, turn };
        let (launch, mut outcome) = launch(terms, call);
        self.send(HostMessage::Operate(launch));
        let outcome = match timeout_at(until, outcome.wait()).await {
            // Its operations are cancelled when a host leaves.
            Ok(Some(Err(HostError::Cancelled(_)))) if self.operations.is_closed() => Err(HostError::Removed),
            Ok(Some(outcome)) => outcome,
            // The host's actor ended and took the operation with it.
            Ok(None) => {
                Err(cut_off(&outcome, operation, kind, HostError::Restarting, "its host's actor ended"))
            }
            Err(_) => {
                Err(cut_off(&outcome, operation, kind, HostError::Deadline { limit }, "its time ran out"))
            }
        };
        self.learn_from(&outcome, epoch);
        outcome
    }

    /// What the outcome of an operation says about the line.
    fn learn_from<T>(&self, outcome: &Result<T, HostError>, epoch: u64) {
        match outcome {
            Err(HostError::Engine(error)) if error.is_broken_line() => self.suspect(epoch),
            Err(HostError::Deadline { .. }) => self.suspect(epoch),
            // A refusal is an answer too.
            Ok(_)
            | Err(HostError::Engine(
                EngineError::NotFound(_) | EngineError::Refused { .. } | EngineError::Unfit(_),
            )) => {
                self.answered.note();
            }
            Err(_) => {}
        }
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

    /// Asks for an attempt now where the host waits or is held and trying can do no harm, and for a new
    /// actor where it is quarantined.
    pub fn wake(&self) {
        self.send(HostMessage::Wake);
        if let (Phase::Quarantined { .. }, Some(supervisor)) = (self.status().phase, self.supervisor.get()) {
            supervisor.resume(self.spec.id.as_str());
        }
    }

    /// The configuration of the host changed without needing a new link.
    pub(in crate::actors) fn retune(&self, spec: Arc<HostSpec>) {
        self.send(HostMessage::Retune(spec));
    }

    fn suspect(&self, epoch: u64) {
        self.send(HostMessage::Suspect { epoch });
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

/// Who an operation is and how long it may take.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    id: OperationId,
    name: &'a str,
    kind: OperationKind,
    until: Instant,
    limit: Duration,
}

/// What a caller is told whose operation gave no answer: a change that has begun may have been made.
fn cut_off<T>(
    outcome: &Outcome<T>,
    operation: OperationId,
    kind: OperationKind,
    plain: HostError,
    why: &'static str,
) -> HostError {
    if kind == OperationKind::Read || outcome.forestall() {
        plain
    } else {
        HostError::OutcomeUnknown { operation, why }
    }
}
