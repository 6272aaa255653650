//! A fake engine's containers and images, and what was done to them.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What an engine has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    containers: BTreeMap<String, Container>,
    images: BTreeMap<String, String>,
    unused_images: BTreeSet<String>,
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
    /// So many looks at a container fail.
    failing_looks: u32,
}

#[derive(Debug, Clone)]
struct Container {
    name: String,
    image: String,
    running: bool,
    started: u32,
    labels: Value,
}

impl Model {
    /// Adds a container.
    pub(crate) fn add(&mut self, name: &str, running: bool) {
        let container = Container {
            name: name.to_owned(),
            image: "busybox".to_owned(),
            running,
            started: 0,
            labels: json!({}),
        };
        self.added += 1;
        self.containers.insert(format!("{:0>12}", self.added), container);
    }

    /// Labels a container.
    pub(crate) fn label(&mut self, name: &str, key: &str, value: &str) {
        let labelled = self.containers.values_mut().find(|container| container.name == name);
        labelled.unwrap_or_else(|| panic!("there is no {name}")).labels[key] = value.into();
    }

    /// Lets another container have a name.
    pub(crate) fn replace(&mut self, name: &str) {
        self.containers.retain(|_, container| container.name != name);
        self.add(name, true);
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
            ("POST", ["containers", id, act]) => self.act(id, act),
            ("DELETE", ["containers", id]) => self.remove(id),
            ("GET", ["images", "json"]) if query.contains("dangling") => {
                let image = |id: &String| json!({"Id": id, "ParentId": "", "RepoTags": [], "RepoDigests": [], "Created": 0, "Size": 7, "SharedSize": -1, "Labels": {}, "Containers": -1});
                (200, self.unused_images.iter().map(image).collect())
            }
            ("GET", ["images", name @ .., "json"]) if !name.is_empty() => {
                let name = name.join("/");
                match self.images.get(&name).or_else(|| self.unused_images.get(&name)) {
                    Some(id) => (200, json!({"Id": id})),
                    None => (404, json!({"message": "No such image"})),
                }
            }
            ("POST", ["images", "create"]) => {
                let name = value(query, "fromImage");
                self.effects.push(format!("pull {name}"));
                let id = format!("sha256:{:0>64}", self.effects.len());
                self.images.entry(name).or_insert(id);
                (200, json!({"status": "done"}))
            }
            ("DELETE", ["images", id]) => {
                if !self.unused_images.remove(*id) {
                    return Some((404, json!({"message": "No such image"})));
                }
                self.effects.push(format!("remove image {id}"));
                (200, json!([]))
            }
            ("POST", ["build", "prune"]) => (200, json!({"SpaceReclaimed": 0})),
            _ => return None,
        })
    }

    fn list(&self, query: &str) -> Value {
        let wanted = |container: &&Container| {
            let label = container.labels["dockmaster.operation"].as_str();
            !query.contains("dockmaster.operation") || label.is_some_and(|label| query.contains(label))
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
        let status = if container.running { "running" } else { "exited" };
        let started = format!("2026-01-01T00:00:{:0>2}Z", container.started);
        let state = json!({"Status": status, "Running": container.running, "StartedAt": started});
        let config = json!({"Labels": container.labels});
        (200, json!({"Id": id, "Name": format!("/{}", container.name), "State": state, "Config": config}))
    }

    fn create(&mut self, query: &str, body: &[u8]) -> (u16, Value) {
        let name = value(query, "name");
        if self.find(&name).is_some() {
            return (409, json!({"message": "Conflict. The container name is already in use"}));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = format!("{:0>12}", 100 + self.effects.len());
        self.effects.push(format!("create {name}"));
        let image = body["Image"].as_str().unwrap_or_default().to_owned();
        let labels = body["Labels"].clone();
        self.containers.insert(id.clone(), Container { name, image, running: false, started: 0, labels });
        (201, json!({"Id": id, "Warnings": []}))
    }

    fn act(&mut self, id: &str, act: &str) -> (u16, Value) {
        let Some(id) = self.find(id) else { return none() };
        let Some(container) = self.containers.get_mut(&id) else { return none() };
        let runs = act != "stop";
        if container.running == runs && act != "restart" {
            return (304, Value::Null);
        }
        container.running = runs;
        if runs {
            self.moments += 1;
            container.started = self.moments;
        }
        self.effects.push(format!("{act} {}", container.name));
        (204, Value::Null)
    }

    fn remove(&mut self, id: &str) -> (u16, Value) {
        let removed = self.find(id).and_then(|id| self.containers.remove(&id));
        let Some(container) = removed else { return none() };
        self.effects.push(format!("remove {}", container.name));
        (204, Value::Null)
    }
}

fn none() -> (u16, Value) {
    (404, json!({"message": "No such container"}))
}

/// The value of a parameter; the names in use need no decoding.
fn value(query: &str, name: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}
