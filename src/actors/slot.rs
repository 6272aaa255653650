//! Where the living incarnation of an actor is found: whoever holds a slot outlives the actor in it.

use std::sync::{Arc, PoisonError, RwLock};

/// A place for the client side of whichever incarnation lives; clones are the same place.
#[derive(Debug)]
pub struct Slot<T>(Arc<RwLock<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(None)))
    }
}

impl<T: Clone> Slot<T> {
    /// Puts a new incarnation in.
    pub fn put(&self, incarnation: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(incarnation);
    }

    /// The latest incarnation, dead or alive; `None` before the first.
    pub fn get(&self) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<M: ractor::Message> Slot<ractor::ActorRef<M>> {
    /// Sends to the latest incarnation. A message to one that is gone is dropped: its successor
    /// starts by looking at everything anew.
    pub(super) fn cast(&self, message: M) {
        if let Some(actor) = self.get() {
            let _ = actor.cast(message);
        }
    }
}
