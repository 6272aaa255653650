//! Changes: what may be done to a host, as lists of steps that a journal can hold.

mod affected;
mod prune;
mod record;
mod step;

pub use affected::{Affected, AffectedKind, Bound};
pub use prune::PruneKind;
pub use record::{Asker, BEARER, Before, Made, OWNER, Thing};
pub use step::{ContainerStep, ENGINE_LAG, ImageStep, STOP_GRACE, Step};

use super::container::ContainerName;
use super::image::ImageName;
use super::policy::Policy;
use super::redact;
use super::run::RunSpec;
use super::saga::{OnFailure, Plan};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{IntoStaticStr, VariantNames};

/// What is to be done to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames, IntoStaticStr)]
#[serde(tag = "change", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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

/// What a person is asked before a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// Whether it is to be done.
    Agreement,
    /// The name of what is lost for good.
    Name,
}

impl Change {
    /// The words of all kinds.
    pub const WORDS: &[&str] = <Self as VariantNames>::VARIANTS;

    /// Its kind, which is also the name of the tool.
    pub fn word(&self) -> &'static str {
        self.into()
    }

    /// Its steps, in their order.
    pub fn steps(&self) -> Vec<Step> {
        let each = |containers: &[ContainerName], step: &dyn Fn(ContainerName) -> ContainerStep| {
            containers.iter().cloned().map(|name| step(name).into()).collect()
        };
        match self {
            Self::ContainerStart { containers } => each(containers, &ContainerStep::Start),
            Self::ContainerStop { containers, grace } => {
                each(containers, &|name| ContainerStep::Stop(name, *grace))
            }
            Self::ContainerRestart { containers, grace } => {
                each(containers, &|name| ContainerStep::Restart(name, *grace))
            }
            Self::ContainerRemove { containers, force, volumes } => {
                let (force, volumes) = (*force, *volumes);
                each(containers, &|container| ContainerStep::Remove { container, force, volumes })
            }
            Self::ContainerRun(spec) => vec![
                ImageStep::Fetch(spec.image.clone()).into(),
                ContainerStep::Create(spec.clone()).into(),
                ContainerStep::StartCreated.into(),
            ],
            Self::ImagePull { image, platform } => {
                vec![ImageStep::Pull(image.clone(), platform.clone()).into()]
            }
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

    /// What a person is asked before it is made.
    pub fn asks(&self) -> Asks {
        match self {
            Self::ContainerRemove { volumes: true, .. } => Asks::Name,
            Self::Prune { what } if what.contains(&PruneKind::Volumes) => Asks::Name,
            Self::ContainerRemove { .. } | Self::Prune { .. } => Asks::Agreement,
            // With a path of the host a container has the host.
            Self::ContainerRun(spec) if spec.mounts_the_host() => Asks::Agreement,
            Self::ContainerStart { .. }
            | Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRun(_)
            | Self::ImagePull { .. } => Asks::Nothing,
        }
    }

    /// Whether it chooses by itself what it is made to, and may leave out what is protected.
    pub fn chooses(&self) -> bool {
        matches!(self, Self::Prune { .. })
    }

    /// Whether it is looked what it would be made to before it is permitted.
    pub fn is_surveyed(&self) -> bool {
        self.is_destructive() || self.asks() > Asks::Nothing
    }

    /// Whether one of its steps may take as long as a download does.
    pub fn is_long(&self) -> bool {
        self.steps().iter().any(Step::is_long)
    }

    /// How long it may take when nothing holds it up.
    pub fn limit(&self) -> Duration {
        let steps: Duration = self.steps().iter().map(Step::limit).sum();
        steps + ENGINE_LAG
    }
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
        assert_eq!(words, Change::WORDS);
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
