//! What the tools answer about images, volumes, networks and the disk, against engines that know better.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::host::Engine;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

pub fn trials() -> Vec<Trial> {
    trials![
        what_images_free_is_what_they_alone_have => 180,
        images_are_listed_with_their_users,
        an_image_shows_all_but_secrets,
        volumes_are_listed_with_their_users_and_sizes,
        sizes_of_volumes_are_asked_for_only_where_they_are_shown,
        networks_are_listed_with_what_is_attached,
        the_use_of_the_disk_is_what_the_engine_says,
        what_hosts_keep_is_paged_over_all_of_them,
        arguments_that_make_no_sense_reach_no_engine,
        podman_answers_the_same_questions,
        docker_26_answers_the_same_questions,
    ]
}

async fn start(fleet: &Fleet) -> Service {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    service.wait_ready(&["h1"]).await;
    service
}

/// The row of `list` whose `key` is this, or has it.
fn row<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let is_it = |row: &&Value| {
        let values = row[key].as_array();
        values.map_or(row[key] == value, |values| values.iter().any(|one| one == value))
    };
    let found = list.as_array().and_then(|rows| rows.iter().find(is_it));
    found.unwrap_or_else(|| panic!("no {key} {value} in {list:#}"))
}

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Pairs that the engine's own client writes on lines.
fn pairs(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(' ')).collect()
}

async fn images_are_listed_with_their_users(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name=user", "--network=none", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name=over", "--network=none", IMAGE, "true"]);
    // one image with two names, another that nothing uses, and one that lost its name
    host.docker(&["tag", IMAGE, "example.net:5000/team/app:1"]);
    host.docker(&["commit", "-m", "spare", "over", "spare:2"]);
    let lost = host.docker(&["commit", "-m", "lost", "over"]);
    let service = start(fleet).await;
    let all = service.structured("image_list", json!({})).await;
    let of_engine = host.docker(&["images", "--no-trunc", "-q"]);
    let ids: BTreeSet<&str> = of_engine.lines().map(|id| &id["sha256:".len()..][..12]).collect();
    let told: Vec<&str> =
        all["images"].as_array().unwrap().iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), ids);
    assert_eq!((told.len(), &all["total"]), (ids.len(), &json!(ids.len())), "{all:#}");
    let app = row(&all["images"], "tags", "example.net:5000/team/app:1");
    assert!(words(&app["tags"]).contains(IMAGE), "{app:#}");
    assert_eq!(words(&app["used_by"]), ["over", "user"].into());
    let size = host.docker(&["image", "inspect", "-f", "{{.Size}}", IMAGE]);
    assert_eq!((&app["host"], app["size"].to_string()), (&json!("h1"), size));
    let created = host.docker(&["image", "inspect", "-f", "{{.Created}}", IMAGE]);
    let told = app["created"].as_str().unwrap();
    assert!(told.ends_with('Z') && created.starts_with(told.trim_end_matches('Z')), "{told} is {created}");
    // without a name it comes last, and has no tags
    let rows = all["images"].as_array().unwrap();
    let nameless = rows.last().unwrap();
    assert_eq!(nameless["id"], lost["sha256:".len()..][..12], "{all:#}");
    assert!(nameless.get("tags").is_none() && nameless.get("used_by").is_none(), "{nameless:#}");
    for (arguments, expected) in [
        (json!({"match": "spare"}), 1),
        (json!({"match": "spare:*"}), 1),
        (json!({"match": "spare:1"}), 0),
        (json!({"match": "example.net:5000/*"}), 1),
        (json!({"match": "*/app"}), 1),
        (json!({"unused": true}), 2),
        (json!({"unused": true, "match": "fleet/*"}), 0),
    ] {
        let some = service.structured("image_list", arguments.clone()).await;
        assert_eq!(some["total"], expected, "{arguments}: {some:#}");
    }
}

async fn an_image_shows_all_but_secrets(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name=base", "--network=none", IMAGE, "true"]);
    let changes = [
        "ENV DB_PASSWORD=hunter1 LEVEL=info",
        "LABEL auth.token=hunter2 plain=kept",
        "CMD [\"app\", \"--password\", \"hunter3\", \"--port=80\"]",
        "EXPOSE 80/tcp",
        "USER 1000",
        "WORKDIR /srv",
        "VOLUME /data",
        "HEALTHCHECK CMD api_key=hunter4 check",
    ];
    let mut commit = vec!["commit"];
    commit.extend(changes.iter().flat_map(|change| ["-c", change]));
    commit.extend(["-m", "made", "base", "rich:1"]);
    let id = host.docker(&commit);
    let service = start(fleet).await;
    let usual = service.structured("image_inspect", json!({"host": "h1", "image": "rich:1"})).await;
    let keys: BTreeSet<&str> = usual.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["host", "id", "summary"].into(), "{usual:#}");
    let short = &id["sha256:".len()..][..12];
    assert_eq!((&usual["host"], &usual["id"]), (&json!("h1"), &json!(short)));
    let inspected = |what: &str| host.docker(&["image", "inspect", "-f", what, "rich:1"]);
    let summary = &usual["summary"];
    assert_eq!(words(&summary["tags"]), ["rich:1"].into());
    assert_eq!(summary["size"].to_string(), inspected("{{.Size}}"));
    assert_eq!(summary["layers"].to_string(), inspected("{{len .RootFS.Layers}}"));
    assert_eq!(summary["platform"], inspected("{{.Os}}/{{.Architecture}}"));
    let sections = json!(["summary", "config", "history"]);
    for image in ["rich:1", short, &id] {
        let arguments = json!({"host": "h1", "image": image, "sections": sections});
        let all = service.structured("image_inspect", arguments).await;
        assert!(!all.to_string().contains("hunter"), "{all:#}");
        let config = &all["config"];
        assert_eq!(config["command"], json!(["app", "--password", "***", "--port=80"]), "{all:#}");
        assert!(words(&config["env"]).is_superset(&["DB_PASSWORD=***", "LEVEL=info"].into()), "{config:#}");
        assert_eq!(
            (&config["labels"]["auth.token"], &config["labels"]["plain"]),
            (&json!("***"), &json!("kept"))
        );
        assert_eq!((&config["user"], &config["working_dir"]), (&json!("1000"), &json!("/srv")));
        assert_eq!((&config["ports"], &config["volumes"]), (&json!(["80/tcp"]), &json!(["/data"])));
        let history = host.docker(&["history", "-q", "rich:1"]);
        assert_eq!(all["history"].as_array().map(Vec::len), Some(history.lines().count()), "{all:#}");
    }
    let refusal = service.refusal("image_inspect", json!({"host": "h1", "image": "nowhere:9"})).await;
    assert!(refusal.starts_with("not_found: ") && refusal.contains("nowhere:9"), "{refusal}");
    let refusal = service.refusal("image_inspect", json!({"host": "h1", "image": "../volumes"})).await;
    assert!(refusal.starts_with("invalid_arguments: "), "{refusal}");
}

/// Two volumes: `data` with a megabyte in it and two users, `spare` with none.
fn fill(host: &Host) {
    host.docker(&["volume", "create", "--label=kind=kept", "spare"]);
    let script = "head -c 1000000 /dev/zero >/data/file; exec sleep 1000";
    host.run_container(&[
        "--name=writer",
        "--network=none",
        "--volume=data:/data",
        IMAGE,
        "sh",
        "-c",
        script,
    ]);
    host.run_container(&["--name=reader", "--network=none", "--volume=data:/d:ro", IMAGE, "true"]);
    wait_for("the file", SOON, || {
        let size = host.try_docker(&["exec", "writer", "stat", "-c", "%s", "/data/file"]);
        size.is_ok_and(|size| size == "1000000")
    });
}

async fn volumes_are_listed_with_their_users_and_sizes(fleet: &Fleet) {
    let host = fleet.host("h1");
    fill(host);
    let service = start(fleet).await;
    let all = service.structured("volume_list", json!({})).await;
    let listed = host.docker(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]);
    let told: BTreeMap<&str, &str> = all["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["driver"].as_str().unwrap()))
        .collect();
    assert_eq!(told, pairs(&listed));
    let data = row(&all["volumes"], "name", "data");
    assert_eq!(words(&data["used_by"]), ["reader", "writer"].into());
    assert!((1_000_000..1_100_000).contains(&data["size"].as_u64().unwrap()), "{data:#}");
    let spare = row(&all["volumes"], "name", "spare");
    assert!(spare.get("used_by").is_none() && spare["size"].is_u64(), "{spare:#}");
    for (arguments, expected) in [
        (json!({"match": "da*"}), vec!["data"]),
        (json!({"match": "label=kind=kept"}), vec!["spare"]),
        (json!({"match": "label=kind=lost"}), vec![]),
        (json!({"unused": true}), vec!["spare"]),
        (json!({"unused": true, "match": "data"}), vec![]),
    ] {
        let some = service.structured("volume_list", arguments.clone()).await;
        let rows = some["volumes"].as_array().unwrap();
        let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(names, expected, "{arguments}: {some:#}");
    }
}

async fn sizes_of_volumes_are_asked_for_only_where_they_are_shown(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["volume", "create", "one"]);
    let recorder = host.record_engine();
    let service = start(fleet).await;
    let asked = async |arguments: Value| {
        recorder.clear();
        service.structured("volume_list", arguments).await;
        let requests = recorder.requests();
        assert!(requests.iter().all(|request| request.method == "GET"), "{requests:?}");
        requests.iter().filter(|request| request.path.contains("/system/df")).count()
    };
    assert_eq!(asked(json!({})).await, 1);
    assert_eq!(asked(json!({"match": "nothing"})).await, 0);
    for (tool, most) in [("image_list", 2), ("network_list", 2), ("disk_usage", 1)] {
        recorder.clear();
        service.structured(tool, json!({})).await;
        let requests = recorder.requests();
        let own = requests.iter().filter(|request| !request.path.contains("_ping")).count();
        assert!(
            own <= most && requests.iter().all(|request| request.method == "GET"),
            "{tool}: {requests:?}"
        );
    }
    drop(recorder);
}

async fn networks_are_listed_with_what_is_attached(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["network", "create", "--subnet=10.99.7.0/24", "back"]);
    host.docker(&["network", "create", "--internal", "--subnet=10.99.8.0/24", "front"]);
    host.run_container(&["--name=both", "--network=back", IMAGE, "sleep", "1000"]);
    host.docker(&["network", "connect", "front", "both"]);
    host.run_container(&["--name=alone", "--network=none", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name=over", "--network=back", IMAGE, "true"]);
    let service = start(fleet).await;
    let all = service.structured("network_list", json!({})).await;
    let listed = host.docker(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]);
    let rows = all["networks"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told: BTreeMap<String, String> =
        rows.iter().map(|row| (text(&row["name"]), text(&row["driver"]))).collect();
    let expected: BTreeMap<String, String> =
        pairs(&listed).into_iter().map(|(name, driver)| (name.to_owned(), driver.to_owned())).collect();
    assert_eq!(told, expected);
    for network in expected.keys() {
        let of_engine =
            host.docker(&["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", network]);
        let subnets: BTreeSet<&str> = of_engine.split_whitespace().collect();
        assert_eq!(words(&row(&all["networks"], "name", network)["subnets"]), subnets, "{network}");
    }
    let attached = |network: &str| words(&row(&all["networks"], "name", network)["containers"]);
    assert_eq!(attached("back"), ["both", "over"].into());
    assert_eq!(attached("front"), ["both"].into());
    assert_eq!(attached("none"), ["alone"].into());
    let some = service.structured("network_list", json!({"match": "[bf]*t"})).await;
    assert_eq!(some["total"], 1, "{some:#}");
}

const KINDS: [(&str, &str); 4] = [
    ("images", "Images"),
    ("containers", "Containers"),
    ("volumes", "Local Volumes"),
    ("build_cache", "Build Cache"),
];

/// What `docker system df` writes for so many bytes: four digits, in decimal units.
fn as_df_writes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut size = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while size >= 1000.0 {
        size /= 1000.0;
        unit = units.next().unwrap_or_default();
    }
    let digits = match size {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{size:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

async fn the_use_of_the_disk_is_what_the_engine_says(fleet: &Fleet) {
    let host = fleet.host("h1");
    fill(host);
    let script = "head -c 300000 /dev/zero >/file";
    host.run_container(&["--name=over", "--network=none", IMAGE, "sh", "-c", script]);
    wait_for("its end", SOON, || host.docker(&["inspect", "-f", "{{.State.Status}}", "over"]) == "exited");
    host.docker(&["commit", "over", "spare:2"]);
    let service = start(fleet).await;
    let answer = service.structured("disk_usage", json!({})).await;
    let df =
        host.docker(&["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Size}}|{{.Reclaimable}}"]);
    for (kind, theirs) in KINDS {
        let line = df.lines().find(|line| line.starts_with(theirs)).expect("a line of its kind");
        let told = &answer["hosts"][0][kind];
        let number = |key: &str| told[key].as_u64().unwrap();
        let reclaimable = as_df_writes(number("reclaimable"));
        let ours = format!("{theirs}|{}|{}|{reclaimable}", number("count"), as_df_writes(number("size")));
        // it may tell a percentage too
        assert_eq!(line.split(" (").next(), Some(ours.as_str()), "{answer:#}\n{df}");
    }
    assert!(answer.get("items").is_none() && answer["total"] == 1, "{answer:#}");
    assert!(answer["hosts"][0]["containers"]["reclaimable"].as_u64().unwrap() >= 300_000, "{answer:#}");
    let full = service.structured("disk_usage", json!({"detail": "full"})).await;
    let items = full["items"].as_array().unwrap();
    let sizes: Vec<u64> = items.iter().filter_map(|item| item["size"].as_u64()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.len() == items.len(), "{full:#}");
    let counted: u64 = KINDS.iter().filter_map(|(kind, _)| answer["hosts"][0][kind]["count"].as_u64()).sum();
    assert_eq!(full["total"], counted, "{full:#}");
    let item = |name: &str| row(&full["items"], "name", name);
    assert_eq!((&item("data")["kind"], item("data").get("reclaimable")), (&json!("volume"), None));
    assert_eq!(
        (&item("over")["kind"], &item("over")["reclaimable"]),
        (&json!("container"), &item("over")["size"])
    );
    let (spare, size) = (item("spare:2"), |item: &Value| item["size"].as_u64().unwrap());
    let freed = spare["reclaimable"].as_u64().unwrap();
    assert!(
        freed >= 300_000 && freed < size(spare),
        "its own layer and not the one that is shared: {spare:#}"
    );
    assert_eq!((&item(IMAGE)["kind"], item(IMAGE).get("reclaimable")), (&json!("image"), None));
    // what is said to be reclaimable is what a removal frees
    host.docker(&["rm", "-f", "over"]);
    host.docker(&["rmi", "spare:2"]);
    let after = service.structured("disk_usage", json!({})).await;
    let total = |answer: &Value, kind: &str| size(&answer["hosts"][0][kind]);
    assert_eq!(total(&answer, "images") - total(&after, "images"), freed, "{answer:#} {after:#}");
}

async fn what_hosts_keep_is_paged_over_all_of_them(fleet: &Fleet) {
    for host in fleet.hosts() {
        for number in 0..4 {
            host.docker(&["volume", "create", &format!("v{number}")]);
        }
    }
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let paged = async |tool: &str, list: &str, arguments: Value, name: &str| {
        let mut seen = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let mut arguments = arguments.clone();
            arguments["limit"] = json!(2);
            if cursor.is_string() {
                arguments["cursor"] = cursor.clone();
            }
            let page = service.structured(tool, arguments).await;
            let rows = page[list].as_array().unwrap();
            assert!((1..=2).contains(&rows.len()), "{page:#}");
            seen.extend(rows.iter().map(|row| format!("{} {}", row["host"], row[name])));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                assert_eq!(page["total"], seen.len(), "{page:#}");
                return seen;
            }
        }
    };
    for (tool, list, arguments, name) in [
        ("image_list", "images", json!({}), "id"),
        ("volume_list", "volumes", json!({"match": "v?"}), "name"),
        ("network_list", "networks", json!({}), "name"),
        ("disk_usage", "hosts", json!({}), "host"),
        ("disk_usage", "items", json!({"detail": "full"}), "name"),
    ] {
        let mut whole = arguments.clone();
        whole["limit"] = json!(500);
        let whole = service.structured(tool, whole).await;
        let rows = whole[list].as_array().unwrap();
        let whole: Vec<String> = rows.iter().map(|row| format!("{} {}", row["host"], row[name])).collect();
        assert_eq!(paged(tool, list, arguments.clone(), name).await, whole, "{tool} {arguments}");
        assert!(HOSTS.iter().all(|host| whole.iter().any(|row| row.contains(host))), "{tool}: {whole:?}");
    }
    // one that does not answer is named beside the rows of the others
    fleet.host("h3").kill_engine();
    for (tool, list) in [
        ("image_list", "images"),
        ("volume_list", "volumes"),
        ("network_list", "networks"),
        ("disk_usage", "hosts"),
    ] {
        let answer = service.structured(tool, json!({"limit": 500})).await;
        let fresh = answer[list].as_array().unwrap().iter().filter(|row| row.get("stale_since").is_none());
        let hosts: BTreeSet<&str> = fresh.filter_map(|row| row["host"].as_str()).collect();
        assert_eq!(hosts, ["h1", "h2"].into(), "{tool}: {answer:#}");
        assert_eq!(answer["errors"][0]["host"], "h3", "{tool}: {answer:#}");
    }
    fleet.host("h3").start_engine();
    for host in fleet.hosts() {
        host.docker(&["volume", "rm", "v0", "v1", "v2", "v3"]);
    }
}

async fn arguments_that_make_no_sense_reach_no_engine(fleet: &Fleet) {
    let recorder = fleet.host("h1").record_engine();
    let service = start(fleet).await;
    service.structured("container_list", json!({})).await;
    recorder.clear();
    for tool in ["image_list", "volume_list", "network_list", "disk_usage"] {
        for (arguments, named) in [
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 501}), "limit"),
            (json!({"cursor": "nonsense"}), "cursor"),
            (json!({"host": "h1"}), "`hosts`"),
            (json!({"match": "["}), "match"),
            (json!({"hosts": "h11"}), "Did you mean \"h1\""),
        ] {
            let text = service.refusal(tool, arguments.clone()).await;
            assert!(text.contains(named), "{tool} {arguments}: {text}");
        }
    }
    for (arguments, named) in [
        (json!({"host": "h1"}), "image"),
        (json!({"host": "h1", "image": "a b"}), "image"),
        (json!({"host": "h1", "image": IMAGE, "sections": ["layers"]}), "history"),
        (json!({"host": "h11", "image": IMAGE}), "Did you mean \"h1\""),
    ] {
        let text = service.refusal("image_inspect", arguments.clone()).await;
        assert!(text.contains(named), "{arguments}: {text}");
    }
    let asked: Vec<String> = recorder.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().all(|path| path.contains("_ping")), "{asked:?}");
}

async fn podman_answers_the_same_questions(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    let podman = |args: &[&str]| host.exec(&[&["podman"], args].concat());
    podman(&["volume", "create", "spare"]);
    podman(&["network", "create", "--subnet=10.99.9.0/24", "back"]);
    podman(&["run", "-d", "--name=user", "--volume=data:/data", "--network=bridge", IMAGE, "sleep", "1000"]);
    podman(&["create", "--name=over", "--network=back", IMAGE, "true"]);
    let service = start(fleet).await;
    let images = service.structured("image_list", json!({})).await;
    let image = row(&images["images"], "used_by", "user");
    assert!(words(&image["tags"]).iter().any(|tag| tag.ends_with(IMAGE)), "{images:#}");
    assert_eq!(words(&image["used_by"]), ["over", "user"].into());
    let id = image["id"].as_str().unwrap();
    let sections = json!(["summary", "config", "history"]);
    let inspected =
        service.structured("image_inspect", json!({"host": "h1", "image": id, "sections": sections})).await;
    assert_eq!(inspected["id"], id);
    let volumes = service.structured("volume_list", json!({})).await;
    assert_eq!(words(&row(&volumes["volumes"], "name", "data")["used_by"]), ["user"].into());
    assert!(row(&volumes["volumes"], "name", "spare")["size"].is_u64(), "{volumes:#}");
    let unused = service.structured("volume_list", json!({"unused": true})).await;
    assert_eq!((&unused["total"], &unused["volumes"][0]["name"]), (&json!(1), &json!("spare")), "{unused:#}");
    let networks = service.structured("network_list", json!({})).await;
    let back = row(&networks["networks"], "name", "back");
    assert_eq!(
        (words(&back["subnets"]), words(&back["containers"])),
        (["10.99.9.0/24"].into(), ["over"].into())
    );
    assert_eq!(words(&row(&networks["networks"], "name", "bridge")["containers"]), ["user"].into());
    let usage = service.structured("disk_usage", json!({})).await;
    let images = &usage["hosts"][0]["images"];
    assert!(
        images["count"] == 1 && images["size"] == image["size"] && images["reclaimable"] == 0,
        "{usage:#}"
    );
    let counts = ["containers", "volumes"].map(|kind| usage["hosts"][0][kind]["count"].clone());
    assert_eq!(counts, [json!(2), json!(2)], "{usage:#}");
    let full = service.structured("disk_usage", json!({"detail": "full"})).await;
    assert!(full["items"][0]["name"].as_str().unwrap().ends_with(IMAGE), "{full:#}");
    drop(service);
    host.engine(Engine::Default);
}

async fn docker_26_answers_the_same_questions(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Docker26);
    fill(host);
    let service = start(fleet).await;
    let images = service.structured("image_list", json!({})).await;
    let image = row(&images["images"], "tags", IMAGE);
    assert_eq!(words(&image["used_by"]), ["reader", "writer"].into());
    let volumes = service.structured("volume_list", json!({"unused": true})).await;
    assert_eq!(volumes["volumes"][0]["name"], "spare", "{volumes:#}");
    let networks = service.structured("network_list", json!({"match": "none"})).await;
    assert_eq!(words(&networks["networks"][0]["containers"]), ["reader", "writer"].into());
    let usage = service.structured("disk_usage", json!({})).await;
    let size = host.docker(&["system", "df", "--format", "{{.Type}} {{.Size}}"]);
    assert!(
        size.contains(&format!(
            "Images {}",
            as_df_writes(usage["hosts"][0]["images"]["size"].as_u64().unwrap())
        )),
        "{usage:#} {size}"
    );
    drop(service);
    host.engine(Engine::Default);
}

/// Two images upon another one that stays: its layers are theirs too, and do not go.
async fn what_images_free_is_what_they_alone_have(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Docker26);
    let size: u64 = host.docker(&["inspect", "-f", "{{.Size}}", IMAGE]).parse().expect("a number");
    for name in ["one", "two"] {
        let script = format!("head -c 100000 /dev/urandom >/{name}");
        host.docker(&["run", "--name", name, "--network=none", IMAGE, "sh", "-c", &script]);
        host.docker(&["commit", name]);
    }
    let service = start(fleet).await;
    let prune = json!({"host": "h1", "what": ["images"], "dry_run": false});
    let done = service.agreed("prune", prune).await;
    assert_eq!(done["state"], "done", "{done}");
    let freed = done["results"][0]["freed"].as_u64().expect("bytes");
    assert!((200_000..size).contains(&freed), "{freed} of {size}: {done}");
    host.engine(Engine::Default);
}
