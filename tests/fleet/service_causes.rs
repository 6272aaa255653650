//! What is said about a host that cannot be used: each cause by its own word, at its own step, with the
//! words of whoever reported it, the time it took, and what to do.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{
    Away, Fleet, Host, IMAGE, Service, ServiceConfig, SlowProxy, eventually, temp_dir, wait_for,
};
use crate::trials;

/// ssh gives a silent peer ten seconds.
const TOLD: Duration = Duration::from_secs(30);

/// A silent line is found dead within 15 s; the rest is for a busy machine.
const KEEPALIVE: Duration = Duration::from_secs(25);

pub fn trials() -> Vec<Trial> {
    trials![
        each_cause_has_its_word_its_step_and_its_fix => 120,
        ssh_alone_finds_a_silent_line_dead => 120,
        two_unanswered_probes_are_a_dead_line => 120,
        a_call_that_waited_in_vain_is_one_echo => 120,
        a_hostile_configuration_of_ssh_changes_nothing => 120,
        one_session_is_enough => 120,
        fewer_sessions_than_callers_are_shared => 120,
        few_sessions_carry_calls_commands_and_events => 180,
        an_engine_that_starts_elsewhere_is_found_over_the_same_login => 120,
    ]
}

/// The row of a host in trouble, and the last step of its test.
async fn trouble(service: &Service, host: &str) -> (Value, Value) {
    eventually(&format!("{host} is in trouble"), TOLD, async || service.row(host).await["cause"].is_string())
        .await;
    let tested = service.structured("host_test", json!({"host": host})).await;
    assert_eq!(tested["ok"], false, "{tested}");
    (service.row(host).await, tested["steps"].as_array().unwrap().last().unwrap().clone())
}

#[track_caller]
fn assert_told(told: &(Value, Value), cause: &str, step: &str, words: &[&str], fix: &str) {
    let (row, last) = told;
    assert_eq!((&row["cause"], &last["cause"]), (&json!(cause), &json!(cause)), "{row} {last}");
    assert_eq!(last["step"], step, "{last}");
    let message = last["error"].as_str().unwrap_or_default();
    assert!(message.contains("(after ") && message.contains(" s)"), "how long it took: {message}");
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(row["hint"].as_str().unwrap_or_default().contains(fix), "{fix}: {row}");
}

async fn each_cause_has_its_word_its_step_and_its_fix(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    // No name server is asked about a label that is too long for the system.
    let nameless = format!("hostname: {}.invalid", "a".repeat(64));
    h1.wrong_key();
    h2.sshd_options(&["AllowStreamLocalForwarding no"]);
    let clients = h2.docker_clients();
    let _away: Vec<_> = clients.iter().map(|client| Away::take(h2, client)).collect();
    h3.partition();
    let config = ServiceConfig::all(fleet).entry("nameless", &[&nameless, "user: ops"]);
    let service = Service::start(&config);

    let told = trouble(&service, "nameless").await;
    assert_told(&told, "dns", "dns", &["Could not resolve"], "hosts.nameless.hostname");
    let told = trouble(&service, "h1").await;
    let offered = fs::read_to_string(fleet.client_dir().join("id_ed25519.pub")).unwrap();
    let fingerprint = fingerprint(&offered);
    assert_told(
        &told,
        "auth_refused",
        "ssh_login",
        &["(publickey)", "offered: ", &fingerprint],
        "ssh-copy-id",
    );
    let told = trouble(&service, "h2").await;
    assert_told(&told, "forwarding_refused", "engine_socket", &[], "AllowStreamLocalForwarding yes");
    let told = trouble(&service, "h3").await;
    assert_told(&told, "timeout", "tcp", &["timed out"], "switched on");
}

/// As `ssh-keygen -l` shows a public key.
fn fingerprint(public: &str) -> String {
    let dir = temp_dir();
    let file = dir.path().join("key.pub");
    fs::write(&file, public).unwrap();
    let shown = std::process::Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.split(' ').nth(1).unwrap().to_owned()
}

/// Nobody calls the host: its own keepalive finds out, and what there was on it is told with its age.
async fn ssh_alone_finds_a_silent_line_dead(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&[IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    eventually("the container is known", TOLD, async || {
        service.row("h1").await["containers"] == json!({"running": 1})
    })
    .await;
    host.partition();
    eventually("the line is dead", KEEPALIVE, async || service.row("h1").await["phase"] != "ready").await;
    let lost = lost(&service).await;
    assert!(lost.contains("not responding"), "ssh has not said so: {lost}");
    let row = service.row("h1").await;
    assert_eq!(row["containers"], json!({"running": 1}), "{row}");
    assert!(row["containers_as_of"].is_string(), "{row}");
    host.heal();
    host.run_container(&[IMAGE, "true"]);
    eventually("what happened meanwhile is known", TOLD * 2, async || {
        let row = service.row("h1").await;
        row["containers"] == json!({"running": 1, "exited": 1}) && row["containers_as_of"].is_null()
    })
    .await;
}

/// What the log says of the end of a line.
async fn lost(service: &Service) -> String {
    let line = || service.log().into_iter().find(|line| line.contains(r#""from":"ready""#));
    eventually("its end is in the log", TOLD, async || line().is_some()).await;
    line().unwrap()
}

/// A host behind a proxy that keeps the connection and passes nothing on, and the lines to it and to another.
async fn silenced(fleet: &Fleet) -> (SlowProxy, Service) {
    let host = fleet.host("h1");
    host.run_container(&[IMAGE, "sleep", "1000"]);
    let proxy = SlowProxy::start(host.ssh_address(), Duration::ZERO);
    let config = ServiceConfig::none(fleet).through("far", host, &proxy).with(fleet.host("h2"), &[]);
    let service = Service::start(&config);
    service.wait_ready(&["far", "h2"]).await;
    // Everything that follows by itself has been asked for.
    eventually("what there is is known", TOLD, async || service.row("far").await["containers"].is_object())
        .await;
    service.call("container_list", json!({"hosts": "far"})).await;
    proxy.stall();
    (proxy, service)
}

/// Counted where the line is silent: ssh's probes are all that is sent, and there is no third.
async fn two_unanswered_probes_are_a_dead_line(fleet: &Fleet) {
    let (proxy, service) = silenced(fleet).await;
    eventually("the line is dead", KEEPALIVE, async || service.row("far").await["phase"] != "ready").await;
    assert_eq!(proxy.unanswered(), 2);
}

/// What a call that misses its deadline adds is an echo, which decides, and a ping.
async fn a_call_that_waited_in_vain_is_one_echo(fleet: &Fleet) {
    let (proxy, service) = silenced(fleet).await;
    // over two hosts it waits no longer than two seconds: ssh itself needs fifteen
    service.call("container_list", json!({"hosts": "far,h2"})).await;
    eventually("the line is dead", KEEPALIVE, async || service.row("far").await["phase"] != "ready").await;
    let lost = lost(&service).await;
    assert!(lost.contains("did not echo"), "{lost}");
    // The call and the stream it may open, probes of ssh while it waited, the echo and the ping: some may be written
    // at once.
    assert!((2..=6).contains(&proxy.unanswered()), "{}", proxy.unanswered());
}

/// Everything that a user's configuration may say and that would break a supervised line.
async fn a_hostile_configuration_of_ssh_changes_nothing(fleet: &Fleet) {
    let host = fleet.host("h1");
    let dir = temp_dir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (config, master, ran) =
        (dir.path().join("config"), dir.path().join("master"), dir.path().join("ran"));
    let hostile = format!(
        "Host *\n LocalForward {} 127.0.0.1:9\n RemoteCommand echo hello\n RequestTTY force\n LogLevel QUIET\n \
         ControlMaster auto\n ControlPath {}\n ControlPersist yes\n SessionType none\n StdinNull yes\n \
         ForkAfterAuthentication yes\n PermitLocalCommand yes\n LocalCommand touch {}\n ExitOnForwardFailure yes\n \
         EscapeChar x\n Compression yes\n",
        taken.local_addr().unwrap().port(),
        master.display(),
        ran.display(),
    );
    fs::write(&config, hostile + &fs::read_to_string(fleet.ssh_config()).unwrap()).unwrap();
    let logins = host.ssh_logins();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]).ssh_config(&config));
    service.wait_ready(&["h1"]).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!((&tested["ok"], &tested["carrier"]), (&json!(true), &json!("forward")), "{tested}");
    assert_eq!(host.ssh_logins(), logins + 1);
    assert!(!master.exists() && !ran.exists(), "ssh did what the configuration says");
    let (status, _home) = service.stop();
    assert!(status.success(), "{status}");
    wait_for("the end of the session", TOLD, || host.ssh_connections() == 0);
}

/// `MaxSessions 1`: the anchor has it, and runs the commands too.
async fn one_session_is_enough(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["MaxSessions 1"]);
    let stack = Stack::on(host);
    let (logins, sessions) = (host.ssh_logins(), host.ssh_sessions());
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &["compose_path: /data/causes"]));
    service.wait_ready(&["h1"]).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!(tested["ok"], true, "{tested}");
    stack.assert_read(&service, 8).await;
    assert_eq!((host.ssh_logins(), host.ssh_sessions()), (logins + 1, sessions + 1));
    // and where the engine's streams need sessions of their own, that is said
    drop(service);
    host.sshd_options(&["MaxSessions 1", "AllowStreamLocalForwarding no"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    let told = trouble(&service, "h1").await;
    assert_told(&told, "sessions_exhausted", "engine_socket", &[], "MaxSessions");
}

/// Three sessions, one of them the anchor's, and eight callers who need one each.
async fn fewer_sessions_than_callers_are_shared(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["MaxSessions 3"]);
    let stack = Stack::on(host);
    let logins = host.ssh_logins();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &["compose_path: /data/causes"]));
    service.wait_ready(&["h1"]).await;
    let before = host.ssh_sessions();
    stack.assert_read(&service, 8).await;
    assert_eq!(host.ssh_logins(), logins + 1);
    assert!(host.ssh_sessions() >= before + 8, "they were run in sessions, and not by the anchor");
}

/// Where the engine's streams need sessions, there are two or three of them.
async fn few_sessions_carry_calls_commands_and_events(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&[IMAGE, "sleep", "1000"]);
    let stack = Stack::on(host);
    for most in ["MaxSessions 2", "MaxSessions 3"] {
        host.sshd_options(&[most, "AllowStreamLocalForwarding no"]);
        let logins = host.ssh_logins();
        let config = ServiceConfig::none(fleet).with(host, &["compose_path: /data/causes"]);
        let service = Service::start(&config);
        service.wait_ready(&["h1"]).await;
        let lists = (0..16).map(|_| service.structured("container_list", json!({})));
        for listed in futures_util::future::join_all(lists).await {
            assert_eq!((&listed["errors"], &listed["total"]), (&json!([]), &json!(1)), "{most}: {listed}");
        }
        stack.assert_read(&service, 6).await;
        let known = async || service.row("h1").await["containers"] == json!({"running": 1});
        eventually("what there is is known", TOLD, known).await;
        assert_eq!(host.ssh_logins(), logins + 1, "{most}");
    }
}

/// The socket that was there at the login is not the one the engine comes back at.
async fn an_engine_that_starts_elsewhere_is_found_over_the_same_login(fleet: &Fleet) {
    let host = fleet.host("h1");
    let usual = Away::take(host, &host.door());
    let logins = host.ssh_logins();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    eventually("no engine", TOLD, async || service.row("h1").await["cause"] == "engine_down").await;
    let there = "mkdir -p /run/podman && ln -s \"$(readlink -f \"$1.away\")\" /run/podman/podman.sock";
    host.exec(&["sh", "-c", there, "sh", &host.door()]);
    service.wait_ready(&["h1"]).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!(tested["steps"][2]["detail"], "/run/podman/podman.sock", "{tested}");
    assert_eq!(host.ssh_logins(), logins + 1);
    drop(service);
    host.exec(&["rm", "-r", "/run/podman"]);
    drop(usual);
}

/// A stack whose file lies on a host.
struct Stack<'a>(&'a Host);

impl<'a> Stack<'a> {
    fn on(host: &'a Host) -> Self {
        let text = format!("services:\n  app:\n    image: {IMAGE}\n    command: [\"it's\", \"a\\tb\"]\n");
        let script = "mkdir -p /data/causes/web && printf %s \"$1\" >/data/causes/web/compose.yml";
        host.exec(&["sh", "-c", script, "sh", &text]);
        Self(host)
    }

    /// So many callers at once read it, each with commands on the host.
    async fn assert_read(&self, service: &Service, callers: usize) {
        let read =
            || service.text("stack_file_read", json!({"host": "h1", "stack": "web", "file": "rendered"}));
        for text in futures_util::future::join_all((0..callers).map(|_| read())).await {
            assert!(text.contains("it's") && text.contains(IMAGE), "{text}");
        }
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.0.clean_up(&["rm", "-rf", "/data/causes"]);
    }
}
