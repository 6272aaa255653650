//! The protocol and the client side of the Reaper.

use crate::actors::journal::JournalHandle;
use crate::actors::operation::{Holdings, Ledger};
use crate::actors::slot::Slot;
use crate::journal::JournalError;
use jiff::Timestamp;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The protocol of the Reaper.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum ReaperMessage {
    /// `ReaperHandle::hand_over` and `attend`, its own start, and a timer: see to every ledger, every
    /// change and every rollout there is.
    Look,
    /// Its own start, and a timer while the journal cannot be read: take in what a service before this one
    /// left.
    Recover,
}

/// The client side of the Reaper, with everything that was handed over and is not done.
#[derive(Clone)]
pub struct ReaperHandle {
    ledgers: Arc<Mutex<BTreeMap<String, Arc<Ledger>>>>,
    pub(super) actor: Slot<ActorRef<ReaperMessage>>,
    journal: JournalHandle,
    holdings: Holdings,
}

impl ReaperHandle {
    /// Nothing left over yet; what is held goes on record in `journal`.
    pub(in crate::actors) fn new(journal: JournalHandle) -> Self {
        Self { ledgers: Arc::default(), actor: Slot::default(), journal, holdings: Holdings::default() }
    }

    /// Where what is held goes on record.
    pub(in crate::actors) fn journal(&self) -> &JournalHandle {
        &self.journal
    }

    /// What operations of this service hold.
    pub(in crate::actors) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Takes over what operations of a service before this one held.
    pub(super) async fn recover_held(&self, now: Timestamp) -> Result<(), JournalError> {
        let held = self.journal.reader().await?.held().await?;
        let left = Ledger::left(held, &self.journal, &self.holdings, now);
        self.ledgers().extend(left.into_iter().map(|ledger| (ledger.launch().to_owned(), ledger)));
        Ok(())
    }

    /// Makes what `ledger` still holds the Reaper's. Never waits and never fails.
    pub(in crate::actors) fn hand_over(&self, ledger: &Arc<Ledger>) {
        self.ledgers().insert(ledger.launch().to_owned(), Arc::clone(ledger));
        self.actor.cast(ReaperMessage::Look);
    }

    /// Has every change and every rollout attended to that is not over.
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

    fn ledgers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Ledger>>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Strikes a ledger off that holds nothing any more; `false` when it does.
    pub(super) fn strike(&self, ledger: &Ledger) -> bool {
        // Under the lock, so that what is handed over at the same time is not struck off unseen.
        let mut ledgers = self.ledgers();
        let done = ledger.is_empty();
        if done {
            ledgers.remove(ledger.launch());
        }
        done
    }
}
