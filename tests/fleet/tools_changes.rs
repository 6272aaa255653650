//! Tools that change containers, images, volumes and networks, on real engines, and what they leave alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::wait::wait_for;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        volumes_are_made_and_removed_with_their_data => 120,
        networks_are_made_joined_left_and_removed => 120,
        images_are_tagged_pushed_and_removed => 120,
        containers_are_updated_renamed_paused_and_killed => 120,
        protected_things_are_left_alone_by_every_tool => 120,
        what_is_young_or_wanted_is_not_pruned => 120,
    ]
}

async fn service(fleet: &Fleet, lines: &[&str]) -> Service {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), lines));
    service.wait_ready(&["h1"]).await;
    service
}

/// The audit, the newest first.
fn audit(service: &Service) -> Vec<Value> {
    let home = service.home();
    let told = home.run(&home.hosts_file(), &["audit", "--json", "--limit", "200"]).stdout;
    told.lines().map(|line| serde_json::from_str(line).expect("an entry of JSON")).collect()
}

#[track_caller]
fn done(job: &Value) -> &Value {
    assert_eq!(job["state"], "done", "{job}");
    &job["results"][0]
}

async fn volumes_are_made_and_removed_with_their_data(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = service(fleet, &[]).await;
    let create = json!({"host": "h1", "name": "made", "labels": {"tier": "test"}});
    let made = service.structured("volume_create", create.clone()).await;
    assert_eq!(done(&made)["after"], "local");
    assert_eq!(host.docker(&["volume", "inspect", "-f", "{{.Labels.tier}}", "made"]), "test");
    done(&service.structured("volume_create", create).await);
    // One that lies at a path of the host is asked about first.
    let bind = json!({"type": "none", "o": "bind", "device": "/etc"});
    let bind = json!({"host": "h1", "name": "etc", "options": bind});
    let asked = service.structured("volume_create", bind).await;
    assert_eq!(
        (&asked["state"], host.docker(&["volume", "ls", "-qf", "name=etc"])),
        (&json!("planned"), String::new())
    );

    host.run_container(&["--name", "user", "-v", "made:/data", IMAGE, "sleep", "1000"]);
    let remove = json!({"host": "h1", "volumes": ["made"]});
    let plan = service.structured("volume_remove", remove.clone()).await;
    assert_eq!((&plan["state"], &plan["plan"][0]["name"]), (&json!("planned"), &json!("made")), "{plan}");
    let used = service.agreed("volume_remove", remove.clone()).await;
    assert_eq!(used["state"], "failed", "{used}");
    assert!(used["note"].as_str().unwrap().contains("in use"), "{used}");
    host.docker(&["rm", "-f", "user"]);
    // One that was made anew under the name is another one: the plan does not count for it.
    let plan = service.structured("volume_remove", remove.clone()).await;
    host.docker(&["volume", "rm", "made"]);
    // Engines count a volume's age in seconds.
    let second = || jiff::Timestamp::now().as_second();
    let removed_at = second();
    wait_for("the next second", SOON, || second() > removed_at);
    host.docker(&["volume", "create", "made"]);
    let mut stale = remove.clone();
    stale["confirm"] = plan["confirm"].clone();
    let refused = service.refusal("volume_remove", stale).await;
    assert!(refused.contains("not the same any more"), "{refused}");
    let removed = service.agreed("volume_remove", remove).await;
    assert_eq!(done(&removed)["removed"], json!(["made"]));
    assert_eq!(host.docker(&["volume", "ls", "-qf", "name=made"]), "");
}

async fn networks_are_made_joined_left_and_removed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = service(fleet, &[]).await;
    host.run_container(&["--name", "web", IMAGE, "sleep", "1000"]);
    let create = json!({"host": "h1", "name": "back", "subnet": "10.99.7.0/24", "internal": true});
    let first = service.structured("network_create", create.clone()).await;
    let again = service.structured("network_create", create).await;
    assert_eq!(done(&first)["id"], done(&again)["id"], "one of the name is enough");
    let inspected =
        host.docker(&["network", "inspect", "-f", "{{.Internal}} {{(index .IPAM.Config 0).Subnet}}", "back"]);
    assert_eq!(inspected, "true 10.99.7.0/24");

    let join = json!({"host": "h1", "container": "web", "network": "back", "aliases": ["shop"]});
    let joined = service.structured("network_connect", join.clone()).await;
    assert_eq!(done(&joined)["after"], "in back as 10.99.7.2", "{joined}");
    done(&service.structured("network_connect", join).await);
    let aliases = host.docker(&["inspect", "-f", "{{.NetworkSettings.Networks.back.Aliases}}", "web"]);
    assert!(aliases.contains("shop"), "{aliases}");
    let busy = service.agreed("network_remove", json!({"host": "h1", "networks": ["back"]})).await;
    assert_eq!(busy["state"], "failed", "{busy}");

    let leave = json!({"host": "h1", "container": "web", "network": "back"});
    let left = service.structured("network_disconnect", leave.clone()).await;
    assert_eq!(done(&left)["after"], "not in back", "{left}");
    done(&service.structured("network_disconnect", leave).await);
    let removed = service.agreed("network_remove", json!({"host": "h1", "networks": ["back"]})).await;
    assert_eq!(done(&removed)["removed"], json!(["back"]));
    assert_eq!(host.docker(&["network", "ls", "-qf", "name=back"]), "");
}

async fn images_are_tagged_pushed_and_removed(fleet: &Fleet) {
    const MINE: &str = "127.0.0.1:5000/mine:1";
    let host = fleet.host("h1");
    host.registry(true);
    let service = service(fleet, &[]).await;
    let tag = json!({"host": "h1", "image": IMAGE, "tag": MINE});
    assert_eq!(done(&service.structured("image_tag", tag.clone()).await)["after"], MINE);
    done(&service.structured("image_tag", tag).await);
    let pushed = service.structured("image_push", json!({"host": "h1", "image": MINE})).await;
    let digest = done(&pushed)["after"].as_str().unwrap().to_owned();
    let known = host.docker(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", MINE]);
    assert!(digest.starts_with("sha256:") && known.ends_with(&digest), "{digest} {known}");
    let plan =
        service.structured("image_remove", json!({"host": "h1", "images": [MINE], "dry_run": true})).await;
    assert_eq!(
        (&plan["plan"][0]["name"], &plan["plan"][0]["kind"]),
        (&json!(MINE), &json!("image")),
        "{plan}"
    );
    assert!(plan["plan"][0]["size"].as_i64().unwrap() > 1000, "{plan}");
    done(&service.agreed("image_remove", json!({"host": "h1", "images": [MINE]})).await);
    assert_eq!(host.docker(&["images", "-q", MINE]), "");
    assert_ne!(host.docker(&["images", "-q", IMAGE]), "", "its other name stays");
    let nowhere =
        service.structured("image_push", json!({"host": "h1", "image": "127.0.0.1:1/none:1"})).await;
    assert_eq!(nowhere["state"], "failed", "{nowhere}");
    host.registry(false);
}

async fn containers_are_updated_renamed_paused_and_killed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = service(fleet, &[]).await;
    host.run_container(&["--name", "web", "--memory", "64m", IMAGE, "sleep", "1000"]);
    let id = host.docker(&["inspect", "-f", "{{.Id}}", "web"]);
    let inspect = |format: &str| host.docker(&["inspect", "-f", format, &id]);
    // More than the container may use now, swap included.
    let update = json!({"host": "h1", "container": "web", "memory": "256m", "cpus": 0.5,
        "restart": "unless-stopped", "rename": "shop"});
    let updated = service.structured("container_update", update).await;
    let limits = done(&updated)["after"].as_str().unwrap();
    assert!(limits.contains("memory 268435456 bytes, cpus 0.500, restart unless-stopped"), "{updated}");
    assert_eq!(updated["results"][1]["after"], "shop", "{updated}");
    let format =
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}} {{.Name}}";
    assert_eq!(inspect(format), "268435456 500000000 unless-stopped /shop");
    assert_eq!(inspect("{{.State.Running}}"), "true", "it was not remade");

    let shop = |mode: &str| json!({"host": "h1", "containers": ["shop"], "mode": mode});
    assert_eq!(done(&service.structured("container_stop", shop("pause")).await)["after"], "paused");
    done(&service.structured("container_stop", shop("pause")).await);
    let started = service.structured("container_start", json!({"host": "h1", "containers": ["shop"]})).await;
    assert_eq!(done(&started)["after"], "running");
    assert_eq!(done(&service.structured("container_stop", shop("kill")).await)["after"], "exited");
    assert_eq!(inspect("{{.State.ExitCode}}"), "137");
}

async fn protected_things_are_left_alone_by_every_tool(fleet: &Fleet) {
    const LABEL: &str = "dockmaster.protected=true";
    let host = fleet.host("h1");
    host.run_container(&["--name", "labelled", "--label", LABEL, IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "db-1", IMAGE, "sleep", "1000"]);
    host.docker(&["create", "--name", "db-ended", IMAGE, "true"]);
    host.docker(&["create", "--name", "ended", IMAGE, "true"]);
    host.docker(&["volume", "create", "--label", LABEL, "kept"]);
    for volume in ["source", "db-data"] {
        host.docker(&["volume", "create", volume]);
    }
    host.docker(&["network", "create", "--label", LABEL, "kept"]);
    let recorder = host.record_engine();
    let service = service(fleet, &["protected: [db-*]"]).await;
    recorder.clear();
    let by_label = "make it anew without the label dockmaster.protected";
    let by_file = "take it out of protected: in the hosts file";
    let over =
        |volume: &str| json!({"volume": "source", "to_host": "h1", "to_volume": volume, "overwrite": true});
    let written = json!({"container": "labelled", "path": "/etc/x", "content": "x"});
    let calls = [
        ("container_stop", json!({"containers": ["labelled"]}), by_label),
        ("container_stop", json!({"containers": ["ended", "db-1"], "mode": "kill"}), by_file),
        ("container_restart", json!({"containers": ["db-1"]}), by_file),
        ("container_remove", json!({"containers": ["labelled"], "force": true}), by_label),
        ("container_update", json!({"container": "db-1", "rename": "mine"}), by_file),
        ("container_recreate", json!({"container": "labelled"}), by_label),
        ("container_recreate", json!({"container": "db-1", "image": IMAGE}), by_file),
        ("container_exec", json!({"container": "db-1", "command": ["touch", "/x"]}), by_file),
        ("container_file_write", written, by_label),
        ("network_disconnect", json!({"container": "db-1", "network": "bridge"}), by_file),
        ("volume_remove", json!({"volumes": ["kept"]}), by_label),
        ("volume_copy", over("kept"), by_label),
        ("volume_copy", over("db-data"), by_file),
        ("network_remove", json!({"networks": ["kept"]}), by_label),
        (
            "container_run",
            json!({"image": IMAGE, "volumes": ["kept:/v"], "command": ["rm", "-rf", "/v"]}),
            by_label,
        ),
    ];
    for (tool, arguments, way_out) in &calls {
        let mut arguments = arguments.clone();
        arguments["host"] = json!("h1");
        let refused = service.refusal(tool, arguments).await;
        assert!(
            refused.starts_with("policy_denied: ") && refused.contains("is protected"),
            "{tool}: {refused}"
        );
        assert!(refused.contains("A person can") && refused.contains(way_out), "{tool}: {refused}");
    }
    let asked = recorder.requests();
    let changed: Vec<_> = asked.iter().filter(|request| request.method != "GET").collect();
    assert!(!asked.is_empty() && changed.is_empty(), "the engine was asked for {changed:#?}");
    let audit = audit(&service);
    let refused: Vec<&Value> = audit.iter().filter(|entry| entry["verdict"] == "refused").collect();
    let tools: Vec<&str> = refused.iter().filter_map(|entry| entry["tool"].as_str()).collect();
    assert_eq!(tools, calls.iter().rev().map(|(tool, ..)| *tool).collect::<Vec<_>>(), "{audit:#?}");
    let over = json!({"operation": "restart", "selector": "{db-1,labelled}", "hosts": "h1"});
    let rollout = service.refusal("rollout", over).await;
    assert!(rollout.contains("db-1") && rollout.contains("protects"), "{rollout}");
    let told = |entry: &Value| entry["reason"].to_string().contains("is protected");
    assert!(refused.iter().all(|entry| told(entry)), "{refused:#?}");
    // a tool that disrupts and is not tried here would be found by this
    for tool in service.client().tools().await {
        let name = tool["name"].as_str().expect("a name");
        // An old name stands for one of the others.
        let elsewhere = ["host_", "job_", "image_", "prune", "rollout", "docker_"]
            .iter()
            .any(|kind| name.starts_with(kind));
        let is_tried = calls.iter().any(|(tried, ..)| *tried == name);
        assert!(tool["annotations"]["destructiveHint"] == false || elsewhere || is_tried, "{name}");
    }
    let prune = json!({"host": "h1", "what": ["containers", "networks"]});
    let plan = service.structured("prune", prune.clone()).await;
    let kept = plan["plan"].as_array().unwrap().iter().filter(|thing| thing.get("kept").is_some());
    let mut kept: Vec<&str> = kept.map(|thing| thing["name"].as_str().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["db-ended", "kept"], "{plan}");
    done(&service.agreed("prune", prune).await);
    let left = host.docker(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    assert_eq!(left, ["db-1 running", "db-ended created", "labelled running"]);
}

async fn what_is_young_or_wanted_is_not_pruned(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["create", "--name", "young", IMAGE, "true"]);
    host.docker(&["create", "--name", "wanted", "--label", "keep=me", IMAGE, "true"]);
    let service = service(fleet, &[]).await;
    let prune = |more: Value| {
        let mut arguments = json!({"host": "h1", "what": ["containers"]});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let names = async |arguments: Value| {
        let plan = service.structured("prune", arguments).await;
        let rows = plan["plan"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|thing| thing["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(prune(json!({"older_than": "1h"}))).await, Vec::<String>::new());
    assert_eq!(names(prune(json!({"keep": "label=keep"}))).await, ["young"]);
    let pruned = service.agreed("prune", prune(json!({"keep": "label=keep=me"}))).await;
    assert_eq!(done(&pruned)["removed"], json!(["young"]));
    assert_eq!(host.docker(&["ps", "-a", "--format", "{{.Names}}"]), "wanted");
}
