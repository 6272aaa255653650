//! The supervisor as an actor: how it stops its children, and when it gives up.

use super::{
    ChildPhase, ChildSpec, Excess, Restart, StartChild, Strategy, SupervisorArguments, SupervisorHandle,
    start_root,
};
use crate::domain::retry::BackoffPolicy;
use crate::runtime::restart_window::RestartIntensity;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What children did, with the second they did it in.
type Diary = Arc<Mutex<Vec<(String, u64)>>>;

/// A child that takes its time to stop.
struct Child;

#[derive(Clone)]
struct Nature {
    name: &'static str,
    diary: Diary,
    born: Instant,
    /// How long stopping takes.
    stops_in: Duration,
}

impl Nature {
    fn note(&self, what: &str) {
        self.diary.lock().unwrap().push((format!("{} {what}", self.name), self.born.elapsed().as_secs()));
    }
}

impl Actor for Child {
    type Msg = ();
    type State = Nature;
    type Arguments = Nature;

    async fn pre_start(&self, _: ActorRef<()>, nature: Nature) -> Result<Nature, ActorProcessingErr> {
        nature.note("starts");
        Ok(nature)
    }

    async fn handle(&self, _: ActorRef<()>, (): (), _: &mut Nature) -> Result<(), ActorProcessingErr> {
        Err("as planned".into())
    }

    async fn post_stop(&self, _: ActorRef<()>, nature: &mut Nature) -> Result<(), ActorProcessingErr> {
        nature.note("stops");
        tokio::time::sleep(nature.stops_in).await;
        nature.note("has stopped");
        Ok(())
    }
}

fn spec(nature: Nature, grace: u64) -> ChildSpec {
    let name = nature.name.to_owned();
    let start: StartChild = Arc::new(move |supervisor, _| {
        let nature = nature.clone();
        Box::pin(async move {
            let (child, _) = Actor::spawn_linked(None, Child, nature, supervisor).await?;
            Ok(child.get_cell())
        })
    });
    ChildSpec {
        name,
        restart: Restart::Permanent,
        intensity: RestartIntensity { intensity: 2, period: Duration::from_secs(60) },
        excess: Excess::Meltdown,
        backoff: BackoffPolicy::SERIES,
        grace: Duration::from_secs(grace),
        start,
    }
}

/// Stops a supervisor of three children, of whom `b` never stops by itself within its grace of 5 s.
async fn stopping(strategy: Strategy) -> Vec<(String, u64)> {
    let (diary, born) = (Diary::default(), Instant::now());
    let nature = |name, seconds| Nature {
        name,
        diary: Arc::clone(&diary),
        born,
        stops_in: Duration::from_secs(seconds),
    };
    let children = vec![spec(nature("a", 1), 10), spec(nature("b", 3600), 5), spec(nature("c", 2), 10)];
    let arguments = SupervisorArguments { name: "test", strategy, children, on_quarantine: None };
    let (root, tree) = start_root(arguments).await.unwrap();
    all_run(&root, 3).await;
    root.stop();
    tree.await.unwrap();
    assert_eq!(born.elapsed().as_secs(), if strategy == Strategy::AllAtOnce { 5 } else { 8 });
    let diary = diary.lock().unwrap().clone();
    diary.into_iter().filter(|(what, _)| !what.ends_with("starts")).collect()
}

async fn all_run(root: &SupervisorHandle, count: usize) {
    while root.children().iter().filter(|child| child.phase == ChildPhase::Running).count() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn told(entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    entries.iter().map(|(what, at)| ((*what).to_owned(), *at)).collect()
}

#[tokio::test(start_paused = true)]
async fn d1_the_last_started_stops_first_and_who_does_not_stop_is_killed() {
    let diary = stopping(Strategy::ReverseStartOrder).await;
    let expected =
        [("c stops", 0), ("c has stopped", 2), ("b stops", 2), ("a stops", 7), ("a has stopped", 8)];
    assert_eq!(diary, told(&expected));
}

#[tokio::test(start_paused = true)]
async fn d1_those_who_do_not_need_each_other_stop_at_once() {
    let mut diary = stopping(Strategy::AllAtOnce).await;
    diary.sort_by_key(|(what, at)| (*at, what.clone()));
    let expected =
        [("a stops", 0), ("b stops", 0), ("c stops", 0), ("a has stopped", 1), ("c has stopped", 2)];
    assert_eq!(diary, told(&expected));
}

#[tokio::test(start_paused = true)]
async fn d1_a_child_that_crashes_too_often_takes_its_supervisor_down_with_all_others() {
    let (diary, born) = (Diary::default(), Instant::now());
    let nature = |name| Nature { name, diary: Arc::clone(&diary), born, stops_in: Duration::ZERO };
    let mut crashing = spec(nature("bad"), 1);
    let start = Arc::clone(&crashing.start);
    crashing.start = Arc::new(move |supervisor, incarnation| {
        let start = Arc::clone(&start);
        Box::pin(async move {
            let cell = start(supervisor, incarnation).await?;
            ActorRef::<()>::from(cell.clone())
                .cast(())
                .map_err(|error| ractor::SpawnErr::StartupFailed(error.into()))?;
            Ok(cell)
        })
    });
    let children = vec![spec(nature("good"), 1), crashing];
    let strategy = Strategy::ReverseStartOrder;
    let arguments = SupervisorArguments { name: "test", strategy, children, on_quarantine: None };
    let (_root, tree) = start_root(arguments).await.unwrap();
    tree.await.unwrap();
    let diary = diary.lock().unwrap();
    let count = |what: &str| diary.iter().filter(|(entry, _)| entry == what).count();
    assert_eq!((count("bad starts"), count("good starts"), count("good has stopped")), (3, 1, 1));
}
