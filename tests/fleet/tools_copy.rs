//! Images and volumes on their way from one real engine to another.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::host::Engine;
use crate::support::trials::Trial;
use crate::support::wait::wait_for;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![
        an_image_goes_to_several_hosts_without_a_registry => 180,
        a_volume_is_copied_with_owners_modes_links_and_times => 180,
        what_is_overwritten_is_asked_about_and_what_fails_leaves_nothing => 180,
        a_volume_goes_to_another_kind_of_engine => 240,
        a_copy_survives_the_death_of_the_service => 180,
    ]
}

async fn service(fleet: &Fleet, lines: &[&str]) -> Service {
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &[]).with(fleet.host("h2"), lines);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2"]).await;
    service
}

#[track_caller]
fn done(job: &Value) -> &Value {
    assert_eq!(job["state"], "done", "{job}");
    job["results"].as_array().unwrap().last().unwrap()
}

async fn an_image_goes_to_several_hosts_without_a_registry(fleet: &Fleet) {
    let (h1, h2) = (fleet.host("h1"), fleet.host("h2"));
    h1.docker(&["create", "--name", "maker", IMAGE]);
    h1.docker(&["commit", "-c", "LABEL made=here", "maker", "made:1"]);
    h1.docker(&["rm", "maker"]);
    let service = service(fleet, &[]).await;
    let copy = json!({"host": "h1", "image": "made:1", "to": ["h2"]});
    let copied = service.structured("image_copy", copy.clone()).await;
    let id = h1.docker(&["image", "inspect", "-f", "{{.Id}}", "made:1"]);
    let result = done(&copied["jobs"][0]);
    assert_eq!(result["id"], id, "{copied}");
    assert!(result["copied"]["bytes"].as_u64().unwrap() > 10_000, "{copied}");
    assert_eq!(
        h2.docker(&["image", "inspect", "-f", "{{.Id}} {{.Config.Labels.made}}", "made:1"]),
        format!("{id} here")
    );
    // What is there already is not sent again.
    let again = service.structured("image_copy", copy).await;
    assert_eq!(done(&again["jobs"][0])["copied"], Value::Null, "{again}");
    // The name of a repository is that of its latest image, and of no other.
    h1.docker(&["tag", "made:1", "made:latest"]);
    h2.docker(&["tag", IMAGE, "made:1"]);
    let latest = json!({"host": "h1", "image": "made", "to": ["h2"]});
    let latest = service.structured("image_copy", latest).await;
    assert_eq!(done(&latest["jobs"][0])["id"], id, "{latest}");
    let there = |name: &str| h2.docker(&["image", "inspect", "-f", "{{.Id}}", name]);
    assert_eq!((there("made:latest"), there("made:1")), (id, there(IMAGE)));
    let nowhere = json!({"host": "h1", "image": "nowhere:1", "to": ["h2"]});
    let failed = service.structured("image_copy", nowhere).await;
    assert_eq!(failed["jobs"][0]["state"], "failed", "{failed}");
    assert!(
        failed["jobs"][0]["note"].as_str().unwrap().contains("there is no image nowhere:1 on h1"),
        "{failed}"
    );
    let partly = json!({"host": "h1", "image": "made:1", "to": ["h2", "h9"]});
    let partly = service.structured("image_copy", partly).await;
    assert_eq!(partly["errors"][0]["host"], "h9", "{partly}");
}

/// Runs a shell in a container that has the volume `/data`.
fn in_volume(host: &Host, volume: &str, script: &str) -> String {
    host.docker(&["run", "--rm", "-v", &format!("{volume}:/data"), IMAGE, "sh", "-c", script])
}

const MAKE: &str = "cd /data && mkdir -p deep/er empty && echo one > a && echo two > deep/er/b && chown 999:998 a deep \
    && chmod 4640 a && chmod 700 /data && chown 70:70 /data && ln -s a link && ln a hard && touch -d '2001-02-03 04:05:06' deep/er/b \
    && dd if=/dev/urandom of=big bs=1024 count=3000 2>/dev/null && touch \"$(printf 'odd\\tname')\"";

/// All that is in a volume, with everything that is known about it.
const TELL: &str = "cd /data && find . | sort | while IFS= read -r f; do stat -c '%n %a %u %g %F %h' \"$f\"; [ -d \"$f\" ] || stat -c '%Y' \"$f\"; done; \
    md5sum a big deep/er/b hard; readlink link";

async fn a_volume_is_copied_with_owners_modes_links_and_times(fleet: &Fleet) {
    let (h1, h2) = (fleet.host("h1"), fleet.host("h2"));
    h1.docker(&["volume", "create", "--label", "tier=test", "data"]);
    in_volume(h1, "data", MAKE);
    let service = service(fleet, &[]).await;
    let copy = json!({"host": "h1", "volume": "data", "to_host": "h2"});
    let copied = service.structured("volume_copy", copy.clone()).await;
    let result = done(&copied);
    assert_eq!(result["copied"]["files"], 4, "a hard link is no file of its own: {copied}");
    assert_eq!(result["copied"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(in_volume(h2, "data", TELL), in_volume(h1, "data", TELL));
    assert_eq!(h2.docker(&["volume", "inspect", "-f", "{{.Labels.tier}}", "data"]), "test");
    // No container is left on either.
    for host in [h1, h2] {
        assert_eq!(host.docker(&["ps", "-aqf", "name=dockmaster"]), "");
    }
    let again = service.structured("volume_copy", copy).await;
    assert_eq!(again["state"], "failed", "{again}");
    assert!(again["note"].as_str().unwrap().contains("already"), "{again}");
    // On the same host under another name, while something writes to it.
    h1.run_container(&["--name", "writer", "-v", "data:/data", IMAGE, "sleep", "1000"]);
    let beside = json!({"host": "h1", "volume": "data", "to_host": "h1", "to_volume": "beside"});
    let beside = service.structured("volume_copy", beside).await;
    assert!(done(&beside)["left"][0].as_str().unwrap().starts_with("writer ran"), "{beside}");
    assert_eq!(in_volume(h1, "beside", TELL), in_volume(h1, "data", TELL));
    let itself = json!({"host": "h1", "volume": "data", "to_host": "h1"});
    assert!(service.refusal("volume_copy", itself).await.contains("not copied to itself"));
}

async fn what_is_overwritten_is_asked_about_and_what_fails_leaves_nothing(fleet: &Fleet) {
    let (h1, h2) = (fleet.host("h1"), fleet.host("h2"));
    in_volume(h1, "data", "echo new > /data/new");
    h2.docker(&["volume", "create", "--label", "kept=yes", "data"]);
    in_volume(h2, "data", "echo old > /data/old");
    let twin = format!("hostname: {}", h1.address());
    let config = ServiceConfig::none(fleet).with(h1, &[]).with(h2, &[]).entry("twin", &[&twin]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2", "twin"]).await;
    let copy = json!({"host": "h1", "volume": "data", "to_host": "h2", "overwrite": true});
    let plan = service.structured("volume_copy", copy.clone()).await;
    assert_eq!((&plan["state"], &plan["plan"][0]["name"]), (&json!("planned"), &json!("data")), "{plan}");
    // What is not there replaces nothing.
    let nothing =
        json!({"host": "h1", "volume": "nowhere", "to_host": "h2", "to_volume": "data", "overwrite": true});
    let nothing = service.agreed("volume_copy", nothing).await;
    assert_eq!(nothing["state"], "failed", "{nothing}");
    assert_eq!(in_volume(h2, "data", "ls /data"), "old");
    // Nor is one replaced that is in use.
    h2.run_container(&["--name", "user", "-v", "data:/data", IMAGE, "sleep", "1000"]);
    let used = service.agreed("volume_copy", copy.clone()).await;
    assert!(used["note"].as_str().unwrap().contains("in use"), "{used}");
    h2.docker(&["rm", "-f", "user"]);
    done(&service.agreed("volume_copy", copy).await);
    assert_eq!(in_volume(h2, "data", "ls /data"), "new");
    assert_eq!(h2.docker(&["volume", "inspect", "-f", "{{.Labels.kept}}", "data"]), "yes");
    // The same volume under another name of its engine.
    let itself = json!({"host": "h1", "volume": "data", "to_host": "twin", "overwrite": true});
    let itself = service.agreed("volume_copy", itself).await;
    assert!(itself["note"].as_str().unwrap().contains("the same volume"), "{itself}");
    assert_eq!(in_volume(h1, "data", "cat /data/new"), "new");
}

async fn a_volume_goes_to_another_kind_of_engine(fleet: &Fleet) {
    let (h1, h2) = (fleet.host("h1"), fleet.host("h2"));
    in_volume(h1, "data", MAKE);
    let there = json!({"host": "h1", "volume": "data", "to_host": "h2", "to_volume": "far"});
    let back = json!({"host": "h2", "volume": "far", "to_host": "h1", "to_volume": "back"});
    h2.engine(Engine::Docker26);
    let docker = service(fleet, &[]).await;
    let far = docker.structured("volume_copy", there.clone()).await;
    let near = docker.structured("volume_copy", back.clone()).await;
    assert_eq!(done(&far)["copied"], done(&near)["copied"]);
    assert_eq!(in_volume(h1, "back", TELL), in_volume(h1, "data", TELL));
    drop(docker);
    h2.engine(Engine::Podman);
    let podman = service(fleet, &[]).await;
    let far = podman.structured("volume_copy", there).await;
    assert_eq!(done(&far)["copied"]["files"], 4, "{far}");
    // Podman itself gives a volume's own directory to the user of the first container that has it.
    let within = |host, volume| in_volume(host, volume, TELL).split_once('\n').unwrap().1.to_owned();
    assert_eq!(within(h2, "far"), within(h1, "data"), "owners too");
    // It does not tell whose files are: better no copy than a wrong one.
    h1.docker(&["volume", "rm", "back"]);
    let near = podman.structured("volume_copy", back).await;
    assert_eq!(near["state"], "failed", "{near}");
    assert!(near["note"].as_str().unwrap().contains("whose files are"), "{near}");
    assert_eq!(h1.docker(&["volume", "ls", "-qf", "name=back"]), "");
    h2.engine(Engine::Default);
}

async fn a_copy_survives_the_death_of_the_service(fleet: &Fleet) {
    let (h1, h2) = (fleet.host("h1"), fleet.host("h2"));
    in_volume(h1, "data", "dd if=/dev/urandom of=/data/big bs=1024000 count=200 2>/dev/null");
    let first = service(fleet, &[]).await;
    let copy = json!({"host": "h1", "volume": "data", "to_host": "h2", "wait": 0});
    let begun = first.structured("volume_copy", copy).await;
    wait_for("the volume to be made", SOON, || !h2.docker(&["volume", "ls", "-qf", "name=data"]).is_empty());
    let service = Service::start_in(first.kill());
    service.wait_ready(&["h1", "h2"]).await;
    let mut ended = Value::Null;
    while ended["ended"].is_null() {
        ended = service.structured("job_get", json!({"job": begun["job"], "wait": 45})).await;
    }
    assert_eq!(done(&ended)["copied"]["bytes"], 204_800_000, "{ended}");
    let sum = "md5sum /data/big";
    assert_eq!(in_volume(h2, "data", sum), in_volume(h1, "data", sum));
    for host in [h1, h2] {
        wait_for("the helpers to go", SOON, || host.docker(&["ps", "-aqf", "name=dockmaster"]).is_empty());
    }
}
