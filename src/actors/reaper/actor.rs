//! The Reaper's actor: a task for each ledger, and what each does.

use super::handle::ReaperMessage;
use crate::actors::changes::{attend, roll_out};
use crate::actors::directory::HostDirectory;
use crate::actors::host::Session;
use crate::actors::operation::Ledger;
use crate::actors::supervision::{ChildSpec, StartChild};
use crate::actors::task;
use crate::domain::operation::OperationId;
use crate::domain::retry::BackoffPolicy;
use crate::journal::JournalError;
use crate::runtime::backoff::{Backoff, fresh_seed};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A host that is not configured is looked for this often: it may come back.
const LOOK_FOR_HOST: Duration = Duration::from_secs(60);

/// A task that crashed is started again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A journal that cannot be read is tried again after this long.
const RECOVER_AGAIN: Duration = Duration::from_secs(10);

/// At the end of the service, what needs no host gets this long.
const LAST_RELEASE: Duration = Duration::from_secs(5);

/// The child specification of the Reaper.
pub fn reaper_spec(directory: HostDirectory) -> ChildSpec {
    let start: StartChild = Arc::new(move |supervisor, _| {
        let directory = directory.clone();
        Box::pin(async move {
            let slot = directory.reaper().actor.clone();
            let (actor, _) = Actor::spawn_linked(None, ReaperActor, directory, supervisor).await?;
            slot.put(actor.clone());
            // What was handed over before the slot was filled, and what was left by a service before.
            let _ = actor.cast(ReaperMessage::Look);
            let _ = actor.cast(ReaperMessage::Recover);
            Ok(actor.get_cell())
        })
    });
    ChildSpec::of_the_service("reaper", LAST_RELEASE + Duration::from_secs(1), start)
}

struct ReaperActor;

struct ReaperState {
    directory: HostDirectory,
    tasks: HashMap<ActorId, Charge>,
}

/// What a task sees to.
#[derive(Clone, PartialEq, Eq)]
enum Charge {
    /// What an operation left.
    Ledger(String),
    /// A change.
    Change(OperationId),
    /// Changes of many hosts.
    Rollout(OperationId),
    /// What a service before this one left.
    Recovery,
}

impl Actor for ReaperActor {
    type Msg = ReaperMessage;
    type State = ReaperState;
    type Arguments = HostDirectory;

    async fn pre_start(
        &self,
        _: ActorRef<ReaperMessage>,
        directory: HostDirectory,
    ) -> Result<ReaperState, ActorProcessingErr> {
        Ok(ReaperState { directory, tasks: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<ReaperMessage>,
        message: ReaperMessage,
        state: &mut ReaperState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        match message {
            ReaperMessage::Look => {
                for ledger in state.directory.reaper().leftovers() {
                    let charge = Charge::Ledger(ledger.launch().to_owned());
                    let work = see_to(ledger, state.directory.clone());
                    state.charge(&myself, charge, work).await?;
                }
                for change in state.directory.changes().open() {
                    let id = change.id();
                    let work = attend(change, state.directory.clone());
                    state.charge(&myself, Charge::Change(id), work).await?;
                }
                for rollout in state.directory.changes().rollouts().open() {
                    let id = rollout.id();
                    let work = roll_out(rollout, state.directory.clone());
                    state.charge(&myself, Charge::Rollout(id), work).await?;
                }
            }
            ReaperMessage::Recover => {
                let (me, directory) = (myself.clone(), state.directory.clone());
                let work = async move {
                    let recovered = async {
                        directory.reaper().recover_held(directory.clock().now()).await?;
                        directory.changes().recover().await
                    };
                    match recovered.await {
                        Ok(()) => drop(me.cast(ReaperMessage::Look)),
                        Err(JournalError::None | JournalError::Held { .. }) => {}
                        Err(error) => {
                            tracing::warn!(%error, "what was left cannot be taken in yet");
                            me.send_after(RECOVER_AGAIN, || ReaperMessage::Recover);
                        }
                    }
                };
                state.charge(&myself, Charge::Recovery, work).await?;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ReaperMessage>,
        event: SupervisionEvent,
        state: &mut ReaperState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state.tasks.remove(&cell.get_id());
                tracing::error!(%error, "letting go panicked");
                myself.send_after(AGAIN_AFTER, || ReaperMessage::Look);
                myself.send_after(AGAIN_AFTER, || ReaperMessage::Recover);
            }
            SupervisionEvent::ActorTerminated(cell, ..) => {
                state.tasks.remove(&cell.get_id());
                // What was handed over while the task ended has none yet.
                myself.cast(ReaperMessage::Look)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The hosts have stopped: what is in this process is let go of, what is on hosts is named.
    async fn post_stop(
        &self,
        _: ActorRef<ReaperMessage>,
        state: &mut ReaperState,
    ) -> Result<(), ActorProcessingErr> {
        let reaper = state.directory.reaper();
        let leftovers = reaper.leftovers();
        let release = futures_util::future::join_all(leftovers.iter().map(|ledger| ledger.release(None)));
        if tokio::time::timeout(LAST_RELEASE, release).await.is_err() {
            tracing::error!("something could not be let go of before the end");
        }
        for ledger in leftovers.iter().filter(|ledger| !reaper.strike(ledger)) {
            let context = ledger.context();
            tracing::error!(operation = %context.id, host = %context.host, held = ?ledger.held(), "left behind");
        }
        Ok(())
    }
}

impl ReaperState {
    /// Has `work` done, unless a task does it already.
    async fn charge(
        &mut self,
        myself: &ActorRef<ReaperMessage>,
        charge: Charge,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ActorProcessingErr> {
        if !self.tasks.values().any(|other| *other == charge) {
            let task = task::spawn(myself.get_cell(), work).await?;
            self.tasks.insert(task.get_id(), charge);
        }
        Ok(())
    }
}

/// Lets go of what a ledger holds: of what is in this process now, of what is on the host as soon as
/// there is a line to it.
async fn see_to(ledger: Arc<Ledger>, directory: HostDirectory) {
    let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, fresh_seed());
    let mut over = line(&ledger, &directory);
    loop {
        ledger.release(over.as_deref().map(|session| &session.engine)).await;
        if directory.reaper().strike(&ledger) {
            let context = ledger.context();
            tracing::info!(operation = %context.id, host = %context.host, "everything has been let go of");
            return;
        }
        if over.is_some() {
            sleep(waits.next_wait()).await;
        }
        over = Some(next_line(&ledger, &directory).await);
    }
}

/// The line to the ledger's host, when there is one now. A host of that name at another place is
/// another host.
fn line(ledger: &Ledger, directory: &HostDirectory) -> Option<Arc<Session>> {
    let host = directory.host(ledger.context().host.as_str()).ok()?;
    host.current_session().filter(|session| is_of(session, ledger))
}

fn is_of(session: &Session, ledger: &Ledger) -> bool {
    session.machine(&ledger.context().host) == *ledger.machine()
}

/// Waits for a line to the ledger's host.
async fn next_line(ledger: &Ledger, directory: &HostDirectory) -> Arc<Session> {
    loop {
        if let Ok(mut host) = directory.host(ledger.context().host.as_str())
            && let Some(session) = host.next_session().await
            && is_of(&session, ledger)
        {
            return session;
        }
        sleep(LOOK_FOR_HOST).await;
    }
}
