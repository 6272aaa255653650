//! Changes through crashes: for every kind, at every point that its code passes.

mod compat;
mod consent;
mod copy;
mod keys;
mod loose;
mod recreate;
mod trouble;
mod world;

use self::loose::Loose;
use self::world::{LONG, Life, World, all, the};
use super::crashes::{JOURNAL_COMMITTED, JOURNAL_WRITE};
use super::write;
use crate::actors::changes::Wish;
use crate::actors::host::HostError;
use crate::actors::operation::Operation;
use crate::actors::trip;
use crate::app::App;
use crate::changes::{Earlier, Found, Hands, Look};
use crate::domain::change::{
    Asker, Before, Change, ContainerStep, ImageStep, NetworkStep, OWNER, PruneKind, RecreateStep, Step,
    StopMode, VolumeStep,
};
use crate::domain::operation::{OperationId, OperationKind};
use crate::domain::run::RunSpec;
use crate::domain::saga::{Course, OnFailure, StepState, Why};
use crate::journal::record::{ChangeRecord, ChangeState, Entry, NewChange, Verdict};
use crate::journal::{JournalError, JournalLock, Page, Store};
use crate::transport::Command;
use crate::transport::fake::Scene;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn make(app: &App, change: Change) -> ChangeRecord {
    let id = begin(app, change, None).await;
    app.directory().changes().wait(id, LONG).await.unwrap().unwrap()
}

async fn begin(app: &App, change: Change, key: Option<&str>) -> OperationId {
    let host = app.directory().host("nas").unwrap();
    let asker = Asker { principal: "owner".into(), client: "test".into() };
    let (key, arguments) = (key.map(ToOwned::to_owned), serde_json::Value::Null);
    let wish = Wish { change, bound: None, agreement: None, asker, key, arguments };
    let session = host.session(LONG).await.unwrap();
    app.directory().changes().begin(&host, &session, wish).await.unwrap().0
}

/// Waits until nothing is open; returns everything on record.
async fn settled(app: &App) -> Vec<ChangeRecord> {
    let desk = app.directory().changes();
    loop {
        let all = desk.list(&Page { ended: None, limit: 100, before: None }).await.unwrap();
        if all.iter().all(|record| record.state.is_final()) {
            return all;
        }
        for record in all {
            desk.wait(record.id, Duration::from_secs(1)).await.unwrap();
        }
    }
}

/// What an undisturbed life makes: its record, the points it passes, the effects, and what is there then.
fn undisturbed(change: &Change) -> (ChangeRecord, Vec<String>, Vec<String>, BTreeMap<String, bool>) {
    let (world, points) = (World::new(), Arc::new(Mutex::new(vec![])));
    let passed = Arc::clone(&points);
    let watch = move |point: &str| {
        passed.lock().unwrap().push(point.to_owned());
        false
    };
    let Life::Lived(record) = world.live(watch, async |app| make(app, change.clone()).await) else {
        panic!("it crashed")
    };
    let points = points.lock().unwrap().clone();
    (record, points, world.effects(), world.containers())
}

#[test]
fn there_is_a_change_of_each_kind_to_try() {
    let words: Vec<&str> = all().iter().map(Change::word).collect();
    assert_eq!(words, Change::WORDS);
}

#[test]
fn a_crash_at_any_point_ends_in_what_would_have_been_made_without() {
    let changes = Mutex::new(all().into_iter());
    let next = || changes.lock().unwrap().next();
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(change) = next() {
                    crashes_at_every_point(&change);
                }
            });
        }
    });
}

fn crashes_at_every_point(change: &Change) {
    let (record, points, effects, containers) = undisturbed(change);
    assert_eq!(record.state, ChangeState::Done, "{record:?}");
    for step in change.steps() {
        let passed = |what: &str| points.contains(&format!("{what} {step}"));
        assert!(passed("before look") && (passed("after settle") || passed("after already")), "{points:?}");
    }
    for point in &points {
        let (world, wanted) = (World::new(), point.clone());
        let life = world.live(move |point| point == wanted, async |app| make(app, change.clone()).await);
        assert_eq!(life, Life::Crashed, "{point}");
        let Life::Lived(records) = world.live(|_| false, settled) else { panic!("it crashed again") };
        if point == "before begin" {
            assert_eq!((records, world.effects()), (vec![], vec![]), "nothing was on record");
            continue;
        }
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(record.state, ChangeState::Done, "{} {point}: {record:?}", change.word());
        let mut made = world.effects();
        // A registry that is sent the same again has the same, and so have a volume and a builder.
        let may_be_twice =
            |effect: &str| ["push ", "fill ", "build "].iter().any(|again| effect.starts_with(again));
        made.dedup_by(|again, once| again == once && may_be_twice(again));
        assert_eq!(made, effects, "{} {point}: no effect twice", change.word());
        assert_eq!(world.containers(), containers, "{} {point}", change.word());
    }
}

/// A crash at each point of a change that goes back, for each of its steps.
#[test]
fn a_failure_at_any_step_unwinds_also_through_crashes() {
    for change in [the("container_run"), the("container_recreate"), the("volume_copy")] {
        for (at, step) in change.steps().iter().enumerate() {
            if *step != RecreateStep::RemoveOld.into() {
                fails_and_goes_back(&change, at, step);
            }
        }
    }
}

fn fails_and_goes_back(change: &Change, at: usize, step: &Step) {
    let world = || {
        let world = World::new();
        world.fake.model("nas", |model| {
            model.refuse(deed(step));
            if waits(step) {
                model.feel("unhealthy");
            }
        });
        world
    };
    let (calm, points) = (world(), Arc::new(Mutex::new(vec![])));
    let passed = Arc::clone(&points);
    let watch = move |point: &str| {
        passed.lock().unwrap().push(point.to_owned());
        false
    };
    let Life::Lived(record) = calm.live(watch, async |app| make(app, change.clone()).await) else { panic!() };
    assert_eq!(record.state, ChangeState::Failed, "{record:?}");
    assert_eq!(record.steps.len(), at + 1);
    assert_eq!(calm.containers(), World::new().containers(), "{step}: it is as it was");
    // What comes before the step is gone on with as if nothing failed later.
    let begins = format!("before look {step}");
    for point in points.lock().unwrap().iter().skip_while(|point| **point != begins) {
        let (world, wanted) = (world(), point.clone());
        let life = world.live(move |point| point == wanted, async |app| make(app, change.clone()).await);
        assert_eq!(life, Life::Crashed, "{point}");
        let Life::Lived(records) = world.live(|_| false, settled) else { panic!("it crashed again") };
        assert_eq!(records[0].state, ChangeState::Failed, "{step} {point}: {records:?}");
        assert_eq!(world.containers(), calm.containers(), "{step} {point}");
    }
}

/// Whether a step waits for health, and makes nothing.
fn waits(step: &Step) -> bool {
    matches!(step, Step::Recreate(RecreateStep::Settle { .. }) | Step::Container(ContainerStep::Settle(..)))
}

/// Which request makes a step.
fn deed(step: &Step) -> &'static str {
    match step {
        Step::Container(ContainerStep::Start(_) | ContainerStep::StartCreated) => "/start",
        Step::Container(ContainerStep::Stop(..)) | Step::Recreate(RecreateStep::Stop) => "/stop",
        Step::Container(ContainerStep::Restart(..)) => "/restart",
        Step::Container(ContainerStep::Remove { .. })
        | Step::Prune(PruneKind::Containers, _)
        | Step::Recreate(RecreateStep::RemoveOld) => "DELETE /v1.41/containers",
        Step::Container(ContainerStep::Pause(_)) => "/pause",
        Step::Container(ContainerStep::Kill(_)) => "/kill",
        Step::Container(ContainerStep::Update(..)) => "/update",
        Step::Container(ContainerStep::Rename(..)) => "/rename",
        Step::Image(ImageStep::Fetch(_) | ImageStep::Pull(..))
        | Step::Recreate(RecreateStep::Pull { .. }) => "images/create",
        Step::Image(ImageStep::Build(_)) => "docker build",
        Step::Image(ImageStep::Copy(..)) => "images/load",
        Step::Image(ImageStep::Push(_)) => "/push",
        Step::Image(ImageStep::Tag(..)) => "/tag",
        Step::Volume(VolumeStep::Create(_) | VolumeStep::Prepare { .. }) => "volumes/create",
        Step::Volume(VolumeStep::Fill { .. }) => "/archive",
        Step::Volume(VolumeStep::Remove(_)) => "DELETE /v1.41/volumes",
        Step::Network(NetworkStep::Create(_)) => "networks/create",
        Step::Network(NetworkStep::Connect { .. }) | Step::Recreate(RecreateStep::Connect) => "/connect",
        Step::Network(NetworkStep::Disconnect { .. }) => "/disconnect",
        Step::Network(NetworkStep::Remove(_)) => "DELETE /v1.41/networks",
        Step::Container(ContainerStep::Create(_)) | Step::Recreate(RecreateStep::Create { .. }) => {
            "containers/create"
        }
        Step::Prune(PruneKind::BuildCache, _) => "build/prune",
        Step::Image(ImageStep::Remove(..)) | Step::Prune(..) => "DELETE /v1.41/images",
        Step::Recreate(RecreateStep::SetAside) => "name=a-dockmaster-old",
        // Of the container that is made after one effect.
        Step::Recreate(RecreateStep::Rename) => "000000000101/rename",
        Step::Recreate(RecreateStep::Start) => "000000000101/start",
        Step::Recreate(RecreateStep::Settle { .. }) | Step::Container(ContainerStep::Settle(..)) => "nothing",
    }
}

#[test]
fn what_an_engine_refuses_at_any_step_is_told_and_leaves_nothing_half_made() {
    for change in all() {
        for step in change.steps() {
            let world = World::new();
            let before = world.containers();
            let is_wait = waits(&step);
            world.fake.model("nas", |model| model.refuse(deed(&step)));
            if is_wait {
                world.fake.model("nas", |model| model.feel("unhealthy"));
            }
            let Life::Lived(record) = world.live(|_| false, async |app| make(app, change.clone()).await)
            else {
                panic!()
            };
            let refused = record.steps.iter().find(|made| made.name == step.to_string()).unwrap();
            let is_sweep = matches!(step, Step::Prune(kind, _) if kind != PruneKind::BuildCache);
            if is_sweep || step == RecreateStep::RemoveOld.into() {
                // What stays is told; it is no failure of the rest.
                assert!(refused.made.left[0].contains("as scripted"), "{step}: {record:?}");
                continue;
            }
            assert_eq!(record.state, ChangeState::Failed, "{step}: {record:?}");
            let words = if is_wait { "is unhealthy" } else { "as scripted" };
            assert!(record.words.unwrap().contains(words), "{step}");
            if change.plan().on_failure == OnFailure::Unwind {
                assert_eq!(world.containers(), before, "{step}");
            }
        }
    }
}

#[test]
fn every_step_may_be_made_twice_and_every_undo() {
    for change in all() {
        let world = World::new();
        let twice = async |app: &App| {
            let host = app.directory().host("nas").unwrap();
            let session = host.session(LONG).await.unwrap();
            let (operation, now) = (OperationId::fresh(), Timestamp::UNIX_EPOCH);
            let means = Loose::beside(&session, change.source(), app);
            let mut hands = Hands { engine: &session.engine, operation, means: &means, earlier: vec![], now };
            for step in change.steps() {
                let looked = hands.look(&step).await;
                let before = match looked.unwrap_or_else(|error| panic!("{step}: {error}")) {
                    Look::Todo(before) | Look::Already(before, _) => before,
                };
                let made = async || match hands.act(&step, &before).await.unwrap() {
                    Some(made) => made,
                    None => hands.after(&step, &before).await.unwrap(),
                };
                let first = made().await;
                let there = world.containers();
                let second = made().await;
                assert_eq!(world.containers(), there, "{step}");
                assert_eq!((&second.id, &second.removed), (&first.id, &first.removed), "{step}");
                let seen = matches!(hands.probe(&step, &before).await.unwrap(), Found::Made(_));
                let tells_nothing = matches!(
                    step,
                    Step::Prune(PruneKind::BuildCache, _)
                        | Step::Image(ImageStep::Push(_) | ImageStep::Build(_))
                        | Step::Volume(VolumeStep::Fill { .. })
                );
                assert_eq!(seen, !tells_nothing, "{step}");
                hands.earlier.push(Earlier { step: step.to_string(), before, made: first });
            }
            // What was made anew is not taken back any more.
            let undoable = |step: &&Step| step.is_undoable() && !matches!(step, Step::Recreate(_));
            for step in change.steps().iter().rev().filter(undoable) {
                for _ in 0..2 {
                    hands.undo(step, &Before::Nothing).await.unwrap();
                    assert!(!world.containers().contains_key("new"), "{step}");
                    let found = hands.probe(step, &Before::Nothing).await.unwrap();
                    assert_eq!(found, Found::NotYet, "{step} was undone");
                }
            }
        };
        assert_eq!(world.live(|_| false, twice), Life::Lived(()));
    }
}

/// What each stands for itself fails for itself.
#[test]
fn a_failure_among_several_leaves_the_others_to_be_made() {
    let world = World::new();
    let containers = vec!["nobody".parse().unwrap(), "b".parse().unwrap()];
    let change = Change::ContainerStop { containers, grace: None, mode: StopMode::Stop };
    let Life::Lived(record) = world.live(|_| false, async |app| make(app, change).await) else { panic!() };
    assert_eq!(record.state, ChangeState::Failed);
    assert_eq!(world.effects(), ["stop b"]);
}

#[test]
fn what_needs_a_secret_that_is_not_on_record_is_undone_and_never_gone_on_with() {
    let secret = |spec: RunSpec| RunSpec { env: [("PASSWORD".into(), "hunter2".into())].into(), ..spec };
    let Change::ContainerRun(spec) = the("container_run") else { panic!() };
    let run = Change::ContainerRun(Box::new(secret(*spec)));
    for (point, effects) in [
        ("before act create", &["pull busybox"][..]),
        ("after act create", &["pull busybox", "create new", "remove new"]),
        ("before act start", &["pull busybox", "create new", "remove new"]),
    ] {
        let world = World::new();
        assert_eq!(
            world.live(move |at| at == point, async |app| make(app, run.clone()).await),
            Life::Crashed
        );
        let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
        assert_eq!(records[0].state, ChangeState::RolledBack, "{point}: {records:?}");
        assert_eq!(world.effects(), effects, "{point}");
    }
    // one that had got to its end is done, whatever it needed
    let world = World::new();
    assert_eq!(
        world.live(|at| at == "before settle start", async |app| make(app, run.clone()).await),
        Life::Crashed
    );
    let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
    assert_eq!(records[0].state, ChangeState::Done, "{records:?}");
}

#[test]
fn a_wish_on_its_way_no_longer_needs_whoever_brought_it() {
    let world = World::new();
    let leave = async |app: &App| {
        let mut caller = Box::pin(begin(app, the("container_restart"), None));
        while app.directory().changes().open().is_empty() {
            assert!(futures_util::poll!(&mut caller).is_pending());
            tokio::task::yield_now().await;
        }
        drop(caller);
        settled(app).await
    };
    let Life::Lived(records) = world.live(|_| false, leave) else { panic!() };
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].state, world.effects()),
        (ChangeState::Done, vec!["restart a".into(), "restart b".into()])
    );
}

#[test]
fn a_change_is_held_to_the_policy_of_the_moment() {
    let (world, restart) = (World::new(), the("container_restart"));
    assert_eq!(
        world.live(|at| at == "after settle restart a", async |app| make(app, restart).await),
        Life::Crashed
    );
    let tightened = ["  nas: {hostname: nas, policy: ro}\n".to_owned()];
    write(&world.data.path().join("hosts.yml"), tightened.into_iter());
    let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
    assert_eq!((records[0].state, world.effects()), (ChangeState::RolledBack, vec!["restart a".to_owned()]));
}

#[test]
fn a_change_leaves_alone_what_is_protected_by_now() {
    // Before it is intended, and after that.
    for at in ["after settle restart a", "before act restart b"] {
        for by_label in [true, false] {
            let (world, restart) = (World::new(), the("container_restart"));
            let crashed = world.live(move |point| point == at, async |app| make(app, restart).await);
            assert_eq!(crashed, Life::Crashed);
            if by_label {
                world.fake.model("nas", |model| model.label("b", "dockmaster.protected", "true"));
            } else {
                let protected = ["  nas: {hostname: nas, protected: [b]}\n".to_owned()];
                write(&world.data.path().join("hosts.yml"), protected.into_iter());
            }
            let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
            assert_eq!(world.effects(), ["restart a"], "{at} {by_label}");
            assert_eq!(records[0].state, ChangeState::Failed, "{at} {by_label}: {records:?}");
            let words = records[0].words.as_deref().unwrap_or_default();
            assert!(words.contains("container b is protected"), "{words}");
        }
    }
}

#[test]
fn a_prune_leaves_out_what_is_protected_by_now() {
    let world = World::new();
    let at = |point: &str| point == "before look prune containers";
    assert_eq!(world.live(at, async |app| make(app, the("prune")).await), Life::Crashed);
    world.fake.model("nas", |model| {
        model.add("kept", false);
        model.label("kept", "dockmaster.protected", "true");
    });
    let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
    assert_eq!(records[0].state, ChangeState::Done, "{records:?}");
    let left = world.containers();
    assert!(left.contains_key("kept") && !left.contains_key("ended"), "{left:?}");
}

/// Also before it was taken in, and while its host is away.
#[test]
fn what_a_service_before_began_can_be_cancelled_at_once() {
    let world = World::new();
    let restart = || the("container_restart");
    assert_eq!(
        world.live(|at| at == "before act restart a", async |app| make(app, restart()).await),
        Life::Crashed
    );
    world.fake.script("nas", [Scene::Hangs]);
    let cancel = async |app: &App| {
        let desk = app.directory().changes();
        let id = desk.list(&Page { ended: None, limit: 1, before: None }).await.unwrap()[0].id;
        desk.cancel(id, &Asker::default()).await.unwrap();
        let tree = app.tree().look();
        let shown = tree.find(&["reaper"]).unwrap().children.iter().map(|child| (&*child.name, child.phase));
        let name = format!("container_restart {id} on nas");
        assert_eq!(shown.collect::<Vec<_>>(), [(&*name, "recovering")]);
        desk.wait(id, Duration::ZERO).await.unwrap().unwrap()
    };
    let Life::Lived(record) = world.live(|_| false, cancel) else { panic!() };
    assert_eq!((record.state, record.course), (ChangeState::Recovering, Course::Back(Why::Cancelled)));
    let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
    assert_eq!((records[0].state, world.effects()), (ChangeState::Cancelled, vec![]), "nor by the one after");
}

/// Nobody expects a restart three days later.
#[test]
fn a_change_whose_time_is_over_is_not_gone_on_with() {
    for (intended, made) in [(false, false), (true, false), (true, true)] {
        let world = World::new();
        let (change, id) = (
            Change::ContainerRestart { containers: vec!["a".parse().unwrap()], grace: None, patience: None },
            OperationId::fresh(),
        );
        let write = async |app: &App| {
            let host = app.directory().host("nas").unwrap();
            let machine = host.session(LONG).await.unwrap().machine(&"nas".parse().unwrap());
            let asker = Asker { principal: OWNER.into(), client: String::new() };
            let (change, key, arguments) = (change.clone(), None, serde_json::Value::Null);
            NewChange { id, change, machine, bound: None, agreement: None, asker, key, arguments }
        };
        let Life::Lived(new) = world.live(|_| false, write) else { panic!() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lock = JournalLock::take(world.data.path()).unwrap();
            let mut store = Store::open(&lock).await.unwrap();
            let then = Timestamp::now() - SignedDuration::from_hours(72);
            store.commit(&[Entry::Begin(Box::new(new))], then).await.unwrap();
            if intended {
                let started_at =
                    if made { "2025-01-01T00:00:00Z" } else { "2026-01-01T00:00:00Z" }.to_owned();
                let (container, state) = ("000000000001".into(), "running".into());
                let before = Before::Container { id: container, state, started_at, grace: None };
                store.commit(&[Entry::Intend(id, 0, "restart a".into(), before)], then).await.unwrap();
            }
        });
        let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
        let state = if made { ChangeState::Done } else { ChangeState::RolledBack };
        assert_eq!((records[0].state, world.effects()), (state, vec![]), "{intended} {made}: {records:?}");
    }
}

/// Also what operations hold that change nothing.
#[test]
fn what_an_operation_held_when_the_service_crashed_is_let_go_of_by_the_next() {
    let world = World::new();
    let hold = async |app: &App| {
        let host = app.directory().host("nas").unwrap();
        let reading = host.read("look", LONG, |operation| async move {
            operation.helper_container().await;
            operation.temp_file(vec![]).await?;
            std::future::pending::<Result<(), HostError>>().await
        });
        reading.await.unwrap();
    };
    let holds = Arc::new(Mutex::new(0));
    let second = move |point: &str| {
        let mut holds = holds.lock().unwrap();
        *holds += u32::from(point == "after hold");
        *holds == 2
    };
    assert_eq!(world.live(second, hold), Life::Crashed);
    assert_cleaned(&world, &["DELETE /v1.41/containers/dockmaster-", "exec rm "]);
}

/// The next service lets go of what is on record by these deeds, and nothing of it is on record any more.
fn assert_cleaned(world: &World, wanted: &[&str]) {
    let from = world.fake.deeds("nas").len();
    let done = |what: &&str| world.fake.deeds("nas")[from..].iter().any(|deed| deed.starts_with(*what));
    let clean = async |app: &App| {
        while !wanted.iter().all(done) || !app.directory().reaper().leftovers().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.directory().changes().journal().write("last", vec![]).await.unwrap();
        app.directory().changes().journal().reader().await.unwrap().held().await.unwrap()
    };
    assert_eq!(world.live(|_| false, clean), Life::Lived(vec![]));
}

#[test]
fn processes_that_a_service_left_on_a_host_are_ended_by_the_next() {
    for kind in [OperationKind::Read, OperationKind::Change] {
        let world = World::new();
        let leave = async |app: &App| {
            let host = app.directory().host("nas").unwrap();
            let work = async |operation: Operation| {
                operation.link().exec(&Command::new(["hang"])).await?;
                Ok(())
            };
            let mut working: Pin<Box<dyn Future<Output = Result<(), HostError>>>> = match kind {
                OperationKind::Read => Box::pin(host.read("work", LONG, work)),
                OperationKind::Change => Box::pin(host.change("work", LONG, work)),
            };
            let reader = app.directory().changes().journal().reader().await.unwrap();
            while !world.fake.deeds("nas").iter().any(|deed| deed.ends_with(" hang"))
                || reader.held().await.unwrap().is_empty()
            {
                assert!(futures_util::poll!(&mut working).is_pending());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert_eq!(world.live(|_| false, leave), Life::Lived(()));
        assert_cleaned(&world, &["exec sh -c read -r m"]);
    }
}

#[test]
fn a_panic_in_any_message_of_the_journal_loses_nothing() {
    for kind in [JOURNAL_WRITE, JOURNAL_COMMITTED] {
        let (record, _, effects, _) = undisturbed(&all()[2]);
        let world = World::new();
        let disturbed = async |app: &App| {
            let crash = async {
                for _ in 0..2 {
                    trip::set(kind);
                    while !trip::is_tripped() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            };
            let (made, ()) = tokio::join!(make(app, the("container_restart")), crash);
            made
        };
        let Life::Lived(made) = world.live(|_| false, disturbed) else { panic!("{kind}") };
        let told = |record: &ChangeRecord| (record.state, record.states());
        assert_eq!(told(&made), told(&record), "{kind}");
        assert_eq!(world.effects(), effects, "{kind}");
    }
}
