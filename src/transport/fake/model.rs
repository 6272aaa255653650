//! A fake engine's containers and images, and what was done to them.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What an engine has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    containers: BTreeMap<String, Container>,
    images: BTreeMap<String, String>,
    unused_images: BTreeSet<String>,
    volumes: BTreeMap<String, Volume>,
    /// By name.
    networks: BTreeMap<String, Network>,
    /// How many containers were added.
    added: u32,
    /// How often anything was started: its moments.
    moments: u32,
    /// What was changed, in order.
    effects: Vec<String>,
    /// Requests of these kinds are refused, so many times.
    refused: Vec<(String, u32)>,
    /// A request of this kind is never answered.
    ignored: Option<String>,
    /// What containers say of their health while they run.
    health: Option<&'static str>,
    /// What is written to volumes becomes something else.
    spoils: bool,
    /// So many looks at a container fail.
    failing_looks: u32,
}

#[derive(Debug, Clone, Default)]
struct Container {
    name: String,
    image: String,
    image_id: String,
    running: bool,
    paused: bool,
    started: u32,
    memory: i64,
    labels: Value,
    /// A volume that it holds, as a container does that never runs.
    holds: Option<String>,
    /// A port of the host that leads to it.
    published: Option<u16>,
}

#[derive(Debug, Clone, Default)]
struct Volume {
    /// When it was made.
    made: u32,
    labels: Value,
    /// What is in it, as an archive.
    archive: String,
}

#[derive(Debug, Clone)]
struct Network {
    id: String,
    labels: Value,
    /// The containers on it.
    attached: BTreeSet<String>,
}

impl Model {
    /// Adds a container.
    pub(crate) fn add(&mut self, name: &str, running: bool) {
        let container = Container {
            name: name.to_owned(),
            image: "busybox".to_owned(),
            image_id: OLD_IMAGE.to_owned(),
            running,
            ..Container::default()
        };
        self.added += 1;
        self.containers.insert(format!("{:0>12}", self.added), container);
    }

    /// Has all containers say that of themselves while they run.
    pub(crate) fn feel(&mut self, health: &'static str) {
        self.health = Some(health);
    }

    /// Labels a container.
    pub(crate) fn label(&mut self, name: &str, key: &str, value: &str) {
        let labelled = self.containers.values_mut().find(|container| container.name == name);
        labelled.unwrap_or_else(|| panic!("there is no {name}")).labels[key] = value.into();
    }

    /// Has a port of the host lead to a container.
    pub(crate) fn publish(&mut self, name: &str, port: u16) {
        let found = self.containers.values_mut().find(|container| container.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}")).published = Some(port);
    }

    /// Lets another container have a name.
    pub(crate) fn replace(&mut self, name: &str) {
        self.containers.retain(|_, container| container.name != name);
        self.add(name, true);
    }

    /// Adds an image of a name.
    pub(crate) fn add_image(&mut self, name: &str) {
        self.images.insert(name.to_owned(), format!("sha256:{:0>64}", self.images.len()));
    }

    /// Adds a volume.
    pub(crate) fn add_volume(&mut self, name: &str) {
        let volume = Volume { labels: json!({}), archive: archive_of(name), ..Volume::default() };
        self.volumes.insert(name.to_owned(), volume);
    }

    /// Has what is written to volumes become something else.
    pub(crate) fn spoil(&mut self) {
        self.spoils = true;
    }

    /// What is in a volume, as an archive.
    pub(crate) fn archive(&self, volume: &str) -> Option<&str> {
        self.volumes.get(volume).map(|volume| &*volume.archive)
    }

    /// Adds a network, with a container on it if one is named.
    pub(crate) fn add_network(&mut self, name: &str, attached: Option<&str>) {
        let attached = attached.and_then(|name| self.find(name)).into_iter().collect();
        let network = Network { id: format!("id-{name}"), labels: json!({}), attached };
        self.networks.insert(name.to_owned(), network);
    }

    /// Adds an image that nothing uses.
    pub(crate) fn add_unused_image(&mut self, id: &str) {
        self.unused_images.insert(id.to_owned());
    }

    /// What was changed, in order.
    pub(crate) fn effects(&self) -> &[String] {
        &self.effects
    }

    /// The containers by name, with whether they run.
    pub(crate) fn containers(&self) -> BTreeMap<&str, bool> {
        self.containers.values().map(|container| (&*container.name, container.running)).collect()
    }

    /// Refuses requests with this in them.
    pub(crate) fn refuse(&mut self, deed: &str) {
        self.refuse_first(u32::MAX, deed);
    }

    /// Refuses the first requests with this in them.
    pub(crate) fn refuse_first(&mut self, count: u32, deed: &str) {
        self.refused.push((deed.to_owned(), count));
    }

    /// Leaves requests with this in them without an answer.
    pub(crate) fn ignore(&mut self, deed: &str) {
        self.ignored = Some(deed.to_owned());
    }

    /// Builds an image of the first name in a script, unless that is refused.
    pub(super) fn build(&mut self, script: &str) -> bool {
        let name =
            script.split("--tag '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
        let refused = self.refused.iter().any(|(refused, count)| refused == "docker build" && *count > 0);
        if !refused {
            self.effects.push(format!("build {name}"));
            // From the same comes the same.
            if !self.images.contains_key(name) {
                self.add_image(name);
            }
        }
        !refused
    }

    /// Whether a request gets no answer.
    pub(super) fn ignores(&self, deed: &str) -> bool {
        self.ignored.as_ref().is_some_and(|ignored| deed.contains(&**ignored))
    }

    /// Fails at the next looks at a container, as an engine in trouble does.
    pub(crate) fn fail_looks(&mut self, count: u32) {
        self.failing_looks = count;
    }

    /// The answer to a request other than the few that every fake engine has: its status and body. `None` when
    /// it knows no such.
    pub(super) fn answer(&mut self, deed: &str, body: &[u8]) -> Option<(u16, Value)> {
        let (method, target) = deed.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path =
            path.trim_start_matches('/').split_once('/').filter(|(first, _)| first.starts_with("v1"))?.1;
        let mut refused = self.refused.iter_mut();
        if method != "GET"
            && let Some((_, count)) = refused.find(|(refused, count)| deed.contains(&**refused) && *count > 0)
        {
            *count -= 1;
            return Some((500, json!({"message": "as scripted"})));
        }
        let parts: Vec<&str> = path.split('/').collect();
        Some(match (method, parts.as_slice()) {
            ("GET", ["containers", "json"]) => (200, self.list(query)),
            ("GET", ["containers", _, "json"]) if self.failing_looks > 0 => {
                self.failing_looks -= 1;
                (500, json!({"message": "in trouble"}))
            }
            ("GET", ["containers", id, "json"]) => self.inspect(id),
            ("POST", ["containers", "create"]) => self.create(query, body),
            (_, ["containers", id, "archive"]) => self.archived(method, id, body),
            ("POST", ["containers", id, "rename"]) => self.rename(id, &value(query, "name")),
            ("POST", ["containers", id, "update"]) => self.update(id, body),
            ("POST", ["containers", id, act]) => self.act(id, act),
            (_, ["volumes", _, ..]) => self.volume(method, parts.get(1), body),
            (_, ["networks", _, ..]) => self.network(method, &parts[1..], body),
            ("POST", ["images", name @ .., "tag"]) => {
                let name = name.join("/");
                let found = self.images.iter().find(|(known, id)| **known == name || **id == name);
                let bare = (name == BARE_IMAGE).then(|| name.clone());
                let Some(id) = found.map(|(_, id)| id.clone()).or(bare) else { return Some(none()) };
                let tagged = format!("{}:{}", value(query, "repo"), value(query, "tag"));
                if id != BARE_IMAGE {
                    self.effects.push(format!("tag {tagged}"));
                }
                self.images.insert(tagged.trim_end_matches(":latest").to_owned(), id);
                (201, Value::Null)
            }
            ("POST", ["images", name @ .., "push"]) => {
                self.effects.push(format!("push {}", name.join("/")));
                (200, json!({"status": "1: digest: sha256:5 size: 5"}))
            }
            ("DELETE", ["containers", id]) => self.remove(id),
            ("GET", ["images", "json"]) if query.contains("dangling") => {
                let image = |id: &String| json!({"Id": id, "ParentId": "", "RepoTags": [], "RepoDigests": [], "Created": 0, "Size": 7, "SharedSize": -1, "Labels": {}, "Containers": -1});
                (200, self.unused_images.iter().map(image).collect())
            }
            ("GET", ["images", id, "json"]) if *id == OLD_IMAGE => (200, json!({"Id": id, "Config": {}})),
            ("GET", ["images", name @ .., "json"]) if !name.is_empty() => {
                let name = name.join("/");
                match self.images.get(&name).or_else(|| self.unused_images.get(&name)) {
                    Some(id) => (200, json!({"Id": id})),
                    None => (404, json!({"message": "No such image"})),
                }
            }
            ("GET", ["images", name @ .., "get"]) => {
                let name = name.join("/");
                let Some(id) = self.images.get(&name) else { return Some(none()) };
                (200, json!({"name": name, "id": id}))
            }
            ("POST", ["images", "load"]) => {
                let image: Value = serde_json::from_slice(body).unwrap_or_default();
                let (name, id) = (image["name"].as_str()?.to_owned(), image["id"].as_str()?.to_owned());
                self.effects.push(format!("load {name}"));
                self.images.insert(name, id);
                (200, json!({"stream": "Loaded image"}))
            }
            ("POST", ["images", "create"]) if query.contains("fromSrc") => {
                (200, json!({"status": BARE_IMAGE}))
            }
            ("POST", ["images", "create"]) => {
                let name = value(query, "fromImage");
                self.effects.push(format!("pull {name}"));
                let id = format!("sha256:{:0>64}", self.effects.len());
                self.images.entry(name).or_insert(id);
                (200, json!({"status": "done"}))
            }
            ("DELETE", ["images", id]) => {
                if !self.unused_images.remove(*id) && self.images.remove(*id).is_none() {
                    return Some((404, json!({"message": "No such image"})));
                }
                self.effects.push(format!("remove image {id}"));
                (200, json!([{"Untagged": id}]))
            }
            ("POST", ["build", "prune"]) => (200, json!({"SpaceReclaimed": 0})),
            _ => return None,
        })
    }

    fn list(&self, query: &str) -> Value {
        let wanted = |container: &&Container| {
            let label = container.labels["dockmaster.operation"].as_str();
            let held = container.holds.is_some() || !query.contains("volume");
            held && (!query.contains("dockmaster.operation")
                || label.is_some_and(|label| query.contains(label)))
        };
        let row = |(id, container): (&String, &Container)| {
            let state = if container.running { "running" } else { "exited" };
            json!({"Id": id, "Names": [format!("/{}", container.name)], "Image": container.image, "State": state, "Labels": container.labels})
        };
        self.containers.iter().filter(|(_, container)| wanted(container)).map(row).collect()
    }

    fn find(&self, id: &str) -> Option<String> {
        let found = self.containers.iter().find(|(known, container)| *known == id || container.name == id);
        found.map(|(id, _)| id.clone())
    }

    fn inspect(&self, id: &str) -> (u16, Value) {
        let Some(id) = self.find(id) else { return none() };
        let container = &self.containers[&id];
        let status = match container {
            Container { paused: true, .. } => "paused",
            Container { running: true, .. } => "running",
            _ => "exited",
        };
        let started = format!("2026-01-01T00:00:{:0>2}Z", container.started);
        let mut state = json!({"Status": status, "Running": container.running, "StartedAt": started});
        if let Some(health) = self.health.filter(|_| container.running) {
            state["Health"] = json!({"Status": health});
        }
        let config = json!({"Labels": container.labels, "Image": container.image});
        let attached = self.networks.iter().filter(|(_, network)| network.attached.contains(&id));
        let bindings =
            container.published.iter().map(|port| json!({"HostIp": "", "HostPort": port.to_string()}));
        let ports = json!({"80/tcp": bindings.collect::<Vec<_>>()});
        let networks: Value = attached.map(|(name, _)| (name.clone(), json!({}))).collect();
        let told = json!({
            "Id": id, "Name": format!("/{}", container.name), "State": state, "Config": config,
            "Image": container.image_id, "HostConfig": {"Memory": container.memory, "NetworkMode": "front"},
            "NetworkSettings": {"Networks": networks, "Ports": ports},
        });
        (200, told)
    }

    fn create(&mut self, query: &str, body: &[u8]) -> (u16, Value) {
        let name = value(query, "name");
        if self.find(&name).is_some() {
            return (409, json!({"message": "Conflict. The container name is already in use"}));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        self.added += 1;
        let holds = body["HostConfig"]["Mounts"][0]["Source"].as_str().map(ToOwned::to_owned);
        let mut id = format!("{:0>12}", 100 + self.effects.len());
        if holds.is_some() {
            id = format!("held{:0>8}", self.added);
        } else {
            self.effects.push(format!("create {}", plain(&name)));
        }
        let image = body["Image"].as_str().unwrap_or_default().to_owned();
        let labels = body["Labels"].clone();
        let image_id = self.images.get(&image).cloned().unwrap_or_default();
        let made = Container { name, image, image_id, labels, holds, ..Container::default() };
        self.containers.insert(id.clone(), made);
        for (network, _) in body["NetworkingConfig"]["EndpointsConfig"].as_object().into_iter().flatten() {
            if let Some(network) = self.networks.get_mut(network) {
                network.attached.insert(id.clone());
            }
        }
        (201, json!({"Id": id, "Warnings": []}))
    }

    fn act(&mut self, id: &str, act: &str) -> (u16, Value) {
        let Some(id) = self.find(id) else { return none() };
        let Some(container) = self.containers.get_mut(&id) else { return none() };
        if act == "pause" || act == "unpause" {
            container.paused = act == "pause";
            self.effects.push(format!("{act} {}", container.name));
            return (204, Value::Null);
        }
        let runs = !matches!(act, "stop" | "kill");
        if container.running == runs && act != "restart" {
            return (304, Value::Null);
        }
        container.running = runs;
        if runs {
            self.moments += 1;
            container.started = self.moments;
        }
        self.effects.push(format!("{act} {}", plain(&container.name)));
        (204, Value::Null)
    }

    fn rename(&mut self, id: &str, name: &str) -> (u16, Value) {
        let Some(id) = self.find(id) else { return none() };
        if self.find(name).is_some() {
            return (409, json!({"message": "Conflict. The container name is already in use"}));
        }
        let Some(container) = self.containers.get_mut(&id) else { return none() };
        self.effects.push(format!("rename {} {}", plain(&container.name), plain(name)));
        name.clone_into(&mut container.name);
        (204, Value::Null)
    }

    fn update(&mut self, id: &str, body: &[u8]) -> (u16, Value) {
        let container = self.find(id).and_then(|id| self.containers.get_mut(&id));
        let Some(container) = container else { return none() };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        container.memory = body["Memory"].as_i64().unwrap_or(container.memory);
        self.effects.push(format!("update {}", container.name));
        (200, json!({"Warnings": []}))
    }

    fn volume(&mut self, method: &str, name: Option<&&str>, body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = body["Name"].as_str().or(name.copied()).unwrap_or_default();
        let told = |volume: &Volume| {
            json!({"Name": name, "Driver": "local", "Mountpoint": "", "Labels": volume.labels, "Scope": "local", "Options": {},
            "CreatedAt": format!("2026-01-01T00:00:{:0>2}Z", volume.made)})
        };
        match (method, self.volumes.get(name)) {
            ("GET" | "POST", Some(volume)) => (200, told(volume)),
            ("POST", None) => {
                self.moments += 1;
                let (made, labels) = (self.moments, body["Labels"].clone());
                let volume = Volume { made, labels, ..Volume::default() };
                let answer = told(&volume);
                self.volumes.insert(name.to_owned(), volume);
                self.effects.push(format!("create volume {name}"));
                (201, answer)
            }
            ("DELETE", Some(_))
                if self.containers.values().any(|held| held.holds.as_deref() == Some(name)) =>
            {
                (409, json!({"message": "volume is in use"}))
            }
            ("DELETE", Some(_)) => {
                self.volumes.remove(name);
                self.effects.push(format!("remove volume {name}"));
                (204, Value::Null)
            }
            _ => (404, json!({"message": "no such volume"})),
        }
    }

    /// Reads and writes the volume that a container holds.
    fn archived(&mut self, method: &str, id: &str, body: &[u8]) -> (u16, Value) {
        let held = self.find(id).and_then(|id| self.containers[&id].holds.clone());
        let Some((name, volume)) = held.and_then(|held| Some((held.clone(), self.volumes.get_mut(&held)?)))
        else {
            return none();
        };
        if method == "GET" {
            return (200, Value::String(volume.archive.clone()));
        }
        let archive = String::from_utf8_lossy(body);
        volume.archive = if self.spoils { archive.replace("data", "d4t4") } else { archive.into_owned() };
        self.effects.push(format!("fill {name}"));
        (200, Value::Null)
    }

    fn network(&mut self, method: &str, path: &[&str], body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let ("POST", ["create"]) = (method, path) {
            let name = body["Name"].as_str().unwrap_or_default().to_owned();
            let id = format!("id-{name}-{}", self.effects.len());
            self.effects.push(format!("create network {name}"));
            let (labels, attached) = (body["Labels"].clone(), BTreeSet::new());
            self.networks.insert(name, Network { id: id.clone(), labels, attached });
            return (201, json!({"Id": id, "Warning": ""}));
        }
        let wanted = path.first().copied().unwrap_or_default();
        let found = self.networks.iter_mut().find(|(name, network)| *name == wanted || network.id == wanted);
        let Some((name, network)) = found else { return (404, json!({"message": "no such network"})) };
        let name = name.clone();
        let container = body["Container"].as_str().unwrap_or_default().to_owned();
        let effect = match (method, path.get(1)) {
            ("GET", None) => return (200, json!({"Id": network.id, "Name": name, "Labels": network.labels})),
            ("POST", Some(&"connect")) => {
                network.attached.insert(container.clone());
                format!("connect {container}")
            }
            ("POST", Some(&"disconnect")) => {
                network.attached.remove(&container);
                format!("disconnect {container}")
            }
            _ => {
                self.networks.remove(&name);
                format!("remove network {name}")
            }
        };
        self.effects.push(effect);
        (200, Value::Null)
    }

    fn remove(&mut self, id: &str) -> (u16, Value) {
        let removed = self.find(id).and_then(|id| self.containers.remove(&id));
        let Some(container) = removed else { return none() };
        if container.holds.is_none() {
            self.effects.push(format!("remove {}", plain(&container.name)));
        }
        (204, Value::Null)
    }
}

/// The image of the containers that were there before.
const OLD_IMAGE: &str = "sha256:0";

/// The image of the containers that hold volumes.
const BARE_IMAGE: &str = "sha256:bare";

/// An archive of a volume with one file in it.
fn archive_of(volume: &str) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(volume.len() as u64);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let written = builder.append_data(&mut header, "held/of", volume.as_bytes());
    let bytes = written.and_then(|()| builder.into_inner()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A name without that of an operation.
fn plain(name: &str) -> &str {
    let is_operation = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit_once('-').filter(|(_, word)| is_operation(word)).map_or(name, |(rest, _)| rest)
}

fn none() -> (u16, Value) {
    (404, json!({"message": "No such container"}))
}

/// The value of a parameter; the names in use need no decoding.
fn value(query: &str, name: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}
