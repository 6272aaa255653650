//! A container made anew: gone back from as long as there is an old one.

use super::loose::Loose;
use super::*;

/// Also when it is undone a second time, because nobody saw that it was.
#[test]
fn every_step_of_a_new_container_may_be_undone_twice_while_there_is_an_old_one() {
    let world = World::new();
    let before = world.containers();
    let back = async |app: &App| {
        let host = app.directory().host("nas").unwrap();
        let session = host.session(LONG).await.unwrap();
        let (engine, operation) = (&session.engine, OperationId::fresh());
        let means = Loose::beside(&session, None, app);
        let now = Timestamp::UNIX_EPOCH;
        let mut hands = Hands { engine, operation, means: &means, earlier: vec![], now };
        let mut steps = the("container_recreate").steps();
        let last = steps.pop().unwrap();
        for step in &steps {
            let (before, made) = match hands.look(step).await.unwrap() {
                Look::Already(before, made) => (before, made),
                Look::Todo(before) => match hands.act(step, &before).await.unwrap() {
                    Some(made) => (before, made),
                    None => (before.clone(), hands.after(step, &before).await.unwrap()),
                },
            };
            hands.earlier.push(Earlier { step: step.to_string(), before, made });
        }
        assert_eq!(world.containers().get("a"), Some(&true), "the new one");
        for (step, earlier) in steps.iter().zip(hands.earlier.clone()).rev() {
            for _ in 0..2 {
                if step.is_undoable() {
                    hands.undo(step, &earlier.before).await.unwrap();
                }
            }
        }
        assert_eq!(world.containers(), before);
        // Without the old one nothing is taken from the new one.
        let Look::Todo(old) = hands.look(&last).await.unwrap() else { panic!() };
        hands.act(&last, &old).await.unwrap();
        for step in steps.iter().filter(|step| step.is_undoable()) {
            hands.undo(step, &old).await.unwrap_err();
        }
    };
    assert_eq!(world.live(|_| false, back), Life::Lived(()));
}

/// One that did not run is made anew and left so.
#[test]
fn a_container_that_did_not_run_is_made_anew_and_not_started() {
    let world = World::new();
    let change = Change::ContainerRecreate { container: "ended".parse().unwrap(), image: None, patience: 5 };
    let Life::Lived(record) = world.live(|_| false, async |app| make(app, change).await) else { panic!() };
    assert_eq!(record.state, ChangeState::Done, "{record:?}");
    assert_eq!(world.containers().get("ended"), Some(&false));
    let (old, new) = (&record.steps[0].made.old_image, &record.steps[0].made.new_image);
    assert!(old.is_some() && new.is_some() && old != new, "{record:?}");
}
