//! Where a new host is reached, as a person writes it: `user@nas.lan:2201`, `[fd00::7]`, `unix:///path`.

use super::host::{Hostname, LoginName};
use super::redact::MASK;
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
        let wrong =
            |why: String| InvalidTarget { text: without_password(text).chars().take(80).collect(), why };
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
            Some((user, _)) if user.contains(':') => {
                return Err(wrong("a password has no place in it, a key or an agent logs in".to_owned()));
            }
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

/// A place as it was written, without the password that somebody has put behind the user.
pub fn without_password(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + "://".len());
    let login =
        text[start..].rsplit_once('@').and_then(|(login, place)| Some((login.split_once(':')?.0, place)));
    match login {
        Some((user, place)) => format!("{}{user}:{MASK}@{place}", &text[..start]),
        None => text.to_owned(),
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

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for (text, shown) in [
            ("ops:swordfish@nas", "ops:***@nas"),
            ("ssh://ops:sword@fish@nas:22", "ssh://ops:***@nas:22"),
            ("tcp://me:swordfish@nas:2376", "tcp://me:***@nas:2376"),
            (":swordfish@nas", ":***@nas"),
        ] {
            let error = text.parse::<HostTarget>().unwrap_err().to_string();
            assert!(error.contains(&format!("{shown:?} names no host: a password has no place")), "{error}");
            assert!(!error.contains("fish"), "{error}");
        }
        for plain in ["ops@nas", "nas:22", "ssh://ops@[fd00::7]:22", "unix:///run/x.sock", "fd00::7"] {
            assert_eq!(without_password(plain), plain);
        }
    }
}
