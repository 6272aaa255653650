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
use std::collections::{BTreeMap, BTreeSet};
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

/// An engine may tell of a container's end before its list does. So often it is asked again, after waits that double.
const MOST_LATE: u32 = 6;

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
    /// Sections that have not been looked at since they should have been: when each was the last time, if ever.
    behind: BTreeMap<Section, Option<Timestamp>>,
    /// Where it was learnt.
    pub(super) endpoint: Endpoint,
    /// The engine it was learnt from, where that has a name.
    engine: Option<String>,
    /// The link it was learnt over: incarnation of the host's actor and epoch.
    link: (u64, u64),
}

impl Known {
    /// When all of these sections were known to be as they are told; `None` when one of them was never seen.
    pub fn seen(&self, sections: &[Section]) -> Option<Timestamp> {
        let of_section = |section| self.behind.get(section).copied().unwrap_or(Some(self.as_of));
        sections.iter().map(of_section).min().flatten()
    }

    /// Whether this section is kept current at this moment.
    pub fn is_current(&self, section: Section) -> bool {
        self.live && !self.behind.contains_key(&section)
    }
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
    let engine = session.engine.info().id.clone();
    let before = shelf.borrow().clone();
    let before = before.filter(|known| known.endpoint == session.endpoint && known.engine == engine);
    // What an earlier line told stands until it is looked at over this one.
    let seen_of = |section: Section| Some((section, before.as_ref()?.seen(&[section])?));
    let looked = Section::ALL.into_iter().filter_map(seen_of).collect();
    let inventory = before.map(|known| known.inventory.as_ref().clone()).unwrap_or_default();
    let mut follower = Follower {
        session: &session,
        link,
        shelf,
        clock,
        full_look,
        suspect: &suspect,
        seen: None,
        heard: clock.now(),
        inventory,
        looked,
        behind: BTreeSet::new(),
        ended: BTreeSet::new(),
        late: 0,
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
    /// When each section was looked at last.
    looked: BTreeMap<Section, Timestamp>,
    /// Those that have not been looked at since they should have been.
    behind: BTreeSet<Section>,
    /// Containers whose end was told, until a list says the same.
    ended: BTreeSet<String>,
    /// How often a list has not.
    late: u32,
}

impl Follower<'_> {
    /// One stream of events, from its start to its end, which is none while all is well.
    async fn stream(&mut self) -> Option<EngineError> {
        self.behind = Section::ALL.into();
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
                if let Some(wait) = self.lateness() {
                    stale.insert(Section::Containers);
                    until = until.min(Instant::now() + settle.max(wait));
                }
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
        self.behind.extend(event.touches);
        match &event.life {
            Some((id, true)) => drop(self.ended.remove(id)),
            Some((id, false)) => drop(self.ended.insert(id.clone())),
            None => {}
        }
        event.touches
    }

    /// How long to wait before the list of containers is asked for again, because it says that one runs of whose end
    /// the engine has told.
    fn lateness(&mut self) -> Option<Duration> {
        let containers = &self.inventory.containers;
        let running = containers.iter().filter(|container| container.state == "running");
        let running: BTreeSet<&str> = running.map(|container| container.id.as_str()).collect();
        self.ended.retain(|id| running.contains(id.as_str()));
        if self.ended.is_empty() || self.late >= MOST_LATE {
            self.ended.clear();
            self.late = 0;
            return None;
        }
        self.late += 1;
        Some(SETTLE * 2_u32.pow(self.late))
    }

    /// Looks at these sections. One that the engine refuses, or takes too long for, stays as it was: a proxy
    /// in front of it may allow only some, and a volume driver may hang.
    async fn look(&mut self, stale: &BTreeSet<Section>) -> Result<(), EngineError> {
        for section in stale {
            match timeout(LOOK_LIMIT, self.session.engine.look(*section, &mut self.inventory)).await {
                Ok(Ok(())) => {
                    self.behind.remove(section);
                    self.publish();
                    self.looked.insert(*section, self.heard);
                }
                Ok(Err(error)) if error.is_broken_line() => return Err(error),
                Ok(Err(error)) => {
                    tracing::debug!(?section, %error, "cannot be looked at");
                    self.behind.insert(*section);
                    self.amend(|known| known.behind = self.behind());
                }
                Err(_) => {
                    tracing::debug!(?section, "not told within {} s", LOOK_LIMIT.as_secs());
                    self.behind.insert(*section);
                    self.amend(|known| known.behind = self.behind());
                    (self.suspect)();
                }
            }
        }
        Ok(())
    }

    /// What should have been looked at is told as of the last time it was.
    fn behind(&self) -> BTreeMap<Section, Option<Timestamp>> {
        self.behind.iter().map(|section| (*section, self.looked.get(section).copied())).collect()
    }

    /// Publishes that what is known has changed in another way than by a look.
    fn amend(&self, change: impl FnOnce(&mut Known)) {
        self.shelf.send_if_modified(|known| {
            let mine = known.as_mut().filter(|known| known.live && known.link == self.link);
            mine.map(change).is_some()
        });
    }

    fn publish(&mut self) {
        self.heard = self.clock.now();
        self.shelf.send_replace(Some(Known {
            inventory: Arc::new(self.inventory.clone()),
            live: true,
            as_of: self.heard,
            behind: self.behind(),
            endpoint: self.session.endpoint.clone(),
            engine: self.session.engine.info().id.clone(),
            link: self.link,
        }));
    }

    /// What is known is as old as what was heard last: the machine may have slept since.
    fn leave(&mut self) {
        let current = Section::ALL.into_iter().filter(|section| !self.behind.contains(section));
        self.looked.extend(current.map(|section| (section, self.heard)));
        self.amend(|known| (known.live, known.as_of, known.behind) = (false, self.heard, self.behind()));
    }
}

/// However following ends, what is known is no longer kept current.
impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
