//! Hosts that do not answer in lists: why, and what was last known of them, as old as it is.

use super::*;
use crate::engine::inventory::Section::{Containers, Networks, Volumes};
use serde_json::{Value, json};

/// Two hosts with containers, whose inventory is known.
async fn two_hosts() -> Lab {
    let lab = Lab::new(&[("nas", &[Scene::Hangs]), ("pi", &[Scene::Hangs])]).await;
    lab.fake.model("nas", |model| {
        model.add("web", true);
        model.add("db", false);
    });
    lab.fake.model("pi", |model| model.add("dns", true));
    for host in ["nas", "pi"] {
        lab.until_followed(host).await;
    }
    lab
}

/// The line to a host goes, and does not come back.
async fn lose(lab: &Lab, host: &str) {
    lab.fake.script(host, vec![Scene::Fails(FaultKind::Refused); 40]);
    lab.fake.cut(host, FaultKind::LinkLost);
    lab.until(host, |status| status.phase.word() == "backoff").await;
}

async fn list(lab: &Lab, tool: &str, arguments: Value) -> Result<Value, String> {
    match call(&lab.app, tool, arguments).await? {
        ToolOutput::Structured(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

/// The containers of an answer: host, name and since when they are stale.
fn rows(answer: &Value) -> Vec<(&str, &str, Option<&str>)> {
    let rows = answer["containers"].as_array().unwrap().iter();
    rows.map(|row| {
        let text = |key: &str| row.get(key).and_then(Value::as_str);
        (text("host").unwrap(), text("name").unwrap(), text("stale_since"))
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_lost_host_is_listed_as_of_then() {
    let lab = two_hosts().await;
    let fresh = list(&lab, "container_list", json!({})).await.unwrap();
    assert_eq!(rows(&fresh), [("nas", "db", None), ("nas", "web", None), ("pi", "dns", None)]);
    lose(&lab, "nas").await;
    tokio::time::advance(Duration::from_secs(7200)).await;
    let as_of = lab.directory().host("nas").unwrap().known().unwrap().as_of;
    let then = jiff::Timestamp::from_second(as_of.as_second()).unwrap().to_string();
    let answer = list(&lab, "container_list", json!({})).await.unwrap();
    let then = Some(&*then);
    assert_eq!(rows(&answer), [("nas", "db", then), ("nas", "web", then), ("pi", "dns", None)]);
    assert_eq!(answer["total"], 3);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["host"]), (1, &json!("nas")), "{answer:#}");
    // only what the filters admit, and pages go over both kinds
    let running = list(&lab, "container_list", json!({"state": "running"})).await.unwrap();
    assert_eq!(rows(&running), [("nas", "web", then), ("pi", "dns", None)]);
    let first = list(&lab, "container_list", json!({"limit": 2})).await.unwrap();
    let cursor = first["next_cursor"].clone();
    let second = list(&lab, "container_list", json!({"limit": 2, "cursor": cursor})).await.unwrap();
    assert_eq!(rows(&second), [("pi", "dns", None)], "{first:#}");
}

#[tokio::test(start_paused = true)]
async fn where_no_host_answers_the_past_is_an_answer_but_no_past_is_none() {
    let lab = two_hosts().await;
    lose(&lab, "nas").await;
    let answer = list(&lab, "container_list", json!({"hosts": "nas"})).await.unwrap();
    assert_eq!((rows(&answer).len(), answer["errors"].as_array().unwrap().len()), (2, 1), "{answer:#}");
    assert!(rows(&answer).iter().all(|(_, _, stale_since)| stale_since.is_some()));
    let none = list(&lab, "container_list", json!({"hosts": "nas", "match": "nothing"})).await;
    assert!(none.unwrap_err().contains("nas is down"));
    let volumes = list(&lab, "volume_list", json!({"hosts": "nas"})).await;
    assert!(volumes.unwrap_err().contains("nas is down"));
}

/// Nothing is known of it, and nothing is made up.
#[tokio::test(start_paused = true)]
async fn a_host_that_never_answered_has_no_rows() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.fake.script("nas", vec![Scene::Fails(FaultKind::Refused); 40]);
    lab.fake.cut("nas", FaultKind::LinkLost);
    lab.until("nas", |status| status.phase.word() == "backoff").await;
    let refused = list(&lab, "container_list", json!({})).await.unwrap_err();
    assert!(refused.contains("nas is down"), "{refused}");
}

/// Who is an image's user is told by the containers: what was never seen of them is not taken for nothing.
#[tokio::test(start_paused = true)]
async fn a_section_that_was_never_seen_is_not_told_as_empty() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    lab.fake.model("nas", |model| {
        model.add("web", true);
        model.ignore("/volumes");
    });
    let nas = lab.directory().host("nas").unwrap();
    lab.until_ready("nas").await;
    crashes::until("a look", || nas.known().is_some_and(|known| known.is_current(Networks))).await;
    let known = nas.known().unwrap();
    assert!(known.is_current(Containers) && !known.is_current(Volumes));
    assert!(known.seen(&[Containers]).is_some() && known.seen(&[Containers, Volumes]).is_none());
}
