//! The types of single values in a configuration file: how each is read, and how the schema tells it.

use super::document::{Kind, Node};
use super::findings::Findings;
use crate::domain::host::{ContextName, Hostname, LoginName};
use crate::domain::pattern::Pattern;
use crate::domain::policy::{ConfirmFallback, Policy};
use crate::domain::suggest::did_you_mean;
use crate::runtime::telemetry::LogLevel;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_yaml::Value;
use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A value that a node of a document can be read as.
pub(super) trait FromNode: Sized {
    /// Reads it; what is wrong goes to `findings`, and then there is no value.
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self>;
}

/// Reads a text by its type's own rule.
fn parsed<T: FromStr<Err: std::fmt::Display>>(node: &Node, findings: &mut Findings) -> Option<T> {
    let Some(text) = node.as_str() else {
        findings.wrong_type(node, "a text (put it in quotes)");
        return None;
    };
    text.parse().map_err(|error: T::Err| findings.fault(node.id, error.to_string())).ok()
}

/// Types that are texts with a rule.
macro_rules! text_fields {
    ($($type:ty: $name:literal),* $(,)?) => {$(
        impl FromNode for $type {
            fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
                parsed(node, findings)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string"})
            }
        }
    )*};
}

/// Texts of which an empty one is none: the predecessor wrote those for what was not set.
macro_rules! optional_text_fields {
    ($($type:ident($inner:ty): $name:literal),* $(,)?) => {$(
        #[doc = concat!("A ", $name, ", or none.")]
        #[derive(Debug, Clone)]
        pub(super) struct $type(pub(super) Option<$inner>);

        impl FromStr for $type {
            type Err = <$inner as FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
            }
        }

        text_fields!($type: $name);
    )*};
}

optional_text_fields!(
    ContextField(ContextName): "context",
    PathField(PathBuf): "path",
    SocketField(SocketPath): "socket",
);

/// A socket's absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketPath(pub(super) String);

impl FromStr for SocketPath {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        if path.starts_with('/') && !path.chars().any(char::is_control) {
            return Ok(Self(path.to_owned()));
        }
        Err(format!("{path:?} must be the absolute path of a socket"))
    }
}

text_fields!(
    Hostname: "hostname",
    LoginName: "login",
    ListenHost: "address",
    HostDirectory: "directory",
    Pattern: "pattern",
);

impl FromNode for String {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        parsed(node, findings)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            findings.wrong_type(node, "a list, such as [a, b]");
            return None;
        };
        let item = |(at, item)| findings.within_item(at, |findings| T::from_node(item, findings));
        Some(items.iter().enumerate().filter_map(item).collect())
    }
}

/// A section of the predecessor's that means nothing here; files that have it load without a word.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
pub(super) struct Ignored(
    #[expect(dead_code, reason = "for the schema: anything may stand here")] serde_json::Value,
);

impl FromNode for Ignored {
    fn from_node(_: &Node, _: &mut Findings) -> Option<Self> {
        None
    }
}

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

impl FromNode for Port {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        let text = match &node.kind {
            Kind::Leaf(Value::Number(number)) => number.to_string(),
            Kind::Leaf(Value::String(text)) => text.clone(),
            _ => {
                findings.fault(node.id, format!("{PORT_RULE}; here stands {}", node.described()));
                return None;
            }
        };
        text.parse().map_err(|error: String| findings.fault(node.id, error)).ok()
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "maximum": 65535})
    }
}

/// A truth value, in YAML 1.1's words too: the predecessor's reader took them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl FromNode for Flag {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        let word = match &node.kind {
            Kind::Leaf(Value::Bool(flag)) => return Some(Self(*flag)),
            Kind::Leaf(Value::Number(number)) => number.to_string(),
            Kind::Leaf(Value::String(text)) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        match word.as_str() {
            "true" | "yes" | "y" | "on" | "1" => Some(Self(true)),
            "false" | "no" | "n" | "off" | "0" => Some(Self(false)),
            _ => {
                findings.wrong_type(node, "true or false");
                None
            }
        }
    }
}

impl JsonSchema for Flag {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "flag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [true, false, "true", "false", "yes", "no", "on", "off"]})
    }
}

/// A directory on a host: an absolute path, or one below the login's home. The predecessor wrote an
/// empty text for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostDirectory(pub(super) String);

impl FromStr for HostDirectory {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let rooted = path.is_empty() || path.starts_with('/') || path.starts_with("~/");
        if rooted && !path.split('/').any(|part| part == "..") && !path.chars().any(char::is_control) {
            return Ok(Self(path.to_owned()));
        }
        Err(format!("{path:?} must be an absolute path on the host, or start with ~/, without `..`"))
    }
}

/// A closed set of words.
macro_rules! word_fields {
    ($($type:ty: $name:literal, [$($word:literal),*]),* $(,)?) => {$(
        impl FromNode for $type {
            fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
                let words = [$($word),*];
                let Some(text) = node.as_str() else {
                    findings.wrong_type(node, &format!("one of {}", words.join(", ")));
                    return None;
                };
                let near = || did_you_mean(text, words.iter().copied());
                text.parse().map_err(|_| {
                    findings.fault(
                        node.id,
                        format!("{text:?} is no {}: write one of {}.{}", $name, words.join(", "), near()),
                    );
                }).ok()
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "enum": [$($word),*]})
            }
        }
    )*};
}

word_fields!(
    LogLevel: "log level", ["DEBUG", "INFO", "WARNING", "ERROR"],
    HostKind: "kind of host", ["ssh", "unix", "tcp"],
    WatchMode: "way to watch", ["auto", "poll"],
    Policy: "policy", ["rw", "no_destructive", "ro"],
    ConfirmFallback: "answer to calls that nobody can be asked about", ["plan", "deny", "allow"],
);

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(super) enum HostKind {
    Ssh,
    Unix,
    Tcp,
}

/// How changes of the files are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum WatchMode {
    /// The system tells, and the files are looked at every minute.
    #[default]
    Auto,
    /// The files are looked at every two seconds: for file systems that tell nothing (NFS, FUSE).
    Poll,
}
