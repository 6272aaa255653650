//! What the configuration does while the service runs, and what works without any.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, eventually};
use crate::trials;

/// A change is read after a fifth of a second, a host that goes after a second more.
const NOTICED: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        the_engine_of_this_machine_needs_no_configuration,
        a_change_of_the_hosts_file_touches_only_what_changed,
        a_faulty_or_emptied_hosts_file_changes_nothing,
    ]
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["hosts"].as_array().unwrap().iter().map(|host| host["host"].as_str().unwrap()).collect()
}

async fn hosts_become(service: &Service, wanted: &[&str]) {
    let what = format!("the hosts are {wanted:?}");
    eventually(&what, NOTICED, async || ids(&service.structured("host_list", json!({})).await) == wanted)
        .await;
}

/// A host's engine stands in for that of this machine, found by `DOCKER_HOST` as docker finds it.
async fn the_engine_of_this_machine_needs_no_configuration(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    host.run_container(&["--name", "on-this-machine", IMAGE, "sleep", "1000"]);
    let socket = format!("unix:///proc/{}/root/run/docker.sock", host.pid());
    let service = Service::start(&ServiceConfig::none(fleet).variable("DOCKER_HOST", &socket));
    service.wait_ready(&["local"]).await;
    recorder.clear();
    let listed = service.structured("container_list", json!({})).await;
    let rows = listed["containers"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["host"] == "local" && row["name"] == "on-this-machine"), "{listed}");
    assert_eq!(recorder.requests().len(), 1);
    let tested = service.structured("host_test", json!({"host": "local"})).await;
    assert_eq!(tested["carrier"], "local", "{tested}");
    let steps: Vec<&str> =
        tested["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["engine_socket", "engine_ping", "compose"], "{tested}");

    drop(recorder);
    host.kill_engine();
    eventually("the dead engine is told", NOTICED, async || {
        // a call is what finds out
        service.call("container_list", json!({})).await;
        service.row("local").await["cause"] == "engine_down"
    })
    .await;
    host.start_engine();
    service.wait_ready(&["local"]).await;
}

fn write(service: &Service, config: &ServiceConfig) {
    let file = service.home().hosts_file();
    let new = file.with_extension("new");
    std::fs::write(&new, config.yaml()).unwrap();
    // as editors do
    std::fs::rename(new, file).unwrap();
}

async fn a_change_of_the_hosts_file_touches_only_what_changed(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    let config = |hosts: &[&Host], more: &[&str]| {
        hosts.iter().fold(ServiceConfig::none(fleet), |config, host| config.with(host, more))
    };
    let service = Service::start(&config(&[h1, h2], &[]));
    service.wait_ready(&["h1", "h2"]).await;
    let (same, gone, new) = (h1.ssh_logins(), h2.ssh_logins(), h3.ssh_logins());

    write(&service, &config(&[h1, h3], &[]));
    hosts_become(&service, &["h1", "h3"]).await;
    service.wait_ready(&["h1", "h3"]).await;
    eventually("the line to h2 is closed", NOTICED, async || h2.ssh_session_processes() == 0).await;

    write(&service, &config(&[h1, h3], &["tags: [later]"]));
    eventually("the tags are there", NOTICED, async || service.row("h1").await["tags"] == json!(["later"]))
        .await;
    assert_eq!([h1, h2, h3].map(Host::ssh_logins), [same, gone, new + 1]);
}

async fn a_faulty_or_emptied_hosts_file_changes_nothing(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &[]);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let logins = fleet.host("h1").ssh_logins();
    for (text, told) in [("hosts: [", "the configuration is faulty"), ("", "names none of the running hosts")]
    {
        std::fs::write(service.home().hosts_file(), text).unwrap();
        eventually(told, NOTICED, async || service.log().iter().any(|line| line.contains(told))).await;
        // It is shown wherever somebody looks.
        let listed = service.structured("host_list", json!({})).await;
        assert!(listed["configuration"][0].as_str().unwrap().contains(told), "{listed}");
        let ready = service.raw_http("GET", "/readyz", &[], "").await;
        assert!(ready.body.contains("\"configuration_faults\":1"), "{}", ready.body);
        assert!(service.is_ready("h1").await);
    }
    // an order is believed
    service.reload();
    let gone = async || !ids(&service.structured("host_list", json!({})).await).contains(&"h1");
    eventually("h1 is gone", NOTICED, gone).await;
    write(&service, &config);
    hosts_become(&service, &["h1"]).await;
    service.wait_ready(&["h1"]).await;
    assert_eq!(fleet.host("h1").ssh_logins(), logins + 1);
}
