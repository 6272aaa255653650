//! Floor 3: an engine over a link. The only floor that names `bollard`.
//!
//! bollard supplies the API's types; the bytes go through a pooled HTTP client of ours, because
//! bollard's own transports open a connection per request, which doubles the round trips.

pub mod about;
pub mod archive;
mod changes;
mod client;
pub mod containers;
pub mod error;
pub mod events;
pub mod exec;
pub mod fingerprint;
pub mod history;
pub mod images;
pub mod inventory;
pub mod labels;
pub mod logs;
pub mod networks;
pub mod ports;
mod registries;
mod release;
mod remake;
pub mod stats;
pub mod transfer;
pub mod usage;
pub mod volumes;

use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::HostSpec;
use crate::domain::phase::EngineInfo;
use crate::transport::{Connection, Connector, Link};
use bollard::Docker;
use client::Pool;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

pub use changes::Unused;
pub use error::EngineError;

/// An engine that has not said who it is by then hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The oldest API version supported: Docker 20.10's.
const OLDEST_API: ApiVersion = ApiVersion { major: 1, minor: 41 };

/// The newest API version whose types are known here.
const NEWEST_API: ApiVersion = ApiVersion { major: 1, minor: 53 };

/// A Docker API version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion {
    major: usize,
    minor: usize,
}

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An engine that answered, over the link it answered on. A new link means a new `Engine`.
pub struct Engine {
    docker: Docker,
    /// What `docker` goes over, and the version it speaks.
    pool: Pool,
    api: ApiVersion,
    /// For its events, over a stream of their own.
    followed: Docker,
    /// For answers that may go on for long, each over a stream of its own; and what that goes over.
    long: Docker,
    long_pool: Pool,
    link: Arc<dyn Link>,
    info: EngineInfo,
    /// When it was connected to, by its own clock.
    met: Option<Timestamp>,
}

/// Why an engine was not reached.
pub struct Unreached {
    /// The cause.
    pub fault: Fault,
    /// The connection, where it is good all the same and only what lies behind it failed: the next attempt
    /// may go on from here.
    pub kept: Option<Connection>,
}

impl From<Fault> for Unreached {
    fn from(fault: Fault) -> Self {
        Self { fault, kept: None }
    }
}

impl Engine {
    /// Connects to `host` and asks its engine who it is; dropping the connection ends it. With one that is
    /// `kept` from before, only the engine is tried again; when it turns out to be of no use, a new one is
    /// made.
    pub async fn reach(
        connector: &dyn Connector,
        host: Arc<HostSpec>,
        kept: Option<Connection>,
    ) -> Result<(Self, Connection), Unreached> {
        if let Some(connection) = kept {
            match Self::over(connection).await {
                Err(Unreached { fault, kept: None }) => {
                    tracing::debug!(host = %host.id, %fault, "the connection is of no use any more");
                }
                outcome => return outcome,
            }
        }
        Self::over(connector.connect(host).await?).await
    }

    /// Finds the engine over a connection. That is watched meanwhile: its end is a cause too.
    async fn over(connection: Connection) -> Result<(Self, Connection), Unreached> {
        let found = async {
            let link = connection.access.link().await?;
            timeout(ANSWER_LIMIT, Self::connect(link)).await.unwrap_or_else(|_| {
                let seconds = ANSWER_LIMIT.as_secs();
                let words = format!("the engine did not say who it is within {seconds} s");
                Err(Fault::new(FaultKind::EngineDown, words))
            })
        };
        let found = tokio::select! {
            biased;
            fault = connection.lifeline.clone() => return Err(fault.into()),
            found = found => found,
        };
        match found {
            Ok(engine) => Ok((engine, connection)),
            Err(fault) => {
                let kept = fault.kind.spares_the_login().then_some(connection);
                Err(Unreached { fault, kept })
            }
        }
    }

    /// Asks the engine behind `link` who it is and settles the API version.
    pub async fn connect(link: Arc<dyn Link>) -> Result<Self, Fault> {
        let calls = Arc::clone(&link);
        let pool = Pool::new(move || {
            let link = Arc::clone(&calls);
            Box::pin(async move { link.open_engine().await })
        });
        let version =
            pool.docker(None)?.version().await.map_err(|error| EngineError::from(error).into_fault())?;
        let told = version.api_version.as_deref().unwrap_or_default();
        let theirs = ApiVersion::parse(told).ok_or_else(|| {
            Fault::new(FaultKind::EngineDown, format!("the engine names no API version ({told:?})"))
        })?;
        if theirs < OLDEST_API {
            let detail = format!("it speaks API {theirs}, and {OLDEST_API} is needed");
            return Err(Fault::new(FaultKind::ApiTooOld, detail));
        }
        let spoken = theirs.min(NEWEST_API);
        let is_podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        let info = EngineInfo {
            id: None,
            product: if is_podman { "Podman" } else { "Docker" },
            version: version.version.unwrap_or_default(),
            api: spoken.to_string(),
            platform: format!("{}/{}", version.os.unwrap_or_default(), version.arch.unwrap_or_default()),
        };
        let docker = pool.docker(Some(spoken))?;
        let following = Arc::clone(&link);
        let followed = Pool::new(move || {
            let link = Arc::clone(&following);
            Box::pin(async move { link.open_events().await })
        });
        let followed = followed.docker(Some(spoken))?;
        let going_on = Arc::clone(&link);
        let long_pool = Pool::of_one_use(move || {
            let link = Arc::clone(&going_on);
            Box::pin(async move { link.open_long().await })
        });
        let long = long_pool.docker(Some(spoken))?;
        let told = docker.info().await.ok();
        let met = told.as_ref().and_then(|told| told.system_time.as_ref()?.parse().ok());
        // An engine that tells no name of its own is told apart by its place alone. Podman's is another one
        // each time it is asked.
        let id = told.and_then(|told| told.id).filter(|id| !id.is_empty() && !is_podman);
        let info = EngineInfo { id, ..info };
        Ok(Self { docker, pool, api: spoken, followed, long, long_pool, link, info, met })
    }

    /// What the engine said about itself.
    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Whether it told the time when it was connected to: then its events begin where that was.
    pub fn tells_time(&self) -> bool {
        self.met.is_some()
    }

    /// The link below, for commands and files.
    pub fn link(&self) -> &Arc<dyn Link> {
        &self.link
    }

    /// Asks for a sign of life.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.docker.ping().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(ApiVersion::parse("1.9") < ApiVersion::parse("1.41"));
        assert_eq!(ApiVersion::parse("1.41"), Some(OLDEST_API));
        assert_eq!(ApiVersion::parse("x"), None);
    }
}
