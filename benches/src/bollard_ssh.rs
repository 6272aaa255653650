//! bollard with its own ssh transport: a login and a `docker system dial-stdio` for every connection of its
//! pool.

use crate::contestant::{Call, Contestant, load, names};
use crate::site::{Line, Site};
use anyhow::{Context as _, Result, bail};
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use dockmaster::transport::BoxFuture;
use futures_util::TryStreamExt as _;

/// bollard's own limit on an answer, in seconds.
const LIMIT: u64 = 60;

/// Engines reached by bollard's ssh transport.
pub(crate) struct BollardSsh(Vec<Docker>);

impl BollardSsh {
    /// Clients for all hosts; they connect at their first call.
    pub(crate) fn new(site: &Site, line: Line) -> Result<Self> {
        let client = |host| {
            let address = format!("ssh://{}", site.alias(line, host));
            Docker::connect_with_ssh(&address, LIMIT, API_DEFAULT_VERSION, None)
        };
        let clients = (0..site.hosts.len()).map(client).collect::<Result<_, _>>();
        Ok(Self(clients.context("bollard takes no such address")?))
    }
}

impl Contestant for BollardSsh {
    fn name(&self) -> &'static str {
        names::BOLLARD
    }

    fn can(&self, call: Call) -> bool {
        call != Call::ComposePs
    }

    fn hosts(&self) -> usize {
        self.0.len()
    }

    fn call(&self, call: Call, host: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            let docker = self.0.get(host).context("no such host")?;
            match call {
                Call::Ping => drop(docker.ping().await?),
                Call::List => {
                    let options = ListContainersOptionsBuilder::new().all(true).build();
                    return Ok(docker.list_containers(Some(options)).await?.len());
                }
                Call::Inspect => drop(docker.inspect_container(load::LOGGER, None).await?),
                Call::Logs => {
                    let tail = load::TAIL.to_string();
                    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
                    let logs = docker.logs(load::LOGGER, Some(options.tail(&tail).build()));
                    let pieces: Vec<_> = logs.try_collect().await?;
                    let text: String = pieces.iter().map(ToString::to_string).collect();
                    return Ok(text.matches(load::LOG_WORDS).count());
                }
                Call::ComposePs => bail!("bollard runs no compose"),
            }
            Ok(1)
        })
    }
}
