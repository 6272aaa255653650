//! What lists tell of a host that is unplugged: why it does not answer, and what was last known of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::wait::eventually;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::trials;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// A line that is cut is noticed by then.
const NOTICED: Duration = Duration::from_secs(60);

/// And is there again by then.
const HEALED: Duration = Duration::from_secs(60);

/// The lists with what they call their rows.
const LISTS: [(&str, &str); 5] = [
    ("container_list", "containers"),
    ("image_list", "images"),
    ("volume_list", "volumes"),
    ("network_list", "networks"),
    ("stack_list", "stacks"),
];

pub fn trials() -> Vec<Trial> {
    trials![what_was_known_of_an_unplugged_host_is_listed_as_stale]
}

/// The rows of a host, without what is told only while it answers, and what a clock counts up (`Up 3 seconds`).
fn rows(answer: &Value, key: &str, host: &str) -> Vec<Value> {
    let rows = answer[key].as_array().expect("rows").iter().filter(|row| row["host"] == host);
    rows.map(|row| {
        let mut row = row.clone();
        row.as_object_mut()
            .unwrap()
            .retain(|key, _| !["size", "stale_since", "status"].contains(&key.as_str()));
        row
    })
    .collect()
}

/// Since when the rows of a host are stale.
fn ages<'a>(answer: &'a Value, key: &str, host: &str) -> Vec<Option<&'a str>> {
    let rows = answer[key].as_array().expect("rows").iter().filter(|row| row["host"] == host);
    rows.map(|row| row["stale_since"].as_str()).collect()
}

fn populate(host: &Host) {
    let project = "--label=com.docker.compose.project=shop";
    host.docker(&["network", "create", "inner"]);
    host.run_container(&[
        "--name=web",
        "--network=inner",
        project,
        "--volume=data:/data",
        IMAGE,
        "sleep",
        "1000",
    ]);
    host.run_container(&["--name=job", "--network=none", project, IMAGE, "true"]);
}

async fn what_was_known_of_an_unplugged_host_is_listed_as_stale(fleet: &Fleet) {
    fleet.hosts().iter().take(3).for_each(populate);
    let unplugged = fleet.host("h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    // what happens while it is followed is known too
    unplugged.run_container(&["--name=late", "--network=none", IMAGE, "sleep", "1000"]);
    eventually("all is known", NOTICED, async || service.row("h2").await["containers"]["running"] == 2).await;
    let mut before = Vec::new();
    for (tool, key) in LISTS {
        let answer = service.structured(tool, json!({})).await;
        assert!(ages(&answer, key, "h2").iter().all(Option::is_none), "{answer:#}");
        before.push(rows(&answer, key, "h2"));
        assert!(!before.last().unwrap().is_empty(), "{answer:#}");
    }
    unplugged.partition();
    eventually("it is told to be down", NOTICED, async || {
        let answer = service.structured("container_list", json!({})).await;
        answer["errors"].as_array().is_some_and(|errors| !errors.is_empty())
    })
    .await;
    // what happens there now, nobody can know
    unplugged.docker(&["rm", "-f", "late"]);
    for ((tool, key), before) in LISTS.into_iter().zip(&before) {
        for (hosts, answering) in [("*", true), ("h2", false)] {
            let answer = service.structured(tool, json!({"hosts": hosts})).await;
            assert_eq!((&rows(&answer, key, "h2"), &answer["errors"][0]["host"]), (before, &json!("h2")));
            assert_eq!(answer["total"], answer[key].as_array().unwrap().len());
            let stale = ages(&answer, key, "h2");
            let since: jiff::Timestamp = stale[0].expect("an age").parse().unwrap();
            assert!(stale.iter().all(|age| *age == stale[0]), "{answer:#}");
            let age = jiff::Timestamp::now().duration_since(since);
            assert!(age.as_secs() >= 0 && age.as_secs() < 300, "{answer:#}");
            let fresh = ages(&answer, key, "h1");
            assert!(fresh.is_empty() != answering && fresh.iter().all(Option::is_none), "{answer:#}");
        }
    }
    // filters hold for the past as well
    for (arguments, expected) in [
        (json!({"match": "web"}), 3),
        (json!({"hosts": "h2", "state": "running"}), 2),
        (json!({"hosts": "h2", "stack": "shop"}), 2),
    ] {
        let some = service.structured("container_list", arguments.clone()).await;
        assert_eq!(some["total"], expected, "{arguments}: {some:#}");
    }
    let refused = service.refusal("container_list", json!({"hosts": "h2", "match": "nothing"})).await;
    assert!(refused.contains("h2"), "{refused}");
    unplugged.heal();
    service.wait_ready_within(&["h2"], HEALED).await;
    let answer = service.structured("container_list", json!({})).await;
    assert!(ages(&answer, "containers", "h2").iter().all(Option::is_none), "{answer:#}");
    assert_eq!((ages(&answer, "containers", "h2").len(), &answer["errors"]), (2, &json!([])), "{answer:#}");
    for host in &fleet.hosts()[..3] {
        host.docker(&["rm", "-f", "web", "job"]);
        host.docker(&["network", "rm", "inner"]);
        host.docker(&["volume", "rm", "data"]);
    }
}
