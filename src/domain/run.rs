//! A container that is to be made: what `docker run` is told by its options.

use super::container::ContainerName;
use super::image::ImageName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

/// A container to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Its image; pulled when the host has none of that name.
    pub image: ImageName,
    /// Its name; the engine makes one up when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// Program and arguments in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Published ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// What is mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<MountSpec>,
    /// The networks it is attached to; the engine's default when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When the engine starts it again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Bytes it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Processors it may use, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milli_cpus: Option<i64>,
}

impl RunSpec {
    /// Whether it mounts a path of the host.
    pub fn mounts_the_host(&self) -> bool {
        self.volumes.iter().any(MountSpec::is_bind)
    }

    /// A container of an image, with everything else as it comes.
    pub fn of(image: ImageName) -> Self {
        Self {
            image,
            name: None,
            command: vec![],
            env: BTreeMap::new(),
            ports: vec![],
            volumes: vec![],
            networks: vec![],
            labels: BTreeMap::new(),
            restart: RestartPolicy::No,
            memory: None,
            milli_cpus: None,
        }
    }
}

/// Thousand-millionths of a processor, in which engines count, in a thousandth.
pub const NANO_PER_MILLI: i64 = 1_000_000;

/// What a container may use, as far as that is to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSpec {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Processors, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milli_cpus: Option<i64>,
    /// When the engine starts it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
}

impl LimitSpec {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When the engine starts a container again that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it failed.
    OnFailure,
    /// Unless somebody stopped it.
    UnlessStopped,
    /// Always.
    Always,
}

impl RestartPolicy {
    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::UnlessStopped => "unless-stopped",
            Self::Always => "always",
        }
    }
}

/// Text that is no option of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {rule}")]
pub struct InvalidOption {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidOption {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), rule }
    }
}

/// A port that is reachable from outside: `8080:80`, `127.0.0.1:8080:80/udp`, `80` for one the engine picks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublishedPort {
    /// The address it is published on; all of them when there is none.
    pub ip: Option<IpAddr>,
    /// The port outside; the engine picks one when there is none.
    pub public: Option<u16>,
    /// The port inside.
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As Docker writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl FromStr for PublishedPort {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        const RULE: &str =
            "write 8080:80, 127.0.0.1:8080:80, 8080:80/udp, or 80 for a port that the engine picks";
        let wrong = || InvalidOption::new("published port", text, RULE);
        let (places, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        let Some((outside, private)) = places.rsplit_once(':') else {
            return Ok(Self { ip: None, public: None, private: port(places)?, protocol });
        };
        let private = port(private)?;
        let Some((ip, public)) = outside.rsplit_once(':') else {
            return Ok(Self { ip: None, public: Some(port(outside)?), private, protocol });
        };
        let ip = ip.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| wrong())?;
        let public = if public.is_empty() { None } else { Some(port(public)?) };
        Ok(Self { ip: Some(ip), public, private, protocol })
    }
}

impl TryFrom<String> for PublishedPort {
    type Error = InvalidOption;

    fn try_from(text: String) -> Result<Self, InvalidOption> {
        text.parse()
    }
}

impl From<PublishedPort> for String {
    fn from(port: PublishedPort) -> Self {
        let ip = match port.ip {
            Some(IpAddr::V6(v6)) => format!("[{v6}]:"),
            Some(ip) => format!("{ip}:"),
            None => Self::new(),
        };
        let public = match port.public {
            Some(public) => format!("{public}:"),
            None if ip.is_empty() => Self::new(),
            None => ":".to_owned(),
        };
        format!("{ip}{public}{}/{}", port.private, port.protocol.word())
    }
}

/// What is mounted where: `data:/var/lib/app`, `/srv/www:/www:ro`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountSpec {
    /// A volume's name, or a path of the host.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Whether it may be written.
    pub writable: bool,
}

impl MountSpec {
    /// Whether it is a path of the host.
    pub fn is_bind(&self) -> bool {
        self.source.starts_with('/')
    }
}

impl FromStr for MountSpec {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        const RULE: &str = "write volume:/path or /host/path:/path, with :ro at the end for reading only";
        let wrong = || InvalidOption::new("mount", text, RULE);
        let (rest, writable) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, false),
            None => (text.strip_suffix(":rw").unwrap_or(text), true),
        };
        let (source, target) = rest.split_once(':').ok_or_else(wrong)?;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let is_volume = source.starts_with(|c: char| c.is_ascii_alphanumeric()) && source.chars().all(name);
        let is_path =
            |path: &str| path.starts_with('/') && !path.contains(':') && !path.chars().any(char::is_control);
        if (is_volume || is_path(source)) && is_path(target) {
            return Ok(Self { source: source.to_owned(), target: target.to_owned(), writable });
        }
        Err(wrong())
    }
}

impl TryFrom<String> for MountSpec {
    type Error = InvalidOption;

    fn try_from(text: String) -> Result<Self, InvalidOption> {
        text.parse()
    }
}

impl From<MountSpec> for String {
    fn from(mount: MountSpec) -> Self {
        let mode = if mount.writable { "" } else { ":ro" };
        format!("{}:{}{mode}", mount.source, mount.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them_and_written_back() {
        for (text, written) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/udp", "8080:80/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
        ] {
            let port: PublishedPort = text.parse().unwrap();
            assert_eq!(String::from(port.clone()), written);
            assert_eq!(written.parse(), Ok(port));
        }
        for bad in ["", "0", "x", "80:", ":80", "1:2:3", "80/icmp", "99999", "a:1:2", "1-2:3"] {
            assert!(bad.parse::<PublishedPort>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mounts_are_read_as_docker_reads_them_and_written_back() {
        for text in ["data:/var/lib/app", "/srv/www:/www:ro", "/a:/b"] {
            let mount: MountSpec = text.parse().unwrap();
            assert_eq!(String::from(mount.clone()), text);
            assert_eq!(mount.is_bind(), text.starts_with('/'));
        }
        for bad in ["", "data", "data:", "data:rel", "../x:/y", "-v:/y", "a b:/y", ":/y", "a:/b:zz"] {
            assert!(bad.parse::<MountSpec>().is_err(), "{bad:?}");
        }
    }
}
