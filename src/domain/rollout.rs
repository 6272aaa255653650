//! One operation over many containers, some at a time, until too many have failed.

use super::change::{Change, StopMode};
use super::container::ContainerName;
use super::image::{ImageName, is_like};
use super::pattern::{InvalidPattern, Pattern};
use super::stack::LABEL_PROJECT;
use globset::{Glob, GlobMatcher};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;
use strum::IntoStaticStr;

/// What is done to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RolloutAction {
    /// It is stopped and started.
    Restart,
    /// It is made anew from its image, pulled anew.
    Recreate,
    /// Its image is pulled.
    Pull,
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
}

impl RolloutAction {
    /// The word it is written by.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// Whether it is for containers in this state: what does not run is started and nothing else.
    pub fn is_for(self, state: &str) -> bool {
        match self {
            Self::Start => matches!(state, "exited" | "created"),
            _ => state == "running",
        }
    }

    /// What it means for one container, that gets so many seconds to become healthy. `None` where an image is to be
    /// pulled that has no name.
    pub fn change(self, container: ContainerName, image: &str, patience: u32) -> Option<Change> {
        let one = vec![container.clone()];
        Some(match self {
            Self::Restart => {
                Change::ContainerRestart { containers: one, grace: None, patience: Some(patience) }
            }
            Self::Recreate => Change::ContainerRecreate { container, image: None, patience },
            Self::Pull => {
                let image = image.parse::<ImageName>().ok().filter(|_| !image.starts_with("sha256:"))?;
                Change::ImagePull { image, platform: None }
            }
            Self::Start => Change::ContainerStart { containers: one, patience: Some(patience) },
            Self::Stop => Change::ContainerStop { containers: one, grace: None, mode: StopMode::Stop },
        })
    }
}

/// Which containers are meant.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Those of a stack.
    Stack(String),
    /// Those of images like this.
    Image(GlobMatcher),
    /// Those of names like this, or with a label.
    Like(Pattern),
}

impl FromStr for Selection {
    type Err = InvalidPattern;

    /// Reads `stack=NAME`, `image=GLOB`, `label=key[=value]` or a glob of names.
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if let Some(stack) = text.strip_prefix("stack=") {
            return Ok(Self::Stack(stack.to_owned()));
        }
        match text.strip_prefix("image=") {
            Some(glob) => Ok(Self::Image(
                Glob::new(glob).map_err(|error| InvalidPattern::of(&error))?.compile_matcher(),
            )),
            None => text.parse().map(Self::Like),
        }
    }
}

impl Selection {
    /// Whether a container is meant.
    pub fn admits(&self, name: &str, image: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Stack(stack) => labels.get(LABEL_PROJECT) == Some(stack),
            Self::Image(glob) => is_like(glob, image),
            Self::Like(pattern) => pattern.admits(name, |key| labels.get(key)),
        }
    }
}

/// How far one of a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing has begun.
    Waits,
    /// It is at work.
    AtWork,
    /// It went well.
    Well,
    /// It failed.
    Failed,
}

/// How fast a rollout goes, and when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many at once, at least one.
    pub batch: usize,
    /// So long between batches.
    pub pause: Duration,
    /// When so many have failed, no further batch begins.
    pub max_failures: usize,
}

/// What comes next in a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These begin.
    Begin(Range<usize>),
    /// The end of this one is waited for.
    Await(usize),
    /// Too many have failed: no more begin.
    Stop,
    /// All have ended.
    End,
}

impl Pace {
    /// What comes next. A batch begins when the one before it has ended.
    pub fn next(&self, fates: &[Fate]) -> Next {
        if let Some(at_work) = fates.iter().position(|fate| *fate == Fate::AtWork) {
            return Next::Await(at_work);
        }
        let failed = fates.iter().filter(|fate| **fate == Fate::Failed).count();
        match fates.iter().position(|fate| *fate == Fate::Waits) {
            None => Next::End,
            Some(_) if failed >= self.max_failures.max(1) => Next::Stop,
            Some(first) => Next::Begin(first..fates.len().min(first + self.batch.max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn containers_are_meant_by_stack_image_label_and_name() {
        let labels = BTreeMap::from([
            (LABEL_PROJECT.to_owned(), "shop".to_owned()),
            ("tier".to_owned(), "web".to_owned()),
        ]);
        let admits =
            |text: &str| text.parse::<Selection>().unwrap().admits("shop-web-1", "nginx:1.27", &labels);
        for text in ["stack=shop", "image=nginx:*", "image=nginx", "label=tier", "label=tier=web", "shop-*"] {
            assert!(admits(text), "{text}");
        }
        for text in ["stack=sho", "image=ngin", "label=tier=db", "web"] {
            assert!(!admits(text), "{text}");
        }
        assert!("image=[".parse::<Selection>().is_err() && "[".parse::<Selection>().is_err());
    }

    #[test]
    fn an_image_without_a_name_is_not_pulled() {
        let name = || "web".parse().unwrap();
        assert!(RolloutAction::Pull.change(name(), "sha256:0123", 1).is_none());
        assert!(RolloutAction::Pull.change(name(), "nginx", 1).is_some());
    }

    proptest! {
        #[test]
        fn no_more_are_at_work_than_a_batch_and_none_begins_after_too_many_failures(
            luck in proptest::collection::vec(any::<bool>(), 0..20), batch in 0_usize..6, max_failures in 0_usize..4,
        ) {
            let pace = Pace { batch, pause: Duration::ZERO, max_failures };
            let mut fates = vec![Fate::Waits; luck.len()];
            loop {
                let failed = fates.iter().filter(|fate| **fate == Fate::Failed).count();
                match pace.next(&fates) {
                    Next::Begin(range) => {
                        prop_assert!(!range.is_empty() && range.len() <= batch.max(1));
                        prop_assert!(failed < max_failures.max(1));
                        for at in range {
                            prop_assert_eq!(fates[at], Fate::Waits);
                            fates[at] = Fate::AtWork;
                        }
                        prop_assert!(fates.iter().filter(|fate| **fate == Fate::AtWork).count() <= batch.max(1));
                    }
                    Next::Await(at) => {
                        prop_assert_eq!(fates[at], Fate::AtWork);
                        fates[at] = if luck[at] { Fate::Well } else { Fate::Failed };
                    }
                    Next::Stop => {
                        prop_assert!(failed >= max_failures.max(1));
                        break;
                    }
                    Next::End => {
                        prop_assert!(fates.iter().all(|fate| matches!(fate, Fate::Well | Fate::Failed)));
                        break;
                    }
                }
            }
        }
    }
}
