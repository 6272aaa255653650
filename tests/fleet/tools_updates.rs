//! Images compared with a real registry: what it holds now, and what nothing is known of.

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

const APP: &str = "127.0.0.1:5000/app:1";

pub fn trials() -> Vec<Trial> {
    trials![images_are_compared_with_what_their_registry_holds => 120]
}

/// The row of an image.
fn row<'a>(answer: &'a Value, image: &str) -> &'a Value {
    let rows = answer["updates"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter().find(|row| row["image"] == image).unwrap_or_else(|| panic!("no {image}: {answer:#}"))
}

async fn images_are_compared_with_what_their_registry_holds(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.registry(true);
    let push = |id: &str| -> String {
        host.docker(&["tag", id, APP]);
        host.docker(&["push", "-q", APP]);
        let digests = host.docker(&["image", "inspect", "-f", "{{join .RepoDigests \"\\n\"}}", APP]);
        let mine = digests.lines().filter_map(|line| line.strip_prefix("127.0.0.1:5000/app@")).next_back();
        mine.unwrap_or_else(|| panic!("{digests}")).to_owned()
    };
    let old = push(IMAGE);
    host.docker(&["tag", IMAGE, "built:1"]);
    for (name, image) in [("one", APP), ("two", APP), ("mine", "built:1")] {
        host.run_container(&["--name", name, "--network=none", image, "sleep", "1000"]);
    }
    let pinned = format!("127.0.0.1:5000/app@{old}");
    host.run_container(&["--name=pinned", "--network=none", &pinned, "sleep", "1000"]);
    host.docker(&["create", "--name=resting", "--network=none", APP, "true"]);
    let recorder = host.record_engine();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    recorder.clear();
    let ask = async |arguments: Value| service.structured("image_updates", arguments).await;
    let answer = ask(json!({})).await;
    let current = json!({"host": "h1", "image": APP, "containers": ["one", "two"], "current_digest": old,
        "latest_digest": old, "outdated": false});
    assert_eq!(row(&answer, APP), &current);
    assert_eq!(row(&answer, "built:1")["error"]["kind"], "local", "{answer:#}");
    assert_eq!(row(&answer, "built:1").get("outdated"), None);
    let fixed = row(&answer, &pinned);
    assert_eq!((&fixed["pinned"], &fixed["current_digest"]), (&json!(true), &json!(old)), "{fixed}");
    assert_eq!(fixed.get("latest_digest"), None);
    assert_eq!((&answer["total"], &answer["errors"]), (&json!(3), &json!([])), "{answer:#}");
    let asked: Vec<String> =
        recorder.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert!(asked.iter().all(|line| line.starts_with("GET /")), "{asked:?}");
    let registry = asked.iter().filter(|line| line.contains("/distribution/")).count();
    assert_eq!(registry, 1, "one image is asked for, and once: {asked:?}");
    // another image under the same tag, pushed as from elsewhere
    host.docker(&["create", "--name", "newer", IMAGE]);
    host.docker(&["commit", "-c", "LABEL newer=yes", "newer", "newer:1"]);
    let new = push("newer:1");
    assert_ne!(new, old);
    // the tag on this host is the new image's now, as after a pull: the containers still run the old one
    let outdated = json!({"host": "h1", "image": APP, "containers": ["one", "two"], "current_digest": old,
        "latest_digest": new, "outdated": true});
    assert_eq!(row(&ask(json!({})).await, APP), &outdated);
    // what was found is told where everything is that needs attention, while the old image is run
    let found = async || {
        let status = service.structured("fleet_status", json!({"min_severity": "info"})).await;
        let findings = status["findings"].as_array().unwrap().clone();
        findings.into_iter().filter(|finding| finding["kind"] == "image_outdated").collect::<Vec<_>>()
    };
    let told = found().await;
    assert_eq!((told.len(), &told[0]["subject"]), (1, &json!(APP)), "{told:?}");
    assert_eq!(told[0]["suggest"], "container_recreate one, two on h1");
    // and the old one's again
    host.docker(&["tag", IMAGE, APP]);
    assert_eq!(row(&ask(json!({})).await, APP), &outdated);
    // narrowed and paged
    let some = ask(json!({"match": "two"})).await;
    assert_eq!((&some["total"], row(&some, APP)), (&json!(1), &outdated));
    assert_eq!(ask(json!({"match": "built*"})).await["total"], 1);
    let (mut seen, mut arguments) = (vec![], json!({"limit": 1}));
    loop {
        let page = ask(arguments.clone()).await;
        seen.extend(page["updates"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => arguments["cursor"] = json!(cursor),
            None => break,
        }
    }
    assert_eq!(json!(seen), ask(json!({})).await["updates"]);
    // what is gone from the registry, and a registry that is gone, are told and hide nothing else
    let gone = "127.0.0.1:5000/gone:1";
    host.docker(&["tag", IMAGE, gone]);
    host.docker(&["push", "-q", gone]);
    host.run_container(&["--name=gone", "--network=none", gone, "sleep", "1000"]);
    host.registry(false);
    host.registry(true);
    push("newer:1");
    host.docker(&["tag", IMAGE, APP]);
    let answer = ask(json!({})).await;
    assert_eq!(row(&answer, gone)["error"]["kind"], "not_found", "{answer:#}");
    assert_eq!(row(&answer, APP)["outdated"], true, "{answer:#}");
    host.registry(false);
    let answer = ask(json!({})).await;
    for image in [APP, gone] {
        let row = row(&answer, image);
        assert_eq!(row["error"]["kind"], "registry_unreachable", "{row}");
        assert_eq!((row.get("outdated"), &row["current_digest"]), (None, &json!(old)), "{row}");
    }
    assert_eq!(row(&answer, "built:1")["error"]["kind"], "local", "{answer:#}");
    assert_eq!(answer["errors"], json!([]), "{answer:#}");
    host.docker(&["rm", "-f", "one", "two"]);
    assert_eq!(found().await, Vec::<Value>::new(), "nothing runs it any more");
}
