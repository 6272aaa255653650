//! Floor 6: the tree, built from settings; what the binary, the examples and the tests share.

use crate::actors::admin::HostAdmin;
use crate::actors::config::{ConfigArguments, ConfigHandle, config_spec};
use crate::actors::directory::HostDirectory;
use crate::actors::journal::{JournalHandle, journal_spec};
use crate::actors::mcp::{Listener, McpHandle, mcp_spec};
use crate::actors::reaper::reaper_spec;
use crate::actors::supervision::{
    ChildSpec, StartChild, Strategy, SupervisorArguments, SupervisorHandle, start_root,
};
use crate::actors::tree::Tree;
use crate::config::{Settings, Sources};
use crate::contexts::Contexts;
use crate::control::{Door, Guests};
use crate::domain::retry::ConnectPolicy;
use crate::domain::toolset::Offer;
use crate::http::{HttpServer, Token, TokenError};
use crate::journal::{Holder, JournalError, JournalLock};
use crate::mcp::{Registry, UnknownTool, serve_stdio};
use crate::runtime::clock::Clock;
use crate::runtime::dirs::{DirError, control_socket, data_dir, sockets_dir};
use crate::runtime::failpoint::Failpoints;
use crate::transport::{Connector, SystemConnector};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Hosts stop at once and together; this is for the slowest of them, whose operations let go first.
const HOSTS_GRACE: Duration = Duration::from_secs(12);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another service keeps the journal.
    #[error(
        "{0}. One service at a time works from a data directory: stop that one, or set DOCKMASTER_DATA_DIR to another place."
    )]
    Journal(#[from] JournalError),
    /// What was offered is not there.
    #[error(transparent)]
    Tool(#[from] UnknownTool),
    /// A directory of ours cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The port cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}. Is another instance running? Choose another port with --port or server.port."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The actors do not start.
    #[error("the supervision tree does not start: {0}")]
    Tree(#[from] ractor::SpawnErr),
}

/// Where requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Streamable HTTP on the configured address.
    Http,
    /// Standard input and output; the service ends with its input.
    Stdio,
    /// The service's own door, at which its process brings a client: [`App::door`].
    Carried,
    /// Nowhere: the program that started the service uses [`App::directory`].
    Embedded,
}

/// A running service.
pub struct App {
    root: SupervisorHandle,
    tree: JoinHandle<()>,
    stop: CancellationToken,
    registry: Registry,
    admin: HostAdmin,
    mcp: McpHandle,
    door: Option<PathBuf>,
    guests: Guests,
    /// The address HTTP is served on.
    pub address: Option<SocketAddr>,
}

impl App {
    /// Starts the service on real hosts; its sockets lie in a runtime directory that goes with it.
    pub async fn start(sources: Sources, settings: Settings, front: Front) -> Result<Self, AppError> {
        let connector = Arc::new(SystemConnector::of_this_machine(sources.ssh.clone())?);
        let contexts = match &sources.data_dir {
            Some(data_dir) => Contexts::of_service(data_dir, &sources.files()),
            None => Contexts::none(),
        };
        let (sockets, policy) = (Some(sockets_dir()?), ConnectPolicy::default());
        let journal = journal(sources.data_dir.as_deref(), front)?;
        let control = match &sources.data_dir {
            Some(data_dir) if journal.is_there() => Some(control_socket(data_dir)?),
            _ => None,
        };
        // What one client's process was told to offer is no matter of the others'.
        let guests_offer = if front == Front::Http { sources.offer.clone() } else { Offer::all() };
        let outside = Outside { connector, contexts, sockets, policy, journal, control, guests_offer };
        Self::with_listeners(sources, settings, outside, |ground, settings| ground.open(front, settings))
            .await
    }

    /// Starts the service on hosts that `connector` reaches; they get no Docker contexts, and without a data
    /// directory, where the journal lies, they are not changed.
    pub async fn with_connector(
        sources: Sources,
        settings: Settings,
        connector: Arc<dyn Connector>,
        front: Front,
    ) -> Result<Self, AppError> {
        let outside = Outside {
            connector,
            contexts: Contexts::none(),
            sockets: None,
            policy: ConnectPolicy::default(),
            journal: journal(sources.data_dir.as_deref(), front)?,
            control: None,
            guests_offer: Offer::all(),
        };
        Self::with_listeners(sources, settings, outside, |ground, settings| ground.open(front, settings))
            .await
    }

    /// Starts the service with the listeners that `open` makes, and the address they are reached at.
    async fn with_listeners(
        sources: Sources,
        settings: Settings,
        Outside { connector, contexts, sockets, policy, journal, control, guests_offer }: Outside,
        open: impl FnOnce(&Ground, &Settings) -> Result<(Vec<Listener>, Option<SocketAddr>), AppError>,
    ) -> Result<Self, AppError> {
        let clock = Clock::start();
        let directory = HostDirectory::with_journal(clock, journal.clone(), policy.doubt);
        // Entered before anybody can ask: a first call finds every host, if not yet its line.
        for host in settings.hosts.values() {
            directory.enter(Arc::new(host.value.clone()));
        }
        let (sources, config) = (Arc::new(sources), ConfigHandle::default());
        let admin = HostAdmin {
            sources: Arc::clone(&sources),
            connector: Arc::clone(&connector),
            directory: directory.clone(),
            config: config.clone(),
        };
        let (mcp, stop, guests) = (McpHandle::default(), CancellationToken::new(), Guests::default());
        let every = Registry::new(admin.clone(), &Offer::all(), settings.confirm_fallback.value)?;
        let registry = every.narrowed(&sources.offer)?;
        let ground = Ground { registry, admin, mcp, stop, guests };
        let (mut listeners, address) = open(&ground, &settings)?;
        let Ground { registry, admin, mcp, stop, guests } = ground;
        let holder = Holder {
            pid: std::process::id(),
            front: address.map(|at| format!("serving http://{at}/mcp")).unwrap_or_default(),
            socket: control.clone(),
        };
        let door = control.clone();
        if let Some(path) = control {
            let (changes, guests) = (directory.changes().clone(), guests.clone());
            let (registry, front, files) = (every.narrowed(&guests_offer)?, mcp.clone(), sources.files());
            listeners.push(Door { path, registry, front, changes, files, guests }.listener());
        }
        journal.say(&holder);

        let configured = ConfigArguments {
            sources,
            settings: Arc::new(settings),
            directory: directory.clone(),
            connector,
            contexts,
            sockets,
            policy,
        };
        let children = vec![
            journal_spec(journal, clock),
            reaper_spec(directory.clone()),
            hosts_spec(directory.clone(), config.clone()),
            config_spec(configured, config.clone()),
            mcp_spec(listeners, mcp.clone()),
        ];
        let arguments = SupervisorArguments {
            name: "root",
            strategy: Strategy::ReverseStartOrder,
            children,
            on_quarantine: None,
        };
        let (root, tree) = start_root(arguments).await?;
        Ok(Self { root, tree, stop, registry, admin, mcp, door, guests, address })
    }

    /// The hosts.
    pub fn directory(&self) -> &HostDirectory {
        &self.admin.directory
    }

    /// Changes of hosts, in the files and in the running service.
    pub fn admin(&self) -> &HostAdmin {
        &self.admin
    }

    /// The tools.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The live tree, to look at.
    pub fn tree(&self) -> Tree {
        Tree::new(self.root.clone(), self.directory().clone(), self.mcp.clone())
    }

    /// Reads the configuration again.
    pub fn reload(&self) {
        self.admin.config.reload();
    }

    /// The socket at which other processes reach the service.
    pub fn door(&self) -> Option<&Path> {
        self.door.as_deref()
    }

    /// The clients that are carried to it.
    pub fn guests(&self) -> &Guests {
        &self.guests
    }

    /// Cancelled when the service's front wants it to end, as stdio does at the end of its input.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for the tree to end by itself.
    pub async fn melted(&mut self) {
        // The join handle's own error would be a panic of the root, which is a meltdown as well.
        let _ = (&mut self.tree).await;
    }

    /// Stops accepting, lets calls finish, closes every line; returns when all of it is done.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.root.stop();
        self.melted().await;
    }
}

/// How the service reaches what is outside of it.
struct Outside {
    connector: Arc<dyn Connector>,
    contexts: Contexts,
    /// Where local sockets lie.
    sockets: Option<PathBuf>,
    /// The numbers of its connections.
    policy: ConnectPolicy,
    /// Where changes go on record.
    journal: JournalHandle,
    /// The socket at which other processes reach the service.
    control: Option<PathBuf>,
    /// What is offered there at most.
    guests_offer: Offer,
}

/// The journal of a service. Without it a service reads, and changes nothing; one that others reach at an
/// address does not begin beside the one that they know.
fn journal(data_dir: Option<&Path>, front: Front) -> Result<JournalHandle, JournalError> {
    let Some(data_dir) = data_dir else { return Ok(JournalHandle::none()) };
    let lock = match (JournalLock::take(data_dir), front) {
        (Err(error @ JournalError::Held { .. }), Front::Http | Front::Stdio | Front::Carried) => {
            return Err(error);
        }
        (Err(error), _) => {
            tracing::warn!(%error, "nothing can be changed");
            Err(error)
        }
        (Ok(lock), _) => Ok(Arc::new(lock)),
    };
    Ok(JournalHandle::new(lock, Failpoints::of_environment()))
}

/// What is there before the tree is: fronts are made of it.
struct Ground {
    registry: Registry,
    admin: HostAdmin,
    mcp: McpHandle,
    stop: CancellationToken,
    guests: Guests,
}

impl Ground {
    /// The listener of a front, and the address it is reached at.
    fn open(
        &self,
        front: Front,
        settings: &Settings,
    ) -> Result<(Vec<Listener>, Option<SocketAddr>), AppError> {
        let Self { registry, admin, mcp, stop, guests } = self;
        let (registry, mcp, stop) = (registry.clone(), mcp.clone(), stop.clone());
        match front {
            Front::Carried | Front::Embedded => Ok((vec![], None)),
            Front::Stdio => Ok((vec![stdio_listener(registry, mcp, stop, guests.clone())], None)),
            Front::Http => {
                let token_file = data_dir()?.join("token");
                let token = Token::load_or_create(&token_file)?;
                tracing::info!(file = %token_file.display(), "clients other than your own processes here need the token");
                let (socket, address) = listen(SocketAddr::new(settings.host.value, settings.port.value))?;
                let allowed_hosts = settings.allowed_hosts.value.clone().into();
                let (directory, config) = (admin.directory.clone(), admin.config.clone());
                let server = HttpServer {
                    address,
                    allowed_hosts,
                    token,
                    registry,
                    front: mcp,
                    directory,
                    config,
                    stop,
                };
                Ok((vec![server.listener(socket)], Some(address)))
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |source| AppError::Listen { address, source };
    let socket = TcpListener::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

/// One peer on standard input and output; its end is the service's, unless other processes have clients
/// carried to it: then it stays until the last has left.
fn stdio_listener(registry: Registry, front: McpHandle, stop: CancellationToken, guests: Guests) -> Listener {
    Listener {
        name: "stdio",
        serve: Arc::new(move || {
            let (registry, front, stop) = (registry.clone(), front.clone(), stop.clone());
            let guests = guests.clone();
            Box::pin(async move {
                // However it ends, standard input cannot be opened again.
                let _end = stop.drop_guard();
                let served = serve_stdio(registry, front).await;
                guests.gone().await;
                served
            })
        }),
    }
}

/// The hosts' supervisor. A new incarnation is empty; the configuration's actor fills it.
fn hosts_spec(directory: HostDirectory, config: ConfigHandle) -> ChildSpec {
    let start: StartChild = Arc::new(move |root, _| {
        let (directory, config) = (directory.clone(), config.clone());
        Box::pin(async move {
            let slot = directory.supervisor().clone();
            let arguments = SupervisorArguments {
                name: "hosts",
                strategy: Strategy::AllAtOnce,
                children: vec![],
                on_quarantine: Some(Box::new(move |host, term| directory.quarantine(host, term))),
            };
            let supervisor = SupervisorHandle::spawn(arguments, root).await?;
            slot.put(supervisor.clone());
            config.reconcile();
            Ok(supervisor.cell())
        })
    });
    ChildSpec::of_the_service("hosts", HOSTS_GRACE, start)
}

#[cfg(test)]
mod tests;
