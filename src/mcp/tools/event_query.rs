//! `event_query`

use crate::actors::operation::Operation;
use crate::domain::pattern::Pattern;
use crate::domain::redact;
use crate::domain::text::{clean, cut};
use crate::domain::toolset::Toolset;
use crate::engine::history::{History, PastEvent};
use crate::mcp::error::{ErrorKind, HostFailure, ToolError};
use crate::mcp::fleet::Patience;
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::logs::moment;
use crate::mcp::page;
use crate::mcp::sections;
use crate::mcp::shape::short_id;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An engine that writes its events to a journal reads that first.
const LOOKING_BACK: Duration = Duration::from_secs(3);

/// The action of a command started inside has the whole command in it.
const LONGEST_ACTION: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// RFC 3339 or 15m/2h.
    #[serde(default = "an_hour")]
    since: String,
    /// Same forms.
    until: Option<String>,
    /// Default: all.
    types: Option<Vec<Kind>>,
    /// Name glob or label=key[=value].
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

fn an_hour() -> String {
    "1h".to_owned()
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Container,
    Image,
    Volume,
    Network,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Container, Self::Image, Self::Volume, Self::Network];

    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    events: Vec<Row>,
    /// How many match on the hosts that answered.
    total: usize,
    /// Hosts with more events than could be read: the oldest are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut: Vec<String>,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    /// RFC 3339, by the host's clock.
    time: String,
    host: String,
    #[serde(rename = "type")]
    kind: String,
    action: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "event_query",
        title: "Query events",
        description: "Query what happened on hosts (start, die with exit code, oom, health, pull), newest first. Docker remembers 256 events per host, health checks included.",
        toolset: Toolset::Fleet,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let now = context.directory.clock().now();
    // What an age meant on the first page, it means on the others.
    let since = match parameters.cursor.as_deref() {
        Some(cursor) => read_cursor(cursor)?,
        None => moment("since", &parameters.since, now)?,
    };
    let until = parameters.until.as_deref().map(|text| moment("until", text, now)).transpose()?;
    let pattern = parameters.pattern.as_deref().map(str::parse::<Pattern>).transpose()?;
    let kinds = sections::chosen(parameters.types, &Kind::ALL);
    let kinds: Vec<&'static str> = kinds.into_iter().map(Kind::word).collect();
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let call = |operation: Operation| {
        let kinds = kinds.clone();
        async move { Ok(operation.engine().history(&kinds, since, until, now).await?) }
    };
    let mut cut = Vec::new();
    let rows_of = |host: &str, history: History| {
        if history.is_cut {
            cut.push(host.to_owned());
        }
        rows_of(host, history.events, since, pattern.as_ref())
    };
    let (events, rest) = list.rows(Patience::Longer(LOOKING_BACK), call, rows_of).await?;
    let Rest { total, next_cursor, errors } = rest;
    Ok(Answer { events, total, cut, next_cursor, errors })
}

/// The last word of a cursor is the beginning of the time that is looked at.
fn read_cursor(cursor: &str) -> Result<Timestamp, ToolError> {
    let words = page::decode(cursor)?;
    words
        .last()
        .and_then(|since| since.parse().ok())
        .ok_or_else(|| ToolError::new(ErrorKind::InvalidArguments, "cursor is not one of this tool's"))
}

/// The rows of one host, each with a key of its own in whose order the newest comes first.
fn rows_of(
    host: &str,
    events: Vec<PastEvent>,
    since: Timestamp,
    pattern: Option<&Pattern>,
) -> Vec<Keyed<Row>> {
    let mut same: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for event in events {
        let newest_first = i128::MAX - event.time.as_nanosecond();
        let mut key = vec![
            format!("{newest_first:040}"),
            host.to_owned(),
            event.kind.clone(),
            event.id.clone(),
            event.action.clone(),
        ];
        // Two that are alike in everything are two all the same.
        let number = same.entry(key.clone()).or_default();
        key.extend([format!("{number:06}"), since.to_string()]);
        *number += 1;
        let subject = subject(&event);
        if pattern.is_none_or(|pattern| pattern.admits(&subject, |key| event.attributes.get(key))) {
            rows.push((key, row(host, event, subject)));
        }
    }
    rows
}

fn subject(event: &PastEvent) -> String {
    let is_hash = event.id.starts_with("sha256:")
        || (event.id.len() == 64 && event.id.chars().all(|c| c.is_ascii_hexdigit()));
    // An image's name is its repository alone; where the event is about a tag, its id has both.
    let is_tagged = event.kind == "image" && !is_hash;
    let name = event.attributes.get("name").filter(|name| !name.is_empty() && !is_tagged);
    let id = || if is_hash { short_id(&event.id) } else { event.id.clone() };
    clean(&name.cloned().unwrap_or_else(id))
}

fn row(host: &str, event: PastEvent, subject: String) -> Row {
    // Podman has a word of its own for it.
    let code = ["exitCode", "containerExitCode"].into_iter().find_map(|key| event.attributes.get(key));
    let time = Timestamp::from_millisecond(event.time.as_millisecond()).unwrap_or(event.time);
    Row {
        time: time.to_string(),
        host: host.to_owned(),
        action: action(&event.action),
        subject,
        exit_code: code.and_then(|code| code.parse().ok()),
        kind: event.kind,
    }
}

/// `exec_start: sh -c …` has words of a command in it, which may be secret.
fn action(text: &str) -> String {
    let text = clean(text);
    let told = match text.split_once(": ") {
        Some((action, command)) if action.starts_with("exec") => {
            let words: Vec<String> = command.split_whitespace().map(ToOwned::to_owned).collect();
            format!("{action}: {}", redact::text(&redact::command(&words).join(" ")))
        }
        _ => redact::text(&text),
    };
    cut(&told, LONGEST_ACTION).0.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(nanosecond: i64, id: &str, action: &str) -> PastEvent {
        PastEvent {
            time: Timestamp::from_nanosecond(nanosecond.into()).unwrap(),
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: [("name".to_owned(), id.to_owned())].into(),
        }
    }

    #[test]
    fn an_image_is_told_with_its_tag() {
        let of = |kind: &str, id: &str, name: &str| {
            let attributes = [("name".to_owned(), name.to_owned())].into();
            subject(&PastEvent { kind: kind.to_owned(), attributes, ..event(1, id, "pull") })
        };
        assert_eq!(of("image", "nginx:1.27", "nginx"), "nginx:1.27");
        assert_eq!(of("image", &format!("sha256:{}", "a".repeat(64)), "app:1"), "app:1");
        assert_eq!(of("container", &"b".repeat(64), "web"), "web");
    }

    proptest! {
        #[test]
        fn pages_give_every_event_once_newest_first(
            happened in proptest::collection::vec((0_i64..3, "[ab]", "[st]"), 0..30), limit in 1_u16..8,
        ) {
            let since = Timestamp::UNIX_EPOCH;
            let mut later = 0;
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                // Others happen meanwhile; they belong before what was given.
                later += 1;
                let mut events: Vec<PastEvent> =
                    happened.iter().map(|(at, id, action)| event(*at, id, action)).collect();
                events.sort_by_key(|event| event.time);
                if !seen.is_empty() {
                    events.push(event(1_000 + later, "c", "new"));
                }
                let rows = rows_of("h", events, since, None);
                let page = page::Window::parse(limit, cursor.as_deref()).unwrap().cut(rows);
                seen.extend(page.rows.into_iter().map(|row| (row.time, row.subject, row.action)));
                cursor = page.next_cursor;
                match &cursor {
                    Some(cursor) => prop_assert_eq!(read_cursor(cursor).unwrap(), since),
                    None => break,
                }
            }
            prop_assert_eq!(seen.len(), happened.len());
            let count = |of: &str| seen.iter().filter(|(_, subject, _)| subject == of).count();
            for of in ["a", "b"] {
                prop_assert_eq!(count(of), happened.iter().filter(|(_, id, _)| id == of).count());
            }
        }
    }

    #[test]
    fn commands_in_actions_are_redacted() {
        assert_eq!(action("health_status: healthy"), "health_status: healthy");
        let told = action("exec_start: mysql -u root --password hunter2 TOKEN=hunter3 \u{1b}[31mx");
        assert_eq!(told, "exec_start: mysql -u root --password *** TOKEN=*** x");
    }
}
