//! Where a new host is reached, as a person writes it: `user@nas.lan:2201`, `[fd00::7]`, `unix:///path`.

use super::host::{Hostname, LoginName};
use std::path::PathBuf;
use std::str::FromStr;

/// A place to reach an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostTarget {
    /// Through sshd.
    Ssh {
        /// Who logs in, when it was said.
        user: Option<LoginName>,
        /// A name, an address or an alias of the ssh configuration.
        hostname: Hostname,
        /// The port, when it was said.
        port: Option<u16>,
    },
    /// A socket of this machine; `None` is the usual one.
    Unix(Option<PathBuf>),
    /// A port of the engine's own.
    Tcp {
        /// Where it listens.
        hostname: Hostname,
        /// The port, when it was said.
        port: Option<u16>,
    },
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no host: {why}. Write user@address, user@address:port, an alias of your ssh configuration, unix:///path/of/docker.sock, or tcp://address:port"
)]
pub struct InvalidTarget {
    text: String,
    why: String,
}

impl FromStr for HostTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let wrong = |why: String| InvalidTarget { text: text.chars().take(80).collect(), why };
        if text == "unix" || text == "unix://" {
            return Ok(Self::Unix(None));
        }
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.starts_with('/').then_some(text)) {
            if path.starts_with('/') && !path.chars().any(char::is_control) {
                return Ok(Self::Unix(Some(path.into())));
            }
            return Err(wrong("a socket's path starts with /".to_owned()));
        }
        let tcp = text.strip_prefix("tcp://");
        let rest = tcp.or_else(|| text.strip_prefix("ssh://")).unwrap_or(text);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.parse().map_err(|error| wrong(format!("{error}")))?), place),
            None => (None, rest),
        };
        let (hostname, port) = split_port(place);
        let hostname = hostname.parse().map_err(|error| wrong(format!("{error}")))?;
        let port = port.map(|port| {
            let number = port.parse::<u16>().ok().filter(|port| *port != 0);
            number.ok_or_else(|| wrong(format!("{port:?} is no port (a whole number from 1 to 65535)")))
        });
        let port = port.transpose()?;
        match (tcp, user) {
            (Some(_), None) => Ok(Self::Tcp { hostname, port }),
            (Some(_), Some(_)) => Err(wrong("nobody logs in at an engine's port".to_owned())),
            (None, user) => Ok(Self::Ssh { user, hostname, port }),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = place.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        return (address, rest.strip_prefix(':').or((!rest.is_empty()).then_some(rest)));
    }
    match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (place, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(user: Option<&str>, hostname: &str, port: Option<u16>) -> HostTarget {
        let user = user.map(|user| user.parse().unwrap());
        HostTarget::Ssh { user, hostname: hostname.parse().unwrap(), port }
    }

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, target) in [
            ("nas", ssh(None, "nas", None)),
            ("ops@nas.lan", ssh(Some("ops"), "nas.lan", None)),
            ("ssh://ops@nas.lan:2201", ssh(Some("ops"), "nas.lan", Some(2201))),
            ("ops@[fd00::7]:2201", ssh(Some("ops"), "fd00::7", Some(2201))),
            ("fd00::7", ssh(None, "fd00::7", None)),
            ("tcp://nas:2376", HostTarget::Tcp { hostname: "nas".parse().unwrap(), port: Some(2376) }),
            ("unix", HostTarget::Unix(None)),
            ("unix:///run/x.sock", HostTarget::Unix(Some("/run/x.sock".into()))),
            ("/run/x.sock", HostTarget::Unix(Some("/run/x.sock".into()))),
        ] {
            assert_eq!(text.parse::<HostTarget>().unwrap(), target, "{text}");
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "a b",
            "ops@",
            "nas:0",
            "nas:99999",
            "nas:x",
            "@nas",
            "[fd00::7]x",
            "unix://x",
            "tcp://me@nas",
        ] {
            assert!(bad.parse::<HostTarget>().is_err(), "{bad:?}");
        }
    }
}
