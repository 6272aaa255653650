//! Changes on real engines: made once, told as they are, on record.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::host::Engine;
use crate::support::trials::Trial;
use crate::support::wait::wait_for;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

const SECRET: &str = "correct-horse-battery-staple";

pub fn trials() -> Vec<Trial> {
    trials![
        a_container_is_run_stopped_started_restarted_and_removed => 120,
        what_cannot_be_done_fails_and_leaves_nothing => 120,
        unused_things_are_listed_before_they_are_removed => 120,
        policies_are_kept_and_refusals_are_on_the_audit => 120,
        the_same_wish_is_one_change => 120,
        an_image_is_pulled_and_pulled_anew => 120,
        podman_is_pruned_of_what_was_seen => 180,
        a_container_gets_the_time_that_it_says_it_needs_to_stop => 150,
        links_to_a_container_do_not_hide_its_name => 120,
        volumes_that_go_with_a_container_are_told => 120,
    ]
}

/// Calls a tool that begins a job, agreed to when it asks, and returns the job.
async fn job(service: &Service, tool: &str, arguments: Value) -> Value {
    service.agreed(tool, arguments).await
}

fn states(job: &Value) -> Vec<&str> {
    job["results"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect()
}

async fn a_container_is_run_stopped_started_restarted_and_removed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let run = json!({
        "host": "h1", "image": IMAGE, "name": "web", "command": ["sleep", "1000"],
        "env": {"PASSWORD": SECRET, "PLAIN": "yes"}, "labels": {"a": "b"}, "restart": "unless-stopped",
        "ports": ["127.0.0.1:18080:80"], "volumes": ["web-data:/data"], "memory": "64m", "cpus": 0.5,
    });
    let made = job(&service, "container_run", run).await;
    assert_eq!((&made["state"], states(&made)), (&json!("done"), vec!["done"; 3]), "{made}");
    let inspect = |format: &str| host.docker(&["inspect", "-f", format, "web"]);
    let told = inspect(
        "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} \
         {{index .Config.Labels \"a\"}} {{json .HostConfig.PortBindings}} {{json .HostConfig.Binds}} {{.Config.Env}}",
    );
    for part in [
        "true unless-stopped 67108864 500000000 b",
        r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"18080"}]}"#,
        "web-data:/data",
        SECRET,
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let label = inspect("{{index .Config.Labels \"dockmaster.operation\"}}");
    assert_eq!(Value::from(label), made["job"], "what is created bears its operation");

    let web = json!({"host": "h1", "containers": ["web"], "timeout": 1});
    let stopped = job(&service, "container_stop", web.clone()).await;
    assert_eq!(stopped["results"][0]["after"], "exited", "{stopped}");
    assert_eq!(inspect("{{.State.Running}}"), "false");
    let again = job(&service, "container_stop", web.clone()).await;
    assert_eq!(
        (&again["state"], &again["results"][0]["before"]),
        (&json!("done"), &json!("exited")),
        "{again}"
    );
    let started = job(&service, "container_start", json!({"host": "h1", "containers": ["web"]})).await;
    assert_eq!(started["results"][0]["after"], "running", "{started}");
    let before = inspect("{{.State.StartedAt}}");
    job(&service, "container_restart", web).await;
    assert_ne!(inspect("{{.State.StartedAt}}"), before);
    let removed =
        job(&service, "container_remove", json!({"host": "h1", "containers": ["web"], "force": true})).await;
    assert_eq!(removed["results"][0]["after"], "removed", "{removed}");
    assert_eq!(host.docker(&["ps", "-aqf", "name=web"]), "");
    host.docker(&["volume", "rm", "web-data"]);

    let listed = service.structured("job_list", json!({"state": "all"})).await;
    let tools: Vec<&str> =
        listed["jobs"].as_array().unwrap().iter().map(|job| job["tool"].as_str().unwrap()).collect();
    assert_eq!(
        tools,
        [
            "container_remove",
            "container_restart",
            "container_start",
            "container_stop",
            "container_stop",
            "container_run"
        ]
    );
    let got = service.structured("job_get", json!({"job": made["job"]})).await;
    assert_eq!(got["results"], made["results"]);
    let (_, home) = service.stop();
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(home.path().join("data").join(file)).unwrap_or_default();
        let found = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!found, "{file} holds a secret");
    }
}

async fn what_cannot_be_done_fails_and_leaves_nothing(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    host.run_container(&["-p", "18081:80", "--name", "first", IMAGE, "sleep", "1000"]);
    let run = json!({"host": "h1", "image": IMAGE, "name": "second", "command": ["sleep", "1000"], "ports": ["18081:80"]});
    let failed = job(&service, "container_run", run).await;
    assert_eq!(
        (&failed["state"], states(&failed)),
        (&json!("failed"), vec!["done", "undone", "failed"]),
        "{failed}"
    );
    assert!(failed["note"].as_str().unwrap().contains("18081"), "{failed}");
    assert_eq!(host.docker(&["ps", "-aqf", "name=second"]), "", "it is removed again");
    let failed = job(&service, "image_pull", json!({"hosts": "h1", "image": "127.0.0.1:1/none"})).await;
    assert_eq!(failed["jobs"][0]["state"], "failed", "{failed}");
    let mixed = json!({"host": "h1", "containers": ["nobody", "first"], "timeout": 1});
    let mixed = job(&service, "container_stop", mixed).await;
    assert_eq!((&mixed["state"], states(&mixed)), (&json!("failed"), vec!["failed", "done"]), "{mixed}");
}

async fn unused_things_are_listed_before_they_are_removed(fleet: &Fleet) {
    let host = fleet.host("h1");
    // What trials before this one left without a name is theirs.
    host.docker(&["image", "prune", "-f"]);
    host.docker(&["volume", "prune", "-f"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    host.run_container(&["--name", "ended", "-v", "/anonymous", IMAGE, "true"]);
    host.docker(&["wait", "ended"]);
    host.docker(&["network", "create", "lonely"]);
    host.docker(&["network", "create", "wanted"]);
    host.run_container(&[
        "--name",
        "stopped",
        "--network",
        "wanted",
        "-v",
        "named:/data",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let what = ["containers", "networks", "volumes", "images"];
    let plan = service.structured("prune", json!({"host": "h1", "what": what})).await;
    let names: Vec<&str> =
        plan["plan"].as_array().unwrap().iter().map(|thing| thing["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ended", "lonely"], "a volume that a container uses is not unused");
    assert_eq!(host.docker(&["ps", "-aqf", "name=ended"]).lines().count(), 1, "nothing is removed yet");
    let job = job(&service, "prune", json!({"host": "h1", "what": what, "dry_run": false})).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["results"][0]["removed"], json!(["ended"]), "{job}");
    assert_eq!(host.docker(&["ps", "-aqf", "name=ended"]), "");
    assert_eq!(host.docker(&["network", "ls", "-qf", "name=lonely"]), "");
    assert_eq!(host.docker(&["network", "ls", "-qf", "name=wanted"]).lines().count(), 1);
}

async fn an_image_is_pulled_and_pulled_anew(fleet: &Fleet) {
    const APP: &str = "127.0.0.1:5000/app:1";
    let host = fleet.host("h1");
    host.registry(true);
    let push = |id: &str| {
        host.docker(&["tag", id, APP]);
        host.docker(&["push", "-q", APP]);
        host.docker(&["rmi", APP]);
        host.docker(&["image", "inspect", "-f", "{{.Id}}", id])
    };
    let old = push(IMAGE);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let pull = async || {
        let pulled = job(&service, "image_pull", json!({"hosts": "h1", "image": APP})).await;
        let pulled = &pulled["jobs"][0];
        assert_eq!(pulled["state"], "done", "{pulled}");
        (pulled["results"][0]["before"].clone(), pulled["results"][0]["after"].clone())
    };
    assert_eq!(pull().await, (Value::Null, json!(old)));
    assert_eq!(pull().await, (json!(old), json!(old)), "nothing is newer");
    host.docker(&["create", "--name", "newer", IMAGE]);
    host.docker(&["commit", "-c", "LABEL newer=yes", "newer", "newer:1"]);
    host.docker(&["tag", APP, "mine:1"]);
    let new = push("newer:1");
    host.docker(&["tag", "mine:1", APP]);
    assert_eq!(pull().await, (json!(old), json!(new)));
    assert_eq!(host.docker(&["image", "inspect", "-f", "{{.Id}}", APP]), new);
    let missing = job(&service, "image_pull", json!({"hosts": "h1", "image": "127.0.0.1:5000/none:1"})).await;
    let missing = &missing["jobs"][0];
    assert_eq!(missing["state"], "failed", "{missing}");
    assert!(missing["note"].as_str().unwrap().contains("not found"), "{missing}");
    host.registry(false);
}

/// Podman takes the words by which the engine is asked for what is unused in its own way.
async fn podman_is_pruned_of_what_was_seen(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    host.run_container(&["--name", "ended", IMAGE, "true"]);
    host.run_container(&["--name", "runs", IMAGE, "sleep", "1000"]);
    host.docker(&["wait", "ended"]);
    host.docker(&["network", "create", "lonely"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let what = json!(["containers", "networks"]);
    let pruned = job(&service, "prune", json!({"host": "h1", "what": what, "dry_run": false})).await;
    assert_eq!(pruned["state"], "done", "{pruned}");
    let removed = |at: usize| pruned["results"][at]["removed"].clone();
    assert_eq!((removed(0), removed(1)), (json!(["ended"]), json!(["lonely"])), "{pruned}");
    assert_eq!(host.docker(&["ps", "-a", "--format", "{{.Names}}"]), "runs");
    host.docker(&["rm", "-f", "runs"]);
    host.engine(Engine::Default);
}

async fn policies_are_kept_and_refusals_are_on_the_audit(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let config = ServiceConfig::none(fleet).with(h1, &["policy: ro"]).with(h2, &["policy: no_destructive"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2"]).await;
    h2.run_container(&["--name", "kept", IMAGE, "sleep", "1000"]);
    let kept = json!({"host": "h2", "containers": ["kept"]});
    for (tool, arguments) in [
        ("container_start", json!({"host": "h1", "containers": ["a"]})),
        ("container_stop", kept.clone()),
        ("container_restart", kept.clone()),
        ("container_remove", kept.clone()),
        ("prune", json!({"host": "h2", "what": ["containers"], "dry_run": false})),
        ("container_run", json!({"host": "h2", "image": IMAGE, "volumes": ["/:/host"]})),
        ("container_run", json!({"host": "h2", "image": IMAGE, "networks": ["host"]})),
        ("container_run", json!({"host": "h2", "image": IMAGE, "volumes": ["data:/d"]})),
        ("image_build", json!({"host": "h2", "context": "/srv", "tags": ["built:1"]})),
        (
            "volume_create",
            json!({"host": "h2", "name": "etc", "options": {"type": "none", "o": "bind", "device": "/etc"}}),
        ),
    ] {
        let refused = service.call(tool, arguments).await;
        assert!(refused.is_error && refused.text.starts_with("policy_denied"), "{tool}: {}", refused.text);
    }
    assert_eq!(h2.docker(&["ps", "-qf", "name=kept"]).lines().count(), 1);
    let audit = service.home().run_here(&["audit", "--json", "--limit", "100"]).stdout;
    let refused = audit.lines().filter(|line| line.contains("\"refused\"")).count();
    assert_eq!(refused, 10, "{audit}");
    let started = job(&service, "container_start", kept).await;
    assert_eq!(started["state"], "done", "{started}");
}

async fn the_same_wish_is_one_change(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    // it does not mind being asked to stop, so that stopping it takes as long as it may
    host.run_container(&["--name", "slow", IMAGE, "sh", "-c", "trap '' TERM; sleep 1000"]);
    let restart = json!({"host": "h1", "containers": ["slow"], "timeout": 8, "wait_healthy": 0});
    let calls = (0..5).map(|_| Box::pin(job(&service, "container_restart", restart.clone())));
    let jobs = futures_util::future::join_all(calls).await;
    assert!(jobs.iter().all(|one| one["job"] == jobs[0]["job"] && one["state"] == "done"), "{jobs:?}");
    assert_eq!(jobs.iter().filter(|one| one["joined"] == true).count(), 4);
    let later = job(&service, "container_restart", restart.clone()).await;
    assert_ne!(later["job"], jobs[0]["job"], "a second restart is a new wish");

    let with_key = |timeout: u32| json!({"host": "h1", "containers": ["slow"], "timeout": timeout, "wait_healthy": 0, "idempotency_key": "k1"});
    let first = job(&service, "container_restart", with_key(1)).await;
    let again = job(&service, "container_restart", with_key(1)).await;
    assert_eq!((&again["job"], &again["joined"]), (&first["job"], &json!(true)));
    let other = service.call("container_restart", with_key(2)).await;
    assert!(other.is_error && other.text.contains(first["job"].as_str().unwrap()), "{}", other.text);
    let home = service.kill();
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    let after = job(&service, "container_restart", with_key(1)).await;
    assert_eq!(after["job"], first["job"], "it is remembered");

    // 45 s are not enough for nobody: a job that goes on is told as one
    let slow = json!({"host": "h1", "containers": ["slow"], "timeout": 4, "wait": 0, "wait_healthy": 0});
    let running = job(&service, "container_restart", slow).await;
    assert_eq!((&running["state"], &running["next"]), (&json!("running"), &json!("job_get")), "{running}");
    let got = service.structured("job_get", json!({"job": running["job"], "wait": 30})).await;
    assert_eq!(got["state"], "done", "{got}");
}

/// A database says that it may take minutes; nothing else has to be said for it to get them.
async fn a_container_gets_the_time_that_it_says_it_needs_to_stop(fleet: &Fleet) {
    let host = fleet.host("h1");
    let slow = "trap 'sleep 58; exit 7' TERM; touch /ready; while :; do usleep 100000; done";
    host.run_container(&["--name", "db", "--stop-timeout", "90", IMAGE, "sh", "-c", slow]);
    wait_for("it listens to signals", Duration::from_secs(20), || {
        host.try_docker(&["exec", "db", "test", "-e", "/ready"]).is_ok()
    });
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let stop = json!({"host": "h1", "containers": ["db"], "wait": 45});
    let stopping = job(&service, "container_stop", stop).await;
    assert_eq!(stopping["state"], "running", "{stopping}");
    let stopped = service.structured("job_get", json!({"job": stopping["job"], "wait": 45})).await;
    assert_eq!((&stopped["state"], &stopped["note"]), (&json!("done"), &Value::Null), "{stopped}");
    let ended = host.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "db"]);
    assert_eq!(ended, "exited 7", "it ended by itself");
}

async fn links_to_a_container_do_not_hide_its_name(fleet: &Fleet) {
    let host = fleet.host("h1");
    for name in ["db-kept", "db-gone"] {
        host.run_container(&["--name", name, IMAGE, "sleep", "1000"]);
    }
    // each has a second name by it
    let links = ["--link", "db-kept:a", "--link", "db-gone:b"];
    host.run_container(&[&["--name", "web"], &links[..], &[IMAGE, "sleep", "1000"]].concat());
    host.docker(&["stop", "-t", "0", "db-kept", "db-gone"]);
    let config = ServiceConfig::none(fleet).server("confirm_fallback: allow");
    let service = Service::start(&config.with(host, &["protected: [\"db-k*\"]"]));
    service.wait_ready(&["h1"]).await;
    let what = |keep: &str| json!({"host": "h1", "what": ["containers"], "dry_run": false, "keep": keep});
    let kept = job(&service, "prune", what("db-*")).await;
    assert_eq!(kept["results"][0].get("removed"), None, "{kept}");
    let pruned = job(&service, "prune", what("nothing")).await;
    assert_eq!(pruned["results"][0]["removed"], json!(["db-gone"]), "{pruned}");
}

async fn volumes_that_go_with_a_container_are_told(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["volume", "create", "named"]);
    host.run_container(&["--name", "db", "-v", "named:/kept", "-v", "/data", IMAGE, "sleep", "1000"]);
    let volumes = || host.docker(&["volume", "ls", "-q"]).lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    let nameless: Vec<String> = volumes().into_iter().filter(|name| name != "named").collect();
    let protected = host.docker(&["volume", "create", "--label", "dockmaster.protected=1"]);
    let mount = format!("{protected}:/data");
    host.run_container(&["--name", "guarded", "-v", &mount, IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let remove = |name: &str, volumes: bool| json!({"host": "h1", "containers": [name], "force": true, "volumes": volumes, "wait": 30});
    let names = |plan: &Value| {
        let rows = plan["plan"].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let plan = service.structured("container_remove", remove("db", false)).await;
    assert_eq!(names(&plan), ["db"], "{plan}");
    let plan = service.structured("container_remove", remove("db", true)).await;
    assert_eq!(names(&plan), [&["db".to_owned()], nameless.as_slice()].concat(), "{plan}");
    // what is in it changes meanwhile
    host.docker(&["exec", "db", "touch", "/data/file"]);
    let removed = job(&service, "container_remove", remove("db", true)).await;
    assert_eq!(removed["state"], "done", "{removed}");
    let mut left = vec![protected, "named".to_owned()];
    left.sort_unstable();
    let mut found = volumes();
    found.sort_unstable();
    assert_eq!(found, left);
    let refused = service.refusal("container_remove", remove("guarded", true)).await;
    assert!(refused.starts_with("policy_denied") && refused.contains("volume"), "{refused}");
    assert_eq!(host.docker(&["ps", "-q"]).lines().count(), 1);
}
