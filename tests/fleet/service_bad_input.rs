//! What is wrong is told where it is wrong, with what to do, and hurts nothing else.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fake_engine::FakeEngine;
use crate::support::host::Part;
use crate::support::service::{Home, Stdio};
use crate::support::trials::Trial;
use crate::support::{Away, Fleet, Host, IMAGE, Service, ServiceConfig, eventually, temp_dir};
use crate::trials;

/// Three attempts on an address that nobody has, and their waits.
const TOLD: Duration = Duration::from_secs(30);

/// A held host is looked at every 15 s.
const CURED: Duration = Duration::from_secs(40);

/// The retry after a refused login comes a minute after it.
const RETRIED: Duration = Duration::from_secs(75);

pub fn trials() -> Vec<Trial> {
    trials![
        a_faulty_hosts_file_is_refused_with_its_place,
        a_used_port_is_refused,
        a_faulty_login_is_told_with_its_fix => 100,
        a_changed_host_key_is_tried_once_until_a_person_has_looked => 120,
        an_engine_that_cannot_be_used_is_told_with_its_fix => 100,
        a_hung_login_is_told => 100,
        names_that_do_not_exist_are_refused_with_the_nearest,
        arguments_that_make_no_sense_are_refused,
        stdio_survives_garbage,
        stdio_ends_well_with_its_input,
    ]
}

/// For `make test-long`.
pub fn long_trials() -> Vec<Trial> {
    trials![a_key_that_is_not_accepted_is_tried_twice_whoever_asks => 180]
}

async fn a_faulty_hosts_file_is_refused_with_its_place(fleet: &Fleet) {
    let home = Home::new(&ServiceConfig::none(fleet));
    let file = home.path().join("faulty.yml");
    let shown = file.display().to_string();
    let cases: [(&[u8], &str, &str); 9] = [
        (b"hosts:\n  nas: \xff\xfe\n", "", "line 2 is not UTF-8 text"),
        (b"hosts:\n  nas: {hostname: x]\n", ":2:20: ", "expected ',' or '}'"),
        (b"hosts:\n  nas: [x]\n", ":2:8: ", "hosts.nas"),
        (b"hosts:\n  nas: {hostname: x, port: many}\n", ":2:28: ", "1 to 65535"),
        (b"hosts:\n  nas:\n    user: ops\n", ":2:3: ", "hostname"),
        (b"hosts:\n  nas: {hostname: x}\n  nas: {hostname: y}\n", ":3:3: ", "nas"),
        (b"hosts:\n  nas: {hostname: x}\n  a b: {hostname: y}\n", ":3:3: ", "a b"),
        (b"hosts:\n\tnas: {}\n", ":2:1: ", ""),
        (b"- h1\n- h2\n", ":1:1: ", ""),
    ];
    for (text, place, words) in cases {
        fs::write(&file, text).unwrap();
        assert_refused(&home, &file, &[&format!("{shown}{place}"), words]);
    }
    assert_refused(&home, &home.path().join("none.yml"), &["none.yml", "does not exist", "dockmaster init"]);
    assert_refused(&home, home.path(), &[&home.path().display().to_string(), "it is no file"]);
    assert_eq!(home.runtime_entries(), [""; 0]);
}

fn assert_refused(home: &Home, file: &Path, parts: &[&str]) {
    for command in [&["serve", "--port", "0"][..], &["stdio"]] {
        let ended = home.run(file, command);
        assert_eq!(ended.status.code(), Some(78), "{command:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{command:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{part:?} is not in:\n{}", ended.stderr);
        }
        assert!(!ended.stderr.contains("struct "), "words of Rust:\n{}", ended.stderr);
    }
}

async fn a_used_port_is_refused(fleet: &Fleet) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let home = Home::new(&ServiceConfig::all(fleet));
    let logins = fleet.host("h1").ssh_attempts();
    let ended = home.run(&home.hosts_file(), &["serve", "--port", &port]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for part in [&format!("cannot listen on 127.0.0.1:{port}"), "in use", "--port"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(home.runtime_entries(), [""; 0]);
    assert_eq!(fleet.host("h1").ssh_attempts(), logins, "no host is bothered before");
}

/// An entry that cannot work, and what has to be said about it.
struct Bad {
    id: &'static str,
    kind: &'static str,
    cause: &'static str,
    step: &'static str,
    hint: String,
}

/// Asks about the bad host every way there is: alone, beside a good one, and for its state.
async fn assert_told(service: &Service, good: &str, bad: &Bad) {
    let Bad { id, kind, cause, step, hint } = bad;
    let what = format!("{id} is told to be in trouble");
    eventually(&what, TOLD, async || service.row(id).await["cause"].is_string()).await;
    let row = service.row(id).await;
    assert_eq!(row["cause"], *cause, "{row}");
    assert!(row["hint"].as_str().is_some_and(|text| text.contains(hint)), "{hint}: {row}");

    let both = service.structured("container_list", json!({"hosts": format!("{good},{id}")})).await;
    let errors = both["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{both}");
    let failure = &errors[0];
    assert_eq!((&failure["host"], &failure["kind"]), (&json!(id), &json!(kind)), "{failure}");
    assert!(failure["message"].as_str().is_some_and(|text| text.contains(id)), "{failure}");
    assert!(failure["hint"].as_str().is_some_and(|text| text.contains(hint)), "{hint}: {failure}");
    assert!(both["containers"].as_array().unwrap().iter().all(|row| row["host"] == good), "{both}");
    assert!(both["total"].as_u64().unwrap() >= 1, "{good} has a container: {both}");

    let alone = service.refusal("container_list", json!({"hosts": id})).await;
    assert!(alone.starts_with(&format!("{kind}: {id}")) && alone.contains(hint), "{alone}");

    let tested = service.structured("host_test", json!({"host": id})).await;
    assert_eq!((&tested["host"], &tested["ok"]), (&json!(id), &json!(false)), "{tested}");
    let last = tested["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["step"], &last["cause"]), (&json!(step), &json!(cause)), "{tested}");
    assert!(last["hint"].as_str().is_some_and(|text| text.contains(hint)), "{hint}: {tested}");
}

async fn a_faulty_login_is_told_with_its_fix(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    h1.run_container(&[IMAGE, "sleep", "1000"]);
    let dir = temp_dir();
    let ssh_config = dir.path().join("ssh_config");
    fs::write(dir.path().join("nobody_known"), "").unwrap();
    let client = fleet.client_dir().display();
    let mut text = String::new();
    // h3's address alone has no key, so that the one in the hosts file is all there is
    write!(text, "Host {} {} stranger\n    IdentityFile {client}/id_ed25519\n", h1.address(), h2.address())
        .unwrap();
    let unknown = dir.path().join("nobody_known");
    write!(
        text,
        "Host stranger\n    HostName {}\n    User ops\n    UserKnownHostsFile {}\n",
        h2.address(),
        unknown.display()
    )
    .unwrap();
    write!(text, "Host *\n    UserKnownHostsFile {client}/known_hosts\n    GlobalKnownHostsFile /dev/null\n    IdentityAgent none\n    IdentitiesOnly yes\n").unwrap();
    fs::write(&ssh_config, text).unwrap();
    let address = |host: &Host| format!("hostname: {}", host.address());
    let nobody = format!("{}.99", fleet.script().net);
    let config = ServiceConfig::none(fleet)
        .ssh_config(&ssh_config)
        .with(h1, &[])
        .entry("wrong-user", &[&address(h2), "user: nosuchuser"])
        .entry("guest", &[&address(h2), "user: guest"])
        .entry("stranger", &["ssh_alias: stranger"])
        .entry("no-key", &[&address(h3), "user: ops", "identity_file: /nowhere/id_ed25519"])
        // two faults: the first on the way is the one that is in the way
        .entry(
            "no-listener",
            &[&address(h3), "user: ops", "port: 2222", "identity_file: /nowhere/id_ed25519"],
        )
        .entry("nobody", &[&format!("hostname: {nobody}"), "user: ops"]);
    let (h2_attempts, h3_attempts) = (h2.ssh_attempts(), h3.ssh_attempts());
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let bad = |id, kind, cause, step, hint: &str| Bad { id, kind, cause, step, hint: hint.to_owned() };
    let h2_address = h2.address();
    let cases = [
        bad(
            "wrong-user",
            "auth_failed",
            "auth_refused",
            "ssh_login",
            &format!("ssh-copy-id nosuchuser@{h2_address}"),
        ),
        bad("no-key", "auth_failed", "key_unusable", "ssh_login", "hosts.no-key.identity_file"),
        bad("guest", "host_unreachable", "socket_denied", "engine_socket", "sudo usermod -aG docker guest"),
        bad("stranger", "host_key", "host_key_unknown", "host_key", "dockmaster hosts trust stranger"),
        bad("no-listener", "host_unreachable", "refused", "tcp", "Start sshd"),
        bad("nobody", "host_unreachable", "unreachable", "tcp", "switched on"),
    ];
    for case in &cases {
        assert_told(&service, "h1", case).await;
    }
    let no_key = service.row("no-key").await;
    assert!(no_key["message"].as_str().unwrap().contains("/nowhere/id_ed25519"), "{no_key}");
    // all who cannot work at once, and the one who can
    let all = service.structured("container_list", json!({})).await;
    assert_eq!(all["errors"].as_array().unwrap().len(), cases.len(), "{all}");
    // A refused login is not repeated, whoever asks: one for wrong-user, one for stranger, and
    // two for guest, whom host_test may try again, and one for no-key.
    let made = h2.ssh_attempts() - h2_attempts;
    // read before the row: as long as it waits it has not been tried again
    let is_waiting = service.row("wrong-user").await["phase"] == "backoff";
    assert!(made == 4 || made == 5 && !is_waiting, "{made}");
    assert_eq!(h3.ssh_attempts(), h3_attempts + 1);
}

async fn a_changed_host_key_is_tried_once_until_a_person_has_looked(fleet: &Fleet) {
    let host = fleet.host("h3");
    fleet.host("h1").run_container(&[IMAGE, "sleep", "1000"]);
    let dir = temp_dir();
    let (known, ssh_config) = (dir.path().join("known_hosts"), dir.path().join("ssh_config"));
    fs::copy(fleet.client_dir().join("known_hosts"), &known).unwrap();
    let theirs = fs::read_to_string(fleet.ssh_config()).unwrap();
    fs::write(&ssh_config, format!("UserKnownHostsFile {}\n{theirs}", known.display())).unwrap();
    host.change_host_key();
    let attempts = host.ssh_attempts();
    let service = Service::start(&ServiceConfig::all(fleet).ssh_config(&ssh_config));
    service.wait_ready(&["h1", "h2"]).await;
    let hint = "dockmaster hosts trust h3".to_owned();
    let bad = Bad { id: "h3", kind: "host_key", cause: "host_key_changed", step: "host_key", hint };
    for _ in 0..3 {
        assert_told(&service, "h1", &bad).await;
        service.call("container_list", json!({})).await;
        service.call("stack_list", json!({"hosts": "h3"})).await;
    }
    let row = service.row("h3").await;
    assert_eq!((&row["phase"], &row["next_try"]), (&json!("held"), &Value::Null), "{row}");
    assert!(row["message"].as_str().unwrap().contains("SHA256:"), "a person compares this: {row}");
    assert_eq!(host.ssh_attempts(), attempts + 1, "one look, and none more");
    // the person accepts the new key: nothing else has to be done
    let key = host.exec(&["cat", "/etc/fleet/ssh_host_key.pub"]);
    let others = fs::read_to_string(&known).unwrap();
    let address = host.address().to_string();
    let mut lines: Vec<&str> =
        others.lines().filter(|line| line.split(' ').next() != Some(address.as_str())).collect();
    let accepted = format!("{address} {key}");
    lines.push(&accepted);
    fs::write(&known, lines.join("\n") + "\n").unwrap();
    service.wait_ready_within(&["h3"], CURED).await;
    assert_eq!(host.ssh_attempts(), attempts + 2);
}

/// One attempt, one more a minute later, and then none for ten minutes: sshd would count them, and
/// what watches its log bans who fails too often.
async fn a_key_that_is_not_accepted_is_tried_twice_whoever_asks(fleet: &Fleet) {
    let [good, host] = ["h1", "h2"].map(|name| fleet.host(name));
    good.run_container(&[IMAGE, "sleep", "1000"]);
    let dir = temp_dir();
    let (key, ssh_config) = (dir.path().join("id_ed25519"), dir.path().join("ssh_config"));
    let client = fleet.client_dir();
    fs::copy(client.join("wrong_ed25519"), &key).unwrap();
    let theirs = fs::read_to_string(fleet.ssh_config()).unwrap();
    let accepted = format!("IdentityFile {}", client.join("id_ed25519").display());
    assert!(theirs.contains(&accepted), "{theirs}");
    let keys = [(good, client.join("id_ed25519")), (host, key.clone())]
        .map(|(host, key)| format!("Host {}\n    IdentityFile {}\n", host.address(), key.display()));
    fs::write(&ssh_config, keys.concat() + &theirs.replace(&accepted, "")).unwrap();
    let (logins, attempts) = (host.ssh_logins(), host.ssh_attempts());
    let config = ServiceConfig::none(fleet).with(good, &[]).with(host, &[]).ssh_config(&ssh_config);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let hint = format!("ssh-copy-id ops@{}", host.address());
    let bad = Bad { id: "h2", kind: "auth_failed", cause: "auth_refused", step: "ssh_login", hint };
    assert_told(&service, "h1", &bad).await;
    let waiting = service.row("h2").await;
    assert_eq!(waiting["phase"], "backoff", "{waiting}");
    assert!((45..=60).contains(&seconds_to_next_try(&waiting)), "{waiting}");
    assert_eq!(host.ssh_attempts(), attempts + 1);
    eventually("the one retry has failed too", RETRIED, async || {
        service.call("host_test", json!({"host": "h2"})).await;
        service.call("container_list", json!({"hosts": "h2"})).await;
        let made = host.ssh_attempts() - attempts;
        let row = service.row("h2").await;
        match row["phase"].as_str() {
            // read before the row: nothing has been tried as long as it waits
            Some("backoff") => assert_eq!(made, 1, "{row}"),
            _ => assert!(made <= 2, "{made}: {row}"),
        }
        row["phase"] == "held"
    })
    .await;
    for _ in 0..3 {
        assert_told(&service, "h1", &bad).await;
        service.call("stack_list", json!({"hosts": "h2"})).await;
    }
    let held = service.row("h2").await;
    assert_eq!(held["phase"], "held", "{held}");
    assert!((540..=600).contains(&seconds_to_next_try(&held)), "{held}");
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins, attempts + 2));
    // the person puts the right key there: nothing else has to be done
    fs::copy(client.join("id_ed25519"), &key).unwrap();
    service.wait_ready_within(&["h2"], CURED).await;
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins + 1, attempts + 3));
}

/// As the service tells it.
fn seconds_to_next_try(row: &Value) -> i64 {
    let at: jiff::Timestamp = row["next_try"].as_str().unwrap_or_default().parse().unwrap();
    at.duration_since(jiff::Timestamp::now()).as_secs()
}

async fn an_engine_that_cannot_be_used_is_told_with_its_fix(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    h1.run_container(&[IMAGE, "sleep", "1000"]);
    let old = FakeEngine::speaking(h2, "1.40");
    let mut away = h3.docker_clients();
    away.push("/run/docker.sock".to_owned());
    let no_docker: Vec<_> = away.iter().map(|path| Away::take(h3, path)).collect();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&["h1"]).await;
    let bad = |id, cause, step, hint: &str| Bad {
        id,
        kind: "host_unreachable",
        cause,
        step,
        hint: hint.to_owned(),
    };
    let too_old = bad("h2", "api_too_old", "engine_ping", "Docker 20.10 or newer");
    assert_told(&service, "h1", &too_old).await;
    let row = service.row("h2").await;
    assert!(row["message"].as_str().unwrap().contains("1.40"), "{row}");
    assert_told(&service, "h1", &bad("h3", "no_engine", "engine_socket", "Install Docker")).await;
    // cured on the host: whoever tests it there does not wait for the next look
    drop(no_docker);
    drop(old);
    for host in ["h2", "h3"] {
        let tested = service.structured("host_test", json!({"host": host})).await;
        assert_eq!(tested["ok"], true, "{tested}");
    }
    // an engine that has died, its socket still there; the next call finds out
    h3.kill_engine();
    service.call("container_list", json!({})).await;
    assert_told(&service, "h1", &bad("h3", "engine_down", "engine_ping", "systemctl start docker")).await;
}

async fn a_hung_login_is_told(fleet: &Fleet) {
    let host = fleet.host("h2");
    fleet.host("h1").run_container(&[IMAGE, "sleep", "1000"]);
    host.hang(Part::SshListener);
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&["h1"]).await;
    // nothing is known yet, and that is told as well as it can be
    let both = service.call("container_list", json!({"hosts": "h1,h2"})).await;
    let failure = both.failure("h2");
    assert_eq!(failure["kind"], "timeout", "{failure}");
    assert!(failure["hint"].is_string(), "{failure}");
    let hint = "Is it sshd that listens there".to_owned();
    let bad = Bad { id: "h2", kind: "host_unreachable", cause: "no_banner", step: "sshd", hint };
    assert_told(&service, "h1", &bad).await;
}

async fn names_that_do_not_exist_are_refused_with_the_nearest(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "web-server", IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&["h1", "h2", "h3"]).await;
    for (tool, arguments) in [
        ("container_list", json!({"hosts": "h11"})),
        ("container_list", json!({"hosts": "h2,h11"})),
        ("host_list", json!({"hosts": "h11"})),
        ("stack_list", json!({"hosts": "h11"})),
        ("host_test", json!({"host": "h11"})),
        ("container_inspect", json!({"host": "h11", "container": "x"})),
        ("container_logs", json!({"host": "h11", "container": "x"})),
        ("container_file_read", json!({"host": "h11", "container": "x", "path": "/"})),
        ("container_stats", json!({"hosts": "h11"})),
        ("port_list", json!({"hosts": "h11"})),
        ("event_query", json!({"hosts": "h11"})),
        ("fleet_search", json!({"query": "x", "hosts": "h11"})),
        ("stack_file_read", json!({"host": "h11", "stack": "x"})),
        ("stack_inspect", json!({"host": "h11", "stack": "x"})),
        ("stack_logs", json!({"host": "h11", "stack": "x"})),
        ("docker_container", json!({"action": "list", "host_id": "h11"})),
        ("docker_container", json!({"action": "remove", "host_id": "h11", "container_id": "x"})),
    ] {
        let text = service.refusal(tool, arguments).await;
        assert!(text.starts_with("host_unknown: no host \"h11\""), "{tool}: {text}");
        assert!(text.contains("Did you mean \"h1\""), "{tool}: {text}");
    }
    let text = service.refusal("container_list", json!({"hosts": "@flete"})).await;
    assert!(text.starts_with("host_unknown: "), "{text}");
    for tool in ["container_inspect", "container_logs"] {
        let text = service.refusal(tool, json!({"host": "h1", "container": "web-sever"})).await;
        assert!(text.starts_with("not_found: h1: ") && text.contains("web-sever"), "{tool}: {text}");
    }
    let answer = service
        .client()
        .request("tools/call", Some("container_lst"), json!({"name": "container_lst", "arguments": {}}))
        .await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("container_lst") && text.contains("Did you mean \"container_list\""), "{answer}");
    let answer = service.client().request("tools/cell", None, json!({})).await;
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
}

async fn arguments_that_make_no_sense_are_refused(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "web", IMAGE, "sleep", "1000"]);
    let recorder = host.record_engine();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    recorder.clear();
    let list = "container_list";
    let logs = |key: &str, value: Value| {
        let mut arguments = json!({"host": "h1", "container": "web"});
        arguments[key] = value;
        arguments
    };
    for (tool, arguments, word) in [
        (list, json!({"limit": "many"}), "limit"),
        (list, json!({"limit": 0}), "limit"),
        (list, json!({"limit": 501}), "limit"),
        (list, json!({"limit": -1}), "limit"),
        (list, json!({"hosts": 5}), "hosts"),
        (list, json!({"hosts": ""}), "selector"),
        (list, json!({"hosts": "a b"}), "a b"),
        (list, json!({"host": "h1"}), "`hosts`"),
        (list, json!({"state": "runing"}), "running"),
        (list, json!({"match": "["}), "match"),
        ("host_list", json!({"probe": "yes"}), "probe"),
        ("host_test", json!({}), "host"),
        ("container_inspect", json!({"host": "h1"}), "container"),
        ("container_inspect", json!({"host": "h1", "container": "web", "sections": ["all"]}), "summary"),
        ("container_inspect", json!({"host": "h1", "container": "web", "sections": "env"}), "sections"),
        ("container_logs", logs("tail", json!(0)), "tail"),
        ("container_logs", logs("tail", json!(5001)), "tail"),
        ("container_logs", logs("since", json!("yesterday")), "since"),
        ("container_logs", logs("until", json!("1x")), "until"),
        ("container_logs", logs("grep", json!("(")), "grep"),
        ("container_logs", logs("level", json!("loud")), "warn"),
        ("container_logs", logs("cursor", json!("nonsense")), "cursor"),
        ("stack_file_read", json!({"host": "h1", "stack": "x", "file": "shadow"}), "compose"),
        ("stack_inspect", json!({"host": "h1", "stack": "x", "sections": ["all"]}), "volumes"),
        ("stack_inspect", json!({"host": "h1", "stack": "../x"}), "stack name"),
        ("stack_logs", json!({"host": "h1", "stack": "x y"}), "stack name"),
        ("stack_logs", json!({"host": "h1", "stack": "x", "tail": 0}), "tail"),
        ("stack_logs", json!({"host": "h1", "stack": "x", "grep": "("}), "grep"),
        ("docker_container", json!({"action": "inspect"}), "Its actions"),
        ("docker_container", json!({"action": "list", "limit": "many"}), "limit"),
        (
            "docker_hosts",
            json!({"action": "cleanup", "host_id": "h1", "cleanup_type": "all"}),
            "cleanup_type",
        ),
    ] {
        let text = service.refusal(tool, arguments.clone()).await;
        assert!(text.starts_with("invalid_arguments: "), "{tool} {arguments}: {text}");
        assert!(text.contains(word), "{word}: {tool} {arguments}: {text}");
    }
    assert_eq!(recorder.requests(), [], "nothing of this reaches an engine");
    let text = service.refusal(list, json!({"cursor": "nonsense"})).await;
    assert!(text.starts_with("invalid_arguments: cursor"), "{text}");
    recorder.clear();
    // a container's name is a name and no path of the API
    for name in ["../images", "web/json?x=", "", "..", "web/../web", "%2e%2e/info"] {
        let text = service.refusal("container_inspect", json!({"host": "h1", "container": name})).await;
        assert!(text.starts_with("not_found") || text.starts_with("invalid_arguments"), "{name}: {text}");
    }
    for request in recorder.requests() {
        assert!(request.path.contains("/containers/") && !request.path.contains(".."), "{request:?}");
    }
    service.structured(list, json!({})).await;
}

async fn stdio_survives_garbage(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &[]);
    let mut peer = Stdio::start(&config);
    let hello = peer.initialize();
    assert_eq!(hello["result"]["serverInfo"]["name"], "dockmaster", "{hello}");
    for (number, garbage) in
        ["", "{", "hello", "[1,2", "\u{0}\u{1}", "{\"jsonrpc\": \"2.0\""].iter().enumerate()
    {
        peer.send_raw(garbage);
        let id = 100 + number as u64;
        peer.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}));
        // an empty line is no message; any other is answered, with the error JSON-RPC has for it
        let expected = if garbage.is_empty() { 1 } else { 2 };
        let answers: Vec<Value> = (0..expected).map(|_| peer.receive_any()).collect();
        let complaints = answers.iter().filter(|answer| answer["error"]["code"] == -32700).count();
        assert_eq!(complaints, expected - 1, "{garbage:?}: {answers:?}");
        let listed = answers.iter().find(|answer| answer["id"] == id).unwrap_or(&Value::Null);
        assert!(listed["result"]["tools"].as_array().is_some_and(|tools| tools.len() >= 7), "{listed}");
    }
    for strange in [
        json!({"jsonrpc": "2.0", "id": 200, "method": "no/such"}),
        json!({"jsonrpc": "2.0", "id": 201, "method": "tools/call"}),
        json!({"jsonrpc": "2.0", "id": 202, "method": "tools/call", "params": {"name": 5}}),
        json!({"jsonrpc": "2.0", "id": 203, "method": "tools/call", "params": {"name": "no_such"}}),
    ] {
        peer.send(&strange);
        let answer = peer.receive(strange["id"].as_u64().unwrap());
        assert!(answer["error"]["code"].is_i64(), "{strange}: {answer}");
    }
    // JSON that is no message has no id to answer to
    for strange in ["5", "[]", "{\"jsonrpc\": \"2.0\"}", "{\"id\": 205, \"method\": \"tools/list\"}"] {
        peer.send_raw(strange);
        let answer = peer.receive_any();
        assert_eq!(answer["error"]["code"], -32600, "{strange}: {answer}");
    }
    let answer = peer.call(300, "container_list", &json!({"limit": "many"}));
    assert!(answer.is_error && answer.text.starts_with("invalid_arguments"), "{answer:?}");
    // it serves hosts as the other front does, connecting first when need be
    let answer = peer.call(301, "container_list", &json!({"hosts": "h1"}));
    assert!(!answer.is_error, "{answer:?}");
    peer.close_input();
    assert_eq!(peer.exit().code(), Some(0));
}

async fn stdio_ends_well_with_its_input(fleet: &Fleet) {
    let config = ServiceConfig::all(fleet);
    let mut silent = Stdio::start(&config);
    silent.close_input();
    assert_eq!(silent.exit().code(), Some(0), "before hello");
    let mut half = Stdio::start(&config);
    half.send_raw("{\"jsonrpc\"");
    half.close_input();
    assert_eq!(half.exit().code(), Some(0), "in the middle of a word");
    let mut polite = Stdio::start(&config);
    polite.initialize();
    polite.close_input();
    assert_eq!(polite.exit().code(), Some(0), "after hello");
}
