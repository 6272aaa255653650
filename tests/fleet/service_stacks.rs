//! Compose stacks on real hosts: where their files are found, and what is never read.

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        stacks_are_listed_as_compose_made_them,
        a_configured_directory_is_read_by_the_four_names_in_order,
        labels_lead_to_files_anywhere_in_their_order,
        common_directories_are_searched_and_ambiguity_is_told,
        an_image_cannot_name_a_file_to_read,
        a_link_does_not_lead_out_of_compose_files,
        secrets_of_a_stack_are_not_shown,
        names_that_leave_their_folder_are_refused,
        what_a_command_prints_arrives_whole,
    ]
}

/// Stacks brought up with real compose; gone with this, their directories too.
pub struct Stacks<'a> {
    pub host: &'a Host,
    up: Vec<String>,
    dirs: Vec<String>,
}

impl<'a> Stacks<'a> {
    pub fn on(host: &'a Host) -> Self {
        Self { host, up: Vec::new(), dirs: Vec::new() }
    }

    /// Writes a file, in a directory that goes with this.
    pub fn write(&mut self, dir: &str, name: &str, text: &str) -> String {
        let path = format!("{dir}/{name}");
        self.host.exec(&["mkdir", "-p", dir]);
        // never through a link that a trial that was cut off has left
        let script = "rm -f -- \"$2\" && printf %s \"$1\" >\"$2\"";
        self.host.exec(&["sh", "-c", script, "sh", text, &path]);
        self.dirs.push(dir.to_owned());
        path
    }

    /// `docker compose up -d` with these files.
    pub fn up(&mut self, project: &str, files: &[&str]) {
        let mut words = vec!["docker", "compose", "-p", project];
        words.extend(files.iter().flat_map(|file| ["-f", file]));
        words.extend(["up", "-d"]);
        self.up.push(project.to_owned());
        self.host.exec(&words);
    }
}

impl Drop for Stacks<'_> {
    fn drop(&mut self) {
        // by name alone: a trial may have made its files unreadable
        for project in &self.up {
            self.host.clean_up(&["docker", "compose", "-p", project, "down", "-t", "0"]);
        }
        for dir in &self.dirs {
            self.host.clean_up(&["rm", "-rf", "--", dir]);
        }
    }
}

pub fn services(names: &[&str]) -> String {
    let each = |name: &&str| {
        format!("  {name}:\n    image: {IMAGE}\n    command: sleep 1000\n    network_mode: none\n")
    };
    format!("services:\n{}", names.iter().map(each).collect::<String>())
}

pub async fn start(fleet: &Fleet, more: &[&str]) -> Service {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), more));
    service.wait_ready(&["h1"]).await;
    service
}

async fn read(service: &Service, stack: &str) -> String {
    service.text("stack_file_read", json!({"host": "h1", "stack": stack})).await
}

async fn stacks_are_listed_as_compose_made_them(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let web = stacks.write("/opt/stacks/web", "compose.yml", &services(&["app", "db"]));
    let half = stacks.write("/opt/stacks/half", "compose.yml", &services(&["one", "two"]));
    stacks.up("web", &[&web]);
    stacks.up("half", &[&half]);
    stacks.host.exec(&["docker", "kill", "half-two-1"]);
    let service = start(fleet, &[]).await;
    let listed = service.structured("stack_list", json!({})).await;
    assert_eq!(
        listed["stacks"],
        json!([
            {"host": "h1", "name": "half", "status": "partial", "services": ["one", "two"],
             "running": 1, "containers": 2, "files": [half]},
            {"host": "h1", "name": "web", "status": "running", "services": ["app", "db"],
             "running": 2, "containers": 2, "files": [web]},
        ]),
        "{listed}"
    );
    assert_eq!((&listed["total"], &listed["errors"]), (&json!(2), &json!([])), "{listed}");
    let listed = service.structured("stack_list", json!({"match": "w*"})).await;
    assert_eq!((&listed["total"], &listed["stacks"][0]["name"]), (&json!(1), &json!("web")), "{listed}");
    let page = service.structured("stack_list", json!({"limit": 1})).await;
    let next = service.structured("stack_list", json!({"limit": 1, "cursor": page["next_cursor"]})).await;
    assert_eq!((&page["stacks"][0]["name"], &next["stacks"][0]["name"]), (&json!("half"), &json!("web")));
    assert_eq!(next["next_cursor"], Value::Null, "{next}");
}

async fn a_configured_directory_is_read_by_the_four_names_in_order(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let dir = "/data/my stacks/web";
    stacks.dirs.push("/data".to_owned());
    let service = start(fleet, &["compose_path: /data/my stacks"]).await;
    let nothing = service.refusal("stack_file_read", json!({"host": "h1", "stack": "web"})).await;
    assert!(nothing.starts_with("not_found: h1: ") && nothing.contains(dir), "{nothing}");
    // from the last choice to the first: each one added takes the place of the one before
    for name in ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"] {
        let path = stacks.write(dir, name, &services(&[&name.replace('.', "-")]));
        let text = read(&service, "web").await;
        assert!(text.contains(&format!("# {path}\n")), "{text}");
        assert!(text.contains(&services(&[&name.replace('.', "-")])), "{text}");
        assert_eq!(text.matches("image:").count(), 1, "{text}");
        let digest = stacks.host.exec(&["sha256sum", &path]);
        assert!(text.contains(digest.split(' ').next().unwrap()), "{digest}: {text}");
    }
    // what the configuration says comes before what containers say, which is told beside it
    let elsewhere = stacks.write("/data/elsewhere", "other.yml", &services(&["other"]));
    stacks.up("web", &[&elsewhere]);
    let text = read(&service, "web").await;
    assert!(text.contains(&format!("# {dir}/docker-compose.yml\n")) && text.contains(&elsewhere), "{text}");
    assert!(!text.contains("  other:"), "{text}");
}

async fn labels_lead_to_files_anywhere_in_their_order(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let alone = stacks.write("/data/odd place", "my stack.yaml", &services(&["alone"]));
    let base = stacks.write("/data/many", "z-base.yml", &services(&["app", "db"]));
    let over =
        stacks.write("/data/many/over", "a-over.yml", "services:\n  app:\n    stop_grace_period: 1s\n");
    stacks.up("alone", &[&alone]);
    stacks.up("many", &[&base, &over]);
    let service = start(fleet, &[]).await;
    let text = read(&service, "alone").await;
    assert!(text.contains(&format!("# {alone}\n{}", services(&["alone"]))), "{text}");
    let text = read(&service, "many").await;
    let at = |path: &str| text.find(&format!("# {path}\n")).unwrap_or_else(|| panic!("{path}: {text}"));
    assert!(at(&base) < at(&over), "in compose's order and not in that of their names: {text}");
    let rendered =
        service.text("stack_file_read", json!({"host": "h1", "stack": "many", "file": "rendered"})).await;
    assert!(rendered.contains("stop_grace_period: 1s") && rendered.contains("name: many"), "{rendered}");
    // the file is gone and nobody else has it
    stacks.host.exec(&["mv", &alone, &format!("{alone}.away")]);
    let gone = service.refusal("stack_file_read", json!({"host": "h1", "stack": "alone"})).await;
    assert!(gone.starts_with("not_found: h1: ") && gone.contains(&alone), "{gone}");
    assert!(gone.contains("compose_path"), "it says what to do: {gone}");
    stacks.host.exec(&["mv", &format!("{alone}.away"), &alone]);
}

async fn common_directories_are_searched_and_ambiguity_is_told(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let only = stacks.write("/opt/stacks/quiet", "compose.yml", &services(&["quiet"]));
    let service = start(fleet, &[]).await;
    // never started
    assert!(read(&service, "quiet").await.contains(&format!("# {only}\n")));
    // a second one appears
    let other = stacks.write("/srv/quiet", "docker-compose.yml", &services(&["loud"]));
    let text = service.refusal("stack_file_read", json!({"host": "h1", "stack": "quiet"})).await;
    assert!(text.starts_with("ambiguous: h1: "), "{text}");
    for part in [only.as_str(), &other, "compose_path"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // the same file by two ways is one file
    stacks.host.exec(&["rm", "-rf", "/srv/quiet"]);
    stacks.host.exec(&["ln", "-s", "/opt/stacks/quiet", "/srv/quiet"]);
    assert!(read(&service, "quiet").await.contains(&format!("# {only}\n")));
    // containers made from two different files
    let again = stacks.write("/data/again", "compose.yml", &services(&["more"]));
    stacks.up("quiet", &[&only]);
    stacks.up("quiet", &[&again]);
    let text = service.refusal("stack_file_read", json!({"host": "h1", "stack": "quiet"})).await;
    assert!(text.starts_with("ambiguous: ") && text.contains(&only) && text.contains(&again), "{text}");
    let listed = service.structured("stack_list", json!({"match": "quiet"})).await;
    assert_eq!(listed["stacks"][0]["ambiguous"], true, "{listed}");
}

/// Asks for every file of a stack every way there is, and gives all that came back.
async fn everything_about(service: &Service, stack: &str) -> String {
    let mut all = String::new();
    for file in ["compose", "env", "rendered"] {
        let answer =
            service.call("stack_file_read", json!({"host": "h1", "stack": stack, "file": file})).await;
        assert!(answer.is_error, "{file}: {}", answer.text);
        all.push_str(&answer.everything());
    }
    for tool in ["stack_inspect", "stack_logs"] {
        all.push_str(&service.call(tool, json!({"host": "h1", "stack": stack})).await.everything());
    }
    all.push_str(&service.call("stack_list", json!({})).await.everything());
    all.push_str(&service.log().join("\n"));
    all
}

fn assert_nothing_of_shadow(host: &Host, output: &str) {
    let shadow = host.exec(&["cat", "/etc/shadow"]);
    assert!(shadow.contains("ops:*:"), "there is something to read");
    for line in shadow.lines() {
        assert!(!output.contains(line), "{line} is in {output}");
    }
}

async fn an_image_cannot_name_a_file_to_read(fleet: &Fleet) {
    let host = fleet.host("h1");
    let readable = "/data/bait/secret.yml";
    let mut stacks = Stacks::on(host);
    stacks.write("/data/bait", "secret.yml", "services: {}\nx-bait: never-to-be-seen\n");
    for (image, file) in [("fleet/evil:1", "/etc/shadow"), ("fleet/evil:2", readable)] {
        let labels = [
            "LABEL com.docker.compose.project=evil".to_owned(),
            format!("LABEL com.docker.compose.project.config_files={file}"),
            "LABEL com.docker.compose.project.working_dir=/data/bait".to_owned(),
            "LABEL com.docker.compose.service=evil".to_owned(),
        ];
        let changes: Vec<&str> = labels.iter().flat_map(|label| ["--change", label]).collect();
        let container = host.docker(&["create", IMAGE, "sleep", "1000"]);
        host.docker(&[&["commit"], changes.as_slice(), &[&container, image]].concat());
        host.docker(&["rm", &container]);
        host.run_container(&["--network", "none", image, "sleep", "1000"]);
    }
    let service = start(fleet, &[]).await;
    let output = everything_about(&service, "evil").await;
    assert_nothing_of_shadow(host, &output);
    assert!(!output.contains("never-to-be-seen"), "{output}");
    let listed = service.structured("stack_list", json!({})).await;
    assert_eq!(listed["stacks"], json!([]), "a stack that only its image claims is none: {listed}");
    // a container's own label is heeded, and is still no way to any file
    host.run_container(&[
        "--network",
        "none",
        "--label",
        "com.docker.compose.project=own",
        "--label",
        "com.docker.compose.project.config_files=/etc/shadow",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let output = everything_about(&service, "own").await;
    assert_nothing_of_shadow(host, &output);
    assert!(output.contains("conflict: h1: /etc/shadow is not read"), "{output}");
}

/// The service logs in as root here: nothing on the host would keep it from the file.
async fn a_link_does_not_lead_out_of_compose_files(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut stacks = Stacks::on(host);
    let real = stacks.write("/opt/stacks/sly", "compose.yml", &services(&["sly"]));
    stacks.up("sly", &[&real]);
    stacks.write("/opt/stacks/env", "compose.yml", &services(&["env"]));
    let service = Service::start(
        &ServiceConfig::none(fleet).entry("h1", &[&format!("hostname: {}", host.address()), "user: root"]),
    );
    service.wait_ready(&["h1"]).await;
    assert!(read(&service, "sly").await.contains(&real));
    // now both the label's file and the common directory's are a link
    host.exec(&["mv", &real, "/opt/stacks/sly/kept"]);
    host.exec(&["ln", "-s", "/etc/shadow", &real]);
    let output = everything_about(&service, "sly").await;
    assert_nothing_of_shadow(host, &output);
    assert!(output.contains("conflict: h1: /etc/shadow is not read"), "{output}");
    // the same behind a name that passes: what is inside decides
    host.exec(&["cp", "/etc/shadow", "/opt/stacks/env/shadow.yml"]);
    host.exec(&["ln", "-sf", "/opt/stacks/env/shadow.yml", &real]);
    let output = everything_about(&service, "sly").await;
    assert_nothing_of_shadow(host, &output);
    assert!(output.contains("no top-level `services`"), "{output}");
    // and the env file
    host.exec(&["ln", "-s", "/etc/shadow", "/opt/stacks/env/.env"]);
    let text = service.refusal("stack_file_read", json!({"host": "h1", "stack": "env", "file": "env"})).await;
    assert_nothing_of_shadow(host, &text);
    // what is no file is not read either
    host.exec(&["mkfifo", "/opt/stacks/env/pipe"]);
    host.exec(&["ln", "-sf", "/opt/stacks/env/pipe", &real]);
    let text = service.refusal("stack_file_read", json!({"host": "h1", "stack": "sly"})).await;
    assert!(text.starts_with("not_found: "), "{text}");
}

async fn secrets_of_a_stack_are_not_shown(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let compose = format!(
        "services:\n  app:\n    image: {IMAGE}\n    environment:\n      DB_PASSWORD: hunter-one\n      API_TOKEN: ${{API_TOKEN}}\n      LEVEL: ${{LEVEL}}\n      DSN: postgres://app:hunter-two@db/app\n"
    );
    stacks.write("/opt/stacks/shop", "compose.yml", &compose);
    stacks.write(
        "/opt/stacks/shop",
        ".env",
        "LEVEL=debug\nAPI_TOKEN=hunter-three\nexport MYSQL_PASSWORD='hunter four'\n",
    );
    let service = start(fleet, &[]).await;
    let mut all = String::new();
    for (file, kept) in [
        ("compose", &["API_TOKEN: ${API_TOKEN}", "DB_PASSWORD: ***", "postgres://app:***@db/app"][..]),
        ("env", &["LEVEL=debug", "API_TOKEN=***", "MYSQL_PASSWORD='***'"]),
        ("rendered", &["LEVEL: debug", "API_TOKEN: ***", "DB_PASSWORD: ***", "name: shop"]),
    ] {
        let text =
            service.text("stack_file_read", json!({"host": "h1", "stack": "shop", "file": file})).await;
        for part in kept {
            assert!(text.contains(part), "{file}: {part}: {text}");
        }
        assert!(!text.contains("hunter"), "{file}: {text}");
        all.push_str(&text);
    }
    assert!(all.contains("/opt/stacks/shop/.env"), "{all}");
    assert!(!service.log().join("\n").contains("hunter"));
}

async fn names_that_leave_their_folder_are_refused(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    stacks.write("/opt/x", "compose.yml", &services(&["bait"]));
    let recorder = fleet.host("h1").record_engine();
    let service = start(fleet, &["compose_path: /opt/stacks"]).await;
    recorder.clear();
    for name in
        ["../x", "a b", "-h", "--help", "", ".", "..", "x/../x", "/opt/x", "X", "x;id", "$(id)", "x\ny", "~"]
    {
        for file in ["compose", "env", "rendered"] {
            let text =
                service.refusal("stack_file_read", json!({"host": "h1", "stack": name, "file": file})).await;
            assert!(text.starts_with("invalid_arguments: "), "{name:?}: {text}");
            assert!(text.contains("lower-case letters"), "it says what is allowed: {text}");
        }
    }
    assert_eq!(recorder.requests(), [], "nobody is asked about such a name");
}

/// A command may have ended before all it printed has arrived.
async fn what_a_command_prints_arrives_whole(fleet: &Fleet) {
    let mut stacks = Stacks::on(fleet.host("h1"));
    let file = stacks.write("/opt/stacks/large", "compose.yml", &services(&["app"]));
    let script = "yes '# what somebody wrote down about this stack' | head -c 900000 >>\"$1\"";
    stacks.host.exec(&["sh", "-c", script, "sh", &file]);
    let sum = stacks.host.exec(&["sha256sum", &file]);
    let sum = sum.split(' ').next().unwrap();
    let service = start(fleet, &[]).await;
    for _ in 0..20 {
        let text = read(&service, "large").await;
        let footer = text.rsplit("--\n").next().unwrap();
        assert!(footer.contains(sum), "{sum} is not the sum of what arrived: {footer}");
    }
}
