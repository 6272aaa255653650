//! What is compared: ways of reaching engines, and the calls they make.

use anyhow::{Result, bail, ensure};
use dockmaster::transport::BoxFuture;
use futures_util::future::join_all;

/// What every host runs; `bench.sh` starts it.
pub(crate) mod load {
    /// 20 idle containers, one of them started by compose, and one with a log.
    pub(crate) const CONTAINERS: usize = 21;
    /// The container with a log of 200 lines.
    pub(crate) const LOGGER: &str = "bench-log";
    /// Every line of that log contains this.
    pub(crate) const LOG_WORDS: &str = "of the log of the benchmark";
    /// How many lines are read.
    pub(crate) const TAIL: usize = 100;
    /// The compose project.
    pub(crate) const PROJECT: &str = "bench";
}

/// The contestants' names, as they stand in the tables.
pub(crate) mod names {
    /// The library at the engine's own socket.
    pub(crate) const DIRECT: &str = "direct socket";
    /// The library over an ssh link.
    pub(crate) const LINK: &str = "ours, at the link";
    /// bollard's ssh transport.
    pub(crate) const BOLLARD: &str = "bollard's own ssh";
    /// The program on engines by their sockets.
    pub(crate) const MCP_LOCAL: &str = "MCP, local engines";
    /// The program on hosts by ssh.
    pub(crate) const MCP: &str = "ours, through MCP";
    /// The docker client at the engine's own socket.
    pub(crate) const DOCKER_DIRECT: &str = "docker, direct socket";
    /// The docker client at a host's local socket.
    pub(crate) const DOCKER_OURS: &str = "docker, our local socket";
    /// The docker client over ssh with a master.
    pub(crate) const DOCKER_MASTER: &str = "docker, ssh:// with ControlMaster";
    /// The docker client over ssh.
    pub(crate) const DOCKER_SSH: &str = "docker, ssh://";
}

/// One call about one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// A sign of life.
    Ping,
    /// All containers.
    List,
    /// One container in full.
    Inspect,
    /// The newest 100 lines of a log.
    Logs,
    /// `docker compose ps`.
    ComposePs,
}

impl Call {
    /// How many things a right answer has.
    pub(crate) fn expected(self) -> usize {
        match self {
            Self::Ping | Self::Inspect | Self::ComposePs => 1,
            Self::List => load::CONTAINERS,
            Self::Logs => load::TAIL,
        }
    }
}

/// A way of reaching engines.
pub(crate) trait Contestant: Send + Sync {
    /// Its name in the tables.
    fn name(&self) -> &'static str;

    /// Whether it can make this call at all.
    fn can(&self, call: Call) -> bool;

    /// Makes a call about the host at `host` and says how many things were in the answer.
    fn call(&self, call: Call, host: usize) -> BoxFuture<'_, Result<usize>>;

    /// How many hosts it reaches.
    fn hosts(&self) -> usize;

    /// Lists the containers of all hosts at once.
    fn fan_out(&self) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async {
            let listed = join_all((0..self.hosts()).map(|host| self.call(Call::List, host))).await;
            listed.into_iter().sum()
        })
    }
}

/// Makes a call and checks the answer.
pub(crate) async fn checked(contestant: &dyn Contestant, call: Call, host: usize) -> Result<()> {
    let found = contestant.call(call, host).await?;
    ensure!(found == call.expected(), "{call:?} gave {found} things in place of {}", call.expected());
    Ok(())
}

/// Lists the containers of all hosts and checks the answer.
pub(crate) async fn checked_fan_out(contestant: &dyn Contestant) -> Result<()> {
    let (found, expected) = (contestant.fan_out().await?, contestant.hosts() * Call::List.expected());
    if found != expected {
        bail!("the lists of all hosts gave {found} containers in place of {expected}");
    }
    Ok(())
}
