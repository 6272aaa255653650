//! Hosts added, changed and removed by an assistant: connected to before they are saved, there when
//! the call returns, and never held to less than before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::listed::NOTICED;
use crate::support::trials::Trial;
use crate::support::{Fleet, Service, ServiceConfig, eventually};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        s10_an_assistant_adds_changes_and_removes_a_host,
        s10_an_assistant_saves_no_host_that_is_not_who_it_was,
        an_assistant_loosens_no_engine_by_any_way_and_a_person_does => 120,
        a_read_only_hosts_file_is_told_and_nothing_changes,
    ]
}

fn text(service: &Service) -> String {
    fs::read_to_string(service.home().hosts_file()).unwrap()
}

async fn s10_an_assistant_adds_changes_and_removes_a_host(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &["# mine"]));
    service.wait_ready(&["h1"]).await;
    let (before, saved, place) = (fleet.logins(), text(&service), fleet.host("h2").address());
    let add = json!({"name": "nas", "target": format!("ops@{place}"), "tags": ["big"]});
    let added = service.structured("host_add", add.clone()).await;
    let known = json!({"host": "nas", "endpoint": format!("ssh://ops@{place}"), "policy": "no_destructive"});
    for (key, value) in known.as_object().unwrap() {
        assert_eq!(added[key], *value, "{added}");
    }
    assert_eq!(added["added"], true, "{added}");
    assert!(added["engine"].as_str().unwrap().starts_with("Docker "), "{added}");
    // there when the call returns
    assert_eq!(service.ids().await, ["h1", "nas"]);
    service.wait_ready(&["nas"]).await;
    assert!(text(&service).starts_with(&saved) && text(&service).contains("  nas:\n"), "{}", text(&service));
    // once more is nothing new, and logs nobody in
    let again = service.structured("host_add", add).await;
    assert_eq!(again["added"], false, "{again}");
    // the trial before saving, and the line
    assert_eq!(fleet.logins(), [before[0], before[1] + 2, before[2]]);
    let elsewhere = json!({"name": "nas", "target": format!("ops@{}", fleet.host("h3").address())});
    let refused = service.refusal("host_add", elsewhere).await;
    assert!(refused.starts_with("conflict: there is a host nas already"), "{refused}");

    let (before, since) = (fleet.logins(), service.row("nas").await["since"].clone());
    let words = json!({"host": "nas", "description": "words", "tags": ["a", "b"]});
    let updated = service.structured("host_update", words).await;
    assert_eq!((&updated["changed"], &updated["tags"]), (&json!(true), &json!(["a", "b"])), "{updated}");
    let row = service.row("nas").await;
    assert_eq!((&row["description"], &row["since"]), (&json!("words"), &since), "{row}");
    assert_eq!(fleet.logins(), before);
    let unknown = service.refusal("host_update", json!({"host": "nass", "tags": []})).await;
    assert!(unknown.starts_with("host_unknown: ") && unknown.contains("Did you mean \"nas\"?"), "{unknown}");

    let disabled = service.structured("host_update", json!({"host": "nas", "enabled": false})).await;
    assert_eq!(disabled["enabled"], false, "{disabled}");
    let h2 = fleet.host("h2");
    eventually("the line is closed", NOTICED, async || h2.ssh_session_processes() == 0).await;
    let removed = service.agreed("host_remove", json!({"host": "nas"})).await;
    assert_eq!(removed["removed"], true, "{removed}");
    assert_eq!(service.ids().await, ["h1"]);
    assert_eq!(text(&service), saved);
    // the last one is a person's
    let refused = service.refusal("host_remove", json!({"host": "h1"})).await;
    assert!(refused.starts_with("policy_denied: ") && refused.contains("last host"), "{refused}");
    assert_eq!((service.ids().await, text(&service)), (vec!["h1".to_owned()], saved));
    assert_eq!(fleet.logins(), before);
}

async fn s10_an_assistant_saves_no_host_that_is_not_who_it_was(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    service.wait_ready(&["h1"]).await;
    let (before, saved, h3) = (fleet.logins(), text(&service), fleet.host("h3"));
    h3.change_host_key();
    let target = format!("ops@{}", h3.address());
    let calls = [
        ("host_add", json!({"name": "pi", "target": target})),
        ("host_update", json!({"host": "h1", "target": target})),
    ];
    for (tool, arguments) in calls {
        let refused = service.refusal(tool, arguments).await;
        assert!(refused.starts_with("host_key: "), "{tool}: {refused}");
        assert!(
            refused.contains("Next: ") && refused.contains("dockmaster hosts trust"),
            "{tool}: {refused}"
        );
    }
    assert_eq!((text(&service), service.ids().await), (saved, vec!["h1".to_owned()]));
    assert!(service.is_ready("h1").await);
    assert_eq!(fleet.logins(), before);
}

/// A way to h2 that differs in its place: only the engine itself can tell whose it is.
const SIDE_PORT: u16 = 2222;

async fn an_assistant_loosens_no_engine_by_any_way_and_a_person_does(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    h2.sshd_options(&["Port 22", &format!("Port {SIDE_PORT}")]);
    let dir = crate::support::temp_dir();
    let ssh_config = dir.path().join("ssh_config");
    let side = format!(
        "Host side\n  HostName {0}\n  Port {SIDE_PORT}\n  User ops\n  HostKeyAlias {0}\nMatch all\n  Include {1}\n",
        h2.address(),
        fleet.ssh_config().display()
    );
    fs::write(&ssh_config, side).unwrap();
    let config = ServiceConfig::none(fleet).with(h1, &[]).with(h2, &["policy: ro"]).with(h3, &[]);
    let service = Service::start(&config.ssh_config(&ssh_config));
    service.wait_ready(&["h1", "h2", "h3"]).await;
    let denied = async |tool: &str, arguments: Value| {
        let (before, hosts) = (text(&service), service.ids().await);
        let refused = service.refusal(tool, arguments.clone()).await;
        assert!(refused.starts_with("policy_denied: "), "{tool} {arguments}: {refused}");
        assert!(refused.contains("A person can loosen it"), "{tool} {arguments}: {refused}");
        assert_eq!((text(&service), service.ids().await), (before, hosts), "{tool} {arguments}");
    };
    let place = format!("ops@{}", h2.address());
    for policy in ["rw", "no_destructive"] {
        denied("host_update", json!({"host": "h2", "policy": policy})).await;
        for target in [place.as_str(), "side", "h2"] {
            denied("host_add", json!({"name": "again", "target": target, "policy": policy})).await;
        }
    }
    // nor is a new engine given all at once, or one that moves
    denied("host_add", json!({"name": "new", "target": "h1", "policy": "rw"})).await;

    // removed, and then added by its place, and by another one: it is what it was
    for (name, target) in [("first", place.as_str()), ("second", "side"), ("third", "root@h2")] {
        for gone in service.ids().await.iter().filter(|id| !["h1", "h3"].contains(&id.as_str())) {
            service.agreed("host_remove", json!({"host": gone})).await;
        }
        denied("host_add", json!({"name": name, "target": target, "policy": "no_destructive"})).await;
        let added = service.structured("host_add", json!({"name": name, "target": target})).await;
        assert_eq!((&added["policy"], &added["added"]), (&json!("ro"), &json!(true)), "{added}");
        service.wait_ready(&[name]).await;
    }
    // a host that may do everything is pointed there
    let moved = service.structured("host_update", json!({"host": "h3", "target": "side"})).await;
    assert_eq!(moved["policy"], "ro", "{moved}");
    service.wait_ready(&["h3"]).await;

    // a person decides about the engine once, and that holds
    for host in ["third", "h3"] {
        let home = service.home();
        let ended = home.run(&home.hosts_file(), &["hosts", "edit", host, "--policy", "rw"]);
        assert!(ended.status.success(), "{}", ended.stderr);
    }
    service.wait_row("third", "policy", "rw").await;
    service.wait_row("h3", "policy", "rw").await;
    // tighter is for everybody
    let tightened = service.structured("host_update", json!({"host": "h1", "policy": "ro"})).await;
    assert_eq!(
        (&tightened["before"]["policy"], &tightened["policy"]),
        (&json!("rw"), &json!("ro")),
        "{tightened}"
    );
    assert_eq!(tightened["policy"], "ro", "{tightened}");
    denied("host_update", json!({"host": "h1", "policy": "rw"})).await;
}

async fn a_read_only_hosts_file_is_told_and_nothing_changes(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let config = ServiceConfig::none(fleet).with(h1, &[]).with(h2, &["tags: [old]"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    fs::set_permissions(home.hosts_file(), fs::Permissions::from_mode(0o444)).unwrap();
    let (before, rows) = (fleet.logins(), service.structured("host_list", json!({})).await);
    let calls = [
        ("host_add", json!({"name": "pi", "target": format!("ops@{}", fleet.host("h3").address())})),
        ("host_update", json!({"host": "h2", "tags": ["new"], "policy": "ro", "enabled": false})),
        ("host_update", json!({"host": "h2", "target": "h3"})),
        ("host_remove", json!({"host": "h2"})),
    ];
    for (tool, arguments) in calls {
        let refused = service.agreed_refusal(tool, arguments).await;
        assert!(refused.starts_with("conflict: ") && refused.contains("is read-only"), "{tool}: {refused}");
        assert!(refused.contains("Make it writable"), "{tool}: {refused}");
    }
    let imported = service.structured("host_import", json!({"pattern": "h3"})).await;
    assert_eq!(imported["added"], json!([]), "{imported}");
    assert!(imported["skipped"][0]["reason"].as_str().unwrap().contains("is read-only"), "{imported}");
    for args in [
        &["hosts", "add", "pi", "h3", "--no-test"][..],
        &["hosts", "edit", "h2", "--tag", "new"],
        &["hosts", "remove", "h2"],
        &["hosts", "disable", "h1"],
        &["hosts", "import", "h3", "--no-test"],
    ] {
        let refused = home.run(&home.hosts_file(), args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("is read-only"), "{args:?}: {}", refused.stderr);
    }
    // an import ends with a reading: nothing was only waiting for the next one
    service.structured("host_import", json!({"pattern": "none"})).await;
    let now = service.structured("host_list", json!({})).await;
    assert_eq!(static_parts(&now), static_parts(&rows));
    assert_eq!(text(&service), config.yaml());
    let beside = fs::read_dir(home.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("hosts.yml"));
    assert_eq!(beside.count(), 1, "nothing is left beside it");
    // h3 was connected to before anything was to be written
    assert_eq!(fleet.logins()[..2], before[..2]);
}

/// What a row says of its host, without when it answered last.
fn static_parts(listed: &Value) -> Vec<Value> {
    let mut rows = listed["hosts"].as_array().unwrap().clone();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("last_seen");
    }
    rows
}
