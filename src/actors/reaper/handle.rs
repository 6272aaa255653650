//! The protocol and the client side of the Reaper.

use crate::actors::journal::JournalHandle;
use crate::actors::operation::Ledger;
use crate::actors::slot::Slot;
use crate::domain::operation::OperationId;
use crate::journal::JournalError;
use ractor::ActorRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The protocol of the Reaper.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum ReaperMessage {
    /// `ReaperHandle::hand_over` and `attend`, its own start, and a timer: see to every ledger and every
    /// change there is.
    Look,
    /// Its own start, and a timer while the journal cannot be read: take in what a service before this one
    /// left.
    Recover,
}

/// The client side of the Reaper, with everything that was handed over and is not done.
#[derive(Clone)]
pub struct ReaperHandle {
    ledgers: Arc<Mutex<BTreeMap<OperationId, Arc<Ledger>>>>,
    pub(super) actor: Slot<ActorRef<ReaperMessage>>,
    journal: JournalHandle,
    /// The operations that are known to hold something, or to have held it: what they left is theirs to tell.
    met: Arc<Mutex<BTreeSet<OperationId>>>,
}

impl ReaperHandle {
    /// Nothing left over yet; what is held goes on record in `journal`.
    pub(in crate::actors) fn new(journal: JournalHandle) -> Self {
        Self { ledgers: Arc::default(), actor: Slot::default(), journal, met: Arc::default() }
    }

    /// Where what is held goes on record.
    pub(in crate::actors) fn journal(&self) -> &JournalHandle {
        &self.journal
    }

    /// An operation of this service holds something: `true` when it is the first time this is said.
    pub(in crate::actors) fn meet(&self, id: OperationId) -> bool {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    /// Takes over what operations of a service before this one held.
    pub(super) async fn recover_held(&self) -> Result<(), JournalError> {
        let held = self.journal.reader().await?.held().await?;
        for ledger in Ledger::left(held, &self.journal) {
            let id = ledger.context().id;
            if self.meet(id) {
                self.ledgers().insert(id, ledger);
            }
        }
        Ok(())
    }

    /// Makes what `ledger` still holds the Reaper's. Never waits and never fails.
    pub(in crate::actors) fn hand_over(&self, ledger: &Arc<Ledger>) {
        self.ledgers().insert(ledger.context().id, Arc::clone(ledger));
        self.actor.cast(ReaperMessage::Look);
    }

    /// Has every change attended to that is not over.
    pub(in crate::actors) fn attend(&self) {
        self.actor.cast(ReaperMessage::Look);
    }

    /// The ledgers that still hold something, the oldest first.
    pub fn leftovers(&self) -> Vec<Arc<Ledger>> {
        self.ledgers().values().cloned().collect()
    }

    /// Makes the Reaper look, as a hand-over does.
    #[cfg(test)]
    pub(crate) fn look(&self) {
        self.actor.cast(ReaperMessage::Look);
    }

    /// Makes the Reaper recover, as its start does.
    #[cfg(test)]
    pub(crate) fn recover(&self) {
        self.actor.cast(ReaperMessage::Recover);
    }

    fn ledgers(&self) -> MutexGuard<'_, BTreeMap<OperationId, Arc<Ledger>>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Strikes a ledger off that holds nothing any more; `false` when it does.
    pub(super) fn strike(&self, ledger: &Ledger) -> bool {
        // Under the lock, so that what is handed over at the same time is not struck off unseen.
        let mut ledgers = self.ledgers();
        let done = ledger.is_empty();
        if done {
            ledgers.remove(&ledger.context().id);
        }
        done
    }
}
