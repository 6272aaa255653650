//! `fleet_search`

use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::compose::stacks;
use crate::domain::pattern::Pattern;
use crate::domain::redact;
use crate::domain::text::{clean, cut};
use crate::domain::toolset::Toolset;
use crate::engine::containers::{Container, Port};
use crate::engine::images::ImageLabels;
use crate::engine::labels::Labelled;
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::fleet::Patience;
use crate::mcp::list::{Keyed, List, Rest};
use crate::mcp::page;
use crate::mcp::sections;
use crate::mcp::shape::{ports, short_id};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use globset::GlobMatcher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A label may hold a whole rule of a proxy.
const LONGEST_REASON: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Text, glob, label=key[=value] or port=8080.
    query: String,
    /// Default: all.
    kinds: Option<Vec<Kind>>,
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Container,
    Stack,
    Image,
    Volume,
    Network,
    Port,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Container, Self::Stack, Self::Image, Self::Volume, Self::Network, Self::Port];
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    matches: Vec<Row>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    kind: Kind,
    host: String,
    /// Of a port: the container's.
    name: String,
    /// What matched.
    why: String,
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "fleet_search",
        title: "Search all hosts",
        description: "Find containers, stacks, images, volumes, networks and published ports on hosts by name, image, label or port. Hosts that do not answer are named under errors.",
        toolset: Toolset::Fleet,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let query = Query::parse(&parameters.query)?;
    let kinds = sections::chosen(parameters.kinds, &Kind::ALL);
    let kinds: BTreeSet<Kind> = kinds.into_iter().filter(|kind| query.may_be(*kind)).collect();
    if kinds.is_empty() {
        let words = format!("query: nothing of these kinds is found by {:?}", parameters.query);
        return Err(ToolError::new(ErrorKind::InvalidArguments, words).with_hint(
            "a port is looked for among kind port, a label among things that have some; leave kinds out",
        ));
    }
    let list =
        List::of(&context, parameters.hosts.as_deref(), parameters.limit, parameters.cursor.as_deref())?;
    let rows_of = |host: &str, found: Found| {
        // Each thing once, whatever makes it match; a container's ports are one each.
        let matches: BTreeSet<Match> = found.matches(&kinds, &query).into_iter().collect();
        matches.into_iter().map(|one| one.into_row(host)).collect()
    };
    let call = |operation| find(operation, kinds.clone());
    let (matches, rest) = list.rows(Patience::Quick, call, rows_of).await?;
    Ok(Answer { matches, rest })
}

/// What is looked for.
enum Query {
    /// A part of a name or of an image's, whatever the case; a number is a port too.
    Text(String),
    Glob(GlobMatcher),
    Label(Pattern),
    Port(u16),
}

impl Query {
    fn parse(text: &str) -> Result<Self, ToolError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ToolError::new(ErrorKind::InvalidArguments, "query is empty")
                .with_hint("write a part of a name, a glob such as web*, label=key or port=8080"));
        }
        if let Some(port) = text.strip_prefix("port=") {
            let port = port.parse().ok().filter(|port| *port != 0);
            let wrong =
                || ToolError::new(ErrorKind::InvalidArguments, format!("query: {text:?} names no port"));
            return port.map(Self::Port).ok_or_else(wrong);
        }
        if text.starts_with("label=") {
            return Ok(Self::Label(str::parse::<Pattern>(text)?));
        }
        if text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Glob(page::glob(text)?));
        }
        Ok(Self::Text(text.to_lowercase()))
    }

    /// Whether something of this kind can be meant: what is not is not asked for.
    fn may_be(&self, kind: Kind) -> bool {
        match self {
            Self::Port(_) => kind == Kind::Port,
            Self::Label(_) => !matches!(kind, Kind::Port | Kind::Stack),
            Self::Glob(_) => kind != Kind::Port,
            Self::Text(text) => kind != Kind::Port || text.parse::<u16>().is_ok(),
        }
    }

    fn admits(&self, name: &str) -> bool {
        match self {
            Self::Text(text) => name.to_lowercase().contains(text),
            Self::Glob(glob) => glob.is_match(name),
            Self::Label(_) | Self::Port(_) => false,
        }
    }

    fn is_port(&self, port: u16) -> bool {
        match self {
            Self::Port(wanted) => *wanted == port,
            Self::Text(text) => text.parse() == Ok(port),
            Self::Glob(_) | Self::Label(_) => false,
        }
    }

    /// The label that is looked for, where `labels` have it.
    fn label(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        let Self::Label(pattern) = self else { return None };
        let key = pattern.label()?;
        let found = labels.get(key)?;
        pattern.admits("", |key| labels.get(key)).then(|| {
            let told = format!("label {key}={}", redact::value(key, &clean(found)));
            cut(&told, LONGEST_REASON).0.to_owned()
        })
    }
}

/// What there is on one host, of the kinds that were asked for.
#[derive(Default)]
struct Found {
    containers: Vec<Container>,
    stacks: Vec<String>,
    images: Vec<Labelled>,
    volumes: Vec<Labelled>,
    networks: Vec<Labelled>,
}

async fn find(operation: Operation, kinds: BTreeSet<Kind>) -> Result<Found, HostError> {
    let engine = operation.engine();
    let with = |kind| kinds.contains(&kind);
    let (containers, labels, images, volumes, networks) = tokio::try_join!(
        async {
            let any = with(Kind::Container) || with(Kind::Stack) || with(Kind::Port);
            if any { engine.containers().await } else { Ok(vec![]) }
        },
        async { if with(Kind::Stack) { engine.image_labels().await } else { Ok(ImageLabels::new()) } },
        async { if with(Kind::Image) { engine.labelled_images().await } else { Ok(vec![]) } },
        async { if with(Kind::Volume) { engine.labelled_volumes().await } else { Ok(vec![]) } },
        async { if with(Kind::Network) { engine.labelled_networks().await } else { Ok(vec![]) } },
    )?;
    let stacks = if with(Kind::Stack) { stacks(&containers, &labels) } else { vec![] };
    let stacks = stacks.into_iter().map(|stack| stack.name).collect();
    Ok(Found { containers, stacks, images, volumes, networks })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    kind: Kind,
    name: String,
    why: String,
}

impl Match {
    fn into_row(self, host: &str) -> Keyed<Row> {
        let Self { kind, name, why } = self;
        let place = (kind as u8).to_string();
        let key = vec![host.to_owned(), place, name.clone(), why.clone()];
        (key, Row { kind, host: host.to_owned(), name, why })
    }
}

impl Found {
    fn matches(self, kinds: &BTreeSet<Kind>, query: &Query) -> Vec<Match> {
        let mut matches = Vec::new();
        let mut add = |kind: Kind, name: &str, why: Option<String>| {
            if let Some(why) = why.filter(|_| kinds.contains(&kind)) {
                matches.push(Match { kind, name: clean(name), why });
            }
        };
        for container in &self.containers {
            let image =
                || query.admits(&container.image).then(|| format!("image {}", clean(&container.image)));
            let by_name = query.admits(&container.name).then(|| "name".to_owned());
            let why = by_name.or_else(image).or_else(|| query.label(&container.labels));
            add(Kind::Container, &container.name, why);
            let wanted = |port: &&Port| port.public.is_some_and(|port| query.is_port(port));
            let wanted: Vec<_> = container.ports.iter().filter(wanted).cloned().collect();
            for port in ports(&wanted) {
                add(Kind::Port, &container.name, Some(port));
            }
        }
        for stack in &self.stacks {
            add(Kind::Stack, stack, query.admits(stack).then(|| "name".to_owned()));
        }
        let labelled =
            [(Kind::Image, &self.images), (Kind::Volume, &self.volumes), (Kind::Network, &self.networks)];
        for (kind, things) in labelled {
            for thing in things {
                for name in thing.names.iter().filter(|name| query.admits(name)) {
                    add(kind, name, Some("name".to_owned()));
                }
                let id = short_id(&thing.id);
                add(kind, thing.names.first().unwrap_or(&id), query.label(&thing.labels));
            }
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_it_is() {
        let port = |text: &str, port| Query::parse(text).unwrap().is_port(port);
        assert!(port("port=8080", 8080) && port("8080", 8080) && !port("port=80", 8080));
        for bad in ["", " ", "port=", "port=x", "port=0", "port=65536", "[", "label=a["] {
            let told = Query::parse(bad);
            assert_eq!(told.is_ok(), bad == "label=a[", "{bad}");
        }
        let admits = |text: &str, name| Query::parse(text).unwrap().admits(name);
        assert!(
            admits("Grafana", "my-grafana-1") && admits("graf*", "grafana") && !admits("graf?", "grafana")
        );
    }

    #[test]
    fn the_value_of_a_secret_label_stays_hidden() {
        let labels = BTreeMap::from([("api_token".to_owned(), "hunter2".to_owned())]);
        let told = Query::parse("label=api_token").unwrap().label(&labels);
        assert_eq!(told.as_deref(), Some("label api_token=***"));
        assert_eq!(Query::parse("label=api_token=other").unwrap().label(&labels), None);
    }
}
