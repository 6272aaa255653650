//! Changes: what may be done to a host, as lists of steps that a journal can hold.

mod affected;
mod prune;
mod record;
mod recreate;
mod step;

pub use affected::{Affected, AffectedKind, Bound};
pub use prune::{PruneKind, Sieve};
pub use record::{Asker, BEARER, Before, Copied, Made, OWNER, Thing};
pub use recreate::RecreateStep;
pub use step::{ContainerStep, ENGINE_LAG, ImageStep, NetworkStep, STOP_GRACE, Step, VolumeStep};

use super::build::{BuildContext, BuildSpec};
use super::container::ContainerName;
use super::host::HostId;
use super::image::ImageName;
use super::policy::Policy;
use super::redact;
use super::run::{LimitSpec, MountSpec, RunSpec};
use super::saga::{OnFailure, Plan};
use super::thing::{NetworkName, NetworkSpec, VolumeName, VolumeSpec};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{IntoStaticStr, VariantNames};

/// A line of a secret is one too when it is so long; shorter ones stand anywhere.
const TELLING: usize = 8;

/// What is to be done to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames, IntoStaticStr)]
#[serde(tag = "change", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// Start containers, or let paused ones go on.
    ContainerStart {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets to become healthy; it is not waited for without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u32>,
    },
    /// Stop containers.
    ContainerStop {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
        /// Whether they are stopped, or what is done in place of it.
        #[serde(default)]
        mode: StopMode,
    },
    /// Stop and start containers.
    ContainerRestart {
        /// Which.
        containers: Vec<ContainerName>,
        /// Seconds each gets before it is killed.
        grace: Option<u32>,
        /// Seconds each gets to become healthy; it is not waited for without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u32>,
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
    /// Change what a container may use, or its name.
    ContainerUpdate {
        /// Which.
        container: ContainerName,
        /// What it may use.
        limits: LimitSpec,
        /// Its new name.
        rename: Option<ContainerName>,
    },
    /// Build an image.
    ImageBuild(Box<BuildSpec>),
    /// Have an image that another host has.
    ImageCopy {
        /// Which.
        image: ImageName,
        /// From which host.
        from: HostId,
    },
    /// Send an image to its registry.
    ImagePush {
        /// Which.
        image: ImageName,
    },
    /// Give an image another name.
    ImageTag {
        /// Which.
        image: ImageName,
        /// The name.
        name: ImageName,
    },
    /// Remove images.
    ImageRemove {
        /// Which.
        images: Vec<ImageName>,
        /// Those with several names, or of stopped containers, too.
        force: bool,
    },
    /// Make a volume.
    VolumeCreate(VolumeSpec),
    /// Have a volume with what is in another one.
    VolumeCopy {
        /// Which is copied.
        source: VolumeName,
        /// From which host.
        from: HostId,
        /// Into which.
        volume: VolumeName,
        /// In place of what one of the name has in it.
        overwrite: bool,
    },
    /// Remove volumes and what is in them.
    VolumeRemove {
        /// Which.
        volumes: Vec<VolumeName>,
    },
    /// Make a network.
    NetworkCreate(NetworkSpec),
    /// Attach a container to a network.
    NetworkConnect {
        /// Which.
        container: ContainerName,
        /// To which.
        network: NetworkName,
        /// Under which names beside its own.
        aliases: Vec<String>,
    },
    /// Detach a container from a network.
    NetworkDisconnect {
        /// Which.
        container: ContainerName,
        /// From which.
        network: NetworkName,
    },
    /// Remove networks.
    NetworkRemove {
        /// Which.
        networks: Vec<NetworkName>,
    },
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
        /// What of it stays.
        #[serde(default)]
        sieve: Sieve,
    },
    /// Make a container anew from a newer image, with the same settings.
    ContainerRecreate {
        /// Which.
        container: ContainerName,
        /// From another image than its own.
        image: Option<ImageName>,
        /// Seconds the new one gets to become healthy.
        patience: u32,
    },
}

/// What is done to containers that are not to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// They are asked to end, and killed when they do not.
    #[default]
    Stop,
    /// They are frozen.
    Pause,
    /// They are ended at once.
    Kill,
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
            Self::ContainerStart { containers, patience } => {
                let started: Vec<Step> = each(containers, &ContainerStep::Start);
                started.into_iter().chain(settled(containers, *patience)).collect()
            }
            Self::ContainerStop { containers, grace, mode } => match mode {
                StopMode::Stop => each(containers, &|name| ContainerStep::Stop(name, *grace)),
                StopMode::Pause => each(containers, &ContainerStep::Pause),
                StopMode::Kill => each(containers, &ContainerStep::Kill),
            },
            Self::ContainerRestart { containers, grace, patience } => {
                let restarted: Vec<Step> = each(containers, &|name| ContainerStep::Restart(name, *grace));
                restarted.into_iter().chain(settled(containers, *patience)).collect()
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
            Self::ContainerUpdate { container, limits, rename } => {
                let limits = (!limits.is_empty()).then(|| ContainerStep::Update(container.clone(), *limits));
                let name = rename.clone().map(|to| ContainerStep::Rename(container.clone(), to));
                limits.into_iter().chain(name).map(Step::from).collect()
            }
            Self::ImageBuild(spec) => vec![ImageStep::Build(spec.clone()).into()],
            Self::ImageCopy { image, from } => vec![ImageStep::Copy(image.clone(), from.clone()).into()],
            Self::ImagePush { image } => vec![ImageStep::Push(image.clone()).into()],
            Self::ImageTag { image, name } => vec![ImageStep::Tag(image.clone(), name.clone()).into()],
            Self::ImageRemove { images, force } => {
                images.iter().map(|image| ImageStep::Remove(image.clone(), *force).into()).collect()
            }
            Self::VolumeCreate(spec) => vec![VolumeStep::Create(spec.clone()).into()],
            Self::VolumeCopy { source, from, volume, overwrite } => {
                let (source, from, volume) = (source.clone(), from.clone(), volume.clone());
                let fill =
                    VolumeStep::Fill { source: source.clone(), from: from.clone(), volume: volume.clone() };
                vec![VolumeStep::Prepare { source, from, volume, overwrite: *overwrite }.into(), fill.into()]
            }
            Self::VolumeRemove { volumes } => {
                volumes.iter().map(|name| VolumeStep::Remove(name.clone()).into()).collect()
            }
            Self::NetworkCreate(spec) => vec![NetworkStep::Create(spec.clone()).into()],
            Self::NetworkConnect { container, network, aliases } => {
                let (container, network, aliases) = (container.clone(), network.clone(), aliases.clone());
                vec![NetworkStep::Connect { container, network, aliases }.into()]
            }
            Self::NetworkDisconnect { container, network } => {
                let (container, network) = (container.clone(), network.clone());
                vec![NetworkStep::Disconnect { container, network }.into()]
            }
            Self::NetworkRemove { networks } => {
                networks.iter().map(|name| NetworkStep::Remove(name.clone()).into()).collect()
            }
            Self::ImagePull { image, platform } => {
                vec![ImageStep::Pull(image.clone(), platform.clone()).into()]
            }
            Self::Prune { what, sieve } => {
                let mut what = what.clone();
                what.sort_unstable();
                what.dedup();
                what.into_iter().map(|kind| Step::Prune(kind, sieve.clone())).collect()
            }
            Self::ContainerRecreate { container, image, patience } => {
                let steps = RecreateStep::all(container, image.as_ref(), *patience);
                steps.into_iter().map(Step::Recreate).collect()
            }
        }
    }

    /// The order of its steps.
    pub fn plan(&self) -> Plan {
        let undoable = self.steps().iter().map(Step::is_undoable).collect();
        let on_failure = match self {
            Self::ContainerRun(_) | Self::ContainerRecreate { .. } | Self::VolumeCopy { .. } => {
                OnFailure::Unwind
            }
            _ => OnFailure::GoOn,
        };
        Plan { undoable, on_failure }
    }

    /// What it is done to, in words.
    pub fn target(&self) -> String {
        match self {
            Self::ContainerStart { containers, .. }
            | Self::ContainerStop { containers, .. }
            | Self::ContainerRestart { containers, .. }
            | Self::ContainerRemove { containers, .. } => list(containers),
            Self::ContainerRun(spec) => {
                spec.name.as_ref().map_or(spec.image.to_string(), ToString::to_string)
            }
            Self::ContainerUpdate { container, .. } | Self::ContainerRecreate { container, .. } => {
                container.to_string()
            }
            Self::ImagePull { image, .. }
            | Self::ImagePush { image }
            | Self::ImageTag { image, .. }
            | Self::ImageCopy { image, .. } => image.to_string(),
            Self::ImageBuild(spec) => list(&spec.tags),
            Self::VolumeCopy { volume, .. } => volume.to_string(),
            Self::ImageRemove { images, .. } => list(images),
            Self::VolumeCreate(spec) => spec.name.to_string(),
            Self::VolumeRemove { volumes } => list(volumes),
            Self::NetworkCreate(spec) => spec.name.to_string(),
            Self::NetworkConnect { container, network, .. }
            | Self::NetworkDisconnect { container, network } => format!("{container}, {network}"),
            Self::NetworkRemove { networks } => list(networks),
            Self::Prune { what, .. } => what.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "),
        }
    }

    /// It with the secrets in it masked, and whether there were none.
    pub fn masked(&self) -> (Self, bool) {
        let masked = match self {
            Self::ContainerRun(spec) => {
                let mut spec = spec.clone();
                mask(spec.env.iter_mut().chain(&mut spec.labels));
                spec.command = redact::command(&spec.command);
                Self::ContainerRun(spec)
            }
            Self::ImageBuild(spec) => {
                let mut spec = spec.clone();
                for (name, value) in &mut spec.args {
                    *value = redact::value(&name.to_string(), value);
                }
                Self::ImageBuild(spec)
            }
            Self::VolumeCreate(spec) => {
                let mut spec = spec.clone();
                mask(spec.options.iter_mut().chain(&mut spec.labels));
                // Of file servers: `o=username=me,password=…`.
                spec.options.values_mut().for_each(|value| *value = redact::text(value));
                Self::VolumeCreate(spec)
            }
            Self::NetworkCreate(spec) => {
                let mut spec = spec.clone();
                mask(spec.labels.iter_mut());
                Self::NetworkCreate(spec)
            }
            other => other.clone(),
        };
        let whole = masked == *self;
        (masked, whole)
    }

    /// Somebody's words about it, without what it keeps secret: engines repeat what they were asked.
    pub fn hide(&self, words: &str) -> String {
        let (masked, whole) = self.masked();
        let mut text = words.to_owned();
        if !whole {
            let (open, shown) = (self.values(), masked.values());
            for (secret, shown) in open.into_iter().zip(shown).filter(|(value, shown)| value != shown) {
                text = text.replace(secret.as_str(), shown);
                // What is told may begin amid it, as the end of a log does.
                let lines = secret.lines().map(str::trim);
                for line in lines.filter(|line| line.len() >= TELLING && !shown.contains(line)) {
                    text = text.replace(line, redact::MASK);
                }
            }
        }
        redact::text(&text)
    }

    /// Whatever in it may be a secret.
    fn values(&self) -> Vec<&String> {
        match self {
            Self::ContainerRun(spec) => {
                spec.env.values().chain(spec.labels.values()).chain(&spec.command).collect()
            }
            Self::ImageBuild(spec) => spec.args.values().collect(),
            Self::VolumeCreate(spec) => spec.options.values().chain(spec.labels.values()).collect(),
            Self::NetworkCreate(spec) => spec.labels.values().collect(),
            _ => vec![],
        }
    }

    /// Whether it loses data, configuration or availability.
    pub const fn is_destructive(&self) -> bool {
        match self {
            Self::ContainerStart { .. }
            | Self::ContainerRun(_)
            | Self::ImagePull { .. }
            | Self::ImageTag { .. }
            | Self::ImageBuild(_)
            | Self::ImageCopy { .. }
            | Self::VolumeCreate(_)
            | Self::NetworkCreate(_)
            | Self::NetworkConnect { .. } => false,
            Self::VolumeCopy { overwrite, .. } => *overwrite,
            Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRemove { .. }
            | Self::ContainerUpdate { .. }
            | Self::ImageRemove { .. }
            // What the registry had under the name is under no name then.
            | Self::ImagePush { .. }
            | Self::VolumeRemove { .. }
            | Self::NetworkDisconnect { .. }
            | Self::NetworkRemove { .. }
            | Self::Prune { .. }
            | Self::ContainerRecreate { .. } => true,
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

    /// Whether what it makes reaches what is not its own: volumes and paths hold the data of others, the host's
    /// network its services, a volume with options may be a path of the host, and what is in a directory of the host
    /// can be read from an image that was built of it.
    fn reaches_out(&self) -> bool {
        match self {
            Self::ContainerRun(spec) => {
                !spec.volumes.is_empty() || spec.networks.iter().any(|name| name == "host")
            }
            Self::VolumeCreate(spec) => spec.may_be_elsewhere(),
            Self::ImageBuild(spec) => matches!(spec.context, BuildContext::Directory(_)),
            _ => false,
        }
    }

    /// What a person is asked before it is made.
    pub fn asks(&self) -> Asks {
        match self {
            Self::ContainerRemove { volumes: true, .. }
            | Self::VolumeRemove { .. }
            | Self::VolumeCopy { overwrite: true, .. } => Asks::Name,
            Self::Prune { what, .. } if what.contains(&PruneKind::Volumes) => Asks::Name,
            Self::ContainerRemove { .. }
            | Self::ImageRemove { .. }
            | Self::NetworkRemove { .. }
            | Self::Prune { .. }
            | Self::ContainerRecreate { .. } => Asks::Agreement,
            // With a path of the host a container has the host.
            Self::ContainerRun(spec) if spec.mounts_the_host() => Asks::Agreement,
            Self::ImageBuild(spec) if matches!(spec.context, BuildContext::Directory(_)) => Asks::Agreement,
            Self::VolumeCreate(spec) if spec.may_be_elsewhere() => Asks::Agreement,
            Self::ContainerStart { .. }
            | Self::ContainerStop { .. }
            | Self::ContainerRestart { .. }
            | Self::ContainerRun(_)
            | Self::ContainerUpdate { .. }
            | Self::ImagePull { .. }
            | Self::ImagePush { .. }
            | Self::ImageTag { .. }
            | Self::ImageBuild(_)
            | Self::ImageCopy { .. }
            | Self::VolumeCreate(_)
            | Self::VolumeCopy { overwrite: false, .. }
            | Self::NetworkCreate(_)
            | Self::NetworkConnect { .. }
            | Self::NetworkDisconnect { .. } => Asks::Nothing,
        }
    }

    /// What a person should know of it who is asked, beside what it would be done to.
    pub fn dangers(&self) -> Vec<String> {
        let (masked, _) = self.masked();
        match masked {
            Self::ContainerRun(spec) => {
                let binds = spec.volumes.iter().filter(|mount| mount.is_bind());
                let words = |mount: &MountSpec| {
                    let mode = if mount.writable { "to write" } else { "to read" };
                    format!("it gets {} of the host {mode}", mount.source)
                };
                binds.map(words).collect()
            }
            Self::VolumeCreate(spec) => {
                let driver = spec.driver.iter().map(|driver| format!("driver {driver}"));
                driver.chain(spec.options.iter().map(|(key, value)| format!("{key}={value}"))).collect()
            }
            Self::ContainerRemove { force, volumes, .. } => {
                let force = force.then(|| "running ones too".to_owned());
                force.into_iter().chain(volumes.then(|| "with their anonymous volumes".to_owned())).collect()
            }
            Self::ImageBuild(spec) => {
                vec![format!("built from {}, whose files the image may have then", spec.context)]
            }
            Self::ImageRemove { force: true, .. } => vec!["also of stopped containers".to_owned()],
            Self::Prune { what, .. } if what.contains(&PruneKind::BuildCache) => {
                vec!["and the build cache".to_owned()]
            }
            _ => vec![],
        }
    }

    /// Whether it chooses by itself what it is made to, and may leave out what is protected.
    pub fn chooses(&self) -> bool {
        matches!(self, Self::Prune { .. })
    }

    /// The other host that it takes something from.
    pub const fn source(&self) -> Option<&HostId> {
        match self {
            Self::ImageCopy { from, .. } | Self::VolumeCopy { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Whether a host that is held to `policy` may be its source. To read a volume a container is made that never
    /// runs.
    pub fn may_take_from(&self, policy: Policy) -> bool {
        !matches!(self, Self::VolumeCopy { .. }) || policy != Policy::ReadOnly
    }

    /// Whether it is looked what it would be made to before it is permitted.
    pub fn is_surveyed(&self) -> bool {
        self.is_destructive() || self.reaches_out() || self.asks() > Asks::Nothing
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

/// The steps that wait until they are healthy.
fn settled(containers: &[ContainerName], patience: Option<u32>) -> Vec<Step> {
    let settle =
        |patience| containers.iter().map(move |name| ContainerStep::Settle(name.clone(), patience).into());
    patience.into_iter().flat_map(settle).collect()
}

/// Names as people write them.
pub fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn mask<'a>(pairs: impl Iterator<Item = (&'a String, &'a mut String)>) {
    for (key, value) in pairs {
        *value = redact::value(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn volume() -> VolumeSpec {
        let (options, labels) = (BTreeMap::new(), BTreeMap::new());
        VolumeSpec { name: "data".parse().unwrap(), driver: None, options, labels }
    }

    #[test]
    fn the_password_of_a_file_server_is_hidden() {
        let options = [("o".to_owned(), "username=me,password=hunter2,rw".to_owned())].into();
        let change = Change::VolumeCreate(VolumeSpec { options, ..volume() });
        let (masked, whole) = change.masked();
        let kept = serde_json::to_string(&masked).unwrap();
        assert!(!whole && !kept.contains("hunter2") && kept.contains("username=me"), "{kept}");
        assert!(!change.hide("mount: username=me,password=hunter2,rw").contains("hunter2"));
        assert_eq!(change.asks(), Asks::Agreement, "it may be anywhere");
    }

    /// One change of each kind.
    pub(crate) fn all() -> Vec<Change> {
        let containers: Vec<ContainerName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let image: ImageName = "busybox".parse().unwrap();
        vec![
            Change::ContainerStart { containers: containers.clone(), patience: None },
            Change::ContainerStop { containers: containers.clone(), grace: Some(1), mode: StopMode::Stop },
            Change::ContainerRestart { containers: containers.clone(), grace: None, patience: Some(60) },
            Change::ContainerRemove { containers, force: true, volumes: false },
            Change::ContainerRun(Box::new(RunSpec::of(image.clone()))),
            Change::ContainerUpdate {
                container: "a".parse().unwrap(),
                limits: LimitSpec { memory: Some(1), ..LimitSpec::default() },
                rename: None,
            },
            Change::ImageBuild(Box::new(BuildSpec {
                context: "https://example.test/app.git".parse().unwrap(),
                dockerfile: None,
                tags: vec!["app:1".parse().unwrap()],
                args: [("TOKEN".parse().unwrap(), "hunter2".to_owned())].into(),
                target: None,
                no_cache: false,
            })),
            Change::ImageCopy { image: image.clone(), from: "pi".parse().unwrap() },
            Change::ImagePush { image: image.clone() },
            Change::ImageTag { image: image.clone(), name: "mine".parse().unwrap() },
            Change::ImageRemove { images: vec![image.clone()], force: false },
            Change::VolumeCreate(volume()),
            Change::VolumeCopy {
                source: "data".parse().unwrap(),
                from: "pi".parse().unwrap(),
                volume: "other".parse().unwrap(),
                overwrite: true,
            },
            Change::VolumeRemove { volumes: vec!["data".parse().unwrap()] },
            Change::NetworkCreate(NetworkSpec {
                name: "back".parse().unwrap(),
                driver: None,
                subnet: Some("10.1.0.0/24".parse().unwrap()),
                internal: true,
                labels: BTreeMap::new(),
            }),
            Change::NetworkConnect {
                container: "a".parse().unwrap(),
                network: "back".parse().unwrap(),
                aliases: vec!["db".to_owned()],
            },
            Change::NetworkDisconnect { container: "a".parse().unwrap(), network: "back".parse().unwrap() },
            Change::NetworkRemove { networks: vec!["back".parse().unwrap()] },
            Change::ImagePull { image, platform: None },
            Change::Prune { what: PruneKind::ALL.to_vec(), sieve: Sieve::default() },
            Change::ContainerRecreate { container: "a".parse().unwrap(), image: None, patience: 60 },
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
    fn the_end_of_what_a_build_said_has_no_part_of_a_secret() {
        let Some(Change::ImageBuild(mut spec)) =
            all().into_iter().find(|change| matches!(change, Change::ImageBuild(_)))
        else {
            panic!("no build");
        };
        let secret = "first-line-of-it\nlogin password=x for all\nthe-last-line";
        spec.args = [("TOKEN".parse().unwrap(), secret.to_owned())].into();
        let told = Change::ImageBuild(spec).hide("for all\nlogin password=x for all\nthe-last-line\ndone");
        assert_eq!(told, "for all\n***\n***\ndone");
    }

    #[test]
    fn what_is_pruned_is_pruned_once_and_in_the_order_that_frees_most() {
        let what = vec![PruneKind::Images, PruneKind::Containers, PruneKind::Images];
        let steps = Change::Prune { what, sieve: Sieve::default() }.steps();
        let step = |kind| Step::Prune(kind, Sieve::default());
        assert_eq!(steps, [step(PruneKind::Containers), step(PruneKind::Images)]);
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
