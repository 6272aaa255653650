//! `image_updates`

use crate::actors::operation::Operation;
use crate::domain::image::{ImageName, is_like, repository_of};
use crate::domain::text::cut;
use crate::domain::toolset::Toolset;
use crate::engine::{Engine, EngineError};
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::fleet::{Patience, gather, select};
use crate::mcp::page;
use crate::mcp::shape::told;
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use futures_util::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a host may take to tell which images its containers run.
const LOOKING: Duration = Duration::from_secs(10);

/// A registry that takes longer is reported, not waited for.
const ASKING: Duration = Duration::from_secs(8);

/// What all registries of a host may take. With what the host may take before and after, it lies below the minute after
/// which clients give a call up.
const ASKING_ALL: Duration = Duration::from_secs(30);

/// What is left for the host itself to hand over what it has.
const HANDING_OVER: Duration = Duration::from_secs(5);

/// Registries answer with whole pages of a proxy.
const LONGEST_MESSAGE: usize = 300;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name, comma list, @tag or * (default).
    hosts: Option<String>,
    /// Glob of image or container.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Max rows.
    #[serde(default = "page::default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u16,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    updates: Vec<Row>,
    /// How many images match on the hosts that answered.
    total: usize,
    /// Give it as cursor to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Hosts that did not answer, with cause and age.
    errors: Vec<HostFailure>,
}

/// An image that containers of a host run.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Row {
    host: String,
    image: String,
    /// Names of running containers.
    containers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_digest: Option<String>,
    /// What the registry has for the same tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_digest: Option<String>,
    /// Whether they differ; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outdated: Option<bool>,
    /// Named by its digest: it stays what it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// What the registry is asked for.
    #[serde(skip)]
    asked: Option<ImageName>,
    /// All digests that the image was got by from there: one that a registry lists anew stays the same image.
    #[serde(skip)]
    digests: Vec<String>,
    #[serde(skip)]
    id: String,
}

impl Row {
    /// Compares it with what the registry has.
    fn compare(&mut self, latest: &str) {
        let is_it = self.digests.iter().any(|digest| digest == latest);
        if is_it {
            self.current_digest = Some(latest.to_owned());
        }
        self.outdated = Some(!is_it);
        self.latest_digest = Some(latest.to_owned());
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Built or loaded on the host: no registry gave it.
    Local,
    NotFound,
    Unauthorized,
    RateLimited,
    RegistryUnreachable,
    Timeout,
    Unsupported,
    RegistryError,
    HostUnreachable,
}

impl Failure {
    fn new(kind: Kind, message: &str) -> Self {
        let message = told(message);
        Self { kind, message: cut(&message, LONGEST_MESSAGE).0.to_owned() }
    }
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "image_updates",
        title: "Find image updates",
        description: "Compare images of running containers with what their registries hold for the same tag: which are outdated. The engine asks; nothing is pulled. Newer tags are not looked for.",
        toolset: Toolset::Images,
        effect: Effect { open_world: true, ..Effect::READ },
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let glob = parameters.pattern.as_deref().map(page::glob).transpose()?;
    let window = page::Window::parse(parameters.limit, parameters.cursor.as_deref())?;
    let hosts = select(&context.directory, parameters.hosts.as_deref())?;
    let look = gather(Patience::Within(LOOKING), &context, &hosts, async |operation: Operation| {
        Ok(used(operation.engine()).await?)
    });
    let (answers, mut errors) = look.await?;
    let mut rows = Vec::new();
    for (host, used) in answers {
        let mut of_host = rows_of(host.spec().id.as_ref(), used);
        of_host.retain(|(_, row)| {
            glob.as_ref().is_none_or(|glob| {
                is_like(glob, &row.image) || row.containers.iter().any(|name| glob.is_match(name))
            })
        });
        rows.extend(of_host);
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    // Registries count what they are asked: only for what is shown.
    let mut page = window.cut(rows);
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &page.rows {
        if let Some(image) = &row.asked {
            wanted.entry(row.host.clone()).or_default().insert(image.to_string());
        }
    }
    let asked: Vec<_> =
        hosts.into_iter().filter(|host| wanted.contains_key(host.spec().id.as_ref())).collect();
    let mut held = BTreeMap::new();
    if !asked.is_empty() {
        let answers =
            gather(Patience::Within(ASKING_ALL + HANDING_OVER), &context, &asked, |operation: Operation| {
                let images = wanted.get(operation.context().host.as_ref()).cloned().unwrap_or_default();
                async move { Ok(ask(operation.engine(), images).await?) }
            });
        match answers.await {
            Ok((answers, failures)) => {
                errors.extend(failures);
                held.extend(answers.into_iter().map(|(host, held)| (host.spec().id.to_string(), held)));
            }
            // What is known of the images is an answer all the same.
            Err(error) => errors
                .extend(asked.iter().map(|host| HostFailure::plain(host.spec().id.as_ref(), error.clone()))),
        }
    }
    let now = context.directory.clock().now();
    for row in &mut page.rows {
        let Some(image) = &row.asked else { continue };
        match held.get(&row.host).and_then(|held| held.get(image.as_str())) {
            Some(Ok(latest)) => {
                row.compare(latest);
                if let Some(outdated) = row.outdated {
                    let named = (row.image.as_str(), row.containers.as_slice());
                    context.outdated.learn((&row.host, &row.id), named, outdated, now);
                }
            }
            Some(Err(failure)) => row.error = Some(failure.clone()),
            None => row.error = Some(Failure::new(Kind::HostUnreachable, "the host did not ask; see errors")),
        }
    }
    Ok(Answer { updates: page.rows, total: page.total, next_cursor: page.next_cursor, errors })
}

/// What containers run: an image by the name they were made with, and its digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Used {
    containers: BTreeSet<String>,
    digests: Vec<String>,
}

/// The images of running containers, by name and identifier.
async fn used(engine: &Engine) -> Result<BTreeMap<(String, String), Used>, EngineError> {
    let (containers, digests) = tokio::try_join!(engine.containers(), engine.image_digests())?;
    let running = containers.into_iter().filter(|container| container.state == "running");
    let named = stream::iter(running).map(|container| async move {
        let name = engine.image_name(&container).await?;
        Ok::<_, EngineError>((container, name))
    });
    let mut used: BTreeMap<(String, String), Used> = BTreeMap::new();
    let mut named = std::pin::pin!(named.buffer_unordered(engine.registries_at_once()));
    while let Some(found) = named.next().await {
        let (container, name) = match found {
            Ok(found) => found,
            // It has gone meanwhile.
            Err(EngineError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        let digests = digests.get(&container.image_id).cloned().unwrap_or_default();
        let of_image = used.entry((name, container.image_id)).or_default();
        of_image.digests = digests;
        of_image.containers.insert(container.name);
    }
    Ok(used)
}

fn rows_of(host: &str, used: BTreeMap<(String, String), Used>) -> Vec<(Vec<String>, Row)> {
    let row = |((image, id), Used { containers, digests }): ((String, String), Used)| {
        let key = vec![host.to_owned(), image.clone(), id.clone()];
        let mut row = Row {
            host: host.to_owned(),
            image: told(&image),
            containers: containers.iter().map(|name| told(name)).collect(),
            current_digest: None,
            latest_digest: None,
            outdated: None,
            pinned: false,
            error: None,
            asked: None,
            digests: vec![],
            id: id.clone(),
        };
        let is_id = image.starts_with("sha256:") || id.trim_start_matches("sha256:").starts_with(&image);
        match image.parse::<ImageName>() {
            Ok(name) if !is_id => {
                row.digests = digests_of(&name, &digests).map(told).collect();
                row.current_digest = row.digests.first().cloned();
                if let Some((_, digest)) = name.as_str().split_once('@') {
                    row.pinned = true;
                    if row.digests.iter().any(|own| own == digest) {
                        row.current_digest = Some(digest.to_owned());
                    }
                } else if row.current_digest.is_some() {
                    row.asked = Some(name);
                } else {
                    row.error =
                        Some(Failure::new(Kind::Local, "it came from no registry: built or loaded here"));
                }
            }
            _ => row.error = Some(Failure::new(Kind::Local, "it is known by its identifier alone")),
        }
        (key, row)
    };
    used.into_iter().map(row).collect()
}

/// The digests that the image has in the repository of this name.
fn digests_of<'a>(name: &'a ImageName, digests: &'a [String]) -> impl Iterator<Item = &'a str> {
    let repository = familiar(repository_of(name.as_str().split('@').next().unwrap_or_default()));
    let pairs = digests.iter().filter_map(|digest| digest.split_once('@'));
    pairs.filter(move |(of, _)| familiar(of) == repository).map(|(_, digest)| digest)
}

/// A repository as people write it: Docker Hub's have several long names.
fn familiar(repository: &str) -> &str {
    let hub = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"];
    let rest = hub.iter().find_map(|hub| repository.strip_prefix(hub)).unwrap_or(repository);
    rest.strip_prefix("library/").unwrap_or(rest)
}

/// What the registries hold for these images; a failure of one is its own.
async fn ask(
    engine: &Engine,
    images: BTreeSet<String>,
) -> Result<BTreeMap<String, Result<String, Failure>>, EngineError> {
    let is_podman = engine.info().product == "Podman";
    // One that is silent is not asked again for each of its images: they would take the time of the others.
    let (silent, until) = (&Mutex::default(), Instant::now() + ASKING_ALL);
    let answers = stream::iter(images).map(|image| async move {
        let Ok(name) = image.parse::<ImageName>() else {
            let failure = Failure::new(Kind::RegistryError, "it is no name of an image");
            return Ok((image, Err(failure)));
        };
        if is_podman {
            let failure = Failure::new(Kind::Unsupported, "Podman's API asks no registry");
            return Ok((image, Err(failure)));
        }
        let registry = registry_of(&name).to_owned();
        let within = ASKING.min(until.saturating_duration_since(Instant::now()));
        let is_silent = || lock(silent).contains(&registry);
        if within.is_zero() || is_silent() {
            return Ok((image, Err(not_in_time())));
        }
        let answer = match timeout(within, engine.registry_digest(&name)).await {
            Ok(Ok(digest)) => Ok(told(&digest)),
            Ok(Err(error)) if error.is_broken_line() => return Err(error),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => {
                lock(silent).insert(registry);
                Err(not_in_time())
            }
        };
        Ok((image, answer))
    });
    let answers: Vec<_> = answers.buffer_unordered(engine.registries_at_once()).collect().await;
    answers.into_iter().collect()
}

fn lock(silent: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    silent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_in_time() -> Failure {
    Failure::new(Kind::Timeout, "its registry did not answer in time")
}

/// The registry that an image's name leads to, as docker reads it: a first part with a dot or a colon, or this machine.
fn registry_of(name: &ImageName) -> &str {
    let first = name.as_str().split_once('/').map(|(first, _)| first);
    first.filter(|first| first.contains(['.', ':']) || *first == "localhost").unwrap_or("docker.io")
}

/// What the engine's words about a registry mean: its status says little.
fn failure(error: &EngineError) -> Failure {
    let message = error.to_string();
    let words = message.to_ascii_lowercase();
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let kind = if has(&["toomanyrequests", "too many requests", "rate limit"]) {
        Kind::RateLimited
    } else if has(&["unauthorized", "denied", "authentication required", "no basic auth"]) {
        Kind::Unauthorized
    } else if has(&["manifest unknown", "not found", "name unknown", "unknown manifest"]) {
        Kind::NotFound
    } else if has(&["dial tcp", "no such host", "connection", "timeout", "deadline", "tls", "x509", "eof"]) {
        Kind::RegistryUnreachable
    } else {
        Kind::RegistryError
    };
    Failure::new(kind, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn row(image: &str, id: &str, digests: &[&str]) -> Row {
        let used = Used {
            containers: ["web".to_owned()].into(),
            digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
        };
        rows_of("h", [((image.to_owned(), id.to_owned()), used)].into()).remove(0).1
    }

    #[test]
    fn the_digest_is_that_of_the_images_own_repository() {
        let at = |repository: &str| format!("{repository}@{NEW}");
        let other = "mirror.example/nginx@sha256:bbbb";
        for (image, repository) in [
            ("nginx", "nginx"),
            ("nginx:1.27", "nginx"),
            ("docker.io/library/nginx:1.27", "nginx"),
            ("nginx", "docker.io/library/nginx"),
            ("owner/app:2", "docker.io/owner/app"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000/app"),
            ("127.0.0.1:5000/app:1", "127.0.0.1:5000/app"),
        ] {
            let row = row(image, "sha256:1", &[other, &at(repository)]);
            assert_eq!(row.current_digest.as_deref(), Some(NEW), "{image}");
            assert_eq!(row.asked.as_ref().map(ImageName::as_str), Some(image));
            assert!(row.error.is_none() && !row.pinned);
        }
    }

    #[test]
    fn an_image_is_current_by_any_digest_it_was_got_by() {
        let old = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
        let mut both = row("nginx", "sha256:1", &[&format!("nginx@{old}"), &format!("nginx@{NEW}")]);
        both.compare(NEW);
        assert_eq!((both.outdated, both.current_digest.as_deref()), (Some(false), Some(NEW)));
        let mut one = row("nginx", "sha256:1", &[&format!("nginx@{old}")]);
        one.compare(NEW);
        assert_eq!((one.outdated, one.current_digest.as_deref()), (Some(true), Some(old)));
        let pinned = row(&format!("app@{NEW}"), "sha256:1", &[&format!("app@{old}"), &format!("app@{NEW}")]);
        assert_eq!((pinned.pinned, pinned.current_digest.as_deref()), (true, Some(NEW)));
    }

    #[test]
    fn a_registry_is_told_from_an_owner() {
        for (image, registry) in [
            ("nginx", "docker.io"),
            ("owner/app:2", "docker.io"),
            ("ghcr.io/owner/app", "ghcr.io"),
            ("127.0.0.1:5000/app:1", "127.0.0.1:5000"),
            ("localhost/app", "localhost"),
        ] {
            assert_eq!(registry_of(&image.parse().unwrap()), registry);
        }
    }

    #[test]
    fn what_no_registry_gave_or_its_digest_names_is_not_asked_for() {
        for (image, id, digests) in [
            ("app:1", "sha256:12", &[][..]),
            ("app:1", "sha256:12", &["other/app@sha256:bbbb"]),
            ("sha256:1234", "sha256:1234", &["app@sha256:bbbb"]),
            ("1234abcd", "sha256:1234abcdef", &["app@sha256:bbbb"]),
        ] {
            let row = row(image, id, digests);
            assert_eq!(row.error.map(|error| error.kind), Some(Kind::Local), "{image}");
            assert!(row.asked.is_none() && row.outdated.is_none());
        }
        let pinned = row(&format!("app:1@{NEW}"), "sha256:12", &[&format!("app@{NEW}")]);
        assert!(pinned.pinned && pinned.asked.is_none() && pinned.error.is_none());
        assert_eq!(pinned.current_digest.as_deref(), Some(NEW));
    }

    #[test]
    fn the_engines_words_are_told_apart() {
        let refused =
            |status, message: &str| failure(&EngineError::Refused { status, message: message.into() }).kind;
        for (status, message, kind) in [
            (
                500,
                "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
                Kind::RegistryUnreachable,
            ),
            (
                500,
                "Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
                Kind::RegistryUnreachable,
            ),
            (401, "unauthorized: authentication required", Kind::Unauthorized),
            (
                403,
                "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required",
                Kind::Unauthorized,
            ),
            (500, "toomanyrequests: You have reached your pull rate limit", Kind::RateLimited),
            (500, "something else", Kind::RegistryError),
        ] {
            assert_eq!(refused(status, message), kind, "{message}");
        }
        assert_eq!(failure(&EngineError::NotFound("manifest unknown".into())).kind, Kind::NotFound);
        let long = failure(&EngineError::NotFound("x".repeat(5000)));
        assert!(long.message.len() <= LONGEST_MESSAGE);
    }
}
