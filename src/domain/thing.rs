//! Names of volumes and networks, and what is told of one that is to be made.

use super::host::InvalidName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Docker takes longer names, file systems do not.
const LONGEST: usize = 255;

/// Names as Docker defines them for volumes and networks. Parsed at the edge because an engine's client puts them into
/// a URL's path as they are.
macro_rules! names {
    ($($(#[$doc:meta])* $type:ident: $what:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                const RULE: &str = "names are letters, digits, '_', '.' and '-', starting with a letter or digit";
                let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
                let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest);
                if is_name && text.len() <= LONGEST {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidName::new($what, text, RULE))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names!(
    /// A volume's name.
    VolumeName: "volume",
    /// A network's name or identifier.
    NetworkName: "network",
    /// A driver of volumes or networks.
    DriverName: "driver",
);

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its name.
    pub name: VolumeName,
    /// Who keeps it; `local` when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverName>,
    /// What the driver is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl VolumeSpec {
    /// Whether it may lie elsewhere than among the engine's own, such as at a path of the host.
    pub fn may_be_elsewhere(&self) -> bool {
        !self.options.is_empty() || self.driver.as_ref().is_some_and(|driver| driver.as_str() != "local")
    }
}

/// A network to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name.
    pub name: NetworkName,
    /// Its driver; `bridge` when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverName>,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
    /// Whether nothing outside the host can be reached from it.
    #[serde(default)]
    pub internal: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A range of addresses, such as `10.20.0.0/24`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet(String);

impl FromStr for Subnet {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(address, bits)| {
            Some((address.parse::<std::net::IpAddr>().ok()?, bits.parse::<u8>().ok()?))
        });
        match parsed {
            Some((address, bits)) if bits <= if address.is_ipv4() { 32 } else { 128 } => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidName::new("subnet", text, "write an address and its bits, such as 10.20.0.0/24")),
        }
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_read_as_something_else_are_refused() {
        for bad in ["", "../images", "-v", "--help", "a b", "a\nb", "ü", "a/b", "a?b", &"n".repeat(256)] {
            assert!(bad.parse::<VolumeName>().is_err() && bad.parse::<NetworkName>().is_err(), "{bad:?}");
        }
        assert!("stack_db-data.1".parse::<VolumeName>().is_ok());
        for bad in ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8", "10.0.0.0/8 --help"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad:?}");
        }
        assert!("10.20.0.0/24".parse::<Subnet>().is_ok() && "fd00::/64".parse::<Subnet>().is_ok());
    }
}
