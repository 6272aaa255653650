//! The journal's actor: a queue in front of a database.

use super::handle::{JournalHandle, JournalMessage, Waiter};
use crate::actors::supervision::{ChildSpec, StartChild};
use crate::actors::task;
use crate::journal::record::Entry;
use crate::journal::{JournalError, JournalLock, Store};
use crate::runtime::clock::Clock;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::sync::Arc;
use std::time::Duration;

/// At the end of the service, what was sent before is written within this time.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// So many requests share a transaction: what they wait for is one sync of the disk.
const BATCH: usize = 256;

/// The child specification of the journal's actor.
pub fn journal_spec(journal: JournalHandle, clock: Clock) -> ChildSpec {
    let start: StartChild = Arc::new(move |supervisor, _| {
        let journal = journal.clone();
        Box::pin(async move {
            let arguments = (journal.place().clone(), clock);
            let (actor, _) = Actor::spawn_linked(None, JournalActor, arguments, supervisor).await?;
            journal.actor.put(actor.clone());
            // Opened now, so that what is wrong with it is told at the start.
            let _ = actor.cast(JournalMessage::Write { entries: vec![], waiter: None });
            Ok(actor.get_cell())
        })
    });
    ChildSpec::of_the_service("journal", LAST_WRITES + Duration::from_secs(1), start)
}

struct JournalActor;

/// Entries that go on record together, and who waits for them.
struct Request {
    entries: Vec<Entry>,
    waiter: Option<Waiter>,
}

struct JournalState {
    place: Result<Arc<JournalLock>, JournalError>,
    clock: Clock,
    /// The database, while no task has it and it could be opened.
    store: Option<Box<Store>>,
    task: Option<ActorCell>,
    queue: Vec<Request>,
    /// What is wrong with it, which is told once.
    trouble: Option<JournalError>,
}

impl Actor for JournalActor {
    type Msg = JournalMessage;
    type State = JournalState;
    type Arguments = (Result<Arc<JournalLock>, JournalError>, Clock);

    async fn pre_start(
        &self,
        _: ActorRef<JournalMessage>,
        (place, clock): Self::Arguments,
    ) -> Result<JournalState, ActorProcessingErr> {
        Ok(JournalState { place, clock, store: None, task: None, queue: vec![], trouble: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<JournalMessage>,
        message: JournalMessage,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        match message {
            JournalMessage::Write { entries, waiter } => state.queue.push(Request { entries, waiter }),
            JournalMessage::Committed { store, trouble } => {
                state.store = store;
                state.task = None;
                state.tell(trouble);
            }
        }
        state.commit(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<JournalMessage>,
        event: SupervisionEvent,
        _: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        // A panic while writing: the database is opened anew by the next incarnation.
        if let SupervisionEvent::ActorFailed(_, error) = event {
            return Err(error);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<JournalMessage>,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(task) = state.task.take() {
            let _ = task.wait(Some(LAST_WRITES)).await;
        }
        Ok(())
    }
}

impl JournalState {
    fn tell(&mut self, trouble: Option<JournalError>) {
        match &trouble {
            Some(error) if self.trouble.as_ref() != Some(error) => {
                tracing::error!(%error, "the journal cannot be written: nothing can be changed");
            }
            None if self.trouble.is_some() => tracing::info!("the journal can be written again"),
            _ => {}
        }
        self.trouble = trouble;
    }

    /// Commits what has come, unless that is being done: then it goes with the next batch.
    async fn commit(&mut self, myself: &ActorRef<JournalMessage>) -> Result<(), ActorProcessingErr> {
        if self.task.is_some() || self.queue.is_empty() {
            return Ok(());
        }
        let lock = match &self.place {
            Ok(lock) => Arc::clone(lock),
            Err(error) => {
                let error = error.clone();
                for request in self.queue.drain(..) {
                    request.answer(Err(error.clone()));
                }
                return Ok(());
            }
        };
        let batch: Vec<Request> = self.queue.drain(..self.queue.len().min(BATCH)).collect();
        let (me, store, clock) = (myself.clone(), self.store.take(), self.clock);
        let work = async move {
            let opened = match store {
                Some(store) => Ok(store),
                None => Store::open(&lock).await.map(Box::new),
            };
            let (store, trouble) = match opened {
                Ok(mut store) => {
                    let trouble = write(&mut store, batch, clock).await.err();
                    (Some(store), trouble)
                }
                Err(error) => {
                    for request in batch {
                        request.answer(Err(error.clone()));
                    }
                    (None, Some(error))
                }
            };
            // The actor is gone: so is this task in a moment.
            let _ = me.cast(JournalMessage::Committed { store, trouble });
        };
        self.task = Some(task::spawn(myself.get_cell(), work).await?);
        Ok(())
    }
}

impl Request {
    fn answer(self, outcome: Result<Vec<crate::journal::record::Receipt>, JournalError>) {
        if let Some(waiter) = self.waiter {
            // Whoever waited may have gone; it is on record all the same.
            let _ = waiter.send(outcome);
        }
    }
}

/// One transaction for all; when one of them is at fault, one for each, so that it hurts nobody else. Returns why.
async fn write(store: &mut Store, batch: Vec<Request>, clock: Clock) -> Result<(), JournalError> {
    let entries: Vec<Entry> = batch.iter().flat_map(|request| request.entries.iter().cloned()).collect();
    match store.commit(&entries, clock.now()).await {
        Ok(receipts) => {
            let mut receipts = receipts.into_iter();
            for request in batch {
                let own = receipts.by_ref().take(request.entries.len()).collect();
                request.answer(Ok(own));
            }
            Ok(())
        }
        Err(error) if error.is_of_all() => {
            for request in batch {
                request.answer(Err(error.clone()));
            }
            Err(error)
        }
        Err(error) => {
            for request in batch {
                let written = store.commit(&request.entries, clock.now()).await;
                request.answer(written);
            }
            Err(error)
        }
    }
}
