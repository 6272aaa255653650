//! Secrets that lie about on a host, and those that callers give: no tool shows one, and nothing that is kept
//! has one. What only looks like a secret is shown.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);
/// An image with secrets of its own, also in a registry.
const MADE: &str = "127.0.0.1:5000/made:1";
const STACK: &str = "/opt/stacks/vault";
/// A directory that an image is built from.
const BUILD: &str = "/srv/vault-image";

pub fn trials() -> Vec<Trial> {
    trials![no_tool_shows_a_planted_secret_and_nothing_kept_has_one => 360]
}

/// What looks like a secret to a careless eye.
const HARMLESS: [&str; 4] = [
    "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "admin@example.org",
    "v1.27.3-alpine",
    "/var/lib/app/token_store/data.db",
];

/// The secrets, each another one: which is found tells where it came from.
#[derive(Default)]
struct Secrets(RefCell<BTreeSet<String>>);

impl Secrets {
    /// One that only the name it goes by gives away.
    fn word(&self, place: &str) -> String {
        self.keep(format!("sesame-{place}"))
    }

    /// One whose own shape gives it away.
    fn shape(&self, before: &str, place: &str) -> String {
        let end: String = place.chars().filter(char::is_ascii_alphanumeric).collect();
        let end = format!("{end}{}", "0123456789abcdefghijABCDEFGHIJ01234567");
        self.keep(format!("{before}{}", &end[..36]))
    }

    fn keep(&self, secret: String) -> String {
        assert!(self.0.borrow_mut().insert(secret.clone()), "{secret} is planted twice");
        secret
    }

    /// A private key; each of its lines is a secret.
    fn private_key(&self, place: &str) -> String {
        let lines: Vec<String> =
            (0..6).map(|line| self.keep(format!("MIIEvQ{place}{line}AAkjhgfdsapoiuztrewq{line}"))).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", lines.join("\n"))
    }

    fn token(&self, place: &str) -> String {
        let signature = self.keep(format!("c2lnbmF0dXJl{place}"));
        format!("{}{}{signature}", concat!("eyJ", "hbGciOiJub25lIn0."), "eyJzdWIiOiJleGFtcGxlIn0.")
    }

    /// Those that are in a text.
    fn within(&self, text: &str) -> Vec<String> {
        self.0.borrow().iter().filter(|secret| text.contains(secret.as_str())).cloned().collect()
    }

    /// The same of bytes.
    fn within_bytes(&self, bytes: &[u8]) -> Vec<String> {
        let has = |secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        self.0.borrow().iter().filter(|secret| has(secret)).cloned().collect()
    }

    /// A log or a file with all kinds of them.
    fn text(&self, place: &str) -> String {
        let [sha, mail, version, path] = HARMLESS;
        let lines = [
            format!("started {version} from {sha}, ask {mail}, data in {path}"),
            format!("password={} user=bob", self.word(&format!("{place}-pair"))),
            format!("GET / Authorization: Bearer {}", self.word(&format!("{place}-bearer"))),
            format!("got {} for it", self.token(place)),
            format!("cloned with {} today", self.shape("ghp_", place)),
            format!("key {} was used", self.keep(format!("AKIA{:X<16}", place.to_uppercase()))),
            format!("at postgres://app:{}@db/app", self.word(&format!("{place}-url"))),
            self.private_key(place),
            format!("{{\"apiKey\":\"{}\",\"n\":1}}", self.word(&format!("{place}-json"))),
            "ready".to_owned(),
        ];
        lines.join("\n") + "\n"
    }
}

/// What was planted, and gone with this.
struct Planted<'a> {
    host: &'a Host,
    /// One where nothing is planted.
    spare: &'a Host,
    secrets: Secrets,
}

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        self.host.clean_up(&["rm", "-rf", "--", STACK, BUILD]);
    }
}

impl<'a> Planted<'a> {
    fn on(host: &'a Host, spare: &'a Host) -> Self {
        let planted = Self { host, spare, secrets: Secrets::default() };
        planted.image();
        planted.containers();
        planted.stack();
        planted.build();
        let secrets = &planted.secrets;
        let options = format!("o=username=me,password={},vers=3.0", secrets.word("volume-option"));
        let label = format!("backup.password={}", secrets.word("volume-label"));
        let cifs = ["--driver=local", "--opt=type=cifs", "--opt=device=//nas/share", "--opt", &options];
        host.docker(&[&["volume", "create", "--label", &label], cifs.as_slice(), &["share"]].concat());
        let label = format!("vpn.preshared_key={}", secrets.word("network-label"));
        host.docker(&["network", "create", "--label", &label, "back"]);
        planted
    }

    /// An image whose instructions, labels and history have secrets.
    fn image(&self) {
        let (host, secrets) = (self.host, &self.secrets);
        let history = format!("--token={}", secrets.word("image-history"));
        let created = ["create", "--name", "maker", IMAGE, "sh", "-c"];
        host.docker(
            &[&created[..], &["true", "--password", &secrets.word("image-made-by"), &history]].concat(),
        );
        let [sha, mail, version, _] = HARMLESS;
        let instructions = [
            format!("ENV IMAGE_PASSWORD={} VERSION={version}", secrets.word("image-env")),
            format!("ENV IMAGE_PUSHES_TO=https://me:{}@example.org/", secrets.word("image-url")),
            format!("LABEL deploy.token={} revision={sha} maintainer={mail}", secrets.word("image-label")),
            format!("CMD [\"sleep\", \"1000\", \"--api-key\", \"{}\"]", secrets.word("image-command")),
            "ENTRYPOINT []".to_owned(),
            format!("HEALTHCHECK CMD echo --secret {}", secrets.word("image-health")),
        ];
        let mut words = vec!["commit", "-a", mail];
        let about = format!("made with password={}", secrets.word("image-comment"));
        words.extend(["-m", &about]);
        words.extend(instructions.iter().flat_map(|instruction| ["-c", instruction]));
        words.extend(["maker", MADE]);
        host.docker(&words);
        host.docker(&["rm", "maker"]);
        host.docker(&["push", "-q", MADE]);
    }

    fn containers(&self) {
        let (host, secrets) = (self.host, &self.secrets);
        let [sha, mail, version, path] = HARMLESS;
        let env = |key: &str, value: &str| format!("--env={key}={value}");
        let text = secrets.text("log");
        let health = format!("echo api_key={}; exit 1", secrets.word("health"));
        host.run_container(&[
            "--name=vault",
            "--volume=kept:/kept",
            "--stop-timeout=1",
            &env("DB_PASSWORD", &secrets.word("env-key")),
            &env("API_TOKEN", &secrets.word("env-token")),
            &env("UPSTREAM", &format!("postgres://app:{}@db/app", secrets.word("env-url"))),
            &env("CERTIFICATE", &secrets.private_key("env")),
            &env("GIT_SHA", sha),
            &env("DATA", path),
            &format!("--label=traefik.auth.token={}", secrets.word("label")),
            &format!("--label=route=http://me:{}@example.org", secrets.word("label-url")),
            &format!("--label=owner={mail}"),
            &format!("--label=version={version}"),
            &format!("--health-cmd={health}"),
            "--health-interval=1s",
            "--health-retries=1",
            &format!("--log-opt=tag=password={}", secrets.word("log-option")),
            MADE,
            "sh",
            "-c",
            "printf %s \"$0\"; printf %s \"$0\" >&2; exec sleep 1000",
            &text,
            "--password",
            &secrets.word("command-flag"),
            &format!("--token={}", secrets.word("command-joined")),
        ]);
        host.run_container(&[
            "--name=stacked",
            "--label=com.docker.compose.project=vault",
            "--label=com.docker.compose.service=app",
            &format!("--label=vault.auth.token={}", secrets.word("stack-label")),
            &env("DB_PASSWORD", &secrets.word("stack-env")),
            &env("GIT_SHA", sha),
            "--network=none",
            IMAGE,
            "sh",
            "-c",
            "printf %s \"$0\"; exec sleep 1000",
            &secrets.text("stacklog"),
        ]);
        let tick = format!("while true; do echo tick password={}; usleep 100000; done", secrets.word("tick"));
        host.run_container(&["--name=ticker", "--network=none", IMAGE, "sh", "-c", &tick]);
        let file = secrets.text("file");
        let script = "mkdir /etc/app && printf %s \"$1\" >/etc/app/app.conf";
        host.docker(&["exec", "vault", "sh", "-c", script, "sh", &file]);
        // the engine tells in its error what it was to start
        let nowhere = format!("TOKEN={}", secrets.word("state-error"));
        host.docker(&["create", "--name=broken", IMAGE, &nowhere]);
        host.try_docker(&["start", "broken"]).expect_err("there is no such program");
        for name in ["goner", "joined"] {
            let env = env("GONE_PASSWORD", &secrets.word(&format!("env-{name}")));
            host.docker(&["create", "--name", name, &env, IMAGE, "true"]);
        }
        wait_for("a health check has run", SOON, || {
            host.docker(&["inspect", "-f", "{{.State.Health.Status}}", "vault"]) == "unhealthy"
        });
    }

    fn stack(&self) {
        let secrets = &self.secrets;
        let [sha, mail, version, path] = HARMLESS;
        let compose = format!(
            "# by {mail}
services:
  app:
    image: registry.example.org/app:{version}
    command: [\"app\", \"--password\", \"{}\", \"--data\", \"{path}\"]
    environment:
      DB_PASSWORD: {}
      API_TOKEN: ${{API_TOKEN}}
      UPSTREAM: postgres://app:{}@db/app
      GIT_SHA: {sha}
      TLS_PRIVATE_KEY: |
        {}
    labels:
      - traefik.auth.token={}
    healthcheck:
      test: curl -u me:{} http://localhost/
  other:
    image: {IMAGE}
    environment:
      - \"OTHER_SECRET={}\"
volumes:
  share:
    driver_opts:
      type: cifs
      o: \"username=me,password={}\"
",
            secrets.word("compose-command"),
            secrets.word("compose-map"),
            secrets.word("compose-url"),
            secrets.private_key("compose").replace('\n', "\n        "),
            secrets.word("compose-label"),
            secrets.word("compose-health"),
            secrets.word("compose-list"),
            secrets.word("compose-volume"),
        );
        let env = format!(
            "API_TOKEN={}\nexport MYSQL_PASSWORD='{} two'\nGITHUB={}\nVERSION={version}\n",
            secrets.word("env-file-token"),
            secrets.word("env-file-quoted"),
            secrets.shape("ghp_", "envfile"),
        );
        self.host.exec(&["mkdir", "-p", STACK]);
        for (name, text) in [("compose.yml", &compose), (".env", &env)] {
            self.host.exec(&["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", text, &format!("{STACK}/{name}")]);
        }
    }

    /// What an image is built from: its builder repeats what it reads and what is said meanwhile.
    fn build(&self) {
        let dockerfile = format!(
            "FROM {IMAGE} AS whole\nARG API_TOKEN\nARG VERSION\nENV BUILD_PASSWORD={}\n\
             RUN echo told $API_TOKEN and $VERSION; echo password=$API_TOKEN; echo key=\"$API_TOKEN\"\n\
             FROM whole AS broken\nRUN echo $API_TOKEN >&2; exit 3\n",
            self.secrets.word("build-env")
        );
        self.host.exec(&["mkdir", "-p", BUILD]);
        let path = format!("{BUILD}/Dockerfile");
        self.host.exec(&["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", &dockerfile, &path]);
    }

    /// Calls that touch what was planted, or bring secrets themselves.
    #[expect(clippy::too_many_lines, reason = "a table with a row for every tool")]
    fn calls(&self, tool: &str, job: &str) -> Vec<Value> {
        let given = |place: &str| self.secrets.word(&format!("given-{place}"));
        let at = |more: Value| {
            let mut arguments = json!({"host": "h1"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            arguments
        };
        match tool {
            "host_list" => vec![json!({"probe": true})],
            "host_inspect" => {
                vec![at(json!({"sections": ["engine", "resources", "disk", "ports", "warnings"]}))]
            }
            "host_test" => vec![at(json!({}))],
            "host_add" => {
                let target = format!("ssh://ops:{}@{}", given("target"), self.spare.address());
                let about = format!("its password={}", given("description"));
                let spare = format!("ops@{}", self.spare.address());
                let bare = format!("ops:{}@{}", given("bare-target"), self.spare.address());
                vec![
                    json!({"name": "spare", "target": target}),
                    json!({"name": "spare", "target": bare}),
                    json!({"name": "spare", "target": spare, "description": about}),
                ]
            }
            "host_update" => vec![
                json!({"host": "h1", "description": format!("token={}", given("update"))}),
                json!({"host": "h1", "target": format!("ops:{}@nas", given("new-target"))}),
            ],
            "host_import" => vec![json!({"dry_run": true})],
            "host_remove" => vec![json!({"host": "spare"})],
            "container_list" => vec![json!({}), json!({"detail": "full"})],
            "container_inspect" => ["vault", "broken", "goner"]
                .map(|name| at(json!({"container": name, "sections": SECTIONS})))
                .to_vec(),
            "container_logs" => vec![
                at(json!({"container": "vault", "tail": 5000})),
                // the tail begins amid a private key
                at(json!({"container": "vault", "tail": 5})),
                at(json!({"container": "vault", "grep": "MIIE|ready"})),
                at(json!({"container": "vault", "level": "info"})),
                at(json!({"containers": ["vault", "ticker"], "tail": 30})),
                at(json!({"container": "ticker", "tail": 1, "follow": 2})),
            ],
            "container_exec" => vec![
                at(json!({"container": "vault", "command": ["cat", "/etc/app/app.conf"]})),
                at(json!({"container": "vault", "command": ["env"]})),
                at(
                    json!({"container": "vault", "command": ["cat /proc/1/cmdline >&2; exit 3"], "shell": true}),
                ),
                at(json!({"container": "vault", "command": ["sh", "-c", "echo it is $DEPLOY_TOKEN"],
                    "env": {"DEPLOY_TOKEN": given("exec-env")}})),
                at(json!({"container": "vault", "command": ["app", "--password", given("exec-flag")]})),
                at(json!({"container": "vault", "command": [format!("TOKEN={}", given("exec-program"))]})),
            ],
            "container_file_read" => vec![
                at(json!({"container": "vault", "path": "/etc/app/app.conf"})),
                // parts that begin and end amid secrets
                at(json!({"container": "vault", "path": "/etc/app/app.conf", "offset": 150, "limit": 200})),
                at(json!({"container": "vault", "path": "/etc/app/app.conf", "offset": 600, "limit": 60})),
                at(json!({"container": "vault", "path": "/etc/app"})),
                at(
                    json!({"container": "vault", "path": format!("/nowhere/password={}", given("read-path"))}),
                ),
            ],
            "container_file_write" => {
                let content =
                    format!("password: {}\n{}\n", given("write"), self.secrets.private_key("write"));
                let odd = format!("/tmp/password={}", given("write-path"));
                vec![
                    at(json!({"container": "vault", "path": "/etc/app/written", "content": content})),
                    at(json!({"container": "vault", "path": odd, "content": "x"})),
                ]
            }
            "container_start" => vec![at(json!({"containers": ["broken", "goner"]}))],
            "container_stop" => vec![at(json!({"containers": ["ticker"], "timeout": 1}))],
            "container_restart" => vec![at(json!({"containers": ["vault", "broken"], "timeout": 1}))],
            "container_remove" => vec![at(json!({"containers": ["goner"], "force": true}))],
            "container_recreate" => vec![
                at(json!({"container": "vault", "dry_run": true})),
                at(json!({"container": "vault", "wait_healthy": 2})),
                at(json!({"container": "broken", "image": MADE})),
            ],
            "container_run" => {
                let secret = |place: &str| json!({"ADMIN_PASSWORD": given(place), "VERSION": HARMLESS[2]});
                vec![
                    at(
                        json!({"image": IMAGE, "name": "fine", "command": ["app-token", "--secret", given("run-flag")],
                        "env": secret("run-env"), "labels": {"auth.token": given("run-label")}}),
                    ),
                    at(
                        json!({"image": IMAGE, "name": "bad", "command": [format!("TOKEN={}", given("run-program"))],
                        "env": secret("run-bad-env")}),
                    ),
                    at(
                        json!({"image": IMAGE, "name": "worse", "networks": [format!("token={}", given("run-net"))],
                        "env": secret("run-worse-env")}),
                    ),
                    at(
                        json!({"image": IMAGE, "name": "mad", "restart": format!("password={}", given("run-restart"))}),
                    ),
                    at(json!({"image": format!("https://me:{}@127.0.0.1:5000/x", given("run-image"))})),
                    at(
                        json!({"image": IMAGE, "volumes": [format!("/x:/y:password={}", given("run-volume"))]}),
                    ),
                ]
            }
            "container_update" => vec![
                at(json!({"container": "joined", "rename": "joined-again"})),
                at(json!({"container": "joined", "memory": format!("password={}", given("update-memory"))})),
            ],
            "image_list" | "stack_list" | "network_list" | "volume_list" | "disk_usage" | "image_updates"
            | "port_list" | "container_stats" => vec![json!({})],
            "image_inspect" => ["made:3", MADE]
                .map(|image| at(json!({"image": image, "sections": ["summary", "config", "history"]})))
                .to_vec(),
            "image_build" => {
                let build = |stage: &str, tag: &str, place: &str| {
                    at(json!({"context": BUILD, "tags": [tag], "target": stage,
                        "args": {"API_TOKEN": given(place), "VERSION": HARMLESS[2]}}))
                };
                vec![
                    build("whole", "made:3", "build-arg"),
                    build("broken", "made:4", "build-broken"),
                    at(
                        json!({"context": format!("https://me:{}@127.0.0.1/x.git", given("build-context")), "tags": ["made:4"]}),
                    ),
                    at(
                        json!({"context": format!("https://{}@127.0.0.1/x.git", given("build-login")), "tags": ["made:4"]}),
                    ),
                    at(
                        json!({"context": BUILD, "tags": ["made:4"], "dockerfile": format!("password={}", given("build-file"))}),
                    ),
                    at(
                        json!({"context": BUILD, "tags": ["made:4"], "target": format!("password={}", given("build-stage"))}),
                    ),
                    at(
                        json!({"context": BUILD, "tags": ["made:4"], "args": {format!("password={}", given("build-name")): "x"}}),
                    ),
                ]
            }
            "image_copy" => vec![
                at(json!({"image": MADE, "to": ["spare"]})),
                at(
                    json!({"image": format!("https://me:{}@127.0.0.1:5000/x", given("copy-image")), "to": ["spare"]}),
                ),
                at(json!({"image": MADE, "to": [format!("password={}", given("copy-to"))]})),
            ],
            "image_pull" => vec![
                json!({"hosts": "h1", "image": MADE}),
                json!({"hosts": "h1", "image": format!("https://me:{}@127.0.0.1:5000/x", given("pull"))}),
                json!({"hosts": "h1", "image": "127.0.0.1:5000/none:1"}),
            ],
            "image_tag" => vec![at(json!({"image": MADE, "tag": "made:2"}))],
            "image_push" => vec![at(json!({"image": MADE}))],
            "image_remove" => vec![at(json!({"images": ["made:2"]}))],
            "event_query" => vec![json!({}), json!({"types": ["container"], "limit": 500})],
            "fleet_search" => vec![
                json!({"query": "vault"}),
                json!({"query": "label=traefik.auth.token"}),
                json!({"query": "label=deploy.token"}),
                json!({"query": "*token*"}),
                json!({"query": "sesame"}),
                json!({"query": "sesame-*"}),
                json!({"query": "route"}),
            ],
            "fleet_status" => vec![json!({"min_severity": "info"})],
            "stack_file_read" => {
                let of = |file: &str| at(json!({"stack": "vault", "file": file}));
                vec![of("compose"), of("env"), of("rendered")]
            }
            "stack_inspect" => {
                let sections = json!(["services", "config", "env", "networks", "volumes"]);
                vec![at(json!({"stack": "vault", "sections": sections}))]
            }
            "stack_logs" => vec![
                at(json!({"stack": "vault", "tail": 5000})),
                at(json!({"stack": "vault", "tail": 5})),
                at(json!({"stack": "vault", "grep": "MIIE|ready"})),
            ],
            "docker_hosts" => {
                let add = |user: &str, about: &str| json!({"action": "add", "host_id": "old", "ssh_host": self.spare.address(), "ssh_user": user, "description": about});
                vec![
                    json!({}),
                    add(&format!("ops:{}", given("old-user")), "x"),
                    json!({"action": "edit", "host_id": "h1", "description": format!("token={}", given("old-description"))}),
                ]
            }
            "docker_container" => ["info", "logs"]
                .map(|action| json!({"action": action, "host_id": "h1", "container_id": "vault"}))
                .to_vec(),
            "docker_compose" => ["view", "logs"]
                .map(|action| json!({"action": action, "host_id": "h1", "stack_name": "vault"}))
                .to_vec(),
            "volume_create" => vec![
                at(json!({"name": "mine", "labels": {"backup.password": given("volume-label")},
                    "options": {"type": "cifs", "device": "//nas/mine", "o": format!("password={}", given("volume-option"))}})),
                at(json!({"name": "odd", "options": {"password": given("volume-key")}})),
                at(json!({"name": "odder", "driver": format!("token={}", given("volume-driver"))})),
            ],
            "volume_copy" => vec![
                at(json!({"volume": "kept", "to_host": "h1", "to_volume": "copied"})),
                // it cannot be mounted, and the engine tells by which options
                at(json!({"volume": "share", "to_host": "h1", "to_volume": "copied-share"})),
                // one that may lie elsewhere is left alone
                at(json!({"volume": "kept", "to_host": "h1", "to_volume": "share", "overwrite": true})),
                at(
                    json!({"volume": format!("password={}", given("copy-volume")), "to_host": "h1", "to_volume": "copied"}),
                ),
            ],
            "volume_remove" => vec![at(json!({"volumes": ["share", "mine", "nobody"]}))],
            "network_create" => vec![
                at(json!({"name": "mine", "labels": {"vpn.secret": given("network-label")}})),
                at(json!({"name": "odd", "driver": format!("token={}", given("network-driver"))})),
            ],
            "network_connect" => vec![
                at(json!({"container": "vault", "network": "back"})),
                at(
                    json!({"container": "vault", "network": "back", "aliases": [format!("password={}", given("alias"))]}),
                ),
            ],
            "network_disconnect" => vec![at(json!({"container": "vault", "network": "back"}))],
            "network_remove" => vec![at(json!({"networks": ["back", "mine"]}))],
            "prune" => {
                vec![at(json!({"what": ["containers", "networks", "volumes", "images", "build_cache"]}))]
            }
            "rollout" => {
                let over =
                    |selector: String| json!({"operation": "restart", "selector": selector, "hosts": "h1"});
                let odd = format!("{{vault,password={}}}", given("selector"));
                vec![over("vault".to_owned()), over(odd), over(format!("[password={}", given("glob")))]
            }
            "job_list" => vec![json!({"state": "all"})],
            "job_get" => vec![json!({"job": job, "wait": 5})],
            "job_cancel" => vec![json!({"job": job})],
            other => panic!("{other} has no call here: what it can show of a secret is not known"),
        }
    }
}

const SECTIONS: [&str; 9] =
    ["summary", "config", "env", "mounts", "networks", "health", "limits", "processes", "changes"];

/// What of a tool's answers tells that it came by the planted things, and that harmless ones are shown.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "container_inspect",
        &[
            "DB_PASSWORD=***",
            "UPSTREAM=postgres://app:***@db/app",
            "api_key=***",
            "\"traefik.auth.token\":\"***\"",
            "\"--password\",\"***\"",
            "\"owner\":\"admin@example.org\"",
            "\"version\":\"v1.27.3-alpine\"",
            "GIT_SHA=9fceb02d0ae598e95dc970b74767f19372d61af8",
            "DATA=/var/lib/app/token_store/data.db",
            "TOKEN=***",
        ],
    ),
    (
        "container_logs",
        &[
            "started v1.27.3-alpine from 9fceb02d0ae598e95dc970b74767f19372d61af8, ask admin@example.org, data in /var/lib/app/token_store/data.db",
            "password=*** user=bob",
            "tick password=***",
            "got *** for it",
            "ready",
        ],
    ),
    ("container_exec", &["it is ***", "DB_PASSWORD=***", "ask admin@example.org", "exit code: 3"]),
    (
        "container_file_read",
        &["cloned with *** today", "ask admin@example.org, data in /var/lib/app/token_store/data.db"],
    ),
    (
        "image_inspect",
        &[
            "IMAGE_PASSWORD=***",
            "VERSION=v1.27.3-alpine",
            "\"deploy.token\":\"***\"",
            "\"author\":\"admin@example.org\"",
        ],
    ),
    (
        "stack_file_read",
        &[
            "DB_PASSWORD: ***",
            "API_TOKEN=***",
            "GIT_SHA: 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "app:v1.27.3-alpine",
            "# by admin@example.org",
            "VERSION=v1.27.3-alpine",
        ],
    ),
    (
        "stack_inspect",
        &["DB_PASSWORD=***", "GIT_SHA=9fceb02d0ae598e95dc970b74767f19372d61af8", "\"services\""],
    ),
    ("stack_logs", &["password=*** user=bob", "got *** for it", "ready"]),
    ("docker_container", &["password=*** user=bob", "\"name\":\"vault\""]),
    ("docker_compose", &["password=*** user=bob"]),
    ("event_query", &["api_key=***"]),
    ("container_run", &["TOKEN=***"]),
    ("fleet_search", &["traefik.auth.token", "vault"]),
    (
        "image_build",
        &["told *** and v1.27.3-alpine", "ENV BUILD_PASSWORD=***", "\"state\":\"done\"", "non-zero code: 3"],
    ),
    ("image_copy", &["\"state\":\"done\""]),
    ("volume_copy", &["\"state\":\"done\"", "may lie elsewhere"]),
    ("volume_create", &["\"state\":\"done\""]),
    ("network_create", &["\"state\":\"done\""]),
    ("container_recreate", &["\"state\":\"planned\""]),
    ("rollout", &["\"state\":\"planned\"", "vault"]),
];

/// All that came, by the tool that it came of.
struct Heard<'a> {
    secrets: &'a Secrets,
    leaks: Vec<String>,
}

impl Heard<'_> {
    fn check(&mut self, origin: &str, text: &str) {
        for secret in self.secrets.within(text) {
            let at = text.find(&secret).unwrap_or_default();
            let start = text[..at].char_indices().rev().nth(60).map_or(0, |(at, _)| at);
            let around: String = text[start..].chars().take(60 + secret.len() + 30).collect();
            self.leaks.push(format!("{origin}: {secret} in {around:?}"));
        }
    }

    /// Every file below a directory, as bytes.
    fn check_files(&mut self, directory: &Path) -> usize {
        let mut count = 0;
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                count += self.check_files(&path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                count += 1;
                let found = self.secrets.within_bytes(&bytes);
                self.leaks.extend(found.iter().map(|secret| format!("{}: {secret}", path.display())));
            }
        }
        count
    }
}

async fn no_tool_shows_a_planted_secret_and_nothing_kept_has_one(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.registry(true);
    let planted = Planted::on(host, fleet.host("h2"));
    let config = ServiceConfig::none(fleet).with(host, &[]).variable("DOCKMASTER_LOG_LEVEL", "DEBUG");
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let mut heard = Heard { secrets: &planted.secrets, leaks: vec![] };
    let mut unseen: Vec<String> = vec![];
    let tools = service.client().tools().await;
    let is_read = |tool: &Value| tool["annotations"]["readOnlyHint"] == true;
    let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
    // what can be read is read before and after all that changes it
    let (reading, changing): (Vec<&Value>, Vec<&Value>) = tools.iter().partition(|tool| is_read(tool));
    let adding = |tool: &&Value| tool["annotations"]["destructiveHint"] == false;
    let (adding, taking): (Vec<&Value>, Vec<&Value>) = changing.into_iter().partition(adding);
    let create = json!({"host": "h1", "name": "first"});
    let job = service.structured("volume_create", create).await["job"].as_str().expect("a job").to_owned();
    let mut progress = 0;
    for (round, tool) in [&adding, &reading, &taking].into_iter().flatten().enumerate() {
        let tool = name(tool);
        let (mut all, mut worked) = (String::new(), false);
        for arguments in planted.calls(&tool, &job) {
            let (answer, mut told) = service.client().overheard(&tool, arguments.clone()).await;
            worked |= answer["result"]["isError"] == false;
            // where a person has to agree, one does
            let plan = &answer["result"]["structuredContent"]["confirm"];
            if plan.is_string() && arguments.get("dry_run").is_none() {
                let mut agreed = arguments.clone();
                agreed["confirm"] = plan.clone();
                told += &service.client().overheard(&tool, agreed).await.1;
            }
            progress += told.matches("notifications/progress").count();
            heard.check(&format!("{round} {tool}"), &told);
            all += &told;
        }
        // a call that is refused for its arguments touches nothing
        if !worked {
            unseen.push(format!("{tool} does nothing: {all}"));
        }
        let shown = SHOWN.iter().find(|(of, _)| *of == tool).map_or(&[][..], |(_, shown)| shown);
        // a text may stand in the answer as JSON within JSON
        let plain = all.replace("\\\"", "\"");
        unseen.extend(
            shown.iter().filter(|text| !plain.contains(**text)).map(|text| format!("{tool}: {text}")),
        );
    }
    assert!(progress > 5, "{progress} notes of progress");
    for tool in reading.into_iter().map(name) {
        for arguments in [json!({}), json!({"state": "all"}), json!({"host": "h1", "container": "vault"})] {
            heard.check(&format!("after {tool}"), &service.client().overheard(&tool, arguments).await.1);
        }
    }
    let listed = service.structured("job_list", json!({"state": "all", "limit": 200})).await;
    let jobs = listed["jobs"].as_array().expect("jobs").clone();
    assert!(jobs.len() > 15, "{listed}");
    for job in &jobs {
        let job = job["job"].as_str().expect("a job");
        heard.check("job_get", &service.client().overheard("job_get", json!({"job": job})).await.1);
    }
    let home = service.home();
    let ended = |args: &[&str]| home.run(&home.hosts_file(), args);
    let any = jobs.iter().find(|job| job["tool"] != "rollout").expect("one on record");
    let any = any["job"].as_str().expect("a job");
    for args in [
        &["audit", "--json", "--limit", "500"][..],
        &["audit", "--limit", "500"],
        &["ops", "list"],
        &["ops", "export"],
        &["ops", "show", any, "--json"],
        &["ops", "phases"],
        &["tool", "call", "container_logs", "{\"host\":\"h1\",\"container\":\"vault\"}"],
    ] {
        let ran = ended(args);
        assert!(ran.status.success() && ran.stdout.len() > 20, "{args:?}: {ran:?}");
        heard.check(&args.join(" "), &(ran.stdout + &ran.stderr));
    }
    let uri = "dockmaster://audit";
    let read = service.client().request("resources/read", Some(uri), json!({"uri": uri})).await;
    assert!(read["result"]["contents"][0]["text"].as_str().is_some_and(|text| text.len() > 1000), "{read}");
    heard.check(uri, &read.to_string());
    let audit = ended(&["audit", "--json", "--limit", "500"]).stdout;
    for shown in ["ADMIN_PASSWORD", HARMLESS[2], "container_exec", "\"--password\",\"***\""] {
        assert!(audit.contains(shown), "{shown} is not on the audit: {audit}");
    }
    let state = home.path().join("data");
    assert!(heard.check_files(&state) >= 3, "the journal, its log and the token");
    heard.check_files(&home.runtime_dir());
    host.kill_engine();
    wait_for("the end of the engine's events is in the log, as a fault is looked for", SOON, || {
        service.log().iter().any(|line| line.contains("\"DEBUG\""))
    });
    heard.check("log", &service.log().join("\n"));
    host.start_engine();
    let (_, home) = service.stop();
    heard.check_files(&home.path().join("data"));
    assert!(heard.leaks.is_empty(), "{} leaks: {:#?}", heard.leaks.len(), heard.leaks);
    assert!(unseen.is_empty(), "not shown although harmless, or never touched: {unseen:#?}");
}
