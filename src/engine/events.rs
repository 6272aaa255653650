//! What happens at an engine, as it happens.

use super::inventory::Section;
use super::{Engine, EngineError};
use bollard::models::{EventMessage, EventMessageTypeEnum as Type};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use std::collections::HashMap;

/// Something that happened at an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, by the engine's clock.
    pub time: Timestamp,
    /// The section of the inventory that it may have changed.
    pub touches: Option<Section>,
    /// The identifier of a container that has begun to run, or has ended; whether it runs.
    pub life: Option<(String, bool)>,
}

/// The types of events asked for. Others change nothing that is kept, and some engines have types that the
/// client library cannot read.
pub const TYPES: [&str; 4] = ["container", "image", "volume", "network"];

impl Engine {
    /// Events from `since` on, or from when this engine was connected to; no end while all is well.
    pub fn events(&self, since: Option<Timestamp>) -> BoxStream<'_, Result<Event, EngineError>> {
        let mut options = EventsOptionsBuilder::new().filters(&HashMap::from([("type", TYPES.to_vec())]));
        if let Some(since) = since.or(self.met) {
            options = options.since(&written(since));
        }
        let events = self.followed.events(Some(options.build()));
        events.map(|event| Ok(Event::from(event?))).boxed()
    }
}

impl From<EventMessage> for Event {
    fn from(message: EventMessage) -> Self {
        let (time, action) = (time_of(&message), message.action.as_deref().unwrap_or_default());
        let touches = touches(message.typ, action);
        let runs = match action {
            "start" => Some(true),
            "die" | "died" => Some(false),
            _ => None,
        };
        let of_container = message.typ == Some(Type::CONTAINER);
        let id = message.actor.and_then(|actor| actor.id).filter(|_| of_container);
        Self { time, touches, life: id.zip(runs) }
    }
}

/// When it happened, to the nanosecond.
pub(super) fn time_of(message: &EventMessage) -> Timestamp {
    let nanoseconds = message.time_nano.or(message.time.map(|seconds| seconds.saturating_mul(1_000_000_000)));
    Timestamp::from_nanosecond(nanoseconds.unwrap_or_default().into()).unwrap_or_default()
}

/// A time as the engine reads it.
pub(super) fn written(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

/// What an event may have changed. An action nobody knows yet may have changed anything of its type.
fn touches(kind: Option<Type>, action: &str) -> Option<Section> {
    // `health_status: healthy`, `exec_start: sh -c …`
    let action = action.split(':').next().unwrap_or_default();
    match kind {
        Some(Type::CONTAINER) => match action {
            "attach" | "detach" | "resize" | "top" | "copy" | "archive-path" | "extract-to-dir"
            | "export" | "commit" | "exec_create" | "exec_start" | "exec_detach" | "exec_die" | "exec"
            | "exec_died" => None,
            _ => Some(Section::Containers),
        },
        Some(Type::IMAGE) => match action {
            "push" | "save" | "mount" | "unmount" => None,
            _ => Some(Section::Images),
        },
        Some(Type::VOLUME) => match action {
            "mount" | "unmount" => None,
            _ => Some(Section::Volumes),
        },
        Some(Type::NETWORK) => match action {
            // Which networks a container is in stands in the list of containers.
            "connect" | "disconnect" => Some(Section::Containers),
            _ => Some(Section::Networks),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_makes_looked_at_what_it_may_have_changed_and_nothing_else() {
        for (kind, action, section) in [
            (Type::CONTAINER, "start", Some(Section::Containers)),
            (Type::CONTAINER, "health_status: healthy", Some(Section::Containers)),
            (Type::CONTAINER, "something new", Some(Section::Containers)),
            (Type::CONTAINER, "exec_start: /bin/sh -c true", None),
            (Type::CONTAINER, "attach", None),
            (Type::IMAGE, "untag", Some(Section::Images)),
            (Type::VOLUME, "mount", None),
            (Type::VOLUME, "create", Some(Section::Volumes)),
            (Type::NETWORK, "connect", Some(Section::Containers)),
            (Type::NETWORK, "destroy", Some(Section::Networks)),
            (Type::DAEMON, "reload", None),
        ] {
            assert_eq!(touches(Some(kind), action), section, "{action}");
        }
    }

    #[test]
    fn the_time_of_an_event_is_kept_to_the_nanosecond() {
        let message =
            EventMessage { time: Some(1), time_nano: Some(1_000_000_002), ..EventMessage::default() };
        assert_eq!(Event::from(message).time.as_nanosecond(), 1_000_000_002);
    }
}
