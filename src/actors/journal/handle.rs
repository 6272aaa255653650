//! The protocol and the client side of the journal's actor.

use crate::actors::slot::Slot;
use crate::journal::record::{Entry, Receipt};
use crate::journal::{Holder, JournalError, JournalLock, Reader, Store};
use crate::runtime::failpoint::Failpoints;
use ractor::ActorRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::sleep;

/// So often an entry is sent again to a writer that is being restarted, and after this long each.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Whoever waits for entries to be on disk.
pub(super) type Waiter = oneshot::Sender<Result<Vec<Receipt>, JournalError>>;

/// The protocol of the journal's actor.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum JournalMessage {
    /// `JournalHandle::write` and `note`: put these on record, together.
    Write {
        /// The entries.
        entries: Vec<Entry>,
        /// Who waits.
        waiter: Option<oneshot::Sender<Result<Vec<Receipt>, JournalError>>>,
    },
    /// From its own task: a batch is done.
    Committed {
        /// The database again, unless it could not be opened.
        store: Option<Box<Store>>,
        /// What was wrong.
        trouble: Option<JournalError>,
    },
}

/// The client side of the journal.
#[derive(Clone)]
pub struct JournalHandle {
    place: Result<Arc<JournalLock>, JournalError>,
    pub(super) actor: Slot<ActorRef<JournalMessage>>,
    reader: Option<Reader>,
    opened: Arc<OnceCell<()>>,
    failpoints: Failpoints,
}

impl JournalHandle {
    /// The journal whose lock is held; or none, for this reason.
    pub fn new(place: Result<Arc<JournalLock>, JournalError>, failpoints: Failpoints) -> Self {
        let reader = place.as_ref().ok().map(|lock| Reader::of(lock.dir()));
        Self { place, actor: Slot::default(), reader, opened: Arc::default(), failpoints }
    }

    /// No journal.
    pub fn none() -> Self {
        Self::new(Err(JournalError::None), Failpoints::default())
    }

    /// Where it lies.
    pub(super) fn place(&self) -> &Result<Arc<JournalLock>, JournalError> {
        &self.place
    }

    /// Whether this service is the one that writes it.
    pub fn is_there(&self) -> bool {
        self.place.is_ok()
    }

    /// Tells other processes who holds it.
    pub fn say(&self, holder: &Holder) {
        if let Ok(lock) = &self.place
            && let Err(error) = lock.say(holder)
        {
            tracing::warn!(%error, "others will not know who keeps the journal");
        }
    }

    /// The points at which tests stop the program.
    pub fn failpoints(&self) -> &Failpoints {
        &self.failpoints
    }

    /// For reading it, beside the writer, which has made it by then if it can.
    pub async fn reader(&self) -> Result<Reader, JournalError> {
        self.place.as_ref().map_err(Clone::clone)?;
        let opened = self.opened.get_or_try_init(async || self.send(vec![]).await.map(drop)).await;
        if let Err(error) = opened {
            tracing::debug!(%error, "the journal is read without having been opened for writing");
        }
        self.reader.clone().ok_or(JournalError::None)
    }

    /// Puts entries on record, all or none; returns when they are on disk, with what became of each. `point`
    /// names it for tests.
    pub async fn write(&self, point: &str, entries: Vec<Entry>) -> Result<Vec<Receipt>, JournalError> {
        self.place.as_ref().map_err(Clone::clone)?;
        self.failpoints.pass(|| format!("before {point}")).await;
        let written = self.send(entries).await?;
        self.failpoints.pass(|| format!("after {point}")).await;
        Ok(written)
    }

    async fn send(&self, entries: Vec<Entry>) -> Result<Vec<Receipt>, JournalError> {
        for _ in 0..TRIES {
            let (waiter, written) = oneshot::channel();
            let (entries, waiter) = (entries.clone(), Some(waiter));
            self.actor.cast(JournalMessage::Write { entries, waiter });
            if let Ok(written) = written.await {
                return written;
            }
            sleep(BETWEEN_TRIES).await;
        }
        Err(JournalError::Restarting)
    }

    /// Puts an entry on record some time; nobody waits for it, and nothing depends on it.
    pub fn note(&self, entry: Entry) {
        if self.place.is_ok() {
            self.actor.cast(JournalMessage::Write { entries: vec![entry], waiter: None });
        }
    }
}
