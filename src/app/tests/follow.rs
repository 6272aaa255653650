//! What is known of a host: kept current by events, found by full looks, and old when the line is gone.

use super::crashes::until;
use super::*;
use crate::actors::host::{HostHandle, Known};
use crate::engine::inventory::Section;
use tokio::time::{Instant, advance, sleep};

/// How often each section was looked at, and how often events were asked for.
fn looks(lab: &Lab) -> [usize; 5] {
    ["/containers/json", "/images/json", "/volumes", "/networks", "/events"].map(|path| {
        let deeds = lab.fake.deeds("nas");
        deeds.iter().filter(|deed| deed.split('?').next().is_some_and(|deed| deed.ends_with(path))).count()
    })
}

async fn followed() -> (Lab, HostHandle) {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    let mut nas = lab.directory().host("nas").unwrap();
    assert!(nas.wait_for_known(|known| known.live).await.is_some());
    until("a stream", || looks(&lab) == [1, 1, 1, 1, 1]).await;
    (lab, nas)
}

#[tokio::test(start_paused = true)]
async fn an_event_looks_at_its_own_section_and_a_group_of_them_once() {
    let (lab, mut nas) = followed().await;
    let first = nas.known().unwrap();
    for event in [
        r#"{"Type":"container","Action":"create","timeNano":1000000001}"#,
        r#"{"Type":"network","Action":"connect","timeNano":1000000002}"#,
        r#"{"Type":"container","Action":"start","timeNano":1000000003}"#,
        r#"{"Type":"container","Action":"exec_start: true","timeNano":1000000004}"#,
    ] {
        lab.fake.happen("nas", event);
    }
    nas.wait_for_known(|known| known.as_of > first.as_of).await.unwrap();
    assert_eq!(looks(&lab), [2, 1, 1, 1, 1]);
    lab.fake.happen("nas", r#"{"Type":"volume","Action":"create"}"#);
    until("a look at the volumes", || looks(&lab) == [2, 1, 2, 1, 1]).await;
    lab.fake.happen("nas", r#"{"Type":"container","Action":"exec_die"}"#);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(looks(&lab), [2, 1, 2, 1, 1], "a health check changes nothing");
}

/// An engine may tell of an end first, and put it in its list afterwards.
#[tokio::test(start_paused = true)]
async fn an_end_that_no_list_shows_is_looked_for_again_and_not_for_ever() {
    let (lab, mut nas) = followed().await;
    lab.fake.model("nas", |model| model.add("late", true));
    let end = r#"{"Type":"container","Action":"die","Actor":{"ID":"000000000001"}}"#;
    lab.fake.happen("nas", end);
    nas.wait_for_known(|known| known.inventory.states().get("running") == Some(&1)).await.unwrap();
    // it has gone, and another one has its name
    lab.fake.model("nas", |model| model.replace("late"));
    let is_other = |known: &Known| known.inventory.containers.iter().all(|one| one.id.ends_with('2'));
    nas.wait_for_known(is_other).await.unwrap();
    let seen = looks(&lab)[0];
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looks(&lab)[0], seen, "it is known by now");
    // one of which nothing is ever seen
    lab.fake.happen("nas", r#"{"Type":"container","Action":"die","Actor":{"ID":"000000000002"}}"#);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looks(&lab)[0], seen + 1 + 6);
    // and one that runs again
    lab.fake.happen("nas", r#"{"Type":"container","Action":"die","Actor":{"ID":"000000000002"}}"#);
    lab.fake.happen("nas", r#"{"Type":"container","Action":"start","Actor":{"ID":"000000000002"}}"#);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(looks(&lab)[0], seen + 1 + 6 + 1);
}

#[tokio::test(start_paused = true)]
async fn everything_is_looked_at_every_five_minutes_whatever_events_say() {
    let (lab, _) = followed().await;
    let begun = Instant::now();
    until("a full look", || looks(&lab) == [2, 2, 2, 2, 1]).await;
    let waited = begun.elapsed().as_secs();
    assert!((295..=301).contains(&waited), "{waited} s");
}

/// How a stream goes on after it ended by `event`; says whether the engine was asked for a sign of life.
async fn goes_on_after(event: &'static str) -> bool {
    let (lab, mut nas) = followed().await;
    lab.fake.happen("nas", r#"{"Type":"image","Action":"pull","timeNano":5000000006}"#);
    until("a look at the images", || looks(&lab) == [1, 2, 1, 1, 1]).await;
    lab.fake.happen("nas", event);
    nas.wait_for_known(|known| !known.live).await.unwrap();
    nas.wait_for_known(|known| known.live).await.unwrap();
    until("the next stream", || looks(&lab) == [2, 3, 2, 2, 2]).await;
    let again = lab.fake.deeds("nas").into_iter().rfind(|deed| deed.contains("/events")).unwrap();
    assert!(again.contains("since=5.000000006"), "{again}");
    assert_eq!(lab.fake.attempts("nas"), 1, "the line stays");
    lab.fake.deeds("nas").iter().any(|deed| deed.ends_with("/_ping"))
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_a_suspicion_and_is_opened_again_where_it_was() {
    assert!(goes_on_after("").await, "the engine may have died");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_no_suspicion() {
    assert!(!goes_on_after("no event").await);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_a_lost_host_stays_and_grows_old() {
    let (lab, mut nas) = followed().await;
    let before = nas.known().unwrap();
    advance(Duration::from_secs(100)).await;
    lab.fake.script("nas", vec![Scene::Fails(FaultKind::Refused); 4]);
    lab.fake.cut("nas", FaultKind::LinkLost);
    let known = nas.wait_for_known(|known| !known.live).await.unwrap();
    assert_eq!(known.as_of, before.as_of, "the engine was heard of when it was looked at");
    lab.until("nas", |status| status.phase.word() == "backoff").await;
    assert_eq!(nas.known().map(|known| known.as_of), Some(known.as_of));
    lab.until_ready("nas").await;
    assert!(nas.wait_for_known(|known| known.live).await.is_some());
}

/// What an event told of and could not be looked at is no newer than the last look.
#[tokio::test(start_paused = true)]
async fn a_section_that_is_not_told_any_more_grows_old_alone() {
    let (lab, nas) = followed().await;
    until("all sections", || nas.known().is_some_and(|known| known.is_current(Section::Networks))).await;
    let before = nas.known().unwrap();
    advance(Duration::from_secs(100)).await;
    lab.fake.model("nas", |model| model.ignore("/images/json"));
    lab.fake.happen("nas", r#"{"Type":"image","Action":"pull","timeNano":5000000006}"#);
    until("it is behind", || nas.known().is_some_and(|known| !known.is_current(Section::Images))).await;
    lab.fake.happen("nas", r#"{"Type":"container","Action":"start","timeNano":5000000007}"#);
    until("a look at the containers", || nas.known().is_some_and(|known| known.as_of > before.as_of)).await;
    let known = nas.known().unwrap();
    assert!(known.is_current(Section::Containers) && !known.is_current(Section::Images));
    assert!(known.seen(&[Section::Images]) <= Some(before.as_of), "{known:?}");
    assert_eq!(known.seen(&[Section::Containers]), Some(known.as_of));
    assert_eq!(known.seen(&[Section::Containers, Section::Images]), known.seen(&[Section::Images]));
}

/// The next line knows what the one before knew, as old as it is.
#[tokio::test(start_paused = true)]
async fn what_the_next_line_is_not_told_stays_as_it_was() {
    let (lab, mut nas) = followed().await;
    until("all sections", || nas.known().is_some_and(|known| known.is_current(Section::Networks))).await;
    let before = nas.known().unwrap();
    lab.fake.model("nas", |model| model.ignore("/images/json"));
    advance(Duration::from_secs(100)).await;
    lab.fake.cut("nas", FaultKind::LinkLost);
    let anew = |known: &Known| known.as_of > before.as_of && known.is_current(Section::Containers);
    let known = nas.wait_for_known(anew).await.unwrap();
    let images = known.seen(&[Section::Images]).expect("it was known before");
    assert!(images <= before.as_of && !known.is_current(Section::Images), "{known:?}");
}

/// A broken connection takes the engine's streams with it, and says why a moment later.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_is_the_cause_and_not_the_engine_behind_it() {
    let (lab, _) = followed().await;
    lab.fake.script("nas", vec![Scene::Fails(FaultKind::Refused); 4]);
    lab.fake.break_engine("nas");
    lab.fake.happen("nas", "");
    until("the ping", || lab.fake.deeds("nas").iter().any(|deed| deed.ends_with("/_ping"))).await;
    lab.fake.cut("nas", FaultKind::LinkLost);
    let status = lab.until("nas", |status| status.phase.word() != "ready").await;
    assert_eq!(status.phase.cause().unwrap().kind, FaultKind::LinkLost);
}
