//! Rollouts over real hosts: in batches, through a health gate, until too many have failed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::wait::{eventually, wait_for};
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![
        the_containers_of_an_image_are_those_made_with_it => 120,
        containers_of_many_hosts_are_restarted_one_after_the_other => 180,
        what_fails_stops_the_rest => 180,
        no_batch_begins_after_a_cancellation_or_the_end_of_the_service => 180,
    ]
}

async fn service(fleet: &Fleet, lines: &[&str]) -> Service {
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &[]).with(fleet.host("h2"), lines);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2"]).await;
    service
}

/// Containers with the label of this trial; the command of each.
fn run(host: &Host, named: &[(&str, &str)]) {
    for (name, command) in named {
        // they mind no polite signal
        let short = ["--stop-timeout", "1", "--label", "tier=web"];
        host.run_container(&[&["--name", name], &short[..], &[IMAGE, "sh", "-c", command]].concat());
    }
}

/// When each container of the trial was started.
fn started(hosts: [&Host; 2]) -> BTreeMap<String, String> {
    let of = |host: &Host| {
        let ids = host.docker(&["ps", "-aqf", "label=tier=web"]);
        let inspect = ["inspect", "-f", "{{.Name}} {{.State.StartedAt}}"].into_iter().chain(ids.lines());
        let told = host.docker(&inspect.collect::<Vec<_>>());
        let line = |line: &str| {
            line.split_once(' ').map(|(name, at)| (format!("{}{name}", host.name()), at.to_owned()))
        };
        told.lines().filter_map(line).collect::<Vec<_>>()
    };
    hosts.into_iter().flat_map(of).collect()
}

fn restart(more: &Value) -> Value {
    let mut wanted = json!({"operation": "restart", "selector": "label=tier=web", "hosts": "*", "wait": 120});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wanted
}

async fn containers_of_many_hosts_are_restarted_one_after_the_other(fleet: &Fleet) {
    let hosts = [fleet.host("h1"), fleet.host("h2")];
    run(hosts[0], &[("web1", "sleep 1000"), ("web2", "sleep 1000")]);
    run(hosts[1], &[("web3", "sleep 1000")]);
    hosts[1].run_container(&[
        "--name",
        "kept",
        "--label",
        "tier=web",
        "--label",
        "dockmaster.protected=1",
        IMAGE,
        "sleep",
        "1000",
    ]);
    hosts[1].docker(&["create", "--name", "ended", "--label", "tier=web", IMAGE]);
    let before = started(hosts);
    let service = service(fleet, &[]).await;
    let plan = service.structured("rollout", restart(&json!({}))).await;
    let rows: Vec<String> = plan["plan"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{}/{} {}",
                row["host"].as_str().unwrap(),
                row["name"].as_str().unwrap(),
                row["kept"].is_string()
            )
        })
        .collect();
    let mut sorted = rows.clone();
    sorted.sort();
    assert_eq!(sorted, ["h1/web1 false", "h1/web2 false", "h2/kept true", "h2/web3 false"], "{plan}");
    assert_eq!((&plan["state"], started(hosts)), (&json!("planned"), before.clone()), "nothing was done");
    let done = service.agreed("rollout", restart(&json!({}))).await;
    assert_eq!((&done["state"], &done["steps"]), (&json!("done"), &json!(3)), "{done}");
    let after = started(hosts);
    let changed: Vec<&str> =
        after.iter().filter(|(name, at)| before[*name] != **at).map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["h1/web1", "h1/web2", "h2/web3"]);
    // Each began when the one before it was well.
    let mut last: Option<jiff::Timestamp> = None;
    for result in done["results"].as_array().unwrap() {
        let job = service.structured("job_get", json!({"job": result["job"]})).await;
        assert_eq!((&job["tool"], &job["state"]), (&json!("container_restart"), &json!("done")), "{job}");
        let time = |field: &str| job[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(last.is_none_or(|last| time("started") >= last), "{job}");
        last = Some(time("ended"));
    }
    let known = service.structured("job_get", json!({"job": done["job"]})).await;
    assert_eq!(known["results"], done["results"], "{known}");
    // The same agreement once more is none.
    let nobody = json!({"operation": "stop", "selector": "nobody*", "hosts": "h1"});
    assert!(service.refusal("rollout", nobody).await.contains("no container is to be stopped"));
    let mut stop = restart(&json!({"batch": 5, "hosts": "h1"}));
    stop["operation"] = json!("stop");
    assert_eq!(service.agreed("rollout", stop.clone()).await["state"], "done");
    assert_eq!(hosts[0].docker(&["ps", "-qf", "label=tier=web"]), "");
    stop["operation"] = json!("start");
    assert_eq!(service.agreed("rollout", stop.clone()).await["steps"], 2);
    assert_eq!(hosts[0].docker(&["ps", "-qf", "label=tier=web"]).lines().count(), 2);
}

async fn what_fails_stops_the_rest(fleet: &Fleet) {
    let hosts = [fleet.host("h1"), fleet.host("h2")];
    let once = "test -e /ran && exit 3; touch /ran; sleep 1000";
    run(hosts[0], &[("aa-bad", once), ("web2", "sleep 1000")]);
    run(hosts[1], &[("web3", "sleep 1000")]);
    let before = started(hosts);
    let service = service(fleet, &["policy: no_destructive"]).await;
    let order = json!({"batch": 1, "selector": "{aa-bad,web2}"});
    let failed = service.agreed("rollout", restart(&order)).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    let [bad] = failed["results"].as_array().unwrap().as_slice() else { panic!("{failed}") };
    assert_eq!(bad["step"], "h1/aa-bad", "in the order of their names");
    assert!(bad["error"].as_str().unwrap().contains("exited with code 3"), "{failed}");
    assert_eq!(failed["note"], "1 failed, and 1 were not begun");
    assert_eq!(started(hosts)["h1/web2"], before["h1/web2"]);
    // A host that does not permit it is told beside those that do.
    let plan = service.structured("rollout", restart(&json!({"selector": "web*"}))).await;
    assert!(plan["note"].as_str().unwrap().contains("h2 is held to no_destructive"), "{plan}");
    assert_eq!(plan["steps"], 1, "{plan}");
}

async fn no_batch_begins_after_a_cancellation_or_the_end_of_the_service(fleet: &Fleet) {
    let hosts = [fleet.host("h1"), fleet.host("h2")];
    run(hosts[0], &[("web1", "sleep 1000")]);
    run(hosts[1], &[("web2", "sleep 1000")]);
    let before = started(hosts);
    let service = service(fleet, &[]).await;
    let slow = restart(&json!({"pause": 3600, "wait": 0}));
    let begun = service.agreed("rollout", slow.clone()).await;
    assert_eq!(begun["state"], "running", "{begun}");
    wait_for("the first to be restarted", SOON, || started(hosts)["h1/web1"] != before["h1/web1"]);
    let listed = service.structured("job_list", json!({})).await;
    assert_eq!(
        (&listed["jobs"][0]["job"], &listed["jobs"][0]["tool"]),
        (&begun["job"], &json!("rollout")),
        "{listed}"
    );
    service.structured("job_cancel", json!({"job": begun["job"]})).await;
    let audit = service.home().run_here(&["audit", "--json", "--limit", "1"]).stdout;
    let entry: Value = serde_json::from_str(audit.trim()).unwrap();
    assert_eq!(
        (&entry["tool"], &entry["verdict"], &entry["arguments"]["job"]),
        (&json!("job_cancel"), &json!("accepted"), &begun["job"]),
        "{entry}"
    );
    let ended = service.structured("job_get", json!({"job": begun["job"], "wait": 30})).await;
    assert_eq!(
        (&ended["state"], &ended["results"][0]["state"]),
        (&json!("cancelled"), &json!("done")),
        "{ended}"
    );
    assert_eq!(started(hosts)["h2/web2"], before["h2/web2"]);
    assert_eq!(service.structured("job_list", json!({})).await["jobs"], json!([]));
    let over = service.structured("job_list", json!({"state": "done"})).await;
    assert_eq!(over["jobs"][0]["job"], begun["job"], "{over}");
    // what is pulled is told by those it is for
    let pull = json!({"operation": "pull", "selector": "web*", "hosts": "h1,h2", "dry_run": true});
    let plan = service.structured("rollout", pull).await;
    let rows = plan["plan"].as_array().unwrap().iter();
    let rows: Vec<_> =
        rows.map(|row| (row["host"].as_str().unwrap(), row["name"].as_str().unwrap())).collect();
    assert_eq!(rows, [("h1", "web1"), ("h2", "web2")], "{plan}");

    let between = started(hosts);
    let begun = service.agreed("rollout", slow).await;
    wait_for("the first to be restarted", SOON, || started(hosts)["h1/web1"] != between["h1/web1"]);
    let service = Service::start_in(service.kill());
    service.wait_ready(&["h1", "h2"]).await;
    let lost = service.refusal("job_get", json!({"job": begun["job"]})).await;
    assert!(lost.contains("there is no job"), "{lost}");
    let jobs = service.structured("job_list", json!({"state": "all", "limit": 1})).await;
    let job = service.structured("job_get", json!({"job": jobs["jobs"][0]["job"], "wait": 30})).await;
    assert_eq!((&job["target"], &job["state"]), (&json!("web1"), &json!("done")), "{job}");
    assert_eq!(started(hosts)["h2/web2"], before["h2/web2"]);
}

/// An image whose name has gone to another one is listed by its identifier alone.
async fn the_containers_of_an_image_are_those_made_with_it(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["tag", IMAGE, "app:1"]);
    for name in ["one", "two"] {
        host.run_container(&["--name", name, "--stop-timeout", "1", "app:1", "sleep", "1000"]);
    }
    host.docker(&["commit", "-c", "LABEL new=1", "one", "app:1"]);
    host.run_container(&["--name", "new", "--stop-timeout", "1", "app:1", "sleep", "1000"]);
    fleet.host("h3").refuse();
    let address = format!("hostname: {}", host.address());
    let config = ServiceConfig::none(fleet)
        .with(host, &[])
        .with(fleet.host("h3"), &[])
        .entry("zz-same", &[&address, "user: ops"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "zz-same"]).await;
    eventually("h3 is tried", SOON, async || service.row("h3").await["cause"].is_string()).await;
    let plan = async |operation: &str, hosts: &str| {
        let wanted =
            json!({"operation": operation, "selector": "image=app", "hosts": hosts, "dry_run": true});
        service.structured("rollout", wanted).await
    };
    let names = |plan: &Value| -> Vec<String> {
        plan["plan"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&plan("recreate", "h1").await), ["new", "one", "two"]);
    assert_eq!(names(&plan("pull", "h1").await), ["new"], "their image is one and the same");
    // by another name of the host they are no others
    let twice = plan("restart", "h1,zz-same").await;
    assert_eq!((&twice["steps"], names(&twice).len()), (&json!(3), 6), "{twice}");
    let kept = twice["plan"].as_array().unwrap().iter().filter_map(|row| row["kept"].as_str());
    assert_eq!(kept.collect::<Vec<_>>(), ["it is the one on h1, another name of the host"; 3]);
    // and a host that is left out is told to the end
    let wanted = json!({"operation": "restart", "selector": "one", "hosts": "h1,h3", "wait_healthy": 1});
    let done = service.agreed("rollout", wanted).await;
    assert_eq!((&done["state"], &done["steps"]), (&json!("done"), &json!(1)), "{done}");
    assert!(done["note"].as_str().unwrap().starts_with("h3: "), "{done}");
}
