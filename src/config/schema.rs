//! The shape of a configuration file: its sections and keys, from which the reader, the list of known
//! keys and the JSON Schema for editors are made.

use super::document::Node;
use super::fields::{
    ContextField, Flag, FromNode, HostDirectory, HostKind, Ignored, ListenHost, PathField, Port, SocketField,
    WatchMode,
};
use super::findings::Findings;
use crate::domain::host::{Endpoint, HostId, HostSpec, Hostname, LoginName, SshTarget, TcpTarget};
use crate::domain::pattern::Pattern;
use crate::domain::policy::{ConfirmFallback, Policy};
use crate::runtime::telemetry::LogLevel;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Declares a section: every key optional, a null as good as none, an unknown key a warning.
macro_rules! section {
    (
        $(#[$meta:meta])*
        struct $name:ident as $wanted:literal {
            $($(#[$doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$doc])* pub(super) $field: Option<$type>,)*
        }

        impl $name {
            /// Its keys.
            pub(super) const KEYS: &[&str] = &[$(stringify!($field)),*];
        }

        impl FromNode for $name {
            fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
                let mut section = Self::default();
                for (name, entry) in findings.entries(node, $wanted)? {
                    let value = &entry.value;
                    match name {
                        _ if value.is_null() && Self::KEYS.contains(&name) => {}
                        $(stringify!($field) => {
                            section.$field =
                                findings.within(name, |findings| FromNode::from_node(value, findings));
                        })*
                        // Compose files have them too: a place for anchors, and for notes of other programs.
                        extension if extension.starts_with("x-") => {}
                        unknown => findings.unknown_key(&entry.key, unknown, Self::KEYS),
                    }
                }
                Some(section)
            }
        }
    };
}

section!(
    /// Hosts that Dockmaster keeps a line to, and settings of its service.
    struct File as "a mapping with the sections hosts: and server:" {
        /// The hosts by their names.
        hosts: Hosts,
        /// Settings of the service itself; they take effect at its next start.
        server: Server,
        /// A section of the predecessor's; it means nothing here.
        transfer: Ignored,
    }
);

section!(
    /// Settings of the service itself.
    struct Server as "a mapping of settings such as `{port: 8000, log_level: INFO}`" {
        /// The address to listen on; any other than loopback asks every client for the token.
        host: ListenHost,
        /// The port to listen on.
        port: Port,
        /// How much is logged.
        log_level: LogLevel,
        /// Names that clients may call this server by, beside addresses and localhost.
        allowed_hosts: Vec<String>,
        /// How changes of the hosts files are noticed: `poll` for NFS and FUSE, which tell nothing.
        watch: WatchMode,
        /// What becomes of a call that a person has to agree to when the client cannot ask one: `plan` (it is
        /// answered with a plan, and made when that is confirmed), `deny`, or `allow`.
        confirm_fallback: ConfirmFallback,
        /// A setting of the predecessor's; it means nothing here.
        max_connections: Ignored,
    }
);

section!(
    /// A host.
    struct Host as "a host such as `{hostname: nas.lan, user: me}`" {
        /// How it is reached: over ssh (the usual), by a socket of this machine, or at a port of its engine.
        kind: HostKind,
        /// DNS name, address, or an alias of the ssh configuration.
        hostname: Hostname,
        /// Who logs in; left out: whom ssh would take.
        user: LoginName,
        /// The port of sshd; left out: what ssh would take.
        port: Port,
        /// A private key; left out: what ssh would take.
        identity_file: PathField,
        /// An alias of the ssh configuration that ssh is given alone, so that its jump host and the rest apply.
        ssh_alias: Hostname,
        /// The engine's socket, on the host or (`kind: unix`) on this machine; left out: the usual places.
        socket: SocketField,
        /// Reach the engine by `sudo -n docker`, where the login may not open its socket.
        sudo: Flag,
        /// For `kind: tcp`: whether TLS is spoken (the usual), by certificates on both sides.
        tls: Flag,
        /// For `kind: tcp`: the directory with `ca.pem`, `cert.pem` and `key.pem`; left out: `~/.docker`.
        cert_path: PathField,
        /// Words about it.
        description: String,
        /// Words it can be selected by, as @tag.
        tags: Vec<String>,
        /// The name of its Docker context, where it is not docker-mcp-NAME.
        docker_context: ContextField,
        /// The directory on the host that holds one folder per compose stack.
        compose_path: HostDirectory,
        /// The directory on the host that holds the applications' data.
        appdata_path: HostDirectory,
        /// Whether a line is kept to it.
        enabled: Flag,
        /// What may be done to it over MCP: `rw` (everything), `no_destructive` or `ro`. The strictest entry of
        /// one engine counts for all its names.
        policy: Policy,
        /// Globs of names, or `label=key[=value]`: containers, volumes and networks that are not stopped, removed or
        /// remade over MCP, whatever the policy.
        protected: Vec<Pattern>,
        /// Whether the host has a local socket for docker and other tools; left out: where its policy is
        /// `rw`. With another policy the socket passes only what reads.
        local_socket: Flag,
    }
);

impl Host {
    /// The host that this says, or what it lacks.
    fn into_spec(self, id: HostId) -> Result<HostSpec, &'static str> {
        let socket = self.socket.and_then(|socket| socket.0).map(|path| path.0);
        let endpoint = match self.kind.unwrap_or(HostKind::Ssh) {
            HostKind::Ssh => Endpoint::Ssh(SshTarget {
                hostname: self.hostname.or_else(|| self.ssh_alias.clone()).ok_or(
                    "a host needs a hostname (a DNS name, an address or an ssh alias); for the engine of this machine write kind: unix",
                )?,
                user: self.user,
                port: self.port.map(|port| port.0),
                identity_file: self.identity_file.and_then(|path| path.0),
                alias: self.ssh_alias,
                socket,
                sudo: self.sudo.is_some_and(|flag| flag.0),
            }),
            HostKind::Unix => match socket.map(PathBuf::from).or_else(crate::transport::local::find_socket) {
                Some(socket) => Endpoint::Unix(socket),
                None => Endpoint::Unix("/var/run/docker.sock".into()),
            },
            HostKind::Tcp => {
                let tls = self.tls.is_none_or(|flag| flag.0);
                let certificates = self.cert_path.and_then(|path| path.0).unwrap_or_else(|| PathBuf::from("~/.docker"));
                Endpoint::Tcp(TcpTarget {
                    hostname: self.hostname.ok_or("a host of kind tcp needs a hostname")?,
                    port: self.port.map_or(if tls { TLS_PORT } else { PLAIN_PORT }, |port| port.0),
                    certificates: tls.then_some(certificates),
                })
            }
        };
        let not_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(HostSpec {
            id,
            endpoint,
            description: self.description.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            compose_path: not_empty(self.compose_path.map(|path| path.0)),
            appdata_path: not_empty(self.appdata_path.map(|path| path.0)),
            docker_context: self.docker_context.and_then(|name| name.0),
            enabled: self.enabled.is_none_or(|flag| flag.0),
            policy: self.policy.unwrap_or_default(),
            protected: self.protected.unwrap_or_default(),
            local_socket: self.local_socket.map(|flag| flag.0),
        })
    }
}

/// The docker client's own ports for an engine with and without TLS.
const TLS_PORT: u16 = 2376;
const PLAIN_PORT: u16 = 2375;

/// The keys of a host.
pub(super) fn host_keys() -> &'static [&'static str] {
    Host::KEYS
}

/// The hosts by id.
#[derive(Debug, Default)]
pub(super) struct Hosts(pub(super) BTreeMap<HostId, HostSpec>);

impl FromNode for Hosts {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        let wanted = "a mapping from names to hosts, such as `nas: {hostname: nas.lan, user: me}`";
        let mut hosts = BTreeMap::new();
        for (name, entry) in findings.entries(node, wanted)? {
            let id: Option<HostId> =
                name.parse().map_err(|error| findings.fault(entry.key.id, format!("{error}"))).ok();
            let before = findings.faults();
            let host = findings.within(name, |findings| Host::from_node(&entry.value, findings));
            let (Some(id), Some(host)) = (id, host) else { continue };
            match host.into_spec(id.clone()) {
                Ok(spec) => {
                    let context = spec.context_name();
                    let same = |other: &&HostSpec| other.context_name() == context;
                    if let Some(other) = hosts.values().find(same) {
                        let words = format!("{} has the Docker context {context} already", other.id);
                        findings.fault(entry.key.id, words);
                    }
                    hosts.insert(id, spec);
                }
                // What is there but faulty is not missing as well.
                Err(_) if findings.faults() > before => {}
                Err(lacks) => findings.fault(entry.key.id, lacks),
            }
        }
        Some(Self(hosts))
    }
}

impl JsonSchema for Hosts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "hosts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
            "additionalProperties": generator.subschema_for::<Host>(),
        })
    }
}

/// The JSON Schema of a hosts file, for editors.
pub fn json_schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "Dockmaster hosts file".into());
    let mut schema = schema.to_value();
    allow_extensions(&mut schema);
    schema
}

/// As the reader takes them in every section: a place for anchors, and for notes of other programs.
fn allow_extensions(schema: &mut serde_json::Value) {
    let is_section = schema.get("properties").is_some();
    let parts = schema.as_object_mut().into_iter().flatten().map(|(_, part)| part);
    parts.for_each(allow_extensions);
    if is_section {
        schema["patternProperties"] = serde_json::json!({"^x-": true});
    }
}
