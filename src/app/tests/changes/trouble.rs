//! Changes while an engine, a journal or an attendant is in trouble, or somebody else gets in the way.

use super::*;
use crate::app::tests::call;
use crate::journal::occupy;

#[test]
fn an_engine_that_fails_at_undoing_is_asked_again_and_one_that_goes_on_failing_is_told() {
    for (fails, state) in [(2, ChangeState::Failed), (u32::MAX, ChangeState::Unknown)] {
        let world = World::new();
        world.fake.model("nas", |model| {
            model.refuse("/start");
            model.refuse_first(fails, "DELETE");
        });
        let Life::Lived(record) = world.live(|_| false, async |app| make(app, the("container_run")).await)
        else {
            panic!()
        };
        assert_eq!(record.state, state, "{record:?}");
        assert_eq!(world.containers().contains_key("new"), state == ChangeState::Unknown);
        let words = record.words.unwrap();
        let label = format!("Look at what bears the label dockmaster.operation={}", record.id);
        assert_eq!(words.contains(&label), state == ChangeState::Unknown, "{words}");
    }
}

/// Calls that begin no job: of two with one key one is made, and none goes without the audit.
#[test]
fn a_host_is_changed_once_for_a_key_and_never_without_the_audit() {
    let world = World::new();
    let calls = async |app: &App| {
        let arguments = json!({"name": "pi", "target": "pi", "idempotency_key": "k"});
        let add = || call(app, "host_add", arguments.clone());
        let (one, other) = tokio::join!(add(), add());
        assert_eq!(one.unwrap(), other.unwrap());
        let busy = occupy(world.data.path()).await;
        let tag = json!({"host": "pi", "tags": ["new"]});
        let update = || call(app, "host_update", tag.clone());
        let is_new = || !app.directory().host("pi").unwrap().spec().tags.is_empty();
        let refused = update().await.unwrap_err();
        assert!(refused.starts_with("journal_unavailable") && !is_new(), "{refused}");
        drop(busy);
        update().await.unwrap();
        assert!(is_new());
        let audit = app.directory().changes().journal().reader().await.unwrap().audit(9, None).await.unwrap();
        audit.into_iter().rev().map(|entry| (entry.entry.tool, entry.entry.verdict)).collect::<Vec<_>>()
    };
    let Life::Lived(audit) = world.live(|_| false, calls) else { panic!() };
    let (add, update) = ("host_add".to_owned(), "host_update".to_owned());
    let wanted = [
        (add.clone(), Verdict::Asked),
        (add.clone(), Verdict::Accepted),
        (add, Verdict::Joined),
        (update.clone(), Verdict::Asked),
        (update, Verdict::Accepted),
    ];
    assert_eq!(audit, wanted);
}

#[test]
fn a_container_that_is_named_twice_is_restarted_once() {
    let world = World::new();
    let containers = ["b", "a", "000000000001"].map(|name| name.parse().unwrap());
    let change = Change::ContainerRestart { containers: containers.into(), grace: None, patience: None };
    let Life::Lived(record) = world.live(|_| false, async |app| make(app, change).await) else { panic!() };
    assert_eq!((record.state, record.steps.len()), (ChangeState::Done, 3));
    assert_eq!(world.effects(), ["restart b", "restart a"]);
}

#[test]
fn a_pull_that_is_cancelled_is_broken_off() {
    let world = World::new();
    let cancel = async |app: &App| {
        let pull = the("image_pull");
        let id = begin(app, pull, None).await;
        asked(&world, "/images/create").await;
        let desk = app.directory().changes();
        desk.cancel(id, &Asker::default()).await.unwrap();
        desk.wait(id, LONG).await.unwrap().unwrap()
    };
    let Life::Lived(record) = world.live(frozen_at(&world, "before act pull newer"), cancel) else {
        panic!()
    };
    assert_eq!(record.state, ChangeState::Cancelled, "{record:?}");
}

/// What was done and cannot be put on record is owed, and keeps nobody from the host meanwhile.
#[test]
fn a_change_that_cannot_be_put_on_record_holds_no_turn_and_is_made_once() {
    let world = World::new();
    let owe = async |app: &App| {
        let id = begin(app, all().remove(2), None).await;
        asked(&world, "/restart").await;
        let busy = occupy(world.data.path()).await;
        world.fake.thaw("nas");
        let desk = app.directory().changes();
        loop {
            let record = desk.wait(id, Duration::from_millis(1)).await.unwrap().unwrap();
            assert!(!record.state.is_final(), "{record:?}");
            if record.words.is_some_and(|words| words.contains("cannot be put on record yet")) {
                break;
            }
        }
        assert_eq!(app.directory().host("nas").unwrap().operations().running(), []);
        drop(busy);
        desk.wait(id, LONG).await.unwrap().unwrap()
    };
    let Life::Lived(record) = world.live(frozen_at(&world, "before act restart a"), owe) else { panic!() };
    assert_eq!(
        (record.state, world.effects()),
        (ChangeState::Done, vec!["restart a".into(), "restart b".into()])
    );
}

/// Waits until the engine was asked for it.
async fn asked(world: &World, what: &str) {
    while !world.fake.deeds("nas").iter().any(|deed| deed.contains(what)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The host's engine answers nothing from this point on.
fn frozen_at(world: &World, point: &'static str) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let fake = world.fake.clone();
    move |at| {
        if at == point {
            fake.freeze("nas");
        }
        false
    }
}

/// Who attends to a change may crash; what was begun goes on below its host, and nobody else begins it meanwhile.
#[test]
fn an_attendant_that_crashed_leaves_a_change_to_one_drive() {
    let world = World::new();
    let crash = async |app: &App| {
        let id = begin(app, all().remove(2), None).await;
        asked(&world, "/restart").await;
        let asked = world.fake.deeds("nas").len();
        trip::set("ReaperMessage::Look");
        app.directory().reaper().look();
        let host = app.directory().host("nas").unwrap();
        while host.operations().at_work() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..20 {
            host.read("pass", LONG, async |_| Ok(())).await.unwrap();
        }
        assert_eq!(world.fake.deeds("nas")[asked..], [""; 0], "the second one waits for the first");
        world.fake.thaw("nas");
        app.directory().changes().wait(id, LONG).await.unwrap().unwrap()
    };
    let Life::Lived(record) = world.live(frozen_at(&world, "before act restart a"), crash) else { panic!() };
    assert_eq!(
        (record.state, world.effects()),
        (ChangeState::Done, vec!["restart a".into(), "restart b".into()])
    );
}

#[test]
fn what_was_given_up_in_the_middle_of_a_step_can_be_taken_up_again_and_is_made_once() {
    let world = World::new();
    let resume = async |app: &App| {
        let (desk, id) = (app.directory().changes(), begin(app, all().remove(2), None).await);
        asked(&world, "/restart").await;
        desk.give_up(id, &Asker::default()).await.unwrap();
        let given_up = desk.wait(id, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!((given_up.state, given_up.steps[0].state), (ChangeState::Unknown, StepState::Intended));
        let busy = desk.resume(id, &Asker::default()).await.unwrap_err();
        assert!(matches!(busy, JournalError::Busy { .. }), "{busy}");
        world.fake.thaw("nas");
        while desk.resume(id, &Asker::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        desk.wait(id, LONG).await.unwrap().unwrap()
    };
    let Life::Lived(record) = world.live(frozen_at(&world, "before act restart a"), resume) else { panic!() };
    assert_eq!(
        (record.state, world.effects()),
        (ChangeState::Done, vec!["restart a".into(), "restart b".into()])
    );
}

/// Some turns are for those who look, however many changes take long.
#[test]
fn changes_that_take_long_keep_nobody_from_looking() {
    let world = World::new();
    world.fake.model("nas", |model| model.ignore("images/create"));
    let pulls = (0..40).map(|number| Change::ImagePull {
        image: format!("newer:{number}").parse().unwrap(),
        platform: None,
    });
    let look = async |app: &App| {
        for pull in pulls {
            begin(app, pull, None).await;
        }
        let (desk, host) = (app.directory().changes(), app.directory().host("nas").unwrap());
        while host.operations().at_work() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            let read = host.read("look", LONG, async |operation| Ok(operation.engine().containers().await?));
            read.await.unwrap();
        }
        let restart = make(app, all().remove(2)).await;
        assert_eq!(restart.state, ChangeState::Done, "nor from stopping a container: {restart:?}");
        let last = desk.open().last().unwrap().id();
        desk.cancel(last, &Asker::default()).await.unwrap();
        let cancelled = desk.wait(last, LONG).await.unwrap().unwrap();
        assert_eq!(
            (cancelled.state, cancelled.steps),
            (ChangeState::Cancelled, vec![]),
            "it needs no turn to end"
        );
        assert_eq!(host.operations().at_work(), 5, "and no more of them are at work");
    };
    assert_eq!(world.live(|_| false, look), Life::Lived(()));
}

#[test]
fn an_engine_that_fails_at_a_look_has_told_nothing() {
    let world = World::new();
    let restart =
        Change::ContainerRestart { containers: vec!["a".parse().unwrap()], grace: None, patience: None };
    assert_eq!(
        world.live(|at| at == "before settle restart a", async |app| make(app, restart).await),
        Life::Crashed
    );
    world.fake.model("nas", |model| model.fail_looks(1));
    let Life::Lived(records) = world.live(|_| false, settled) else { panic!() };
    assert_eq!((records[0].state, world.effects()), (ChangeState::Done, vec!["restart a".to_owned()]));

    let (world, run) = (World::new(), the("container_run"));
    let fake = world.fake.clone();
    let in_trouble = move |at: &str| {
        if at == "before after start" {
            fake.model("nas", |model| model.fail_looks(1));
        }
        false
    };
    let Life::Lived(record) = world.live(in_trouble, async |app| make(app, run).await) else { panic!() };
    assert_eq!(record.state, ChangeState::Done, "{record:?}");
    assert_eq!(world.containers().get("new"), Some(&true), "what runs is not removed for want of a look");
}
