//! The shape of a configuration file. Every rule is checked while reading, so that each fault
//! carries its line and column.

use crate::domain::host::{Endpoint, HostId, HostSpec, Hostname, LoginName, SshTarget};
use crate::runtime::telemetry::LogLevel;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A whole file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "the sections hosts: and server:")]
pub(super) struct File {
    #[serde(default, deserialize_with = "hosts")]
    pub(super) hosts: BTreeMap<HostId, HostSpec>,
    #[serde(default)]
    pub(super) server: Option<Server>,
}

/// The `server:` section.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(expecting = "settings such as `{port: 8000, log_level: INFO}`")]
pub(super) struct Server {
    pub(super) host: Option<ListenHost>,
    pub(super) port: Option<Port>,
    #[serde(default, deserialize_with = "parsed")]
    pub(super) log_level: Option<LogLevel>,
    pub(super) allowed_hosts: Option<Vec<String>>,
}

/// Keys of the predecessor that mean nothing here; files that have them load without a word.
pub(super) const PREDECESSOR_KEYS: [&str; 2] = ["transfer", "server.max_connections"];

/// Known keys, for finding the nearest to an unknown one.
pub(super) const KNOWN_KEYS: [(&str, &[&str]); 3] = [
    ("", &["hosts", "server", "transfer"]),
    ("server", &["host", "port", "log_level", "allowed_hosts"]),
    (
        "hosts.*",
        &[
            "kind",
            "hostname",
            "user",
            "port",
            "identity_file",
            "ssh_alias",
            "socket",
            "description",
            "tags",
            "docker_context",
            "compose_path",
            "appdata_path",
            "enabled",
        ],
    ),
];

/// The address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListenHost(pub(super) IpAddr);

impl FromStr for ListenHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "localhost" {
            return Ok(Self(IpAddr::from([127, 0, 0, 1])));
        }
        text.parse().map(Self).map_err(|_| {
            format!("{text:?} is no IP address: write 127.0.0.1 (this machine only), ::1 or an address of this machine")
        })
    }
}

impl<'de> Deserialize<'de> for ListenHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A TCP port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(pub(super) u16);

const PORT_RULE: &str = "a port is a whole number from 1 to 65535";

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.map(Self).ok_or_else(|| format!("{text:?} is no port: {PORT_RULE}"))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortVisitor;
        impl Visitor<'_> for PortVisitor {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PORT_RULE)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Port, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Port, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Port, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(PortVisitor)
    }
}

/// An optional value of a type that parses from text.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Ssh,
    Unix,
}

/// A host as written.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "a host such as `{hostname: nas.lan, user: me}`")]
struct RawHost {
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default, deserialize_with = "parsed")]
    hostname: Option<Hostname>,
    #[serde(default, deserialize_with = "parsed")]
    user: Option<LoginName>,
    #[serde(default)]
    port: Option<Port>,
    #[serde(default)]
    identity_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "parsed")]
    ssh_alias: Option<Hostname>,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    docker_context: Option<String>,
    #[serde(default)]
    compose_path: Option<String>,
    #[serde(default)]
    appdata_path: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

impl RawHost {
    fn into_spec(self, id: HostId) -> Result<HostSpec, String> {
        let endpoint = match self.kind.unwrap_or(Kind::Ssh) {
            Kind::Ssh => Endpoint::Ssh(SshTarget {
                hostname: self.hostname.or_else(|| self.ssh_alias.clone()).ok_or(
                    "a host needs a hostname (a DNS name, an address or an ssh alias); for the engine of this machine write kind: unix",
                )?,
                user: self.user,
                port: self.port.map(|port| port.0),
                identity_file: self.identity_file,
                alias: self.ssh_alias,
            }),
            Kind::Unix => match self.socket.or_else(crate::transport::local::find_socket) {
                Some(socket) => Endpoint::Unix(socket),
                None => Endpoint::Unix("/var/run/docker.sock".into()),
            },
        };
        for (key, path) in [("compose_path", &self.compose_path), ("appdata_path", &self.appdata_path)] {
            if path.as_ref().is_some_and(|path| !is_directory_path(path)) {
                return Err(format!("{key} must be an absolute path on the host, or start with ~/"));
            }
        }
        Ok(HostSpec {
            id,
            endpoint,
            description: self.description.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            compose_path: self.compose_path.filter(|path| !path.is_empty()),
            appdata_path: self.appdata_path.filter(|path| !path.is_empty()),
            docker_context: self.docker_context.filter(|name| !name.is_empty()),
            enabled: self.enabled.unwrap_or(true),
        })
    }
}

/// The predecessor wrote empty strings for what was not set.
fn is_directory_path(path: &str) -> bool {
    let rooted = path.is_empty() || path.starts_with('/') || path.starts_with("~/");
    rooted && !path.split('/').any(|part| part == "..") && !path.chars().any(char::is_control)
}

/// The map of hosts. `serde_yaml` keeps the last of two equal keys without a word; here the second
/// one is a fault.
fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<HostId, HostSpec>, D::Error> {
    struct HostsVisitor;
    impl<'de> Visitor<'de> for HostsVisitor {
        type Value = BTreeMap<HostId, HostSpec>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from host ids to hosts, such as `nas: {hostname: nas.lan, user: me}`")
        }

        // `hosts:` with nothing below it.
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut hosts = BTreeMap::new();
            while let Some(id) = map.next_key_seed(KeySeed(&hosts))? {
                let spec = map.next_value_seed(HostSeed(id.clone()))?;
                hosts.insert(id, spec);
            }
            Ok(hosts)
        }
    }
    deserializer.deserialize_any(HostsVisitor)
}

/// Reads the key of one more host. The checks are made in here because a fault found later would be
/// shown at the first host.
struct KeySeed<'a>(&'a BTreeMap<HostId, HostSpec>);

impl<'de> serde::de::DeserializeSeed<'de> for KeySeed<'_> {
    type Value = HostId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<HostId, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = HostId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host id")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<HostId, E> {
        let id: HostId = key.parse().map_err(E::custom)?;
        if self.0.contains_key(&id) {
            return Err(E::custom(format!("the host {key:?} stands here twice")));
        }
        Ok(id)
    }
}

/// Reads a host whose id is known from its key.
struct HostSeed(HostId);

impl<'de> serde::de::DeserializeSeed<'de> for HostSeed {
    type Value = HostSpec;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<HostSpec, D::Error> {
        RawHost::deserialize(deserializer)?.into_spec(self.0).map_err(D::Error::custom)
    }
}
