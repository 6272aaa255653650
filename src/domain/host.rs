//! What a host is: its names, where its engine is reached, and what the owner said about it.
//!
//! Every name is parsed once, at the edge; a value of these types can go into an argument vector,
//! a URL or a path without another look.

use super::pattern::Pattern;
use super::policy::Policy;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A name that cannot be used, with the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    /// Which kind of name was read.
    pub what: &'static str,
    /// The text as given, shortened to [`InvalidName::SHOWN`] characters.
    pub value: String,
    /// The rule, phrased so that its reader knows what to write.
    pub rule: &'static str,
}

impl InvalidName {
    /// Longer input is cut in the message: a pasted file must not become the error.
    const SHOWN: usize = 80;

    pub(super) fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        let value = value.chars().take(Self::SHOWN).collect();
        Self { what, value, rule }
    }
}

/// Declares a validated string type: `FromStr`, `Display`, `AsRef<str>`, `as_str`.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName::new($what, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Ordered and compared like its text, so that a map finds it by that.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// The key of a host in the configuration; also part of its Docker context's name, so it keeps
    /// to what `docker context create` accepts.
    HostId,
    "host id",
    "use 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit, and none of YAML's words for true, false and null",
    valid_host_id
);

text_type!(
    /// A DNS name, an IP address, or an alias of the user's ssh configuration.
    Hostname,
    "hostname",
    "use a DNS name, an IPv4 or IPv6 address (without brackets), or an alias of your ssh configuration",
    valid_hostname
);

text_type!(
    /// A login name on a host.
    LoginName,
    "user",
    "use letters, digits, '.', '_', '-', '@', '\\' or '$', not starting with '-'",
    valid_login
);

text_type!(
    /// The name of a Docker context; it is also a file's name.
    ContextName,
    "docker_context",
    "use 2 to 100 letters, digits, '_', '.', '+' or '-', starting with a letter or digit",
    valid_context
);

/// Words that YAML 1.1 readers take for something else than text; as host ids they would break
/// whoever reads the file with such a reader.
const YAML_WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

fn valid_host_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
        && !is_yaml_word(text)
}

/// Whether a reader of YAML 1.1 takes `text` for a truth value or for nothing.
pub fn is_yaml_word(text: &str) -> bool {
    YAML_WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn valid_hostname(text: &str) -> bool {
    // 253 is DNS's own limit for a name in text form (RFC 1035, section 2.3.4).
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let address = text.split('%').next().unwrap_or_default();
    let is_ipv6 = address.parse::<std::net::Ipv6Addr>().is_ok()
        && text.chars().all(|c| name(c) || matches!(c, ':' | '%'));
    is_ipv6 || (!text.is_empty() && text.len() <= 253 && !text.starts_with('-') && text.chars().all(name))
}

fn valid_login(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '\\' | '$');
    !text.is_empty() && text.len() <= 256 && !text.starts_with('-') && text.chars().all(plain)
}

/// The docker client's own rule, with a bound.
fn valid_context(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    (2..=100).contains(&text.len()) && starts && text.chars().all(plain)
}

/// How a host is reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshTarget {
    /// Where sshd listens, or the alias that the user's ssh configuration resolves.
    pub hostname: Hostname,
    /// Who logs in; `None` leaves it to the ssh configuration.
    pub user: Option<LoginName>,
    /// The port as configured; `None` leaves it to the ssh configuration (22 when it is silent).
    pub port: Option<u16>,
    /// A private key offered before the agent's.
    pub identity_file: Option<PathBuf>,
    /// The alias this host was imported from. When set, ssh is given the alias alone, so that
    /// every setting of the user's ssh configuration keeps applying.
    pub alias: Option<Hostname>,
    /// The engine's socket on the host; `None` looks in the usual places.
    pub socket: Option<String>,
    /// The engine is reached by `sudo -n docker`, because the login may not open its socket.
    pub sudo: bool,
}

impl SshTarget {
    /// A host of which nothing but its name is known.
    pub fn new(hostname: Hostname) -> Self {
        Self { hostname, user: None, port: None, identity_file: None, alias: None, socket: None, sudo: false }
    }

    /// The endpoint as Docker writes it: `ssh://user@hostname`, with the port only when it is not
    /// 22, an IPv6 address in brackets, and `ssh://alias` for an imported host.
    pub fn url(&self) -> String {
        if let Some(alias) = &self.alias {
            return format!("ssh://{alias}");
        }
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = match self.hostname.as_str() {
            v6 if v6.contains(':') => format!("[{v6}]"),
            name => name.to_owned(),
        };
        let port = self.port.filter(|port| *port != 22).map(|port| format!(":{port}"));
        format!("ssh://{user}{host}{}", port.unwrap_or_default())
    }

    /// Where it leads, whatever it is called: `user@hostname`, with the port when it is not 22.
    pub fn place(&self) -> String {
        Self { alias: None, ..self.clone() }.url().trim_start_matches("ssh://").to_owned()
    }

    /// What a person types to make the same connection, for error messages.
    pub fn command(&self) -> String {
        if let Some(alias) = &self.alias {
            return format!("ssh {alias}");
        }
        let port = self.port.filter(|port| *port != 22).map(|port| format!("-p {port} "));
        let key = self.identity_file.as_ref().map(|key| format!("-i {} ", key.display()));
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let (port, key) = (port.unwrap_or_default(), key.unwrap_or_default());
        format!("ssh {port}{key}{user}{}", self.hostname)
    }
}

/// Where a host's engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Through sshd on the host.
    Ssh(SshTarget),
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port of the engine's own.
    Tcp(TcpTarget),
}

/// An engine that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpTarget {
    /// Where it listens, which is also the name in its certificate.
    pub hostname: Hostname,
    /// The port.
    pub port: u16,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, as the docker client has them; `None` speaks
    /// without TLS.
    pub certificates: Option<PathBuf>,
}

impl Endpoint {
    /// The endpoint as a URL, as Docker writes it.
    pub fn url(&self) -> String {
        match self {
            Self::Ssh(target) => target.url(),
            Self::Unix(path) => format!("unix://{}", path.display()),
            Self::Tcp(target) => format!("tcp://{}", host_and_port(&target.hostname, target.port)),
        }
    }

    /// The port of the host through which it is reached, as far as the configuration tells.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ssh(target) => Some(target.port.unwrap_or(22)),
            Self::Tcp(target) => Some(target.port),
            Self::Unix(_) => None,
        }
    }

    /// The place as it tells engines apart: `hostname:port`, or the socket's path.
    pub fn place(&self) -> String {
        match self {
            Self::Ssh(target) => {
                format!("{}:{}", target.hostname.as_str().to_lowercase(), target.port.unwrap_or(22))
            }
            Self::Unix(path) => path.display().to_string(),
            Self::Tcp(target) => format!("{}:{}", target.hostname.as_str().to_lowercase(), target.port),
        }
    }
}

/// A host with its port, an IPv6 address in brackets.
fn host_and_port(hostname: &Hostname, port: u16) -> String {
    if hostname.as_str().contains(':') {
        format!("[{hostname}]:{port}")
    } else {
        format!("{hostname}:{port}")
    }
}

/// One configured host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// Its key in the configuration.
    pub id: HostId,
    /// Where its engine is.
    pub endpoint: Endpoint,
    /// The owner's words about it.
    pub description: String,
    /// Words it can be selected by (`@tag`).
    pub tags: Vec<String>,
    /// The directory on the host that holds one folder per compose stack.
    pub compose_path: Option<String>,
    /// The directory on the host that holds the applications' data.
    pub appdata_path: Option<String>,
    /// The name of its Docker context, when it is not the usual one.
    pub docker_context: Option<ContextName>,
    /// A disabled host is listed, but never connected to.
    pub enabled: bool,
    /// What this entry lets be done to the host over MCP; other entries of the same engine may say less.
    pub policy: Policy,
    /// What on it is left alone; other entries of the same engine may name more.
    pub protected: Vec<Pattern>,
    /// Whether the host has a local socket for other tools; `None` where that follows from its policy.
    pub local_socket: Option<bool>,
}

impl HostSpec {
    /// A host of which nothing but its name and endpoint is known.
    pub fn new(id: HostId, endpoint: Endpoint) -> Self {
        Self {
            id,
            endpoint,
            description: String::new(),
            tags: vec![],
            compose_path: None,
            appdata_path: None,
            docker_context: None,
            enabled: true,
            policy: Policy::default(),
            protected: vec![],
            local_socket: None,
        }
    }

    /// The name of the host's Docker context: the configured one, else `docker-mcp-<host_id>`.
    pub fn context_name(&self) -> String {
        self.docker_context.as_ref().map_or_else(|| format!("docker-mcp-{}", self.id), ToString::to_string)
    }

    /// The default name of the local engine when nothing is configured.
    pub const LOCAL: &'static str = "local";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(user: Option<&str>, hostname: &str, port: Option<u16>) -> SshTarget {
        let user = user.map(|user| user.parse().unwrap());
        SshTarget { user, port, ..SshTarget::new(hostname.parse().unwrap()) }
    }

    #[test]
    fn s7_the_url_carries_the_port_only_when_it_is_not_22() {
        assert_eq!(target(Some("ops"), "nas", None).url(), "ssh://ops@nas");
        assert_eq!(target(Some("ops"), "nas", Some(22)).url(), "ssh://ops@nas");
        assert_eq!(target(Some("ops"), "nas", Some(2201)).url(), "ssh://ops@nas:2201");
    }

    #[test]
    fn s7_an_ipv6_address_stands_in_brackets() {
        assert_eq!(target(Some("ops"), "fd00::7", Some(2201)).url(), "ssh://ops@[fd00::7]:2201");
        assert_eq!(target(None, "fe80::1%eth0", None).url(), "ssh://[fe80::1%eth0]");
    }

    #[test]
    fn s7_an_imported_host_keeps_its_alias() {
        let alias = SshTarget { alias: Some("nas".parse().unwrap()), ..target(Some("a"), "b", None) };
        assert_eq!(alias.url(), "ssh://nas");
        assert_eq!(alias.command(), "ssh nas");
    }

    #[test]
    fn names_that_could_be_read_as_something_else_are_refused() {
        for bad in ["", "-nas", "a b", "off", "Yes", "null", "nas;rm", "nas\n", "ü", &"n".repeat(64)] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "h$(x)", "[::1]", "nas\0"] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?}");
        }
        for bad in ["", "-l", "a b", "x;y", "$(id)", "`id`"] {
            assert!(bad.parse::<LoginName>().is_err(), "{bad:?}");
        }
        assert!("nas.home_lab-2".parse::<HostId>().is_ok());
        assert!("DOMAIN\\user".parse::<LoginName>().is_ok());
    }

    #[test]
    fn an_error_shows_the_start_of_a_long_value_only() {
        let error = "x y".repeat(1000).parse::<HostId>().unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }
}
