//! The host's actor: carries out the machine's effects and owns the tasks they start.

use super::context::{self, ContextDesk};
use super::follow::{Shelf, follow};
use super::handle::{Published, Session};
use super::machine::{Effect, Input, Machine, Unavailable};
use super::messages::HostMessage;
use crate::actors::directory::HostDirectory;
use crate::actors::operation::Launch;
use crate::actors::supervision::{ChildSpec, Excess, Restart, StartChild};
use crate::actors::task;
use crate::contexts::Contexts;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::phase::{EngineInfo, HostStatus, Phase};
use crate::domain::redact;
use crate::domain::retry::{BackoffPolicy, ConnectPolicy};
use crate::engine::{Engine, Unreached};
use crate::journal::record::Entry;
use crate::runtime::backoff::fresh_seed;
use crate::runtime::restart_window::RestartIntensity;
use crate::transport::{Connection, Connector};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A host's actor that crashes more often than this is quarantined.
const INTENSITY: RestartIntensity = RestartIntensity { intensity: 3, period: Duration::from_secs(60) };

/// Quarantine: long enough for the log to be read, short enough to come back the same day.
const QUARANTINE: Excess =
    Excess::Quarantine { first: Duration::from_secs(300), longest: Duration::from_secs(3600) };

/// Changes are asked to end at their next step and get this long to reach it and to let go.
const DRAIN: Duration = Duration::from_secs(8);

/// Killing the ssh process takes no time.
const LINE_GRACE: Duration = Duration::from_secs(2);

/// An engine that has not answered a ping within this time does not answer.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// A fault in following events passes with the next event, or not at all.
const FOLLOW_AGAIN: Duration = Duration::from_secs(10);

/// A connection that has ended says why within this time.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A connector has limits of its own for every step, and logins wait for their turn. An attempt that has
/// not ended after this long never will.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(300);

type Waiter = RpcReplyPort<Result<Arc<Session>, Unavailable>>;

/// What a host's actor starts with.
#[derive(Clone)]
pub struct HostArguments {
    /// The host, as the directory knows it.
    pub id: HostId,
    /// Makes its connections.
    pub connector: Arc<dyn Connector>,
    /// The Docker contexts of this user.
    pub contexts: Contexts,
    /// The numbers of reconnecting.
    pub policy: ConnectPolicy,
    /// Where it publishes.
    pub directory: HostDirectory,
}

/// The child specification of a host's actor.
pub fn child_spec(arguments: HostArguments) -> ChildSpec {
    let name = arguments.id.to_string();
    let start: StartChild = Arc::new(move |supervisor, incarnation| {
        let arguments = arguments.clone();
        Box::pin(async move {
            let (directory, id) = (arguments.directory.clone(), arguments.id.clone());
            let (actor, _) =
                Actor::spawn_linked(None, HostActor, (arguments, incarnation), supervisor).await?;
            directory.attach(&id, actor.clone());
            Ok(actor.get_cell())
        })
    });
    ChildSpec {
        name,
        restart: Restart::Permanent,
        intensity: INTENSITY,
        excess: QUARANTINE,
        backoff: BackoffPolicy::SERIES,
        grace: DRAIN + LINE_GRACE,
        start,
    }
}

struct HostActor;

struct HostState {
    spec: Arc<HostSpec>,
    connector: Arc<dyn Connector>,
    contexts: Contexts,
    context: ContextDesk,
    directory: HostDirectory,
    published: Arc<watch::Sender<Published>>,
    known: Shelf,
    incarnation: u64,
    machine: Machine<Waiter, Arc<Session>>,
    full_look: Duration,
    /// The attempt or the link of an epoch; there is never more than one.
    line: Option<(u64, ActorCell)>,
    /// The connection of the last attempt. It is kept while only its engine does not answer: no login is
    /// repeated for an engine.
    connection: Option<Connection>,
    events: Option<ActorCell>,
    probe: Option<ActorCell>,
    operations: HashMap<ActorId, Running>,
}

/// An operation at work.
struct Running {
    task: ActorCell,
    cancel: CancellationToken,
}

impl Actor for HostActor {
    type Msg = HostMessage;
    type State = HostState;
    type Arguments = (HostArguments, u64);

    async fn pre_start(
        &self,
        myself: ActorRef<HostMessage>,
        (arguments, incarnation): (HostArguments, u64),
    ) -> Result<HostState, ActorProcessingErr> {
        let HostArguments { id, connector, contexts, policy, directory } = arguments;
        // As it is configured now, which may have changed since this actor's first incarnation.
        let (spec, published, known) =
            directory.publisher(&id).ok_or("the host was removed while its actor started")?;
        myself.cast(HostMessage::Retune(Arc::clone(&spec)))?;
        let before = published.borrow().status.clone();
        let machine =
            Machine::new(policy, fresh_seed(), directory.clock().now()).after(&before.phase, before.since);
        Ok(HostState {
            spec,
            connector,
            contexts,
            context: ContextDesk::default(),
            directory,
            published,
            known,
            incarnation,
            machine,
            full_look: policy.full_look,
            line: None,
            connection: None,
            events: None,
            probe: None,
            operations: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<HostMessage>,
        message: HostMessage,
        state: &mut HostState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        let input = match message {
            HostMessage::Ensure(reply) => Input::Ensure(reply),
            HostMessage::Context(reply) => {
                state.context.wait(reply);
                return state.look_at_context(&myself).await;
            }
            HostMessage::ContextSettled { outcome } => {
                let is_old = outcome.as_ref().is_ok_and(|name| *name != state.spec.context_name());
                state.context.settle(&state.spec, &outcome, &state.contexts);
                // It was given another name meanwhile.
                return if is_old { state.look_at_context(&myself).await } else { Ok(()) };
            }
            HostMessage::Wake => Input::Wake,
            HostMessage::Suspect { epoch } => return state.suspect(&myself, epoch).await,
            HostMessage::Operate(Launch { cancel, work }) => {
                let task = task::spawn(myself.get_cell(), work).await?;
                state.operations.insert(task.get_id(), Running { task, cancel });
                return Ok(());
            }
            HostMessage::Retune(spec) => {
                let (enabled, renamed) = (spec.enabled, spec.context_name() != state.spec.context_name());
                state.spec = spec;
                if renamed && state.machine.session().is_some() {
                    state.look_at_context(&myself).await?;
                }
                if enabled { Input::Start } else { Input::Disable }
            }
            HostMessage::Connected { epoch, outcome } => {
                let (outcome, connection) = match outcome {
                    Ok((session, connection)) => {
                        let engine = session.engine.info().clone();
                        (Ok((session, engine)), Some(connection))
                    }
                    Err(Unreached { fault, kept }) => (Err(fault), kept),
                };
                // One that comes too late is dropped.
                if state.line.as_ref().is_some_and(|(current, _)| *current == epoch) {
                    state.connection = connection;
                }
                Input::Connected { epoch, outcome }
            }
            HostMessage::Follow { epoch } => {
                let lives = state.machine.session().is_some_and(|session| session.epoch == epoch);
                return if lives { state.follow(&myself).await } else { Ok(()) };
            }
            HostMessage::LinkDown { epoch, fault } => Input::LinkDown { epoch, fault },
            HostMessage::TimerDue(timer) => Input::TimerDue(timer),
            HostMessage::Evidence { epoch, stamp } => Input::Evidence { epoch, stamp },
        };
        state.step(&myself, input).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<HostMessage>,
        event: SupervisionEvent,
        state: &mut HostState,
    ) -> Result<(), ActorProcessingErr> {
        let (SupervisionEvent::ActorFailed(cell, _) | SupervisionEvent::ActorTerminated(cell, ..)) = &event
        else {
            return Ok(());
        };
        state.operations.remove(&cell.get_id());
        if state.context.task == Some(cell.get_id()) && matches!(event, SupervisionEvent::ActorFailed(..)) {
            state.context.crashed();
        }
        if let SupervisionEvent::ActorFailed(cell, error) = &event
            && state.events.as_ref().is_some_and(|events| events.get_id() == cell.get_id())
        {
            tracing::error!(host = %state.spec.id, %error, "following the engine's events panicked");
            if let Some(epoch) = state.machine.session().map(|session| session.epoch) {
                myself.send_after(FOLLOW_AGAIN, move || HostMessage::Follow { epoch });
            }
            return Ok(());
        }
        // A task that ends normally has sent its result; one that panicked will never.
        let SupervisionEvent::ActorFailed(cell, error) = event else { return Ok(()) };
        let Some((epoch, line)) = &state.line else { return Ok(()) };
        if line.get_id() != cell.get_id() {
            return Ok(());
        }
        let epoch = *epoch;
        tracing::error!(host = %state.spec.id, %error, "a task of the host's actor panicked");
        let fault = Fault::new(FaultKind::Internal, error.to_string());
        let input = match state.machine.session() {
            Some(_) => Input::LinkDown { epoch, fault },
            None => Input::Connected { epoch, outcome: Err(fault) },
        };
        state.step(&myself, input).await
    }

    async fn post_stop(
        &self,
        _: ActorRef<HostMessage>,
        state: &mut HostState,
    ) -> Result<(), ActorProcessingErr> {
        state.withdraw(true);
        state.drain().await;
        state.end_connection();
        if let Some(line) = state.drop_line() {
            // The process is to be gone before this actor is.
            let _ = line.wait(Some(LINE_GRACE)).await;
        }
        Ok(())
    }
}

impl Drop for HostState {
    /// However this incarnation ends, its line ends with it.
    fn drop(&mut self) {
        self.withdraw(false);
    }
}

impl HostState {
    /// Shows the host without a line, unless the next incarnation shows it already. A host that is
    /// stopped in order begins anew; what one was held for when its actor crashed still holds.
    fn withdraw(&self, in_order: bool) {
        let now = self.directory.clock().now();
        self.published.send_if_modified(|published| {
            let mine = published.status.incarnation == self.incarnation;
            if mine && (published.session.take().is_some() || in_order) {
                published.status.phase = Phase::Disconnected;
                published.status.since = now;
            }
            mine
        });
    }

    /// Ends the operations while their line still lives, so that they can let go over it.
    async fn drain(&mut self) {
        self.operations.values().for_each(|running| running.cancel.cancel());
        let until = Instant::now() + DRAIN;
        for (_, running) in self.operations.drain() {
            let left = until.saturating_duration_since(Instant::now());
            if running.task.wait(Some(left)).await.is_err() {
                tracing::warn!(host = %self.spec.id, "an operation did not end in time and is cut off");
                running.task.kill();
            }
        }
    }

    async fn step(
        &mut self,
        myself: &ActorRef<HostMessage>,
        input: Input<Waiter, Arc<Session>>,
    ) -> Result<(), ActorProcessingErr> {
        let before = self.machine.phase();
        let effects = self.machine.step(input, self.directory.clock().now());
        // Published before callers are answered, so that whoever has an answer sees its status.
        self.publish();
        for effect in effects {
            self.carry_out(myself, effect).await?;
        }
        let phase = self.machine.phase();
        if phase != before {
            if matches!(phase, Phase::Ready(_)) {
                self.look_at_context(myself).await?;
                self.follow(myself).await?;
            } else if let Some(events) = self.events.take() {
                events.kill();
            }
            let cause = phase.cause().map(ToString::to_string);
            tracing::info!(host = %self.spec.id, from = before.word(), to = phase.word(), cause, "phase");
            let cause = cause.map(|cause| redact::text(&cause));
            let entered = Entry::Phase(self.spec.id.clone(), phase.word(), cause);
            self.directory.changes().journal().note(entered);
        }
        Ok(())
    }

    /// Verifies the Docker context, unless that is being done already.
    async fn look_at_context(&mut self, myself: &ActorRef<HostMessage>) -> Result<(), ActorProcessingErr> {
        if self.context.task.is_none() {
            let (me, contexts, spec) = (myself.clone(), self.contexts.clone(), Arc::clone(&self.spec));
            let look = async move {
                // The actor is gone: so is this task in a moment.
                let _ = me.cast(context::look(&contexts, &spec).await);
            };
            self.context.task = Some(task::spawn(myself.get_cell(), look).await?.get_id());
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        myself: &ActorRef<HostMessage>,
        effect: Effect<Waiter, Arc<Session>>,
    ) -> Result<(), ActorProcessingErr> {
        match effect {
            Effect::Connect { epoch } => {
                self.drop_line();
                let (me, host, connector) =
                    (myself.clone(), Arc::clone(&self.spec), Arc::clone(&self.connector));
                let kept = self.connection.take();
                let attempt = async move {
                    let outcome = timeout(ATTEMPT_LIMIT, connect(connector, host, kept, epoch)).await;
                    let outcome = outcome.unwrap_or_else(|_| {
                        let words = format!("no end of the attempt within {} s", ATTEMPT_LIMIT.as_secs());
                        Err(Fault::new(FaultKind::Timeout, words).into())
                    });
                    // The actor is gone: so is this task in a moment.
                    let _ = me.cast(HostMessage::Connected { epoch, outcome });
                };
                self.line = Some((epoch, task::spawn(myself.get_cell(), attempt).await?));
            }
            Effect::Hold { epoch } => {
                let Some(lifeline) = self.connection.as_ref().map(|held| held.lifeline.clone()) else {
                    return Ok(());
                };
                let me = myself.clone();
                let hold = async move {
                    let fault = lifeline.await;
                    let _ = me.cast(HostMessage::LinkDown { epoch, fault });
                };
                self.line = Some((epoch, task::spawn(myself.get_cell(), hold).await?));
            }
            Effect::Drop => {
                self.end_connection();
                drop(self.drop_line());
            }
            Effect::Arm { timer, delay } => {
                myself.send_after(delay, move || HostMessage::TimerDue(timer));
            }
            Effect::Examine { epoch } => {
                let (me, host, connector) =
                    (myself.clone(), Arc::clone(&self.spec), Arc::clone(&self.connector));
                let examine = async move {
                    let stamp = connector.evidence(host).await;
                    let _ = me.cast(HostMessage::Evidence { epoch, stamp });
                };
                task::spawn(myself.get_cell(), examine).await?;
            }
            // A caller that has gone needs no answer.
            Effect::Answer(caller, answer) => drop(caller.send(answer)),
        }
        Ok(())
    }

    /// Keeps what is known of the host current, over the session there is.
    async fn follow(&mut self, myself: &ActorRef<HostMessage>) -> Result<(), ActorProcessingErr> {
        let Some(session) = self.machine.session().cloned() else { return Ok(()) };
        let (me, epoch) = (myself.clone(), session.epoch);
        let suspect = move || drop(me.cast(HostMessage::Suspect { epoch }));
        let (known, clock) = (Arc::clone(&self.known), self.directory.clock());
        let following = follow(session, self.incarnation, known, clock, self.full_look, suspect);
        if let Some(old) = self.events.replace(task::spawn(myself.get_cell(), following).await?) {
            old.kill();
        }
        Ok(())
    }

    /// Looks whether the link of `epoch` lives: the link itself by its own means, and the engine
    /// behind it by a ping.
    async fn suspect(
        &mut self,
        myself: &ActorRef<HostMessage>,
        epoch: u64,
    ) -> Result<(), ActorProcessingErr> {
        let Some(session) = self.machine.session().filter(|session| session.epoch == epoch).cloned() else {
            return Ok(());
        };
        session.engine.link().suspect();
        let probing =
            self.probe.as_ref().is_some_and(|probe| probe.get_status() < ractor::ActorStatus::Stopping);
        if probing {
            return Ok(());
        }
        let (me, life) = (myself.clone(), self.connection.as_ref().map(|held| held.lifeline.clone()));
        let probe = async move {
            let fault = match timeout(PROBE_LIMIT, session.engine.ping()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => match (error.into_fault(), life) {
                    // Whether it is the engine or the connection that ended, and why, the latter tells a
                    // moment later.
                    (fault, Some(life)) => timeout(LAST_WORD, life).await.unwrap_or(fault),
                    (fault, None) => fault,
                },
                // It has not been asked: calls with long answers have all streams there may be.
                Err(_) if session.engine.link().is_crowded() => return,
                Err(_) => {
                    let seconds = PROBE_LIMIT.as_secs();
                    Fault::new(FaultKind::EngineDown, format!("no answer to a ping within {seconds} s"))
                }
            };
            let _ = me.cast(HostMessage::LinkDown { epoch, fault });
        };
        self.probe = Some(task::spawn(myself.get_cell(), probe).await?);
        Ok(())
    }

    /// Lets go of the connection, and of whoever else holds on to its life.
    fn end_connection(&mut self) {
        self.connection = None;
        for task in self.probe.take().into_iter().chain(self.events.take()) {
            task.kill();
        }
    }

    /// Ends the attempt or link there is: dropping its future ends its process. Not waited for:
    /// whatever comes next shares nothing with it.
    fn drop_line(&mut self) -> Option<ActorCell> {
        let (_, line) = self.line.take()?;
        line.kill();
        Some(line)
    }

    fn publish(&self) {
        let phase = self.machine.phase();
        let session = self.machine.session().cloned();
        let now = self.directory.clock().now();
        self.published.send_if_modified(|published| {
            let status = HostStatus {
                id: self.spec.id.clone(),
                // Calls note their own answers; here only the first one on a new line is.
                last_seen: if session.is_some() && published.session.is_none() {
                    Some(now)
                } else {
                    published.status.last_seen
                },
                engine_id: match &phase {
                    Phase::Ready(EngineInfo { id: Some(id), .. }) => Some(id.clone()),
                    _ => published.status.engine_id.clone(),
                },
                phase,
                since: self.machine.since(),
                incarnation: self.incarnation,
            };
            let changed = published.status != status;
            *published = Published { status, session };
            changed
        });
    }
}

async fn connect(
    connector: Arc<dyn Connector>,
    host: Arc<HostSpec>,
    kept: Option<Connection>,
    epoch: u64,
) -> Result<(Arc<Session>, Connection), Unreached> {
    let started = Instant::now();
    let endpoint = host.endpoint.clone();
    let (engine, connection) = Engine::reach(connector.as_ref(), host, kept).await.map_err(|unreached| {
        let fault = unreached.fault.after(started.elapsed());
        Unreached { fault, ..unreached }
    })?;
    Ok((Arc::new(Session { engine, endpoint, epoch, connect_took: started.elapsed() }), connection))
}
