//! Calls with a key that begin no job, through crashes and refusals.

use super::*;
use crate::app::tests::call;
use crate::mcp::ToolOutput;
use serde_json::Value;

fn rename(host: &str) -> Value {
    json!({"host": host, "tags": ["new"], "idempotency_key": "k"})
}

fn tags(app: &App) -> usize {
    app.directory().host("nas").unwrap().spec().tags.len()
}

/// How often a call was made, by the audit.
async fn asked(app: &App) -> usize {
    let audit = app.directory().changes().journal().reader().await.unwrap().audit(99, None).await.unwrap();
    audit.iter().filter(|record| record.entry.verdict == Verdict::Asked).count()
}

/// What is not on record was not begun; what has no answer on record is not begun again.
#[test]
fn a_call_that_was_cut_off_is_not_made_again() {
    let points = Arc::new(Mutex::new(vec![]));
    let passed = Arc::clone(&points);
    let watch = move |point: &str| {
        passed.lock().unwrap().push(point.to_owned());
        false
    };
    let first = World::new().live(watch, async |app| call(app, "host_update", rename("nas")).await.unwrap());
    let points: Vec<String> = points.lock().unwrap().clone();
    let place = |point: &str| points.iter().position(|passed| passed == point).unwrap();
    let (begun, answered) = (place("after key"), place("after answer"));
    assert!(begun < place("before audit") && place("before audit") < place("before answer"), "{points:?}");
    for (at, point) in points.iter().enumerate() {
        let (world, wanted) = (World::new(), point.clone());
        let tried = points[..at].iter().filter(|passed| *passed == point).count();
        let seen = Mutex::new(0);
        let crash = move |point: &str| {
            let mut seen = seen.lock().unwrap();
            *seen += usize::from(point == wanted);
            point == wanted && *seen > tried
        };
        let life = world.live(crash, async |app| drop(call(app, "host_update", rename("nas")).await));
        assert_eq!(life, Life::Crashed, "{point}");
        let again = async |app: &App| {
            let before = asked(app).await;
            let told = call(app, "host_update", rename("nas")).await;
            (told, asked(app).await - before, tags(app))
        };
        let Life::Lived((told, made, tags)) = world.live(|_| false, again) else { panic!() };
        let Life::Lived(first) = &first else { panic!() };
        if at < begun && made == 1 {
            assert_eq!((told.as_ref(), tags), (Ok(first), 1), "{point}");
            continue;
        }
        assert_eq!(made, 0, "{point}: it is not made again");
        match told {
            Ok(told) => assert!(at > place("before answer") && told == *first, "{point}: {told:?}"),
            Err(refused) => {
                assert!(at < answered && refused.starts_with("outcome_unknown"), "{point}: {refused}");
                assert!(refused.contains("another key"), "{refused}");
            }
        }
    }
}

#[test]
fn a_call_that_was_refused_leaves_its_key_free() {
    let world = World::new();
    let work = async |app: &App| {
        for wrong in [rename("nowhere"), json!({"host": "nas", "idempotency_key": "k", "tags": 7})] {
            call(app, "host_update", wrong).await.unwrap_err();
        }
        let told = call(app, "host_update", rename("nas")).await.unwrap();
        assert!(matches!(told, ToolOutput::Structured(_)) && tags(app) == 1, "{told:?}");
        let taken = call(app, "host_update", rename("nowhere")).await.unwrap_err();
        assert!(taken.starts_with("conflict"), "{taken}");
    };
    assert_eq!(world.live(|_| false, work), Life::Lived(()));
}
