//! Networks, one at a time: how each is, made, removed, and who is attached to it.

use super::{Engine, EngineError};
use crate::domain::thing::{NetworkName, NetworkSpec};
use bollard::models::{
    EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use std::collections::BTreeMap;

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDetail {
    /// The full identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// The network of this name or identifier.
    pub async fn network(&self, name: &NetworkName) -> Result<NetworkDetail, EngineError> {
        let found = self.docker.inspect_network(name.as_str(), None).await?;
        Ok(NetworkDetail {
            id: found.id.unwrap_or_default(),
            name: found.name.unwrap_or_default(),
            labels: found.labels.unwrap_or_default().into_iter().collect(),
        })
    }

    /// Makes a network with `labels` beside its own. Engines allow several of one name.
    pub async fn create_network(
        &self,
        spec: &NetworkSpec,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, EngineError> {
        let labels = spec.labels.iter().chain(labels).map(|(key, value)| (key.clone(), value.clone()));
        let ipam = spec.subnet.clone().map(|subnet| Ipam {
            config: Some(vec![IpamConfig { subnet: Some(subnet.into()), ..IpamConfig::default() }]),
            ..Ipam::default()
        });
        let request = NetworkCreateRequest {
            name: spec.name.to_string(),
            driver: spec.driver.as_ref().map(ToString::to_string),
            internal: Some(spec.internal),
            ipam,
            labels: Some(labels.collect()),
            ..NetworkCreateRequest::default()
        };
        Ok(self.docker.create_network(request).await?.id)
    }

    /// Removes a network that no container is attached to.
    pub async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.docker.remove_network(id).await?)
    }

    /// Attaches a container, by identifier, to a network, where it answers to `aliases` too.
    pub async fn attach(
        &self,
        container: &str,
        network: &NetworkName,
        aliases: &[String],
    ) -> Result<(), EngineError> {
        let endpoint = EndpointSettings {
            aliases: (!aliases.is_empty()).then(|| aliases.to_vec()),
            ..EndpointSettings::default()
        };
        let request =
            NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
        Ok(self.docker.connect_network(network.as_str(), request).await?)
    }

    /// Detaches a container, by identifier, from a network.
    pub async fn detach(&self, container: &str, network: &NetworkName) -> Result<(), EngineError> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(false) };
        Ok(self.docker.disconnect_network(network.as_str(), request).await?)
    }
}
