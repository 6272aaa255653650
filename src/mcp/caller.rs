//! Whoever makes a call, as far as they can be spoken with while it is made.

use super::consent::{Assent, Consent};
use crate::domain::change::Asker;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

/// Notes waiting to be sent; a client that reads none misses some.
const NOTES: usize = 16;

/// Whoever makes a call.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Who.
    pub asker: Asker,
    /// Hears how far the call is.
    pub progress: Progress,
    /// What the person behind it has said.
    pub consent: Consent,
    /// Cancelled when they will say no more: answers are still wanted, and no longer waited for.
    pub left: CancellationToken,
    /// Cancelled when it waits no more.
    pub gone: CancellationToken,
}

impl Caller {
    /// A person at the command line, who can be asked, or has agreed.
    pub fn at_the_command_line(asker: Asker, assent: Option<Assent>) -> Self {
        Self { consent: assent.map_or(Consent::Askable, Consent::Given), ..Self::from(asker) }
    }
}

impl From<Asker> for Caller {
    fn from(asker: Asker) -> Self {
        Self { asker, ..Self::default() }
    }
}

/// Where notes about a call's progress go; nowhere when nobody asked for them. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<mpsc::Sender<String>>);

impl Progress {
    /// One whose messages come out at the other end.
    pub(super) fn channel() -> (Self, mpsc::Receiver<String>) {
        let (notes, told) = mpsc::channel(NOTES);
        (Self(Some(notes)), told)
    }

    /// Tells it, when somebody listens. `false` when they are behind: it was not told.
    pub(super) fn say(&self, message: impl FnOnce() -> String) -> bool {
        let Some(notes) = &self.0 else { return true };
        match notes.try_reserve() {
            Ok(place) => {
                place.send(message());
                true
            }
            Err(TrySendError::Full(())) => false,
            Err(TrySendError::Closed(())) => true,
        }
    }
}
