//! The ports containers have, and those that stopped ones would want.

use super::containers::own_name;
use super::{Engine, EngineError};
use crate::domain::ports::Binding;
use bollard::models::{ContainerSummary, PortMap};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Stopped containers that are looked into at most, the newest.
const INSPECTED: usize = 200;

/// How many of them at once.
const AT_ONCE: usize = 8;

/// A container with a port it has or wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortUse {
    /// The port.
    pub binding: Binding,
    /// The container's name; empty for a listener whose container, if it is one, is not known.
    pub container: String,
    /// Its state; one that does not run only wants the port.
    pub state: String,
}

/// The state of a listener that is no container, as far as is known.
pub const LISTENING: &str = "listening";

impl PortUse {
    /// Whether the port is taken, not only wanted.
    pub fn is_held(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | LISTENING)
    }
}

/// The ports of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// In the order of the ports.
    pub uses: Vec<PortUse>,
    /// Stopped containers that were too many to look into.
    pub unread: usize,
}

impl Ports {
    /// Adds what listens on the host and is no port that a container has published: that one's is its engine's.
    pub fn add_listeners(&mut self, listeners: Vec<Binding>) {
        let is_published = |listener: &Binding| {
            self.uses.iter().any(|used| used.is_held() && used.binding.conflicts(listener))
        };
        let own: Vec<Binding> = listeners.into_iter().filter(|one| !is_published(one)).collect();
        let used = |binding| PortUse { binding, container: String::new(), state: LISTENING.to_owned() };
        self.uses.extend(own.into_iter().map(used));
        self.uses.sort();
    }
}

impl Engine {
    /// The published ports of all containers. What stopped ones would publish stands in no list: those are
    /// inspected one by one.
    pub async fn ports(&self) -> Result<Ports, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let mut uses = BTreeSet::new();
        let mut stopped = Vec::new();
        for container in self.docker.list_containers(Some(options)).await? {
            let state = container.state.map(|state| state.to_string()).unwrap_or_default();
            let name = own_name(&container).or(container.id.as_deref()).unwrap_or_default().to_owned();
            if matches!(state.as_str(), "running" | "paused") {
                let bindings = published(&container);
                uses.extend(bindings.into_iter().map(|binding| PortUse {
                    binding,
                    container: name.clone(),
                    state: state.clone(),
                }));
            } else if may_publish(&container) {
                stopped.push((container.created, container.id.unwrap_or_default(), name, state));
            }
        }
        stopped.sort_by(|a, b| b.cmp(a));
        let mut unread = stopped.len().saturating_sub(INSPECTED);
        stopped.truncate(INSPECTED);
        let wanted: Vec<Option<Vec<PortUse>>> = stream::iter(stopped)
            .map(|(_, id, container, state)| async move {
                let one = |binding| PortUse { binding, container: container.clone(), state: state.clone() };
                let wanted = self.wanted(&id).await?;
                Ok::<_, EngineError>(wanted.map(|wanted| wanted.into_iter().map(one).collect()))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        unread += wanted.iter().filter(|wanted| wanted.is_none()).count();
        uses.extend(wanted.into_iter().flatten().flatten());
        Ok(Ports { uses: uses.into_iter().collect(), unread })
    }

    /// What a container would publish; nothing when it has gone meanwhile, `None` when the engine keeps it to itself.
    async fn wanted(&self, id: &str) -> Result<Option<Vec<Binding>>, EngineError> {
        let found = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
        match found.map_err(EngineError::from) {
            Ok(found) => {
                let ports = found.host_config.and_then(|host| host.port_bindings);
                Ok(Some(ports.map(bindings).unwrap_or_default()))
            }
            Err(EngineError::NotFound(_)) => Ok(Some(vec![])),
            Err(EngineError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Containers without a network of their own publish nothing.
fn may_publish(container: &ContainerSummary) -> bool {
    let mode = container.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    !mode.is_some_and(|mode| matches!(mode, "none" | "host") || mode.starts_with("container:"))
}

/// The ports of a running container. One on all addresses is listed for each family.
fn published(container: &ContainerSummary) -> Vec<Binding> {
    let ports = container.ports.iter().flatten();
    let found = ports.filter_map(|port| {
        let public = port.public_port.filter(|public| *public != 0)?;
        let protocol = port.typ.map(|typ| typ.to_string()).filter(|typ| !typ.is_empty());
        Some(Binding {
            port: public,
            protocol: protocol.unwrap_or_else(|| "tcp".to_owned()),
            ip: port.ip.as_deref().and_then(|ip| ip.parse().ok()),
        })
    });
    merged(found.collect())
}

/// `0.0.0.0` and `::` of the same port are one.
fn merged(mut found: BTreeSet<Binding>) -> Vec<Binding> {
    let (four, six) = (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED));
    let pairs: Vec<Binding> = found
        .iter()
        .filter(|binding| {
            let other = Binding { ip: Some(six), ..(*binding).clone() };
            binding.ip == Some(four) && found.contains(&other)
        })
        .cloned()
        .collect();
    for pair in pairs {
        found.remove(&Binding { ip: Some(six), ..pair.clone() });
        found.remove(&pair);
        found.insert(Binding { ip: None, ..pair });
    }
    found.into_iter().collect()
}

/// What a configuration asks for. A range, or no port at all, leaves the choice to the engine.
fn bindings(ports: PortMap) -> Vec<Binding> {
    let mut found = BTreeSet::new();
    for (inside, wanted) in ports {
        let (_, protocol) = inside.split_once('/').unwrap_or((&inside, "tcp"));
        for binding in wanted.unwrap_or_default() {
            let port = binding.host_port.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
            let Some(port) = port else { continue };
            let ip = binding.host_ip.as_deref().and_then(|ip| ip.parse().ok());
            found.insert(Binding { port, protocol: protocol.to_owned(), ip });
        }
    }
    merged(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::PortBinding;

    #[test]
    fn a_listener_of_a_published_port_is_not_told_twice() {
        let binding = |port, ip: &str| Binding { port, protocol: "tcp".to_owned(), ip: ip.parse().ok() };
        let used = |binding, state: &str| PortUse { binding, container: "web".into(), state: state.into() };
        let mut ports = Ports {
            uses: vec![
                used(binding(8080, "0.0.0.0"), "running"),
                used(binding(8081, "127.0.0.1"), "paused"),
                used(binding(8082, ""), "exited"),
            ],
            unread: 0,
        };
        let all = [binding(8080, "0.0.0.0"), binding(8081, "127.0.0.1"), binding(8081, "127.0.0.2")];
        ports.add_listeners([&all[..], &[binding(22, ""), binding(8082, "0.0.0.0")]].concat());
        let own: Vec<&Binding> =
            ports.uses.iter().filter(|used| used.container.is_empty()).map(|used| &used.binding).collect();
        assert_eq!(own, [&binding(22, ""), &binding(8081, "127.0.0.2"), &binding(8082, "0.0.0.0")]);
    }

    #[test]
    fn only_what_is_asked_for_by_number_is_wanted() {
        let one = |ip: &str, port: &str| PortBinding {
            host_ip: Some(ip.to_owned()),
            host_port: Some(port.to_owned()),
        };
        let ports: PortMap = [
            ("80/tcp".to_owned(), Some(vec![one("", "8080"), one("127.0.0.1", "8081")])),
            ("81/udp".to_owned(), Some(vec![one("0.0.0.0", "8082"), one("::", "8082")])),
            ("82/tcp".to_owned(), Some(vec![one("", ""), one("", "0"), one("", "9000-9010")])),
            ("83/tcp".to_owned(), None),
        ]
        .into();
        let told: Vec<String> = bindings(ports)
            .iter()
            .map(|binding| format!("{} {} {:?}", binding.port, binding.protocol, binding.ip))
            .collect();
        assert_eq!(told, ["8080 tcp None", "8081 tcp Some(127.0.0.1)", "8082 udp None"]);
    }
}
