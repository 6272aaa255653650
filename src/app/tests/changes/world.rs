//! What changes are made to, and lives of a service that makes them.

use crate::actors::journal::JournalHandle;
use crate::app::tests::{outside, settings, write};
use crate::app::{App, Outside};
use crate::domain::build::{BuildArgs, BuildSpec};
use crate::domain::change::{Change, PruneKind, Sieve, StopMode};
use crate::domain::retry::ConnectPolicy;
use crate::domain::run::{LimitSpec, RunSpec};
use crate::domain::thing::{NetworkSpec, VolumeSpec};
use crate::journal::{JournalError, JournalLock};
use crate::runtime::failpoint::Failpoints;
use crate::transport::fake::FakeConnector;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) const LONG: Duration = Duration::from_secs(20);

/// One change of each kind, on the world as it is made.
pub(super) fn all() -> Vec<Change> {
    let containers = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    let image = "busybox".parse().unwrap();
    vec![
        Change::ContainerStart { containers: vec!["ended".parse().unwrap()], patience: Some(1) },
        Change::ContainerStop { containers: containers.clone(), grace: None, mode: StopMode::Stop },
        Change::ContainerRestart { containers: containers.clone(), grace: None, patience: Some(1) },
        Change::ContainerRemove { containers, force: true, volumes: false },
        Change::ContainerRun(Box::new(RunSpec { name: Some("new".parse().unwrap()), ..RunSpec::of(image) })),
        Change::ContainerUpdate {
            container: "a".parse().unwrap(),
            limits: LimitSpec { memory: Some(64 << 20), ..LimitSpec::default() },
            rename: Some("c".parse().unwrap()),
        },
        Change::ImageBuild(Box::new(BuildSpec {
            context: "https://example.test/app.git".parse().unwrap(),
            dockerfile: None,
            tags: vec!["app:1".parse().unwrap()],
            args: BuildArgs::default(),
            target: None,
            no_cache: false,
        })),
        Change::ImageCopy { image: "far".parse().unwrap(), from: "pi".parse().unwrap() },
        Change::ImagePush { image: "old".parse().unwrap() },
        Change::ImageTag { image: "old".parse().unwrap(), name: "other:1".parse().unwrap() },
        Change::ImageRemove { images: vec!["old".parse().unwrap()], force: false },
        Change::VolumeCreate(VolumeSpec {
            name: "fresh".parse().unwrap(),
            driver: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }),
        Change::VolumeCopy {
            source: "data".parse().unwrap(),
            from: "pi".parse().unwrap(),
            volume: "other".parse().unwrap(),
            overwrite: true,
        },
        Change::VolumeRemove { volumes: vec!["data".parse().unwrap()] },
        Change::NetworkCreate(NetworkSpec {
            name: "fresh".parse().unwrap(),
            driver: None,
            subnet: None,
            internal: false,
            labels: BTreeMap::new(),
        }),
        Change::NetworkConnect {
            container: "b".parse().unwrap(),
            network: "back".parse().unwrap(),
            aliases: vec![],
        },
        Change::NetworkDisconnect { container: "a".parse().unwrap(), network: "back".parse().unwrap() },
        Change::NetworkRemove { networks: vec!["lonely".parse().unwrap()] },
        Change::ImagePull { image: "newer".parse().unwrap(), platform: None },
        Change::Prune {
            what: vec![PruneKind::Containers, PruneKind::Images, PruneKind::BuildCache],
            sieve: Sieve::default(),
        },
        Change::ContainerRecreate { container: "a".parse().unwrap(), image: None, patience: 5 },
    ]
}

/// The change of this kind.
pub(super) fn the(word: &str) -> Change {
    all().into_iter().find(|change| change.word() == word).unwrap()
}

/// What outlives a service: its host, its files.
pub(super) struct World {
    pub(super) fake: FakeConnector,
    pub(super) data: tempfile::TempDir,
}

/// How a life of a service ended.
#[derive(Debug, PartialEq)]
pub(super) enum Life<T> {
    Lived(T),
    Crashed,
}

impl World {
    pub(super) fn new() -> Self {
        let world = Self { fake: FakeConnector::default(), data: tempfile::tempdir().unwrap() };
        write(
            &world.data.path().join("hosts.yml"),
            ["  nas: {hostname: nas}\n  pi: {hostname: pi}\n".to_owned()].into_iter(),
        );
        world.fake.model("nas", |model| {
            model.add("a", true);
            model.add("b", true);
            model.add("ended", false);
            model.add_image("old");
            model.add_volume("data");
            model.add_volume("other");
            model.add_network("front", Some("a"));
            model.add_network("back", Some("a"));
            model.feel("healthy");
            model.add_network("lonely", None);
            model.add_unused_image("sha256:1");
            model.add_unused_image("sha256:2");
        });
        world.fake.model("pi", |model| {
            model.add_image("far");
            model.add_volume("data");
        });
        world
    }

    /// A service from its start to the end of `work`, or to the point where `crashes` says so: then nothing
    /// of it goes on, as if the process had been killed. The last word is dropped with its runtime.
    pub(super) fn live<T>(
        &self,
        crashes: impl Fn(&str) -> bool + Send + Sync + 'static,
        work: impl AsyncFnOnce(&App) -> T,
    ) -> Life<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dead = Arc::new(Notify::new());
        let told = Arc::clone(&dead);
        let failpoints = Failpoints::new(move |point| {
            let crash = crashes(point);
            if crash {
                told.notify_one();
            }
            !crash
        });
        let life = runtime.block_on(async {
            let lock = self.lock();
            let journal = JournalHandle::new(Ok(Arc::new(lock)), failpoints);
            let (sources, settings) = settings(&self.data.path().join("hosts.yml"));
            let policy = ConnectPolicy { doubt: Duration::ZERO, ..ConnectPolicy::default() };
            let outside = Outside { policy, journal, ..outside(Arc::new(self.fake.clone())) };
            let app =
                App::with_listeners(sources, settings, outside, |_, _| Ok((vec![], None))).await.unwrap();
            tokio::select! {
                biased;
                () = dead.notified() => Life::Crashed,
                lived = tokio::time::timeout(LONG, work(&app)) => Life::Lived(lived.expect("it hangs")),
            }
        });
        runtime.shutdown_background();
        life
    }

    /// The journal's lock, which a life before has until the last of its threads has ended.
    fn lock(&self) -> JournalLock {
        let until = Instant::now() + LONG;
        loop {
            match JournalLock::take(self.data.path()) {
                Err(JournalError::Held { .. }) if Instant::now() < until => std::thread::yield_now(),
                lock => return lock.unwrap(),
            }
        }
    }

    pub(super) fn effects(&self) -> Vec<String> {
        self.fake.model("nas", |model| model.effects().to_vec())
    }

    pub(super) fn containers(&self) -> BTreeMap<String, bool> {
        self.fake.model("nas", |model| {
            model.containers().into_iter().map(|(name, runs)| (name.to_owned(), runs)).collect()
        })
    }
}
