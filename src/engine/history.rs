//! What happened at an engine, as far back as it remembers.

use super::events::{time_of, written};
use super::{Engine, EngineError};
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Events kept of one engine, the newest.
const KEPT: usize = 10_000;

/// Something that happened at an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastEvent {
    /// When, by the engine's clock.
    pub time: Timestamp,
    /// `container`, `image`, `volume` or `network`.
    pub kind: String,
    /// What was done, such as `die` or `exec_start: sh -c …`.
    pub action: String,
    /// The identifier of what it was done to; the name of an image or a volume.
    pub id: String,
    /// The engine's words about it: `name`, `exitCode`, and a container's labels.
    pub attributes: BTreeMap<String, String>,
}

/// Events of one engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Oldest first.
    pub events: Vec<PastEvent>,
    /// Whether there were too many and the oldest were left out.
    pub is_cut: bool,
}

impl Engine {
    /// Events of these `kinds` at or after `since` and up to `until`, or to the engine's own time; to `now`
    /// where it does not tell that.
    pub async fn history(
        &self,
        kinds: &[&str],
        since: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<History, EngineError> {
        // The engine ends the answer when its own clock reaches the end: an end that is still to come would
        // be waited for.
        let told = self.docker.info().await?.system_time;
        let now = told.and_then(|told| told.parse().ok()).unwrap_or(now);
        let last = until.map_or(now, |until| until.min(now));
        if last <= since {
            return Ok(History::default());
        }
        let filters = HashMap::from([("type", kinds.to_vec())]);
        let options = EventsOptionsBuilder::new().filters(&filters);
        let options = options.since(&written(since)).until(&written(last)).build();
        let mut stream = self.docker.events(Some(options));
        let (mut kept, mut is_cut) = (VecDeque::new(), false);
        while let Some(message) = stream.try_next().await? {
            let event = PastEvent::from(message);
            if event.time < since || event.time > last {
                continue;
            }
            kept.push_back(event);
            if kept.len() > KEPT {
                kept.pop_front();
                is_cut = true;
            }
        }
        Ok(History { events: kept.into(), is_cut })
    }
}

impl From<EventMessage> for PastEvent {
    fn from(message: EventMessage) -> Self {
        let time = time_of(&message);
        let actor = message.actor.unwrap_or_default();
        Self {
            time,
            kind: message.typ.map(|kind| kind.to_string()).unwrap_or_default(),
            action: message.action.unwrap_or_default(),
            id: actor.id.unwrap_or_default(),
            attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
        }
    }
}
