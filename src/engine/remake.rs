//! A container made anew with the settings of another. They are passed on as the engine itself wrote them, so that
//! none is lost that is not known here; they stay between the engine and this process.

use super::{ApiVersion, Engine, EngineError};
use crate::domain::image::ImageName;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The newest version that tells the hardware address somebody gave a container.
const TELLS_ADDRESS: ApiVersion = ApiVersion { major: 1, minor: 51 };

/// From here on such an address is said of a network.
const ADDRESS_OF_NETWORK: ApiVersion = ApiVersion { major: 1, minor: 44 };

/// So many digits of its identifier name a container that was given no host name.
const SHORT: usize = 12;

/// Containers that are looked into at once.
const AT_ONCE: usize = 4;

/// By this label compose knows the image a container was made from.
const COMPOSE_IMAGE: &str = "com.docker.compose.image";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

impl Engine {
    /// Makes a container `name` of `image` with the settings of the container `id`: what that one has from its own
    /// image comes from the new one. Attached to its first network alone; not started.
    pub async fn remake(
        &self,
        id: &str,
        image: &ImageName,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, EngineError> {
        let old = self.settings(id).await?;
        let own = old["Image"].as_str().unwrap_or_default();
        // One that is gone has left nothing to tell apart.
        let defaults = match self.raw_image(own).await {
            Err(EngineError::NotFound(_)) => Value::Null,
            found => found?["Config"].take(),
        };
        let image_id = self.raw_image(image.as_str()).await?["Id"].as_str().unwrap_or_default().to_owned();
        let new = Remade { image: image.as_str(), image_id: &image_id, labels, api: self.api };
        let body = new.body(old, &defaults);
        let path = format!("/containers/create?name={name}");
        let created: Created = self.pool.post(self.api, &path, &body).await?;
        Ok(created.id)
    }

    /// The networks of the container `old` that `new` is not attached to.
    pub async fn missing_networks(&self, old: &str, new: &str) -> Result<Vec<String>, EngineError> {
        let (old, new) = (self.settings(old).await?, self.settings(new).await?);
        let has = |name: &String| new["NetworkSettings"]["Networks"].get(name).is_some();
        Ok(networks(&old).into_iter().map(|(name, _)| name).filter(|name| !has(name)).collect())
    }

    /// Attaches the container `new` to a network as `old` is.
    pub async fn connect_as(&self, old: &str, new: &str, network: &str) -> Result<(), EngineError> {
        let old = self.settings(old).await?;
        let found = networks(&old).into_iter().find(|(name, _)| name == network);
        let body = json!({"Container": new, "EndpointConfig": found.map(|(_, endpoint)| endpoint)});
        self.pool.post_blind(self.api, &format!("/networks/{}/connect", segment(network)), &body).await
    }

    /// The names of the containers that live in the network, among the processes or in the memory of another.
    pub async fn sharers(&self, id: &str, name: &str) -> Result<Vec<String>, EngineError> {
        let others = self.containers().await?.into_iter().filter(|other| other.id != id);
        let told = stream::iter(others).map(|other| async move {
            match self.settings(&other.id).await {
                Ok(settings) => Ok(shares(&settings, id, name).then_some(other.name)),
                // It has gone meanwhile.
                Err(EngineError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let told: Vec<Option<String>> = told.buffered(AT_ONCE).try_collect().await?;
        Ok(told.into_iter().flatten().collect())
    }

    /// A container as the engine describes it.
    async fn settings(&self, id: &str) -> Result<Value, EngineError> {
        self.pool.get(self.api.min(TELLS_ADDRESS), &format!("/containers/{id}/json")).await
    }

    async fn raw_image(&self, image: &str) -> Result<Value, EngineError> {
        self.pool.get(self.api, &format!("/images/{image}/json")).await
    }
}

/// Whether a container lives in something of the container `id`, which is called `name`.
fn shares(settings: &Value, id: &str, name: &str) -> bool {
    let whose =
        |key: &str| settings["HostConfig"][key].as_str().and_then(|mode| mode.strip_prefix("container:"));
    let is_it = |whose: &str| whose == name || (whose.len() >= SHORT && id.starts_with(whose));
    ["NetworkMode", "PidMode", "IpcMode"].into_iter().filter_map(whose).any(is_it)
}

/// What a container is made anew from.
struct Remade<'a> {
    image: &'a str,
    image_id: &'a str,
    labels: &'a BTreeMap<String, String>,
    api: ApiVersion,
}

impl Remade<'_> {
    /// The request that makes it, by the description of the old one and what that one's image had set.
    fn body(&self, mut old: Value, defaults: &Value) -> Value {
        let endpoints = networks(&old);
        let is_first = |(name, _): &&(String, Map<String, Value>)| is_made_on(&old, name);
        // One that has left the network it was made on is made on another of its own.
        let first = endpoints.iter().find(is_first).or(endpoints.first()).cloned();
        let moved_to = first.as_ref().map(|(name, _)| name.clone()).filter(|name| !is_made_on(&old, name));
        let id = old["Id"].as_str().unwrap_or_default().to_owned();
        let mounts = old["Mounts"].take();
        let (mut config, mut host) = (object(old["Config"].take()), object(old["HostConfig"].take()));
        let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or_default();
        let is_guest = mode.starts_with("container:");
        if let Some(name) = moved_to {
            host.insert("NetworkMode".into(), name.into());
        }
        // Its image's among them.
        let own_volumes = config.get("Volumes").cloned().unwrap_or_default();
        leave_defaults(&mut config, defaults, &host);
        leave_podmans(&mut config, defaults);
        let is_own = |name: &str| !name.is_empty() && !id.starts_with(name);
        let has_own_name = config.get("Hostname").and_then(Value::as_str).is_some_and(is_own);
        if is_guest || !has_own_name || host.get("UTSMode").is_some_and(|mode| mode == "host") {
            config.remove("Hostname");
            config.remove("Domainname");
        }
        if is_guest {
            config.remove("ExposedPorts");
        }
        config.insert("Image".into(), self.image.into());
        let mut labels = object(config.remove("Labels").unwrap_or_default());
        if let Some(image) = labels.get_mut(COMPOSE_IMAGE) {
            *image = self.image_id.into();
        }
        labels.extend(self.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
        config.insert("Labels".into(), labels.into());
        keep_volumes(&mut host, &own_volumes, &mounts);
        keep_links(&mut host);
        keep_limits(&mut host);
        let address = config.remove("MacAddress").filter(|address| address.as_str() != Some(""));
        if let Some((name, mut endpoint)) = first {
            if let Some(address) = address.clone().filter(|_| self.api >= ADDRESS_OF_NETWORK) {
                endpoint.insert("MacAddress".into(), address);
            }
            config.insert("NetworkingConfig".into(), json!({"EndpointsConfig": {name: endpoint}}));
        }
        if let Some(address) = address.filter(|_| self.api < ADDRESS_OF_NETWORK && !is_guest) {
            config.insert("MacAddress".into(), address);
        }
        config.insert("HostConfig".into(), host.into());
        config.into()
    }
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let written = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(written).collect()
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Takes out of a container's settings what its image had set.
fn leave_defaults(config: &mut Map<String, Value>, defaults: &Value, host: &Map<String, Value>) {
    config.remove("OnBuild");
    for key in ["User", "WorkingDir", "StopSignal", "Shell", "Healthcheck", "ArgsEscaped"] {
        if config.get(key).is_some_and(|value| is_empty(value) || *value == defaults[key]) {
            config.remove(key);
        }
    }
    let words = |value: Option<&Value>| value.filter(|value| !is_empty(value)).cloned();
    let (entry, command) = (words(config.get("Entrypoint")), words(config.get("Cmd")));
    let (own_entry, own_command) = (words(defaults.get("Entrypoint")), words(defaults.get("Cmd")));
    // Whoever gives an entry point takes the image's command away with it.
    let is_given = entry != own_entry || (command.is_none() && own_command.is_some());
    if is_given {
        // An empty word takes the image's entry point away.
        config.insert("Entrypoint".into(), entry.unwrap_or_else(|| json!([""])));
    } else {
        config.remove("Entrypoint");
        if command == own_command {
            config.remove("Cmd");
        }
    }
    if let (Some(Value::Array(env)), Some(own)) = (config.get_mut("Env"), defaults["Env"].as_array()) {
        env.retain(|entry| !own.contains(entry));
    }
    let published = |port: &str| host.get("PortBindings").is_some_and(|ports| ports.get(port).is_some());
    for key in ["Labels", "Volumes", "ExposedPorts"] {
        if let Some(Value::Object(entries)) = config.get_mut(key) {
            entries.retain(|name, value| {
                defaults[key].get(name) != Some(value) || (key == "ExposedPorts" && published(name))
            });
        }
    }
}

/// Takes out what Podman tells as if it had been asked for: a host name as a variable, and a signal that every
/// container has.
fn leave_podmans(config: &mut Map<String, Value>, defaults: &Value) {
    if let Some(named) = config.get("Hostname").and_then(Value::as_str).map(|name| format!("HOSTNAME={name}"))
        && let Some(Value::Array(env)) = config.get_mut("Env")
    {
        env.retain(|entry| *entry != named.as_str());
    }
    if config.get("StopSignal").is_some_and(|signal| signal == "15") && is_empty(&defaults["StopSignal"]) {
        config.remove("StopSignal");
    }
}

/// Names the volumes that the container was given without naming them, so that it finds them again.
fn keep_volumes(host: &mut Map<String, Value>, own: &Value, mounts: &Value) {
    let volumes = mounts.as_array().into_iter().flatten().filter(|mount| mount["Type"] == "volume");
    let borrows = host.get("VolumesFrom").is_some_and(|from| !is_empty(from));
    for mount in volumes {
        let (Some(name), Some(target)) = (mount["Name"].as_str(), mount["Destination"].as_str()) else {
            continue;
        };
        if let Some(Value::Array(mounts)) = host.get_mut("Mounts")
            && let Some(mount) = mounts.iter_mut().find(|mount| is_there(mount["Target"].as_str(), target))
        {
            mount["Source"] = name.into();
            continue;
        }
        let is_bound =
            |bind: &Value| bind.as_str().is_some_and(|bind| is_there(bind.split(':').nth(1), target));
        let binds = host.entry("Binds").or_insert(Value::Null);
        let is_known = binds.as_array().is_some_and(|binds| binds.iter().any(is_bound));
        // Volumes of others come with those others.
        if is_known || (borrows && own.get(target).is_none()) {
            continue;
        }
        let way = if mount["RW"] == false { "ro" } else { "rw" };
        let bind = Value::from(format!("{name}:{target}:{way}"));
        match binds {
            Value::Array(binds) => binds.push(bind),
            none => *none = json!([bind]),
        }
    }
}

/// Whether somebody's path is this one, which the engine has made plain.
fn is_there(path: Option<&str>, plain: &str) -> bool {
    path.is_some_and(|path| path.trim_end_matches('/') == plain.trim_end_matches('/'))
}

/// Old links are told as `/other:/this/alias`, and asked for as `other:alias`.
fn keep_links(host: &mut Map<String, Value>) {
    let Some(Value::Array(links)) = host.get_mut("Links") else { return };
    for link in links {
        let Some((other, alias)) = link.as_str().and_then(|link| link.split_once(':')) else { continue };
        let alias = alias.rsplit('/').next().unwrap_or(alias);
        *link = format!("{}:{alias}", other.trim_start_matches('/')).into();
    }
}

/// Podman tells limits by the kernel's names for them, and takes them by Docker's; and it tells a share of the
/// processors in two ways, of which it takes one.
fn keep_limits(host: &mut Map<String, Value>) {
    if host.get("CpuQuota").and_then(Value::as_i64).is_some_and(|quota| quota > 0) {
        host.remove("NanoCpus");
    }
    let Some(Value::Array(limits)) = host.get_mut("Ulimits") else { return };
    for limit in limits {
        if let Some(name) = limit["Name"].as_str().and_then(|name| name.strip_prefix("RLIMIT_")) {
            limit["Name"] = name.to_lowercase().into();
        }
    }
}

/// The networks that a container is attached to, with how it asked to be.
fn networks(old: &Value) -> Vec<(String, Map<String, Value>)> {
    let host = &old["HostConfig"]["NetworkMode"];
    let mode = host.as_str().unwrap_or_default();
    if mode == "host" || mode == "none" || mode.starts_with("container:") {
        return vec![];
    }
    let id = old["Id"].as_str().unwrap_or_default();
    let asked = |endpoint: &Value| {
        let mut asked = Map::new();
        for key in ["IPAMConfig", "Links", "DriverOpts", "GwPriority", "Aliases"] {
            if let Some(value) = endpoint.get(key).filter(|value| !is_empty(value)) {
                asked.insert(key.to_owned(), value.clone());
            }
        }
        // The engine adds the start of the identifier by itself.
        if let Some(Value::Array(aliases)) = asked.get_mut("Aliases") {
            aliases.retain(|alias| alias.as_str().is_none_or(|alias| id.get(..SHORT) != Some(alias)));
        }
        asked
    };
    let attached = old["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    attached.map(|(name, endpoint)| (name.clone(), asked(endpoint))).collect()
}

/// Whether a container was made on this of its networks.
fn is_made_on(old: &Value, name: &str) -> bool {
    let mode = old["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    let id = old["NetworkSettings"]["Networks"][name]["NetworkID"].as_str().unwrap_or_default();
    match mode {
        "default" | "" => name == "bridge",
        mode => name == mode || id.starts_with(mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn body(old: Value, defaults: &Value, api: (usize, usize)) -> Value {
        let labels = BTreeMap::from([("dockmaster.operation".to_owned(), "7".to_owned())]);
        let api = ApiVersion { major: api.0, minor: api.1 };
        Remade { image: "web:2", image_id: "sha256:new", labels: &labels, api }.body(old, defaults)
    }

    /// A container with what was asked for beside what its image had set.
    fn old() -> (Value, Value) {
        let defaults = json!({
            "Env": ["PATH=/bin", "VERSION=1"], "Cmd": ["serve"], "Entrypoint": ["/entry"], "User": "web",
            "WorkingDir": "/app", "StopSignal": "SIGQUIT", "Labels": {"version": "1", "kept": "image"},
            "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "Volumes": {"/image": {}},
            "Healthcheck": {"Test": ["CMD", "check"]},
        });
        let old = json!({
            "Id": ID, "Image": "sha256:old",
            "Config": {
                "Hostname": "0123456789ab", "Env": ["SECRET=x", "PATH=/bin", "VERSION=1"], "Cmd": ["serve"],
                "Entrypoint": ["/entry"], "User": "web", "WorkingDir": "/else", "StopSignal": "SIGQUIT",
                "Labels": {"version": "1", "kept": "mine", COMPOSE_IMAGE: "sha256:old", "dockmaster.operation": "6"},
                "ExposedPorts": {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}},
                "Volumes": {"/image": {}, "/asked": {}}, "Healthcheck": {"Test": ["CMD", "check"]},
                "MacAddress": "02:00:00:00:00:01", "StopTimeout": 3, "Image": "web:1", "OnBuild": null,
            },
            "HostConfig": {
                "NetworkMode": "front", "Binds": ["named:/named:ro"], "PortBindings": {"80/tcp": [{"HostPort": "1"}]},
                "Mounts": [{"Type": "volume", "Target": "/mounted"}], "Unknown": {"kept": [1]},
                "Links": ["/db:/web/database"],
            },
            "Mounts": [
                {"Type": "volume", "Name": "named", "Destination": "/named", "RW": false},
                {"Type": "volume", "Name": "v1", "Destination": "/image", "RW": true},
                {"Type": "volume", "Name": "v2", "Destination": "/asked", "RW": false},
                {"Type": "volume", "Name": "v3", "Destination": "/mounted", "RW": true},
                {"Type": "bind", "Source": "/etc", "Destination": "/host", "RW": true},
            ],
            "NetworkSettings": {"Networks": {
                "back": {"IPAMConfig": {}, "Aliases": ["b"], "IPAddress": "10.0.0.3"},
                "front": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}, "Aliases": ["w", "0123456789ab"],
                    "MacAddress": "02:00:00:00:00:01", "EndpointID": "e"},
            }},
        });
        (old, defaults)
    }

    #[test]
    fn what_was_asked_for_is_kept_and_what_the_image_had_set_is_left_to_the_new_one() {
        let (old, defaults) = old();
        let made = body(old, &defaults, (1, 45));
        let expected = json!({
            "Image": "web:2", "Env": ["SECRET=x"], "WorkingDir": "/else", "StopTimeout": 3,
            "Labels": {"kept": "mine", COMPOSE_IMAGE: "sha256:new", "dockmaster.operation": "7"},
            "ExposedPorts": {"80/tcp": {}, "82/tcp": {}}, "Volumes": {"/asked": {}},
            "HostConfig": {
                "NetworkMode": "front", "Binds": ["named:/named:ro", "v1:/image:rw", "v2:/asked:ro"],
                "PortBindings": {"80/tcp": [{"HostPort": "1"}]}, "Unknown": {"kept": [1]},
                "Mounts": [{"Type": "volume", "Target": "/mounted", "Source": "v3"}], "Links": ["db:database"],
            },
            "NetworkingConfig": {"EndpointsConfig": {"front": {
                "IPAMConfig": {"IPv4Address": "10.0.0.2"}, "Aliases": ["w"], "MacAddress": "02:00:00:00:00:01",
            }}},
        });
        assert_eq!(made, expected);
    }

    #[test]
    fn old_engines_are_told_the_address_in_the_old_place() {
        let (old, defaults) = old();
        let made = body(old, &defaults, (1, 41));
        assert_eq!(made["MacAddress"], "02:00:00:00:00:01");
        assert!(made["NetworkingConfig"]["EndpointsConfig"]["front"].get("MacAddress").is_none());
    }

    #[test]
    fn programs_are_kept_only_where_they_are_not_the_images() {
        let program = |entry: Value, command: Value, own_entry: Value, own_command: Value| {
            let mut config = object(json!({"Entrypoint": entry, "Cmd": command}));
            let defaults = json!({"Entrypoint": own_entry, "Cmd": own_command});
            leave_defaults(&mut config, &defaults, &Map::new());
            (
                config.get("Entrypoint").cloned(),
                config.get("Cmd").cloned().filter(|command| !command.is_null()),
            )
        };
        let (e, c, none) = (json!(["e"]), json!(["c"]), Value::Null);
        let same = program(e.clone(), c.clone(), e.clone(), c.clone());
        assert_eq!(same, (None, None));
        let other = program(e.clone(), json!(["mine"]), e.clone(), c.clone());
        assert_eq!(other, (None, Some(json!(["mine"]))));
        let given = program(json!(["mine"]), none.clone(), e.clone(), c.clone());
        assert_eq!(given, (Some(json!(["mine"])), None));
        let same_given = program(e.clone(), none.clone(), e.clone(), c.clone());
        assert_eq!(same_given, (Some(e.clone()), None), "the image's command was taken away");
        let taken = program(none.clone(), json!(["mine"]), e.clone(), c);
        assert_eq!(taken, (Some(json!([""])), Some(json!(["mine"]))));
        assert_eq!(program(none.clone(), none.clone(), none.clone(), none), (None, None));
    }

    #[test]
    fn one_that_lives_in_the_network_of_another_says_nothing_of_networks() {
        let (mut old, defaults) = old();
        old["HostConfig"]["NetworkMode"] = "container:ff".into();
        old["Config"]["Hostname"] = "theirs".into();
        let made = body(old, &defaults, (1, 45));
        for key in ["Hostname", "ExposedPorts", "NetworkingConfig", "MacAddress"] {
            assert!(made.get(key).is_none(), "{key}: {made}");
        }
        assert_eq!(made["HostConfig"]["NetworkMode"], "container:ff");
    }

    #[test]
    fn one_that_has_left_its_first_network_is_not_put_there_again() {
        for mode in ["default", "bridge", "gone"] {
            let (mut old, defaults) = old();
            old["HostConfig"]["NetworkMode"] = mode.into();
            let made = body(old, &defaults, (1, 45));
            assert_eq!(made["HostConfig"]["NetworkMode"], "back", "{mode}");
            let expected = json!({"back": {"Aliases": ["b"], "MacAddress": "02:00:00:00:00:01"}});
            assert_eq!(made["NetworkingConfig"]["EndpointsConfig"], expected, "{mode}");
        }
    }

    #[test]
    fn what_podman_tells_in_its_own_words_is_asked_for_in_dockers() {
        let old = json!({
            "Id": ID,
            "Config": {
                "Hostname": "0123456789ab", "Env": ["A=b", "HOSTNAME=0123456789ab"], "StopSignal": "15",
            },
            "HostConfig": {
                "NetworkMode": "bridge", "Ulimits": [{"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}],
                "NanoCpus": 500, "CpuQuota": 50, "CpuPeriod": 100,
            },
            "NetworkSettings": {"Networks": {"podman": {"Aliases": ["0123456789ab"]}}},
        });
        let made = body(old.clone(), &json!({}), (1, 41));
        let limits = json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]);
        let host = json!({"NetworkMode": "podman", "Ulimits": limits, "CpuQuota": 50, "CpuPeriod": 100});
        assert_eq!(made["HostConfig"], host);
        assert_eq!((&made["Env"], made.get("StopSignal")), (&json!(["A=b"]), None));
        assert_eq!(made["NetworkingConfig"]["EndpointsConfig"], json!({"podman": {"Aliases": []}}));
        let of_image = body(old, &json!({"StopSignal": "SIGQUIT"}), (1, 41));
        assert_eq!(of_image["StopSignal"], "15", "it was given another than its image's");
    }

    #[test]
    fn a_volume_is_known_by_its_path_however_it_was_written() {
        let (mut old, defaults) = old();
        old["HostConfig"]["Binds"] = json!(["data:/data/:ro"]);
        old["HostConfig"]["Mounts"] = json!([{"Type": "volume", "Target": "/more/"}]);
        old["Mounts"] = json!([
            {"Type": "volume", "Name": "data", "Destination": "/data", "RW": false},
            {"Type": "volume", "Name": "nameless", "Destination": "/more", "RW": true},
        ]);
        let made = body(old, &defaults, (1, 45));
        assert_eq!(made["HostConfig"]["Binds"], json!(["data:/data/:ro"]));
        assert_eq!(made["HostConfig"]["Mounts"][0]["Source"], "nameless");
    }

    #[test]
    fn what_lives_in_something_of_another_is_known_by_any_name_of_that() {
        let lives = |key: &str, whose: &str| {
            shares(&json!({"HostConfig": {key: whose, "IpcMode": "private"}}), ID, "web")
        };
        for key in ["NetworkMode", "PidMode"] {
            for whose in
                [format!("container:{ID}"), format!("container:{}", &ID[..SHORT]), "container:web".to_owned()]
            {
                assert!(lives(key, &whose), "{key} {whose}");
            }
            for whose in ["", "host", "web", "container:we", "container:0", "container:"] {
                assert!(!lives(key, whose), "{key} {whose}");
            }
        }
    }

    #[test]
    fn volumes_of_others_come_with_the_others() {
        let (mut old, defaults) = old();
        old["HostConfig"]["VolumesFrom"] = json!(["data"]);
        old["Mounts"] = json!([
            {"Type": "volume", "Name": "theirs", "Destination": "/theirs", "RW": true},
            {"Type": "volume", "Name": "own", "Destination": "/image", "RW": true},
        ]);
        let made = body(old, &defaults, (1, 45));
        assert_eq!(made["HostConfig"]["Binds"], json!(["named:/named:ro", "own:/image:rw"]));
    }

    #[test]
    fn an_image_that_is_gone_leaves_everything_as_it_was() {
        let made = body(old().0, &Value::Null, (1, 45));
        assert_eq!((&made["Cmd"], &made["Entrypoint"]), (&json!(["serve"]), &json!(["/entry"])));
        assert_eq!(made["Env"], json!(["SECRET=x", "PATH=/bin", "VERSION=1"]));
    }

    #[test]
    fn names_of_networks_lead_nowhere_else() {
        assert_eq!(segment("my_net-1.x"), "my_net-1.x");
        assert_eq!(segment("../a b?"), "..%2Fa%20b%3F");
    }
}
