//! The supervisor as an actor: carries out what the core decides.

use super::core::{ChildPhase, Command, Core, Rules};
use super::spec::ChildSpec;
use crate::runtime::backoff::fresh_seed;
use futures_util::future::join_all;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The reason of an ordered stop; every other end of a child counts as abnormal or its own wish.
const SHUTDOWN: &str = "shutdown";

/// After a kill, an actor ends at its next await point.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// How the children stop when the supervisor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other, the last started first: later ones may need earlier ones.
    ReverseStartOrder,
    /// All at once: they do not need each other.
    AllAtOnce,
}

/// The protocol of a supervisor.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub(super) enum SupervisorMessage {
    /// `SupervisorHandle::add`
    Add(ChildSpec),
    /// `SupervisorHandle::remove`
    Remove(String),
    /// `SupervisorHandle::replace`: remove, and add once it has ended.
    Replace(ChildSpec),
    /// A timer of the supervisor's own.
    RestartDue {
        /// The child.
        name: String,
        /// The incarnation that ended.
        incarnation: u64,
    },
    /// `SupervisorHandle::resume`
    Resume(String),
}

/// What a supervisor tells about a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildInfo {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub phase: ChildPhase,
    /// Its current or last incarnation, from 1.
    pub incarnation: u64,
    /// Restarts within its period.
    pub restarts: usize,
    /// How long until it is started.
    pub starts_in: Option<Duration>,
}

/// Told the name of a child and how long it is kept down.
pub type OnQuarantine = Box<dyn Fn(&str, Duration) + Send + Sync>;

/// How a supervisor is set up.
pub struct SupervisorArguments {
    /// Its name, for the log.
    pub name: &'static str,
    /// How its children stop.
    pub strategy: Strategy,
    /// Its first children, in the order of their start.
    pub children: Vec<ChildSpec>,
    /// Told when a child is quarantined, with the term.
    pub on_quarantine: Option<OnQuarantine>,
}

/// The client side of a supervisor.
#[derive(Debug, Clone)]
pub struct SupervisorHandle {
    actor: ActorRef<SupervisorMessage>,
    core: SharedCore,
}

/// The supervisor's decisions so far: it alone makes them, everybody may look.
#[derive(Debug, Clone)]
struct SharedCore(Arc<Mutex<Core>>);

impl SharedCore {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Core::new(fresh_seed()))))
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SupervisorHandle {
    /// Starts a supervisor as a child of `parent`.
    pub async fn spawn(arguments: SupervisorArguments, parent: ActorCell) -> Result<Self, SpawnErr> {
        let core = SharedCore::new();
        let (actor, _) = Actor::spawn_linked(None, Supervisor, (arguments, core.clone()), parent).await?;
        Ok(Self { actor, core })
    }

    /// The actor itself, for its supervisor.
    pub fn cell(&self) -> ActorCell {
        self.actor.get_cell()
    }

    /// Wants a child; one of that name that is there stays as it is.
    pub fn add(&self, spec: ChildSpec) {
        self.send(SupervisorMessage::Add(spec));
    }

    /// Wants a child no longer: it stops with its grace and is not started again.
    pub fn remove(&self, name: &str) {
        self.send(SupervisorMessage::Remove(name.to_owned()));
    }

    /// Wants a child by a new specification: the old one stops, then the new one starts.
    pub fn replace(&self, spec: ChildSpec) {
        self.send(SupervisorMessage::Replace(spec));
    }

    /// Starts a waiting or quarantined child at once.
    pub fn resume(&self, name: &str) {
        self.send(SupervisorMessage::Resume(name.to_owned()));
    }

    /// The children by name; never waits for anybody.
    pub fn children(&self) -> Vec<ChildInfo> {
        let now = Instant::now();
        let core = self.core.lock();
        let children = core.overview(now).map(|(name, phase, incarnation, restarts, due)| ChildInfo {
            name: name.to_owned(),
            phase,
            incarnation,
            restarts,
            starts_in: due.map(|due| due.saturating_duration_since(now)),
        });
        children.collect()
    }

    /// Stops the supervisor and with it its children, in order and with their graces.
    pub fn stop(&self) {
        self.actor.stop(Some(SHUTDOWN.to_owned()));
    }

    /// A supervisor that is gone needs no orders: its successor is told everything anew.
    fn send(&self, message: SupervisorMessage) {
        let _ = self.actor.cast(message);
    }
}

/// Starts the root of a tree. The join handle ends when the root does: after [`SupervisorHandle::stop`],
/// or by itself in a meltdown.
#[expect(
    clippy::disallowed_methods,
    reason = "the root is the one actor without a supervisor; the process watches it"
)]
pub async fn start_root(
    arguments: SupervisorArguments,
) -> Result<(SupervisorHandle, JoinHandle<()>), SpawnErr> {
    let core = SharedCore::new();
    let (actor, join) = Actor::spawn(None, Supervisor, (arguments, core.clone())).await?;
    Ok((SupervisorHandle { actor, core }, join))
}

struct Supervisor;

/// The state of a supervisor.
struct SupervisorState {
    name: &'static str,
    strategy: Strategy,
    core: SharedCore,
    specs: BTreeMap<String, ChildSpec>,
    /// Running actors: who each is, and in which order they started.
    running: HashMap<ActorId, Running>,
    starts: u64,
    on_quarantine: Option<OnQuarantine>,
}

struct Running {
    cell: ActorCell,
    name: String,
    incarnation: u64,
    order: u64,
    grace: Duration,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = (SupervisorArguments, SharedCore);

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        (arguments, core): (SupervisorArguments, SharedCore),
    ) -> Result<SupervisorState, ActorProcessingErr> {
        for child in arguments.children {
            myself.cast(SupervisorMessage::Add(child))?;
        }
        Ok(SupervisorState {
            name: arguments.name,
            strategy: arguments.strategy,
            core,
            specs: BTreeMap::new(),
            running: HashMap::new(),
            starts: 0,
            on_quarantine: arguments.on_quarantine,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        let now = Instant::now();
        let command = match message {
            SupervisorMessage::Add(spec) => state.add(spec, now),
            SupervisorMessage::Remove(name) => state.remove(&name),
            SupervisorMessage::Replace(spec) => {
                let stop = state.remove(&spec.name);
                let start = state.add(spec, now);
                stop.or(start)
            }
            SupervisorMessage::RestartDue { name, incarnation } => {
                state.core.lock().due(&name, incarnation, now)
            }
            SupervisorMessage::Resume(name) => state.core.lock().resume(&name, now),
        };
        state.carry_out(&myself, command).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.filter(|reason| reason != SHUTDOWN))
            }
            _ => return Ok(()),
        };
        // An unknown actor is a helper of ours that has done its work.
        let Some(child) = state.running.remove(&cell.get_id()) else { return Ok(()) };
        if let Some(why) = &why {
            tracing::error!(supervisor = state.name, child = child.name, incarnation = child.incarnation, %why, "child failed");
        }
        let command = state.core.lock().exited(&child.name, child.incarnation, why.is_some(), Instant::now());
        state.carry_out(&myself, command).await
    }

    /// Stops the children while their parent still lives: ractor would only kill them.
    async fn post_stop(
        &self,
        _: ActorRef<SupervisorMessage>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.stop_children().await;
        Ok(())
    }
}

/// Stop, wait for the grace, kill, wait.
async fn stop_and_wait(cell: &ActorCell, grace: Duration) {
    cell.stop(Some(SHUTDOWN.to_owned()));
    if cell.wait(Some(grace)).await.is_err() {
        cell.kill();
        if cell.wait(Some(KILL_LIMIT)).await.is_err() {
            tracing::error!(actor = %cell.get_id(), "an actor outlived its kill: it does not yield");
        }
    }
}

impl SupervisorState {
    /// Stops all children by the strategy, each with its grace; returns when all have ended.
    async fn stop_children(&mut self) {
        let mut children: Vec<Running> = self.running.drain().map(|(_, child)| child).collect();
        children.sort_by_key(|child| std::cmp::Reverse(child.order));
        let stops = children.iter().map(|child| stop_and_wait(&child.cell, child.grace));
        match self.strategy {
            Strategy::AllAtOnce => {
                join_all(stops).await;
            }
            Strategy::ReverseStartOrder => {
                for stop in stops {
                    stop.await;
                }
            }
        }
    }

    fn add(&mut self, spec: ChildSpec, now: Instant) -> Option<Command> {
        let mut core = self.core.lock();
        let stays = matches!(core.phase(&spec.name), Some(phase) if phase != ChildPhase::Stopping);
        let command = core.add(&spec.name, Rules::from(&spec), now);
        if !stays {
            self.specs.insert(spec.name.clone(), spec);
        }
        command
    }

    fn remove(&mut self, name: &str) -> Option<Command> {
        let command = self.core.lock().remove(name);
        self.specs.remove(name);
        command
    }

    /// Carries out a command and what follows from it: a start that fails is an exit.
    async fn carry_out(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        command: Option<Command>,
    ) -> Result<(), ActorProcessingErr> {
        let mut next = command;
        while let Some(command) = next.take() {
            match command {
                Command::Start { name, incarnation } => next = self.start(myself, name, incarnation).await,
                Command::Arm { name, incarnation, delay } => {
                    tracing::info!(supervisor = self.name, child = name, ?delay, "restarting");
                    myself.send_after(delay, move || SupervisorMessage::RestartDue { name, incarnation });
                }
                Command::Stop { name } => self.stop(myself, &name).await?,
                Command::Quarantined { name, delay } => {
                    tracing::error!(
                        supervisor = self.name,
                        child = name,
                        ?delay,
                        "crashed too often: quarantined"
                    );
                    if let Some(tell) = &self.on_quarantine {
                        tell(&name, delay);
                    }
                    let incarnation = self.incarnation(&name);
                    myself.send_after(delay, move || SupervisorMessage::RestartDue { name, incarnation });
                }
                Command::Meltdown { name } => {
                    // In order, as in a shutdown: what the others hold is not lost for one that crashes.
                    self.stop_children().await;
                    return Err(format!("{}: {name} crashed too often", self.name).into());
                }
            }
        }
        Ok(())
    }

    async fn start(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        name: String,
        incarnation: u64,
    ) -> Option<Command> {
        let spec = self.specs.get(&name)?;
        let grace = spec.grace;
        match (spec.start)(myself.get_cell(), incarnation).await {
            Ok(cell) => {
                self.starts += 1;
                let child = Running { cell, name, incarnation, order: self.starts, grace };
                self.running.insert(child.cell.get_id(), child);
                None
            }
            Err(error) => {
                tracing::error!(supervisor = self.name, child = name, %error, "child does not start");
                self.core.lock().exited(&name, incarnation, true, Instant::now())
            }
        }
    }

    /// Stops a child in a helper, so that a slow one does not keep the mailbox.
    async fn stop(&self, myself: &ActorRef<SupervisorMessage>, name: &str) -> Result<(), SpawnErr> {
        let running = self.running.values().find(|child| child.name == name);
        if let Some((cell, grace)) = running.map(|child| (child.cell.clone(), child.grace)) {
            crate::actors::task::spawn(myself.get_cell(), async move { stop_and_wait(&cell, grace).await })
                .await?;
        }
        Ok(())
    }

    fn incarnation(&self, name: &str) -> u64 {
        let core = self.core.lock();
        core.overview(Instant::now()).find(|child| child.0 == name).map_or(0, |child| child.2)
    }
}
