//! Containers made anew on real engines: with all they were given, and with the old one back when the new one is no
//! good.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::process::ExitStatusExt as _;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::host::Engine;
use crate::support::mcp_client::McpClient;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, temp_dir};
use crate::trials;

const APP: &str = "127.0.0.1:5000/app:1";
const BAD: &str = "127.0.0.1:5000/app:bad";
const SECRET: &str = "correct-horse-battery-staple";

pub fn trials() -> Vec<Trial> {
    trials![
        all_settings_are_kept_in_a_newer_image => 180,
        a_new_one_that_is_no_good_gives_way_to_the_old_one => 180,
        what_cannot_be_made_anew_is_refused_before_anything_is_done => 120,
        a_crash_between_any_steps_leaves_one_container_of_the_name => 240,
        podman_keeps_all_settings_too => 240,
        one_that_has_left_its_first_network_stays_away_from_it => 120,
    ]
}

/// No hosts yet, and nobody to be asked: what has to be agreed to is made at once.
fn unasked(fleet: &Fleet) -> ServiceConfig {
    ServiceConfig::none(fleet).server("confirm_fallback: allow")
}

/// Pushes an image made of these instructions under the name of the application; what the engine has of that name it
/// keeps.
fn publish(host: &Host, instructions: &[&str]) {
    publish_as(host, APP, instructions);
}

fn publish_as(host: &Host, name: &str, instructions: &[&str]) {
    commit(host, instructions);
    push(host, name);
}

/// Makes the image `made:1` of these instructions.
fn commit(host: &Host, instructions: &[&str]) {
    host.docker(&["create", "--name", "maker", IMAGE]);
    let mut commit = vec!["commit"];
    for instruction in instructions {
        commit.extend(["-c", instruction]);
    }
    commit.extend(["maker", "made:1"]);
    host.docker(&commit);
    host.docker(&["rm", "maker"]);
}

/// Pushes the image `made:1` under this name; what the engine has of that name it keeps.
fn push(host: &Host, name: &str) {
    let kept = host.try_docker(&["image", "inspect", "-f", "{{.Id}}", name]).ok();
    host.docker(&["tag", "made:1", name]);
    host.docker(&["push", "-q", name]);
    host.docker(&["rmi", "made:1", name]);
    if let Some(kept) = kept {
        host.docker(&["tag", &kept, name]);
    }
}

/// Publishes an image of the application at `to`, whose engine makes none: `from` does.
fn carry(from: &Host, to: &Host, instructions: &[&str]) {
    carry_as(from, to, APP, instructions);
}

fn carry_as(from: &Host, to: &Host, name: &str, instructions: &[&str]) {
    let directory = temp_dir();
    let file = directory.path().join("image.tar").display().to_string();
    commit(from, instructions);
    from.docker(&["save", "-o", &file, "made:1"]);
    from.docker(&["rmi", "made:1"]);
    to.docker(&["load", "-i", &file]);
    push(to, name);
}

fn inspect(host: &Host, name: &str) -> Value {
    let told: Value = serde_json::from_str(&host.docker(&["inspect", name])).expect("JSON");
    told[0].clone()
}

/// Every value by its path; a list of words in any order is one value.
fn flat(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flat(value, &format!("{path}.{key}"), into);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for entry in list {
                let key = ["Destination", "Target"].into_iter().find_map(|key| entry[key].as_str());
                flat(entry, &format!("{path}[{}]", key.unwrap_or_default()), into);
            }
        }
        // An engine tells what is empty in several ways.
        Value::Array(list) if list.is_empty() => {}
        Value::Object(_) | Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        other => {
            into.insert(path.to_owned(), other.clone());
        }
    }
}

/// The paths at which two descriptions differ.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flat(before, "", &mut old);
    flat(after, "", &mut new);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

async fn recreate(service: &Service, arguments: Value) -> Value {
    service.structured("container_recreate", arguments).await
}

/// The names of all containers, with the identifiers of those that run.
fn containers(host: &Host) -> BTreeMap<String, Option<String>> {
    let listed = host.docker(&["ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.State}}"]);
    let row = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), (words[2] == "running").then(|| words[1].to_owned()))
    };
    listed.lines().map(row).collect()
}

/// Nearly everything that a container can be given.
const SETTINGS: &[&str] = &[
    "--name",
    "web",
    "--hostname",
    "given",
    "--domainname",
    "example.org",
    "--user",
    "0:0",
    "--env",
    "SECRET=correct-horse-battery-staple",
    "--env",
    "PLAIN=a b=c",
    "--label",
    "com.docker.compose.project=shop",
    "--label",
    "com.docker.compose.image=sha256:0",
    "--network",
    "front",
    "--ip",
    "10.200.7.9",
    "--network-alias",
    "www",
    "--publish",
    "127.0.0.1:18099:80/tcp",
    "--publish",
    "18098:53/udp",
    "--expose",
    "90",
    "--volume",
    "named:/named/:ro",
    "--volume",
    "/anonymous",
    "--volume",
    "/etc:/host-etc:ro",
    "--mount",
    "type=volume,dst=/mounted",
    "--mount",
    "type=tmpfs,dst=/memory,tmpfs-size=1m",
    "--tmpfs",
    "/scratch:size=1m",
    "--restart",
    "on-failure:3",
    "--memory",
    "64m",
    "--memory-reservation",
    "32m",
    "--cpus",
    "0.5",
    "--cpu-shares",
    "512",
    "--pids-limit",
    "100",
    "--cap-add",
    "NET_ADMIN",
    "--cap-drop",
    "MKNOD",
    "--device",
    "/dev/null:/dev/mine",
    "--ulimit",
    "nofile=100:200",
    "--sysctl",
    "net.ipv4.ip_unprivileged_port_start=0",
    "--log-driver",
    "json-file",
    "--log-opt",
    "max-size=1m",
    "--health-cmd",
    "true",
    "--health-interval",
    "1s",
    "--add-host",
    "somewhere:10.1.2.3",
    "--dns",
    "10.9.9.9",
    "--dns-search",
    "example.org",
    "--dns-option",
    "ndots:2",
    "--security-opt",
    "no-new-privileges",
    "--init",
    "--shm-size",
    "8m",
    "--stop-timeout",
    "2",
    "--group-add",
    "7",
    "--read-only",
    "--oom-score-adj",
    "100",
    "--tty",
    "--interactive",
    "--ipc",
    "shareable",
    "--cgroup-parent",
    "/mine",
    "--volumes-from",
    "other",
];

/// What differs because it is another container, or of the newer image.
const MAY_DIFFER: &[&str] = &[
    ".Id",
    ".Created",
    ".State",
    // a look at its health that is under way
    ".ExecIDs",
    ".Image",
    ".ResolvConfPath",
    ".HostnamePath",
    ".HostsPath",
    ".LogPath",
    ".GraphDriver",
    ".Config.Env",
    ".Config.Cmd",
    ".Args",
    ".Config.Labels.version",
    ".Config.Labels.com.docker.compose.image",
    ".Config.Labels.dockmaster.",
    ".NetworkSettings.SandboxID",
    ".NetworkSettings.SandboxKey",
    ".NetworkSettings.Networks.front.EndpointID",
    ".NetworkSettings.Networks.back.EndpointID",
    ".NetworkSettings.Networks.front.Aliases",
    ".NetworkSettings.Networks.back.Aliases",
    ".NetworkSettings.Networks.front.DNSNames",
    ".NetworkSettings.Networks.back.DNSNames",
    ".NetworkSettings.Networks.back.MacAddress",
    // named, so that they are found again
    ".HostConfig.Binds",
    ".HostConfig.Mounts[/mounted].Source",
    ".Mounts[/anonymous].Mode",
    ".Mounts[/of-image].Mode",
    ".Mounts[/mounted].Mode",
    ".Config.Volumes./of-image",
];

async fn all_settings_are_kept_in_a_newer_image(fleet: &Fleet) {
    for engine in [Engine::Default, Engine::Docker26] {
        settings_are_kept(fleet, engine).await;
    }
    fleet.host("h1").engine(Engine::Default);
}

async fn settings_are_kept(fleet: &Fleet, engine: Engine) {
    let host = fleet.host("h1");
    host.engine(engine);
    host.registry(true);
    let image = |version: &str| {
        let env = format!("ENV VERSION={version}");
        let label = format!("LABEL version={version}");
        let command = format!("CMD [\"sh\", \"-c\", \"echo {version}; exec sleep 1000\"]");
        publish(host, &[&env, &label, &command, "VOLUME /of-image", "EXPOSE 81", "WORKDIR /tmp"]);
    };
    image("1");
    host.docker(&["pull", "-q", APP]);
    host.docker(&["network", "create", "--subnet", "10.200.7.0/24", "front"]);
    host.docker(&["network", "create", "--subnet", "10.200.8.0/24", "back"]);
    host.run_container(&["--name", "other", "--volume", "/lent", IMAGE, "sleep", "1000"]);
    let mut given = SETTINGS.to_vec();
    // the client asks newer engines for it in a way that older ones do not know
    if engine == Engine::Docker26 {
        given.extend(["--mac-address", "02:42:0a:c8:07:99"]);
    }
    given.push(APP);
    host.run_container(&given);
    host.docker(&["network", "connect", "--ip", "10.200.8.9", "--alias", "inner", "back", "web"]);
    for place in ["/anonymous", "/of-image", "/mounted"] {
        host.docker(&["exec", "web", "sh", "-c", &format!("echo kept > {place}/data")]);
    }
    let before = inspect(host, "web");
    image("2");

    let service = Service::start(&unasked(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let plan = recreate(&service, json!({"host": "h1", "container": "web", "dry_run": true})).await;
    assert_eq!((&plan["state"], &plan["plan"][0]["name"]), (&json!("planned"), &json!("web")), "{plan}");
    assert_eq!(inspect(host, "web")["Id"], before["Id"], "nothing is done for a plan");
    let made = recreate(&service, json!({"host": "h1", "container": "web"})).await;
    assert_eq!(made["state"], "done", "{made}");
    let after = inspect(host, "web");
    assert_eq!(containers(host).keys().collect::<Vec<_>>(), ["other", "web"], "the old one has gone");
    let pulled = &made["results"][0];
    assert_eq!((&pulled["old_image"], &pulled["new_image"]), (&before["Image"], &after["Image"]), "{made}");
    assert_ne!(before["Image"], after["Image"]);
    assert_eq!(made["results"][7]["health"], "healthy", "{made}");
    for place in ["/anonymous", "/of-image", "/mounted"] {
        assert_eq!(host.docker(&["exec", "web", "cat", &format!("{place}/data")]), "kept");
    }
    assert_eq!(host.docker(&["exec", "web", "sh", "-c", "echo $VERSION $SECRET"]), format!("2 {SECRET}"));
    let found = differences(&before, &after);
    let unexpected: Vec<&String> =
        found.iter().filter(|path| !MAY_DIFFER.iter().any(|may| path.starts_with(may))).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{before}\n{after}");
    let words = |value: &Value| {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut env = words(&after["Config"]["Env"]);
    env.sort();
    let mut wanted: Vec<String> = words(&before["Config"]["Env"])
        .into_iter()
        .map(|entry| entry.replace("VERSION=1", "VERSION=2"))
        .collect();
    wanted.sort();
    assert_eq!(env, wanted);
    assert_eq!(after["Config"]["Labels"]["com.docker.compose.image"], after["Image"]);

    // once more: what was named by the first time is named still
    let volumes = |seen: &Value| {
        seen["Mounts"].as_array().unwrap().iter().map(|mount| mount["Name"].clone()).collect::<HashSet<_>>()
    };
    let again = recreate(&service, json!({"host": "h1", "container": "web"})).await;
    assert_eq!(again["state"], "done", "{again}");
    assert_eq!(volumes(&inspect(host, "web")), volumes(&before));
    let (_, home) = service.stop();
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(home.path().join("data").join(file)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{file} holds a secret");
    }
    host.registry(false);
}

async fn a_new_one_that_is_no_good_gives_way_to_the_old_one(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.registry(true);
    publish(host, &["CMD [\"sleep\", \"1000\"]"]);
    host.docker(&["pull", "-q", APP]);
    let service = Service::start(&unasked(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let sick = "HEALTHCHECK --interval=1s --retries=1 CMD false";
    let never = "HEALTHCHECK --interval=1s --start-period=100s CMD false";
    let stays = "CMD [\"sleep\", \"1000\"]";
    // The one that is sick is known to be so before its time is over; the last one gets no better.
    let cases: [(&[&str], &str, &str, u32); 5] = [
        (&["CMD [\"sh\", \"-c\", \"exit 3\"]"], "no", "exited with code 3", 3),
        (&["CMD [\"false\"]"], "always", "web ", 3),
        (&["CMD [\"nowhere\"]"], "no", "nowhere", 3),
        (&[stays, sick], "no", "unhealthy", 60),
        (&[stays, never], "unless-stopped", "did not become healthy within 3 s", 3),
    ];
    for (instructions, restart, why, patience) in cases {
        let arguments =
            ["--name", "web", "--publish", "18097:80", "--restart", restart, "--volume", "/data/", APP];
        host.run_container(&arguments);
        let before = inspect(host, "web");
        publish(host, instructions);
        let made =
            recreate(&service, json!({"host": "h1", "container": "web", "wait_healthy": patience})).await;
        assert_eq!((&made["state"], &made["rolled_back"]), (&json!("failed"), &json!(true)), "{why}: {made}");
        assert!(made["note"].as_str().unwrap().contains(why), "{why}: {made}");
        let after = inspect(host, "web");
        let found = differences(&before, &after);
        let of_its_life = [".State.", ".NetworkSettings.", ".ResolvConfPath", ".HostnamePath", ".HostsPath"];
        let other: Vec<&String> =
            found.iter().filter(|path| !of_its_life.iter().any(|part| path.starts_with(part))).collect();
        assert!(other.is_empty(), "{why}: {other:?}");
        assert_eq!(after["State"]["Running"], true, "{why}");
        assert_eq!(containers(host).keys().collect::<Vec<_>>(), ["web"], "{why}");
        host.docker(&["rm", "-f", "-v", "web"]);
        // what it was made of, before it was led elsewhere
        host.docker(&["tag", before["Image"].as_str().unwrap(), APP]);
    }
    // one that did not run is not started, and one that is another image's takes that
    host.docker(&["create", "--name", "web", IMAGE, "sleep", "1000"]);
    publish(host, &[stays]);
    let made = recreate(&service, json!({"host": "h1", "container": "web", "image": APP})).await;
    assert_eq!(made["state"], "done", "{made}");
    let after = inspect(host, "web");
    assert_eq!((&after["State"]["Status"], &after["Config"]["Image"]), (&json!("created"), &json!(APP)));
    host.registry(false);
}

async fn what_cannot_be_made_anew_is_refused_before_anything_is_done(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--rm", "--name", "passing", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "gate", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "guest", "--network", "container:gate", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "first", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "beside", "--pid", "container:first", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "held", IMAGE, "sleep", "1000"]);
    host.docker(&["pause", "held"]);
    let id = host.docker(&["image", "inspect", "-f", "{{.Id}}", IMAGE]);
    host.run_container(&["--name", "nameless", &id, "sleep", "1000"]);
    host.run_container(&["--name", "kept", "--label", "mcp.protected=true", IMAGE, "sleep", "1000"]);
    let before = containers(host);
    let service = Service::start(&unasked(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    for (name, why) in [
        ("passing", "--rm"),
        ("gate", "guest would lose its network"),
        ("first", "beside would lose its network, processes"),
        ("held", "it is paused"),
        ("nameless", "tell one as image"),
        ("kept", "protected"),
        ("nobody", "No such container"),
    ] {
        for dry_run in [true, false] {
            let arguments = json!({"host": "h1", "container": name, "dry_run": dry_run});
            let refused = service.refusal("container_recreate", arguments).await;
            assert!(refused.contains(why), "{name}: {refused}");
        }
    }
    let missing = json!({"host": "h1", "container": "guest", "image": "127.0.0.1:1/none"});
    let failed = recreate(&service, missing).await;
    assert_eq!(
        (&failed["state"], &failed["results"].as_array().unwrap().len()),
        (&json!("failed"), &1),
        "{failed}"
    );
    assert_eq!(containers(host), before, "nothing was done");
    // it lives in another's network still
    host.registry(true);
    publish(host, &["CMD [\"sleep\", \"1000\"]"]);
    let made = recreate(&service, json!({"host": "h1", "container": "guest", "image": APP})).await;
    assert_eq!(made["state"], "done", "{made}");
    let lives_in = inspect(host, "guest")["HostConfig"]["NetworkMode"].clone();
    assert_eq!(lives_in, json!(format!("container:{}", before["gate"].as_ref().unwrap())));
    host.docker(&["unpause", "held"]);
    host.registry(false);
}

/// At each of these the service dies: before and behind every act.
const POINTS: [&str; 16] = [
    "after act pull",
    "before act create",
    "after act create",
    "after act connect",
    "before act stop the old one",
    "after act stop the old one",
    "before act set the old one aside",
    "before settle set the old one aside",
    "after act rename",
    "before act start",
    "after act start",
    "before act wait until healthy",
    "after act wait until healthy",
    "before act remove the old one",
    "after act remove the old one",
    "before end",
];

async fn a_crash_between_any_steps_leaves_one_container_of_the_name(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.registry(true);
    publish(host, &["CMD [\"sleep\", \"1000\"]"]);
    host.docker(&["pull", "-q", APP]);
    host.docker(&["network", "create", "front"]);
    host.docker(&["network", "create", "back"]);
    let config = unasked(fleet).with(host, &[]);
    let bad = ["before act wait until healthy", "undo start", "undo set the old one aside", "undo create"];
    let well = POINTS.iter().map(|point| (*point, true));
    let cases: Vec<(String, bool)> = well
        .chain([(bad[0], false)])
        .map(|(point, well)| (point.to_owned(), well))
        .chain(bad[1..].iter().map(|point| (format!("after {point}"), false)))
        .collect();
    let mut homes = vec![];
    let mut before = BTreeMap::new();
    for (number, _) in cases.iter().enumerate() {
        let name = format!("web-{number}");
        host.run_container(&["--name", &name, "--network", "front", "--stop-timeout", "1", APP]);
        host.docker(&["network", "connect", "back", &name]);
        before.insert(name.clone(), inspect(host, &name)["Id"].clone());
    }
    for is_well in [true, false] {
        let (image, seconds) =
            if is_well { (APP, "CMD [\"sleep\", \"999\"]") } else { (BAD, "CMD [\"false\"]") };
        publish_as(host, image, &[seconds]);
        for (number, (point, _)) in cases.iter().enumerate().filter(|(_, (_, well))| *well == is_well) {
            let service = Service::start(&config.clone().variable("DOCKMASTER_FAILPOINT", point));
            service.wait_ready(&["h1"]).await;
            let client = McpClient::new(service.address());
            let container = format!("web-{number}");
            let arguments = json!({"host": "h1", "container": container, "image": image, "wait_healthy": 2});
            let answer = tokio::spawn(async move { client.try_call("container_recreate", arguments).await });
            let (status, mut home) = service.ended();
            assert_eq!(status.signal(), Some(6), "it dies at `{point}`");
            assert!(answer.await.expect("a call does not panic").is_none(), "`{point}`");
            home.forget_variables();
            homes.push((number, home));
        }
    }
    // together: some wait as long as the engine might still be at it
    let services: Vec<(usize, Service)> =
        homes.into_iter().map(|(number, home)| (number, Service::start_in(home))).collect();
    let ends = join_all(services.iter().map(|(number, service)| async move {
        service.wait_ready(&["h1"]).await;
        loop {
            let listed = service.structured("job_list", json!({"state": "all"})).await;
            let job = listed["jobs"][0].clone();
            if job["ended"].is_string() {
                return (*number, job);
            }
            service.structured("job_get", json!({"job": job["job"], "wait": 30})).await;
        }
    }));
    for (number, job) in ends.await {
        let (point, is_well) = &cases[number];
        let name = format!("web-{number}");
        let state = if *is_well { "done" } else { "failed" };
        assert_eq!(job["state"], state, "`{point}`: {job}");
        let seen = inspect(host, &name);
        assert_eq!(seen["State"]["Running"], true, "`{point}`");
        assert_eq!(seen["Id"] != before[&name], *is_well, "`{point}`");
        assert_eq!(seen["NetworkSettings"]["Networks"].as_object().unwrap().len(), 2, "`{point}`");
    }
    let names: BTreeSet<String> = before.keys().cloned().collect();
    assert_eq!(containers(host).into_keys().collect::<BTreeSet<_>>(), names);
    for (_, service) in services {
        service.stop();
    }
    host.registry(false);
}

/// What Podman can be given by its Docker interface, and tells again: addresses it does not tell. Its health checks
/// need systemd, which the hosts have not.
const PODMAN_SETTINGS: &[&str] = &[
    "--name",
    "web",
    "--hostname",
    "given",
    "--user",
    "0:0",
    "--env",
    "SECRET=correct-horse-battery-staple",
    "--env",
    "PLAIN=a b=c",
    "--label",
    "com.docker.compose.project=shop",
    "--network",
    "front",
    "--network-alias",
    "www",
    "--publish",
    "127.0.0.1:18099:80/tcp",
    "--volume",
    "named:/named/:ro",
    "--volume",
    "/anonymous",
    "--volume",
    "/etc:/host-etc:ro",
    "--tmpfs",
    "/scratch:size=1m",
    "--restart",
    "on-failure:3",
    "--cap-add",
    "NET_ADMIN",
    "--cap-drop",
    "MKNOD",
    "--ulimit",
    "nofile=100:200",
    "--ulimit",
    "nproc=4096:4096",
    "--add-host",
    "somewhere:10.1.2.3",
    "--dns",
    "10.9.9.9",
    "--shm-size",
    "8m",
    "--stop-timeout",
    "2",
    "--memory",
    "64m",
    "--sysctl",
    "net.ipv4.ip_unprivileged_port_start=0",
    "--pids-limit",
    "100",
    "--cpus",
    "0.5",
    "--log-opt",
    "max-size=1m",
    "--group-add",
    "7",
    "--read-only",
    "--security-opt",
    "no-new-privileges",
    "--tty",
    "--interactive",
];

async fn podman_keeps_all_settings_too(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    host.registry(true);
    let image = |version: &str| {
        let env = format!("ENV VERSION={version}");
        let command = format!("CMD [\"sh\", \"-c\", \"echo {version}; exec sleep 1000\"]");
        carry(fleet.host("h2"), host, &[&env, &command, "VOLUME /of-image", "WORKDIR /tmp"]);
    };
    image("1");
    host.docker(&["pull", "-q", APP]);
    for network in ["front", "back"] {
        host.docker(&["network", "create", network]);
    }
    let given = [PODMAN_SETTINGS, &[APP]].concat();
    host.run_container(&given);
    host.docker(&["network", "connect", "--alias", "inner", "back", "web"]);
    for place in ["/anonymous", "/of-image"] {
        host.docker(&["exec", "web", "sh", "-c", &format!("echo kept > {place}/data")]);
    }
    // what the kernel knows of it
    let bounds =
        || host.docker(&["exec", "web", "grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/1/status"]);
    let (before, bounds_before) = (inspect(host, "web"), bounds());
    image("2");
    let service = Service::start(&unasked(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let made = recreate(&service, json!({"host": "h1", "container": "web"})).await;
    assert_eq!(made["state"], "done", "{made}");
    let after = inspect(host, "web");
    assert_ne!(before["Image"], after["Image"]);
    assert_eq!(containers(host).keys().collect::<Vec<_>>(), ["web"], "the old one has gone");
    for place in ["/anonymous", "/of-image"] {
        assert_eq!(host.docker(&["exec", "web", "cat", &format!("{place}/data")]), "kept");
    }
    assert_eq!(host.docker(&["exec", "web", "sh", "-c", "echo $VERSION $SECRET"]), format!("2 {SECRET}"));
    let found = differences(&before, &after);
    let may = |path: &str| MAY_DIFFER.iter().chain(PODMAN_MAY_DIFFER).any(|may| path.starts_with(may));
    let unexpected: Vec<&String> = found.iter().filter(|path| !may(path)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{before}\n{after}");
    let networks = |seen: &Value| {
        seen["NetworkSettings"]["Networks"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(networks(&after), networks(&before), "no network more, and none less");

    assert_eq!(bounds(), bounds_before);

    // one that is no good gives way to the old one here too
    carry(fleet.host("h2"), host, &["CMD [\"sh\", \"-c\", \"exit 3\"]"]);
    let (old, before) = (after["Id"].clone(), after);
    let failed = recreate(&service, json!({"host": "h1", "container": "web"})).await;
    assert_eq!((&failed["state"], &failed["rolled_back"]), (&json!("failed"), &json!(true)), "{failed}");
    let after = inspect(host, "web");
    assert_eq!((&after["Id"], &after["State"]["Running"]), (&old, &json!(true)), "{failed}");
    assert_eq!(containers(host).keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(after["HostConfig"], before["HostConfig"]);

    // on its usual network, with nothing given
    host.docker(&["rm", "-f", "-v", "web"]);
    host.run_container(&["--name", "plain", IMAGE, "sleep", "1000"]);
    let made = recreate(&service, json!({"host": "h1", "container": "plain", "image": BAD})).await;
    assert_eq!(made["state"], "failed", "there is no such image: {made}");
    carry_as(fleet.host("h2"), host, BAD, &["CMD [\"sleep\", \"1000\"]"]);
    let before = inspect(host, "plain");
    let made = recreate(&service, json!({"host": "h1", "container": "plain", "image": BAD})).await;
    assert_eq!(made["state"], "done", "{made}");
    let after = inspect(host, "plain");
    assert_eq!((networks(&after), &after["State"]["Running"]), (networks(&before), &json!(true)), "{after}");
    let hostname = host.docker(&["exec", "plain", "hostname"]);
    assert_eq!(after["Id"].as_str().unwrap()[..12], hostname, "it is called after itself");
    service.stop();
    host.docker(&["rm", "-f", "plain"]);
    host.registry(false);
    host.engine(Engine::Default);
}

async fn one_that_has_left_its_first_network_stays_away_from_it(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.registry(true);
    publish(host, &["CMD [\"sleep\", \"1000\"]"]);
    host.docker(&["network", "create", "front"]);
    host.run_container(&["--name", "moved", IMAGE, "sleep", "1000"]);
    host.docker(&["network", "connect", "--alias", "www", "front", "moved"]);
    host.docker(&["network", "disconnect", "bridge", "moved"]);
    let service = Service::start(&unasked(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let made = recreate(&service, json!({"host": "h1", "container": "moved", "image": APP})).await;
    assert_eq!(made["state"], "done", "{made}");
    let networks = inspect(host, "moved")["NetworkSettings"]["Networks"].clone();
    assert_eq!(networks.as_object().unwrap().keys().collect::<Vec<_>>(), ["front"], "{networks}");
    assert!(networks["front"]["Aliases"].as_array().unwrap().contains(&json!("www")), "{networks}");
    host.registry(false);
}

/// What differs with Podman beside that.
const PODMAN_MAY_DIFFER: &[&str] = &[
    ".ExecIDs",
    ".NetworkSettings.Networks.front.IPAddress",
    ".NetworkSettings.Networks.front.MacAddress",
    ".NetworkSettings.Networks.back.IPAddress",
];
