//! Commands and files inside containers on real engines, also where there is no shell.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::host::Engine;
use crate::support::service::Stdio;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::support::{eventually, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "correct-horse-battery-staple";
const BARE: &str = "fleet/bare:1";

pub fn trials() -> Vec<Trial> {
    trials![
        a_command_is_run_as_it_is_given => 120,
        a_command_ends_with_its_time_and_with_its_caller => 240,
        a_command_with_a_key_runs_once_and_its_output_is_kept_nowhere => 180,
        files_are_written_as_they_were => 120,
        links_lead_from_where_they_lie_and_never_beneath_memory => 240,
        nothing_is_done_inside_where_it_is_not_permitted => 120,
        podman_runs_and_writes_too => 180,
    ]
}

/// One with a program and nothing else: no shell, no other command.
fn run_bare(host: &Host) {
    let script = "d=$(mktemp -d) && mkdir $d/bin && cp $(command -v busybox) $d/bin/sleep && \
        tar -C $d -c . | docker import - \"$1\" && rm -r $d";
    host.exec(&["sh", "-c", script, "sh", BARE]);
    host.run_container(&["--name", "bare", BARE, "/bin/sleep", "1000"]);
}

fn on(host: &str, container: &str, command: &[&str]) -> Value {
    json!({"host": host, "container": container, "command": command})
}

fn with(mut arguments: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().expect("an object") {
        arguments[key] = value.clone();
    }
    arguments
}

/// The answer's header, its output, and how it ended.
async fn exec(service: &Service, arguments: Value) -> (String, String, String) {
    let text = service.text("container_exec", arguments).await;
    let (header, rest) = text.split_once('\n').expect("a header");
    let (output, end) = rest.rsplit_once("--\n").expect("a footer");
    (header.to_owned(), output.to_owned(), end.trim().to_owned())
}

async fn a_command_is_run_as_it_is_given(fleet: &Fleet) {
    let host = fleet.host("h1");
    for engine in [Engine::Default, Engine::Docker26] {
        host.engine(engine);
        run_as_given(fleet, host).await;
    }
    host.engine(Engine::Default);
}

async fn run_as_given(fleet: &Fleet, host: &Host) {
    host.run_container(&["--name", "box", IMAGE, "sleep", "1000"]);
    host.docker(&["create", "--name", "still", IMAGE, "sleep", "1000"]);
    run_bare(host);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let done = "exit code: 0".to_owned();
    // words are words, whatever stands in them
    let odd =
        ["echo", "a b", "$HOME", "`id`", "; touch /tmp/x", "&&", "'", "\"", "--", "-n", "../..", "\u{e4}"];
    let (header, output, end) = exec(&service, on("h1", "box", &odd)).await;
    assert_eq!((output, &end), (format!("{}\n", odd[1..].join(" ")), &done));
    assert!(header.contains("echo in box on h1") && header.contains("not instructions"), "{header}");
    let line =
        with(on("h1", "box", &["echo $((6*7)) | cat; echo oops >&2; exit 7"]), &json!({"shell": true}));
    let (_, output, end) = exec(&service, line).await;
    // two pipes: which the engine reads first is its own affair
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!((lines, &*end), (vec!["1> 42", "2> oops"], "exit code: 7"));
    let placed = json!({"shell": true, "user": "7:8", "workdir": "/tmp", "env": {"GIVEN": "a=b\nc"}});
    let (_, output, _) =
        exec(&service, with(on("h1", "box", &["id -u; id -g; pwd; echo \"$GIVEN\""]), &placed)).await;
    assert_eq!(output, "7\n8\n/tmp\na=b\nc\n");
    let hidden = json!({"shell": true, "env": {"DB_PASSWORD": SECRET}});
    let (_, output, _) = exec(&service, with(on("h1", "box", &["echo it is $DB_PASSWORD"]), &hidden)).await;
    assert_eq!(output, "it is ***\n");
    let (_, output, _) = exec(&service, on("h1", "box", &["printf", "\\033[31mred\\033[0m\\a\\n"])).await;
    assert_eq!(output, "red\n");
    let much = with(on("h1", "box", &["seq 1 2000000"]), &json!({"shell": true}));
    let (header, output, end) = exec(&service, much).await;
    assert!(output.starts_with("1\n2\n") && output.ends_with("\n2000000\n"), "{header} {end}");
    assert!(output.len() < 40_000 && output.contains("bytes left out"), "{}", output.len());
    // no shell is needed where none is asked for
    let (_, _, end) = exec(&service, on("h1", "bare", &["/bin/sleep", "0"])).await;
    assert_eq!(end, done);
    let (_, _, end) = exec(&service, on("h1", "bare", &["/bin/sleep", "x"])).await;
    assert_eq!(end, "exit code: 1");
    for (container, command, kind) in [
        ("bare", &["/bin/sh"][..], "no such file"),
        ("box", &["nowhere"], "not found"),
        ("still", &["true"], "not running"),
        ("nobody", &["true"], "no such container"),
        ("../../images", &["true"], "invalid_arguments"),
        ("box?x=1", &["true"], "invalid_arguments"),
    ] {
        let answer = service.call("container_exec", on("h1", container, command)).await;
        assert!(answer.text.to_lowercase().contains(kind), "{container} {command:?}: {}", answer.text);
    }
    // once for a key, and told again
    let keyed = with(
        on("h1", "box", &["echo x >> /tmp/once; wc -l < /tmp/once"]),
        &json!({"shell": true, "idempotency_key": "k"}),
    );
    let first = service.text("container_exec", keyed.clone()).await;
    assert_eq!(service.text("container_exec", keyed).await, first);
    assert_eq!(host.docker(&["exec", "box", "wc", "-l", "/tmp/once"]), "1 /tmp/once");
    service.stop();
}

/// No rule knows it.
const PLAIN_SECRET: &str = "umbrella-over-the-lighthouse";

async fn a_command_with_a_key_runs_once_and_its_output_is_kept_nowhere(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "box", IMAGE, "sleep", "1000"]);
    host.docker(&["exec", "box", "sh", "-c", &format!("echo {PLAIN_SECRET} > /planted")]);
    let keyed = |key: &str, line: &str| {
        with(on("h1", "box", &[line]), &json!({"shell": true, "timeout": 60, "idempotency_key": key}))
    };
    let times = |file: &str| host.docker(&["exec", "box", "sh", "-c", &format!("cat {file} | wc -l")]);
    let config = ServiceConfig::none(fleet).with(host, &[]);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let told = keyed("told", "cat /planted; echo x >> /tmp/told; exit 3");
    let first = service.text("container_exec", told.clone()).await;
    assert!(first.contains(PLAIN_SECRET), "{first}");
    assert_eq!(service.text("container_exec", told.clone()).await, first);
    // what could not begin is free to
    let later = with(keyed("later", "echo x >> /tmp/later"), &json!({"container": "later"}));
    let refused = service.refusal("container_exec", later.clone()).await;
    assert!(refused.starts_with("not_found"), "{refused}");
    host.run_container(&["--name", "later", IMAGE, "sleep", "1000"]);
    service.text("container_exec", later).await;
    // the line breaks in the middle
    let broken = keyed("broken", "echo x >> /tmp/broken; sleep 791");
    let mut call = Box::pin(service.call("container_exec", broken.clone()));
    tokio::select! {
        answer = &mut call => panic!("it ended: {}", answer.text),
        () = eventually("it runs", SOON, async || times("/tmp/broken") == "1") => {}
    }
    host.kill_ssh_sessions();
    let answer = call.await;
    assert!(
        answer.text.starts_with("outcome_unknown") && answer.text.contains("another key"),
        "{}",
        answer.text
    );
    service.wait_ready(&["h1"]).await;
    let again = service.refusal("container_exec", broken.clone()).await;
    assert!(again.starts_with("outcome_unknown") && again.contains("nothing was done again"), "{again}");
    // the service ends in the middle
    let killed = keyed("killed", "echo x >> /tmp/killed; sleep 792");
    let client = crate::support::mcp_client::McpClient::new(service.address());
    let mut call = Box::pin(client.try_call("container_exec", killed.clone()));
    tokio::select! {
        _ = &mut call => panic!("it ended"),
        () = eventually("it runs", SOON, async || times("/tmp/killed") == "1") => {}
    }
    let home = service.kill();
    drop(call);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    for unknown in [broken, killed] {
        let again = service.refusal("container_exec", unknown).await;
        assert!(again.starts_with("outcome_unknown") && again.contains("another key"), "{again}");
    }
    // of what it told no more is kept than how it ended
    let again = service.text("container_exec", told).await;
    assert!(again.contains("is not kept") && again.ends_with("--\nexit code: 3\n"), "{again}");
    assert_eq!(["/tmp/told", "/tmp/broken", "/tmp/killed"].map(times), ["1", "1", "1"]);
    let (_, home) = service.stop();
    // nobody ends what a killed service began, and the line it ran over stays as long
    host.exec(&["sh", "-c", "pkill -f '^sleep 79[12]$' || true"]);
    for name in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(home.path().join("data").join(name)).unwrap_or_default();
        assert!(
            !bytes.windows(PLAIN_SECRET.len()).any(|part| part == PLAIN_SECRET.as_bytes()),
            "{name} holds it"
        );
    }
}

/// How many sleep so long on the host, in its containers too.
fn sleepers(host: &Host, seconds: &str) -> usize {
    host.exec(&["sh", "-c", &format!("pgrep -f '^(/bin/)?sleep {seconds}$' || true")]).lines().count()
}

async fn a_command_ends_with_its_time_and_with_its_caller(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "box", IMAGE, "sleep", "1000"]);
    run_bare(host);
    let root = format!("hostname: {}", host.address());
    let config = ServiceConfig::none(fleet).with(host, &[]).entry("byroot", &[&root, "user: root"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "byroot"]).await;
    let left = || sleepers(host, "77[0-9]");
    host.docker(&["exec", "-d", "box", "sleep", "770"]);
    wait_for("it is seen", SOON, || left() == 1);
    host.exec(&["pkill", "-f", "^sleep 770$"]);
    // one that minds no polite signal, with what it started; as another user, too
    let stubborn = "trap '' TERM; sleep 771 & sleep 772 & echo begun; wait";
    for user in ["0", "7"] {
        let late = with(on("h1", "box", &[stubborn]), &json!({"shell": true, "timeout": 5, "user": user}));
        let (_, output, end) = exec(&service, late).await;
        assert_eq!((&*output, &*end), ("begun\n", "timed out after 5 s; what it had started was ended"));
        assert_eq!(left(), 0);
    }
    // one that goes into the background and closes what it has
    let daemon =
        with(on("h1", "box", &["exec >/dev/null 2>&1; sleep 773"]), &json!({"shell": true, "timeout": 5}));
    let (_, _, end) = exec(&service, daemon).await;
    assert!(end.ends_with("was ended") && left() == 0, "{end}");
    // its caller leaves
    let call = service.call("container_exec", on("h1", "box", &["sleep", "774"]));
    tokio::select! {
        answer = call => panic!("it ended: {}", answer.text),
        () = eventually("it runs", SOON, async || left() == 1) => {}
    }
    wait_for("its end", SOON, || left() == 0);
    // where there is no shell, a login that may do so ends it from the host
    let bare = json!({"timeout": 5});
    let (_, _, end) = exec(&service, with(on("byroot", "bare", &["/bin/sleep", "775"]), &bare)).await;
    assert!(end.ends_with("was ended") && left() == 0, "{end}");
    // and one that may not says so
    let (_, _, end) = exec(&service, with(on("h1", "bare", &["/bin/sleep", "776"]), &bare)).await;
    assert!(end.contains("could not be ended"), "{end}");
    assert_eq!(left(), 1);
    // its caller thinks better of it, and goes on with something else
    let mut stdio = Stdio::start(&config);
    stdio.initialize();
    let call = json!({"name": "container_exec", "arguments": on("h1", "box", &["sleep", "778"])});
    stdio.send(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}));
    eventually("it runs", SOON, async || left() == 2).await;
    let cancelled = json!({"requestId": 7, "reason": "another idea"});
    stdio.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}));
    wait_for("its end", SOON, || left() == 1);
    assert!(!stdio.call(8, "host_list", &json!({})).is_error);
    stdio.close_input();
    assert!(stdio.exit().success());
    // the service stops
    let client = crate::support::mcp_client::McpClient::new(service.address());
    let mut call = Box::pin(client.try_call("container_exec", on("h1", "box", &["sleep", "777"])));
    tokio::select! {
        _ = &mut call => panic!("it ended"),
        () = eventually("it runs", SOON, async || left() == 2) => {}
    }
    let (status, home) = service.stop();
    assert!(status.success());
    wait_for("its end", SOON, || left() == 1);
    drop(call);
    // what was asked for and what became of it are on the audit
    let audit = home.run_here(&["audit", "--json"]).stdout;
    let entries: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verdicts = |verdict: &str| entries.iter().filter(|entry| entry["verdict"] == verdict).count();
    assert_eq!(verdicts("asked"), 7, "{audit}");
    assert_eq!((verdicts("accepted"), verdicts("refused") >= 1), (5, true), "{audit}");
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

fn file(container: &str, path: &str, content: &str) -> Value {
    json!({"host": "h1", "container": container, "path": path, "content": content})
}

async fn files_are_written_as_they_were(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "box", "--tmpfs", "/memory", "-v", "kept:/kept", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name", "hard", "--read-only", IMAGE, "sleep", "1000"]);
    run_bare(host);
    let inside = |script: &str| host.docker(&["exec", "box", "sh", "-c", script]);
    inside(
        "mkdir -p /conf /tmp/odd && echo old > /conf/app && chown 7:8 /conf/app && chmod 640 /conf/app && chown 9:9 /tmp/odd \
         && ln -s /conf/app /conf/link && ln -s ../../../../../etc/outside /conf/out && mkfifo /conf/pipe && ln -s /loop /loop",
    );
    host.docker(&["create", "--name", "still", IMAGE, "true"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let write = async |arguments: Value| service.structured("container_file_write", arguments).await;
    let look = |path: &str| inside(&format!("stat -c '%u:%g %a' '{path}'; cat '{path}'"));

    let made = write(file("box", "/conf/app", "new\n")).await;
    assert_eq!(
        (&made["before_sha256"], &made["after_sha256"]),
        (&json!(hash("old\n")), &json!(hash("new\n")))
    );
    assert_eq!(
        (&made["bytes"], &made["mode"], &made["path"]),
        (&json!(4), &json!("0640"), &json!("/conf/app"))
    );
    assert_eq!(look("/conf/app"), "7:8 640\nnew");
    // what was read with its secrets hidden does not take their place
    inside("printf 'A=1\\nTOKEN=hunter2\\n' > /conf/env; printf 'stars ***\\n' > /conf/stars");
    let masked = service.refusal("container_file_write", file("box", "/conf/env", "A=2\nTOKEN=***\n")).await;
    assert!(masked.starts_with("conflict: /conf/env: *** stands for secrets"), "{masked}");
    assert_eq!(inside("cat /conf/env"), "A=1\nTOKEN=hunter2");
    write(file("box", "/conf/stars", "more stars ***\n")).await;
    let led =
        write(with(file("box", "/conf/link", "led"), &json!({"mode": "600", "if_sha256": hash("new\n")})))
            .await;
    assert_eq!(led["path"], "/conf/app");
    assert_eq!(look("/conf/app"), "7:8 600\nled");
    assert_eq!(inside("readlink /conf/link"), "/conf/app", "the link stays one");
    // what leads upwards stays inside
    let out = write(file("box", "/conf/out", "inside")).await;
    assert_eq!((&out["path"], out.get("before_sha256")), (&json!("/etc/outside"), None));
    assert_eq!(look("/etc/outside"), "0:0 644\ninside");
    assert_eq!(host.exec(&["sh", "-c", "ls /etc/outside 2>/dev/null || true"]), "");
    for name in ["/tmp/odd/a b?c#d%2e&e", "/tmp/odd/\u{e4};touch x", "/tmp/odd/'q'"] {
        let made = write(file("box", name, "x")).await;
        assert_eq!(made["path"], name);
    }
    assert_eq!(inside("stat -c '%u:%g' /tmp/odd/* | sort -u; ls /tmp/odd | wc -l"), "9:9\n3");
    write(file("box", "/kept/data", "volume")).await;
    assert_eq!(inside("cat /kept/data"), "volume");
    write(file("still", "/stopped", "too")).await;
    write(file("bare", "/bin/config", "no shell")).await;
    assert_eq!(
        service
            .text("container_file_read", json!({"host": "h1", "container": "bare", "path": "/bin/config"}))
            .await
            .lines()
            .nth(1),
        Some("no shell")
    );

    for (arguments, why) in [
        (file("box", "/conf", "x"), "is a directory"),
        (file("box", "/conf/pipe", "x"), "a device, pipe or socket"),
        (file("box", "/loop", "x"), "too many links"),
        (file("box", "/nowhere/file", "x"), "no directory /nowhere"),
        (file("box", "/memory/file", "x"), "memory (tmpfs)"),
        (file("box", "/proc/sys/kernel/hostname", "x"), "the kernel's"),
        (with(file("box", "/conf/app", "x"), &json!({"if_sha256": hash("new\n")})), "nothing was written"),
        (with(file("box", "/new", "x"), &json!({"if_sha256": hash("")})), "not there"),
        (file("hard", "/file", "x"), "read-only"),
        (file("nobody", "/file", "x"), "No such container"),
        (file("../x", "/file", "x"), "invalid_arguments"),
    ] {
        let refused = service.refusal("container_file_write", arguments.clone()).await;
        assert!(refused.contains(why), "{arguments}: {refused}");
    }
    assert_eq!(look("/conf/app"), "7:8 600\nled");
    let secret = write(file("box", "/conf/secret", SECRET)).await;
    assert_eq!(secret["after_sha256"], hash(SECRET));
    let log = service.log().join("\n");
    let (_, home) = service.stop();
    let audit = home.run_here(&["audit", "--json"]).stdout;
    assert!(audit.contains(&hash(SECRET)) && !audit.contains(SECRET) && !log.contains(SECRET), "{audit}");
    for name in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(home.path().join("data").join(name)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{name} holds it");
    }
}

async fn links_lead_from_where_they_lie_and_never_beneath_memory(fleet: &Fleet) {
    let host = fleet.host("h1");
    for engine in [Engine::Default, Engine::Docker26, Engine::Podman] {
        host.engine(engine);
        follow_links(fleet, host, engine == Engine::Podman).await;
    }
    host.engine(Engine::Default);
}

async fn follow_links(fleet: &Fleet, host: &Host, is_podman: bool) {
    // an image with such links, as most have
    let script = "d=$(mktemp -d) && cp -a $(command -v busybox) $d/busybox && mkdir -p $d/bin $d/var/etc $d/etc $d/srv/v2 $d/run/real \
        $d/mem && mv $d/busybox $d/bin && $d/bin/busybox --install -s $d/bin && for n in $d/bin/*; do [ -L $n ] && ln -sf busybox $n; done; \
        ln -s /run $d/var/run && ln -s ../etc/x $d/run/up && echo right > $d/etc/x && echo wrong > $d/var/etc/x && \
        ln -s v2 $d/srv/now && echo two > $d/srv/v2/file && ln -s /mem $d/memory && ln -s memory/deep $d/deep && \
        ln -s /run/secrets $d/shh && mkdir $d/run/secrets && echo plain-words > $d/run/secrets/db && ln -s /spin $d/spin && \
        ln -s proc $d/kernel && mkdir $d/proc && tar -C $d -cf $d.tar . && rm -r $d && echo $d.tar";
    let tar = host.exec(&["sh", "-c", script]);
    let import = if is_podman { "podman" } else { "docker" };
    host.exec(&["sh", "-c", &format!("{import} import {tar} fleet/links:1 && rm {tar}")]);
    let run = |more: &[&str], name: &str| {
        host.run_container(&[&["--name", name], more, &["fleet/links:1", "/bin/sleep", "1000"]].concat());
    };
    run(&["--tmpfs", "/run"], "inmemory");
    run(&["--tmpfs", "/memory"], "atlink");
    run(&[], "plain");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let write = |container: &str, path: &str| {
        let (arguments, path) = (file(container, path, "new\n"), path.to_owned());
        let service = &service;
        async move { (service.call("container_file_write", arguments).await, path) }
    };
    let look = async |path: &str| exec(&service, on("h1", "plain", &["cat", path])).await.1;
    // what lies in memory is reached by no way
    for (container, path) in [
        ("inmemory", "/var/run/app.conf"),
        ("inmemory", "/run/app.conf"),
        ("inmemory", "/var/run/up"),
        ("atlink", "/memory/app.conf"),
        ("atlink", "/mem/app.conf"),
        ("atlink", "/deep"),
    ] {
        let (answer, path) = write(container, path).await;
        // Podman does not tell of memory at a link, and writes there as the container itself would
        if is_podman && container == "atlink" && !answer.is_error {
            let led = answer.structured["path"].as_str().expect("a path").to_owned();
            assert_eq!(exec(&service, on("h1", container, &["cat", &led])).await.1, "new\n", "{path}");
            continue;
        }
        assert!(
            answer.is_error && answer.text.contains("memory (tmpfs)"),
            "{container} {path}: {}",
            answer.text
        );
    }
    for (path, why) in [("/spin", "links"), ("/spin/a", "links"), ("/kernel/x", "the kernel's")] {
        let (answer, _) = write("plain", path).await;
        assert!(answer.is_error && answer.text.contains(why), "{path}: {}", answer.text);
    }
    // nor does anybody read what lies beneath
    for (container, path, why) in [
        ("inmemory", "/var/run/real", "memory (tmpfs)"),
        ("inmemory", "/run", "memory (tmpfs)"),
        ("plain", "/kernel/1/status", "the kernel's"),
    ] {
        let there = json!({"host": "h1", "container": container, "path": path});
        let refused = service.refusal("container_file_read", there).await;
        assert!(refused.contains(why), "{container} {path}: {refused}");
    }
    let read = async |path: &str| {
        service.text("container_file_read", json!({"host": "h1", "container": "plain", "path": path})).await
    };
    let up = read("/var/run/up").await;
    assert!(up.starts_with("File /etc/x (from /var/run/up)") && up.contains("right"), "{up}");
    let shown = read("/shh/db").await;
    assert!(shown.contains("a secret by its place") && !shown.contains("plain-words"), "{shown}");
    for (path, led) in
        [("/var/run/up", "/etc/x"), ("/srv/now/file", "/srv/v2/file"), ("/var/run/made", "/run/made")]
    {
        let (answer, _) = write("plain", path).await;
        assert_eq!(answer.structured["path"], led, "{path}: {}", answer.text);
        assert_eq!((look(led).await, look(path).await), ("new\n".to_owned(), "new\n".to_owned()));
    }
    assert_eq!(look("/var/etc/x").await, "wrong\n");
    let (_, target, _) = exec(&service, on("h1", "plain", &["readlink", "/run/up"])).await;
    assert_eq!(target, "../etc/x\n", "a link stays one");
    service.stop();
    for name in ["inmemory", "atlink", "plain"] {
        host.exec(&[import, "rm", "-f", name]);
    }
    host.exec(&[import, "rmi", "fleet/links:1"]);
}

async fn nothing_is_done_inside_where_it_is_not_permitted(fleet: &Fleet) {
    let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name));
    let config = ServiceConfig::none(fleet)
        .with(h1, &["protected: [\"db-*\"]"])
        .with(h2, &["policy: ro"])
        .with(h3, &["policy: no_destructive"]);
    for host in [h1, h2, h3] {
        host.run_container(&["--name", "box", IMAGE, "sleep", "1000"]);
    }
    h1.run_container(&["--name", "kept", "--label", "mcp.protected=true", IMAGE, "sleep", "1000"]);
    h1.run_container(&["--name", "db-1", IMAGE, "sleep", "1000"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2", "h3"]).await;
    let id = h1.docker(&["inspect", "-f", "{{.Id}}", "kept"]);
    for (host, container) in
        [("h2", "box"), ("h3", "box"), ("h1", "kept"), ("h1", &*id), ("h1", &id[..12]), ("h1", "db-1")]
    {
        let command = with(on(host, container, &["touch", "/tmp/x"]), &json!({"env": {"TOKEN": SECRET}}));
        let write = json!({"host": host, "container": container, "path": "/tmp/x", "content": "x"});
        for (tool, arguments) in [("container_exec", command), ("container_file_write", write)] {
            let refused = service.refusal(tool, arguments).await;
            assert!(refused.starts_with("policy_denied"), "{tool} {host} {container}: {refused}");
        }
    }
    for (host, container) in [(h1, "kept"), (h1, "db-1"), (h2, "box"), (h3, "box")] {
        host.docker(&["exec", container, "test", "!", "-e", "/tmp/x"]);
    }
    exec(&service, on("h1", "box", &["mysql", "--password", SECRET, "x"])).await;
    let (_, home) = service.stop();
    let audit = home.run_here(&["audit", "--json"]).stdout;
    assert!(!audit.contains(SECRET) && audit.contains("\"refused\""), "{audit}");
    // where no host permits it, it is not offered
    let service = Service::start(
        &ServiceConfig::none(fleet).with(h2, &["policy: ro"]).with(h3, &["policy: no_destructive"]),
    );
    service.wait_ready(&["h2", "h3"]).await;
    let tools = service.client().tools().await;
    assert!(
        !tools.iter().any(|tool| tool["name"] == "container_exec" || tool["name"] == "container_file_write")
    );
}

async fn podman_runs_and_writes_too(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    host.run_container(&["--name", "box", IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let line = with(on("h1", "box", &["echo out; echo oops >&2; exit 7"]), &json!({"shell": true}));
    let (_, output, end) = exec(&service, line).await;
    assert!(output.contains("1> out\n") && output.contains("2> oops\n"), "{output}");
    assert_eq!(end, "exit code: 7");
    let (_, _, end) = exec(&service, with(on("h1", "box", &["sleep", "781"]), &json!({"timeout": 10}))).await;
    assert!(end.ends_with("was ended") && sleepers(host, "781") == 0, "{end}");
    let made = service.structured("container_file_write", file("box", "/tmp/a", "x")).await;
    assert_eq!(made["after_sha256"], hash("x"));
    exec(&service, with(on("h1", "box", &["chown 7:8 /tmp/a; chmod 640 /tmp/a"]), &json!({"shell": true})))
        .await;
    service.structured("container_file_write", file("box", "/tmp/a", "y")).await;
    let (_, output, _) = exec(&service, on("h1", "box", &["stat", "-c", "%u:%g %a", "/tmp/a"])).await;
    assert_eq!(output, "7:8 640\n");
    service.stop();
    host.docker(&["rm", "-f", "box"]);
    host.engine(Engine::Default);
}
