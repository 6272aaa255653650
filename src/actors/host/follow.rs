//! The events task: keeps what is known of an engine current while its line lives.
//!
//! An event is a hint: it makes its section of the inventory looked at anew. Whatever no event tells of is
//! found by a full look, at the start of every stream and every five minutes.

use super::handle::Session;
use crate::domain::host::Endpoint;
use crate::domain::retry::BackoffPolicy;
use crate::engine::EngineError;
use crate::engine::events::Event;
use crate::engine::inventory::{Inventory, Section};
use crate::runtime::backoff::{Backoff, fresh_seed};
use crate::runtime::clock::Clock;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Events come in groups (a container's start is four): they are taken together.
const SETTLE: Duration = Duration::from_millis(100);

/// The look after a group of events waits so many times as long as the last one took.
const QUIET: u32 = 5;

/// Events that came before the stream began are found by a look so long after.
const ONCE_MORE: Duration = Duration::from_secs(5);

/// An engine that needs longer for a list is in trouble.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// A stream that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// What is known of what there is on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What there is.
    pub inventory: Arc<Inventory>,
    /// Whether it is kept current at this moment.
    pub live: bool,
    /// When it was known to be so last.
    pub as_of: Timestamp,
    /// The engine it was learnt from.
    pub(super) endpoint: Endpoint,
    /// The link it was learnt over: incarnation of the host's actor and epoch.
    link: (u64, u64),
}

/// Where a host's actor publishes what is known.
pub(in crate::actors) type Shelf = Arc<watch::Sender<Option<Known>>>;

/// Follows the engine of `session` until dropped. A stream that ends is opened again after a growing wait; when
/// the engine may be dead, `suspect` is told.
pub(super) async fn follow(
    session: Arc<Session>,
    incarnation: u64,
    shelf: Shelf,
    clock: Clock,
    full_look: Duration,
    suspect: impl Fn() + Send + Sync,
) {
    let link = (incarnation, session.epoch);
    let mut follower = Follower {
        session: &session,
        link,
        shelf,
        clock,
        full_look,
        suspect: &suspect,
        seen: None,
        heard: clock.now(),
        inventory: Inventory::default(),
    };
    let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, fresh_seed());
    loop {
        let started = Instant::now();
        let cause = follower.stream().await;
        tracing::debug!(cause = cause.as_ref().map(ToString::to_string), "the engine's events ended");
        follower.leave();
        if cause.is_none_or(|error| error.is_broken_line()) {
            suspect();
        }
        if started.elapsed() >= GOOD {
            waits.reset();
        }
        sleep(waits.next_wait()).await;
    }
}

struct Follower<'a> {
    session: &'a Session,
    link: (u64, u64),
    shelf: Shelf,
    clock: Clock,
    full_look: Duration,
    suspect: &'a (dyn Fn() + Send + Sync),
    /// The time of the last event, by the engine's clock.
    seen: Option<Timestamp>,
    /// When the engine was heard of last, by ours.
    heard: Timestamp,
    inventory: Inventory,
}

impl Follower<'_> {
    /// One stream of events, from its start to its end, which is none while all is well.
    async fn stream(&mut self) -> Option<EngineError> {
        let mut events = self.session.engine.events(self.seen);
        // The engine tells again what happened since the time asked for, so that nothing is missed between
        // the start of its stream and a look. One that tells no time is looked at once more.
        let knows_since = self.seen.is_some() || self.session.engine.tells_time();
        let mut full = Instant::now() + if knows_since { self.full_look } else { ONCE_MORE };
        loop {
            let mut stale = BTreeSet::from(Section::ALL);
            loop {
                let looked = Instant::now();
                if let Err(error) = self.look(&stale).await {
                    return Some(error);
                }
                // A host on which something happens all the time is busy enough.
                let settle = SETTLE.max(looked.elapsed() * QUIET);
                stale.clear();
                let mut until = full;
                while let Ok(event) = timeout_at(until, events.next()).await {
                    match event {
                        Some(Ok(event)) => stale.extend(self.take(&event)),
                        Some(Err(error)) => return Some(error),
                        None => return None,
                    }
                    until = until.min(Instant::now() + settle);
                }
                if Instant::now() >= full {
                    break;
                }
            }
            full = Instant::now() + self.full_look;
        }
    }

    fn take(&mut self, event: &Event) -> Option<Section> {
        #[cfg(test)]
        crate::actors::trip::named("Event", "take");
        self.seen = self.seen.max(Some(event.time));
        self.heard = self.clock.now();
        event.touches
    }

    /// Looks at these sections. One that the engine refuses, or takes too long for, stays as it was: a proxy
    /// in front of it may allow only some, and a volume driver may hang.
    async fn look(&mut self, stale: &BTreeSet<Section>) -> Result<(), EngineError> {
        for section in stale {
            match timeout(LOOK_LIMIT, self.session.engine.look(*section, &mut self.inventory)).await {
                Ok(Ok(())) => self.publish(),
                Ok(Err(error)) if error.is_broken_line() => return Err(error),
                Ok(Err(error)) => tracing::debug!(?section, %error, "cannot be looked at"),
                Err(_) => {
                    tracing::debug!(?section, "not told within {} s", LOOK_LIMIT.as_secs());
                    (self.suspect)();
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.heard = self.clock.now();
        self.shelf.send_replace(Some(Known {
            inventory: Arc::new(self.inventory.clone()),
            live: true,
            as_of: self.heard,
            endpoint: self.session.endpoint.clone(),
            link: self.link,
        }));
    }

    /// What is known is as old as what was heard last: the machine may have slept since.
    fn leave(&self) {
        self.shelf.send_if_modified(|known| {
            let mine = known.as_mut().filter(|known| known.live && known.link == self.link);
            let Some(known) = mine else { return false };
            (known.live, known.as_of) = (false, self.heard);
            true
        });
    }
}

/// However following ends, what is known is no longer kept current.
impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
