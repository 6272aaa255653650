//! The protocol and the client side of the Reaper.

use crate::actors::operation::Ledger;
use crate::actors::slot::Slot;
use crate::domain::operation::OperationId;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The protocol of the Reaper.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum ReaperMessage {
    /// `ReaperHandle::hand_over`, its own start, and a timer: see to every ledger there is.
    Look,
}

/// The client side of the Reaper, with everything that was handed over and is not done.
#[derive(Clone, Default)]
pub struct ReaperHandle {
    ledgers: Arc<Mutex<BTreeMap<OperationId, Arc<Ledger>>>>,
    pub(super) actor: Slot<ActorRef<ReaperMessage>>,
}

impl ReaperHandle {
    /// Makes what `ledger` still holds the Reaper's. Never waits and never fails.
    pub(in crate::actors) fn hand_over(&self, ledger: &Arc<Ledger>) {
        self.ledgers().insert(ledger.context().id, Arc::clone(ledger));
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
