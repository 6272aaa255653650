//! The library in this process, at an engine's own socket or over a link: the same client for both, so that
//! only the line differs.

use crate::contestant::{Call, Contestant, load, names};
use crate::site::{Line, Site};
use anyhow::{Context as _, Result, bail};
use dockmaster::domain::container::ContainerName;
use dockmaster::domain::fault::Fault;
use dockmaster::domain::host::{Endpoint, HostSpec, SshTarget};
use dockmaster::engine::Engine;
use dockmaster::engine::logs::{LogQuery, Most};
use dockmaster::transport::ssh::SshSettings;
use dockmaster::transport::{BoxFuture, SystemConnector};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Engines reached by the library.
pub(crate) struct Library {
    name: &'static str,
    engines: Vec<Engine>,
    logger: ContainerName,
    /// Links live as long as these, and the connector's directory holds their sockets.
    _lifelines: JoinSet<Fault>,
    _connector: SystemConnector,
}

impl Library {
    /// The engines at their own sockets.
    pub(crate) async fn direct(site: &Site) -> Result<Self> {
        let endpoint = |host: usize| Ok(Endpoint::Unix(site.hosts[host].socket.clone()));
        Self::reach(names::DIRECT, site, endpoint).await
    }

    /// The engines over one ssh link each.
    pub(crate) async fn link(site: &Site, line: Line) -> Result<Self> {
        let endpoint = |host: usize| Ok(Endpoint::Ssh(SshTarget::new(site.alias(line, host).parse()?)));
        Self::reach(names::LINK, site, endpoint).await
    }

    async fn reach(
        name: &'static str,
        site: &Site,
        endpoint: impl Fn(usize) -> Result<Endpoint>,
    ) -> Result<Self> {
        // Which ssh configuration applies is said by the `ssh` of the path, to everybody alike.
        let connector = SystemConnector::of_this_machine(SshSettings::default())?;
        let (mut engines, mut lifelines) = (vec![], JoinSet::new());
        for (number, host) in site.hosts.iter().enumerate() {
            let spec = Arc::new(HostSpec::new(host.name.parse()?, endpoint(number)?));
            let reached = Engine::reach(&connector, spec, None).await.map_err(|unreached| unreached.fault);
            let (engine, connection) =
                reached.with_context(|| format!("{name} does not reach {}", host.name))?;
            engines.push(engine);
            lifelines.spawn(connection.lifeline);
        }
        Ok(Self {
            name,
            engines,
            logger: load::LOGGER.parse()?,
            _lifelines: lifelines,
            _connector: connector,
        })
    }
}

impl Contestant for Library {
    fn name(&self) -> &'static str {
        self.name
    }

    fn can(&self, call: Call) -> bool {
        call != Call::ComposePs
    }

    fn hosts(&self) -> usize {
        self.engines.len()
    }

    fn call(&self, call: Call, host: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            let engine = self.engines.get(host).context("no such host")?;
            match call {
                Call::Ping => engine.ping().await?,
                Call::List => return Ok(engine.containers().await?.len()),
                Call::Inspect => drop(engine.container(&self.logger).await?),
                Call::Logs => {
                    let query = LogQuery { from: None, until: None, most: Most::Newest(load::TAIL) };
                    let lines = engine.logs(&self.logger, &query).await?.lines;
                    return Ok(lines.iter().filter(|line| line.text.contains(load::LOG_WORDS)).count());
                }
                Call::ComposePs => bail!("the library runs no compose"),
            }
            Ok(1)
        })
    }
}
