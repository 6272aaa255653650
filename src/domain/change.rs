//! Changes: what may be done to a host, as lists of steps that a journal can hold.

use super::container::ContainerName;
use super::image::ImageName;
use super::policy::Policy;
use super::redact;
use super::run::RunSpec;
use super::saga::{OnFailure, Plan};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How long containers get to stop when nothing else is said: the engine's own default.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// Beyond the time a container gets to stop, an engine takes this long to do what it was asked to.
const ENGINE_LAG: Duration = Duration::from_secs(10);

/// What is to be done to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Start containers, or let paused ones go on.
    ContainerStart {
        /// Which.
        containers: Vec<ContainerName>,
    },
    /// Stop containers.
    ContainerStop {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
    },
    /// Stop and start containers.
    ContainerRestart {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
    },
    /// Remove containers.
    ContainerRemove {
        /// Which.
        containers: Vec<ContainerName>,
        /// Running ones too.
        force: bool,
        /// Their anonymous volumes too.
        volumes: bool,
    },
    /// Make and start a container.
    ContainerRun(Box<RunSpec>),
    /// Pull an image.
    ImagePull {
        /// Which.
        image: ImageName,
        /// For another platform than the host's, such as `linux/arm64`.
        platform: Option<String>,
    },
    /// Remove what nothing uses.
    Prune {
        /// Of which kinds.
        what: Vec<PruneKind>,
    },
}

/// The words for the kinds of changes, which are also the names of their tools.
pub const CHANGE_WORDS: [&str; 7] = [
    "container_start",
    "container_stop",
    "container_restart",
    "container_remove",
    "container_run",
    "image_pull",
    "prune",
];

/// A kind of things that may be unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneKind {
    /// Containers that have ended.
    Containers,
    /// Networks without containers.
    Networks,
    /// Images without a name that no container uses.
    Images,
    /// Volumes without a name that no container uses.
    Volumes,
    /// Records of the build cache.
    BuildCache,
}

impl PruneKind {
    /// All of them, in the order in which one frees what another holds.
    pub const ALL: [Self; 5] =
        [Self::Containers, Self::Networks, Self::Images, Self::Volumes, Self::BuildCache];

    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Networks => "networks",
            Self::Images => "images",
            Self::Volumes => "volumes",
            Self::BuildCache => "build_cache",
        }
    }
}

/// One step of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Start a container, or let it go on.
    Start(ContainerName),
    /// Stop one.
    Stop(ContainerName, Option<u32>),
    /// Restart one.
    Restart(ContainerName, Option<u32>),
    /// Remove one.
    Remove {
        /// Which.
        container: ContainerName,
        /// A running one too.
        force: bool,
        /// Its anonymous volumes too.
        volumes: bool,
    },
    /// Have an image, pulled when there is none of the name.
    Fetch(ImageName),
    /// Make a container.
    Create(Box<RunSpec>),
    /// Start the container made before.
    StartCreated,
    /// Pull an image.
    Pull(ImageName, Option<String>),
    /// Remove what is unused of a kind.
    Prune(PruneKind),
}

impl Change {
    /// Its kind, which is also the name of the tool.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ContainerStart { .. } => CHANGE_WORDS[0],
            Self::ContainerStop { .. } => CHANGE_WORDS[1],
            Self::ContainerRestart { .. } => CHANGE_WORDS[2],
            Self::ContainerRemove { .. } => CHANGE_WORDS[3],
            Self::ContainerRun(_) => CHANGE_WORDS[4],
            Self::ImagePull { .. } => CHANGE_WORDS[5],
            Self::Prune { .. } => CHANGE_WORDS[6],
        }
    }

    /// Its steps, in their order.
    pub fn steps(&self) -> Vec<Step> {
        match self {
            Self::ContainerStart { containers } => containers.iter().cloned().map(Step::Start).collect(),
            Self::ContainerStop { containers, grace } => {
                containers.iter().map(|name| Step::Stop(name.clone(), *grace)).collect()
            }
            Self::ContainerRestart { containers, grace } => {
                containers.iter().map(|name| Step::Restart(name.clone(), *grace)).collect()
            }
            Self::ContainerRemove { containers, force, volumes } => {
                let step = |container: &ContainerName| Step::Remove {
                    container: container.clone(),
                    force: *force,
                    volumes: *volumes,
                };
                containers.iter().map(step).collect()
            }
            Self::ContainerRun(spec) => {
                vec![Step::Fetch(spec.image.clone()), Step::Create(spec.clone()), Step::StartCreated]
            }
            Self::ImagePull { image, platform } => vec![Step::Pull(image.clone(), platform.clone())],
            Self::Prune { what } => {
                let mut what = what.clone();
                what.sort_unstable();
                what.dedup();
                what.into_iter().map(Step::Prune).collect()
            }
        }
    }

    /// The order of its steps.
    pub fn plan(&self) -> Plan {
        let undoable = self.steps().iter().map(Step::is_undoable).collect();
        let on_failure = match self {
            Self::ContainerRun(_) => OnFailure::Unwind,
            _ => OnFailure::GoOn,
        };
        Plan { undoable, on_failure }
    }

    /// What it is done to, in words.
    pub fn target(&self) -> String {
        let names = |containers: &[ContainerName]| {
            containers.iter().map(ContainerName::as_str).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::ContainerStart { containers }
            | Self::ContainerStop { containers, .. }
            | Self::ContainerRestart { containers, .. }
            | Self::ContainerRemove { containers, .. } => names(containers),
            Self::ContainerRun(spec) => {
                spec.name.as_ref().map_or(spec.image.to_string(), ToString::to_string)
            }
            Self::ImagePull { image, .. } => image.to_string(),
            Self::Prune { what } => what.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "),
        }
    }

    /// It with the secrets in it masked, and whether there were none.
    pub fn masked(&self) -> (Self, bool) {
        let masked = match self {
            Self::ContainerRun(spec) => {
                let mut spec = spec.clone();
                for (key, value) in spec.env.iter_mut().chain(&mut spec.labels) {
                    *value = redact::value(key, value);
                }
                spec.command = redact::command(&spec.command);
                Self::ContainerRun(spec)
            }
            other => other.clone(),
        };
        let whole = masked == *self;
        (masked, whole)
    }

    /// Somebody's words about it, without what it keeps secret: engines repeat what they were asked.
    pub fn hide(&self, words: &str) -> String {
        let mut text = redact::text(words);
        if let (Self::ContainerRun(open), (Self::ContainerRun(masked), false)) = (self, self.masked()) {
            let values = open.env.values().chain(open.labels.values()).chain(&open.command);
            let shown = masked.env.values().chain(masked.labels.values()).chain(&masked.command);
            for (secret, _) in values.zip(shown).filter(|(value, shown)| value != shown) {
                text = text.replace(secret.as_str(), redact::MASK);
            }
        }
        text
    }

    /// Whether it loses data, configuration or availability.
    pub const fn is_destructive(&self) -> bool {
        match self {
            Self::ContainerStart { .. } | Self::ContainerRun(_) | Self::ImagePull { .. } => false,
            Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRemove { .. }
            | Self::Prune { .. } => true,
        }
    }

    /// Whether a host that is held to `policy` lets it happen.
    pub fn is_permitted(&self, policy: Policy) -> bool {
        match policy {
            Policy::ReadWrite => true,
            Policy::NoDestructive => !self.is_destructive() && !self.reaches_out(),
            Policy::ReadOnly => false,
        }
    }

    /// Whether it makes a container that reaches what is not its own: volumes and paths hold the data of others,
    /// and the host's network its services.
    fn reaches_out(&self) -> bool {
        match self {
            Self::ContainerRun(spec) => {
                !spec.volumes.is_empty() || spec.networks.iter().any(|name| name == "host")
            }
            _ => false,
        }
    }

    /// Whether one of its steps may take as long as a download does.
    pub fn is_long(&self) -> bool {
        let is_long = |step: &Step| matches!(step, Step::Fetch(_) | Step::Pull(..) | Step::Prune(_));
        self.steps().iter().any(is_long)
    }

    /// How long it may take when nothing holds it up.
    pub fn limit(&self) -> Duration {
        let steps: Duration = self.steps().iter().map(Step::limit).sum();
        steps + ENGINE_LAG
    }
}

impl Step {
    /// Whether what it made can be undone.
    pub const fn is_undoable(&self) -> bool {
        // What a fetched image takes is room, and another container may use it by now.
        matches!(self, Self::Create(_))
    }

    /// How long the engine may still be at it after whoever asked has gone.
    pub fn lasts(&self) -> Duration {
        match self {
            Self::Stop(_, grace) | Self::Restart(_, grace) => {
                grace.map_or(STOP_GRACE, |grace| Duration::from_secs(grace.into())) + ENGINE_LAG
            }
            // They end with the connection.
            Self::Fetch(_) | Self::Pull(..) => Duration::ZERO,
            Self::Start(_) | Self::Remove { .. } | Self::Create(_) | Self::StartCreated | Self::Prune(_) => {
                ENGINE_LAG
            }
        }
    }

    /// How long it may take.
    pub fn limit(&self) -> Duration {
        match self {
            // An image of some gigabytes over a slow line.
            Self::Fetch(_) | Self::Pull(..) => Duration::from_secs(1800),
            Self::Prune(_) => Duration::from_secs(600),
            _ => self.lasts() + Duration::from_secs(30),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => write!(f, "start {name}"),
            Self::Stop(name, _) => write!(f, "stop {name}"),
            Self::Restart(name, _) => write!(f, "restart {name}"),
            Self::Remove { container, .. } => write!(f, "remove {container}"),
            Self::Fetch(image) => write!(f, "fetch {image}"),
            Self::Create(_) => f.write_str("create"),
            Self::StartCreated => f.write_str("start"),
            Self::Pull(image, _) => write!(f, "pull {image}"),
            Self::Prune(kind) => write!(f, "prune {}", kind.word()),
        }
    }
}

/// What there was before a step was made: what its probe compares with, and what it is made to, by
/// identity and not by a name that another thing may bear by then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    /// Nothing that matters.
    #[default]
    Nothing,
    /// A container.
    Container {
        /// Its full identifier.
        id: String,
        /// `running`, `exited` …
        state: String,
        /// When it was started last, as the engine wrote it.
        started_at: String,
    },
    /// An image of the name, by identifier.
    Image {
        /// None was there.
        id: Option<String>,
    },
    /// The things to be removed.
    Things {
        /// By identifier, or a volume's name.
        things: Vec<Thing>,
    },
}

/// Something unused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// By which it is removed.
    pub id: String,
    /// By which people know it.
    pub name: String,
    /// What it takes, in bytes, as far as the engine says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// What came of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The container it was made to, by full identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The state before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state after, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Names of what was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What that freed, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<i64>,
    /// Why something was left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// Processes of the service's own user.
pub const OWNER: &str = "owner";

/// Whoever has the token.
pub const BEARER: &str = "token";

/// Who asked for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// [`OWNER`] or [`BEARER`].
    pub principal: String,
    /// The client program, as it named itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One change of each kind.
    pub(crate) fn all() -> Vec<Change> {
        let containers: Vec<ContainerName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let image: ImageName = "busybox".parse().unwrap();
        vec![
            Change::ContainerStart { containers: containers.clone() },
            Change::ContainerStop { containers: containers.clone(), grace: Some(1) },
            Change::ContainerRestart { containers: containers.clone(), grace: None },
            Change::ContainerRemove { containers, force: true, volumes: false },
            Change::ContainerRun(Box::new(RunSpec::of(image.clone()))),
            Change::ImagePull { image, platform: None },
            Change::Prune { what: PruneKind::ALL.to_vec() },
        ]
    }

    #[test]
    fn each_kind_has_its_word_its_steps_and_survives_the_journal() {
        let words: Vec<&str> = all().iter().map(Change::word).collect();
        assert_eq!(words, CHANGE_WORDS);
        for change in all() {
            assert!(!change.steps().is_empty());
            let kept: Change = serde_json::from_value(serde_json::to_value(&change).unwrap()).unwrap();
            assert_eq!(kept, change);
            assert!(change.limit() > change.steps().iter().map(Step::lasts).sum());
        }
    }

    #[test]
    fn what_is_pruned_is_pruned_once_and_in_the_order_that_frees_most() {
        let what = vec![PruneKind::Images, PruneKind::Containers, PruneKind::Images];
        let steps = Change::Prune { what }.steps();
        assert_eq!(steps, [Step::Prune(PruneKind::Containers), Step::Prune(PruneKind::Images)]);
    }

    #[test]
    fn the_secrets_of_a_run_are_hidden_wherever_they_stand() {
        let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let spec = RunSpec {
            command: words("mysql --password hunter2 -pswordfish --token=abcdefgh --verbose run"),
            env: [("API_KEY".to_owned(), "opensesame".to_owned())].into(),
            ..RunSpec::of("busybox".parse().unwrap())
        };
        let run = Change::ContainerRun(Box::new(spec));
        let (masked, whole) = run.masked();
        let kept = serde_json::to_string(&masked).unwrap();
        let told = run.hide("exec: \"swordfish\": not found, hunter2, -pswordfish, opensesame");
        for secret in ["hunter2", "swordfish\"", "-pswordfish", "abcdefgh", "opensesame"] {
            assert!(!kept.contains(secret), "{secret}: {kept}");
        }
        for secret in ["hunter2", "-pswordfish", "opensesame"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        assert!(!whole && kept.contains("--verbose") && kept.contains("run"), "{kept}");
    }
}
