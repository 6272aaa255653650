//! The configuration's actor: makes the hosts that run those that are configured.
//!
//! * owns: the desired hosts, the last good settings
//! * waits on: nothing; files are read in a task
//! * when it dies: hosts go on; its successor starts from the same settings and reconciles

use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostArguments, child_spec};
use crate::actors::supervision::{ChildSpec, Excess, Restart, StartChild, SupervisorHandle};
use crate::actors::task;
use crate::config::{Settings, Sources, load};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::retry::{BackoffPolicy, ConnectPolicy};
use crate::runtime::restart_window::RestartIntensity;
use crate::transport::Connector;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Desired and actual hosts are compared this often even if nothing was said: whatever message
/// was lost, the difference shows.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// The protocol of the configuration's actor.
pub enum ConfigMessage {
    /// `ConfigHandle::reload`: read the files again.
    Reload,
    /// From the reading task: what the files say.
    Loaded(Result<Box<Settings>, String>),
    /// `ConfigHandle::reconcile`, and a timer: compare desired and actual hosts.
    Reconcile,
}

/// The client side of the configuration's actor; reaches whichever incarnation lives.
#[derive(Clone, Default)]
pub struct ConfigHandle(Arc<RwLock<Option<ActorRef<ConfigMessage>>>>);

impl ConfigHandle {
    /// Reads the configuration again; a faulty one is told in the log and changes nothing.
    pub fn reload(&self) {
        self.send(ConfigMessage::Reload);
    }

    /// Compares desired and actual hosts.
    pub fn reconcile(&self) {
        self.send(ConfigMessage::Reconcile);
    }

    fn send(&self, message: ConfigMessage) {
        if let Some(actor) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            // An actor that is gone has a successor, which reconciles first of all.
            let _ = actor.cast(message);
        }
    }
}

/// The hosts' supervisor, whichever incarnation lives.
pub type HostSupervisorSlot = Arc<RwLock<Option<SupervisorHandle>>>;

/// What the configuration's actor works with.
#[derive(Clone)]
pub struct ConfigArguments {
    /// Where to read again.
    pub sources: Arc<Sources>,
    /// The settings the process started with.
    pub settings: Arc<Settings>,
    /// Where hosts are entered.
    pub directory: HostDirectory,
    /// Who runs them.
    pub hosts: HostSupervisorSlot,
    /// Makes their connections.
    pub connector: Arc<dyn Connector>,
    /// The numbers of reconnecting.
    pub policy: ConnectPolicy,
}

/// The child specification of the configuration's actor.
pub fn config_spec(arguments: ConfigArguments, handle: ConfigHandle) -> ChildSpec {
    let start: StartChild = Arc::new(move |supervisor, _| {
        let (arguments, handle) = (arguments.clone(), handle.clone());
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, ConfigActor, arguments, supervisor).await?;
            *handle.0.write().unwrap_or_else(PoisonError::into_inner) = Some(actor.clone());
            Ok(actor.get_cell())
        })
    });
    ChildSpec {
        name: "config".to_owned(),
        restart: Restart::Permanent,
        intensity: RestartIntensity { intensity: 5, period: Duration::from_secs(60) },
        excess: Excess::Meltdown,
        backoff: BackoffPolicy::SERIES,
        grace: Duration::from_secs(1),
        start,
    }
}

struct ConfigActor;

struct ConfigState {
    arguments: ConfigArguments,
    desired: BTreeMap<HostId, Arc<HostSpec>>,
}

fn desired(settings: &Settings) -> BTreeMap<HostId, Arc<HostSpec>> {
    settings.hosts.iter().map(|(id, host)| (id.clone(), Arc::new(host.value.clone()))).collect()
}

impl Actor for ConfigActor {
    type Msg = ConfigMessage;
    type State = ConfigState;
    type Arguments = ConfigArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ConfigMessage>,
        arguments: ConfigArguments,
    ) -> Result<ConfigState, ActorProcessingErr> {
        myself.cast(ConfigMessage::Reconcile)?;
        myself.send_interval(RECONCILE_EVERY, || ConfigMessage::Reconcile);
        let desired = desired(&arguments.settings);
        Ok(ConfigState { arguments, desired })
    }

    async fn handle(
        &self,
        myself: ActorRef<ConfigMessage>,
        message: ConfigMessage,
        state: &mut ConfigState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ConfigMessage::Reload => {
                let (me, sources) = (myself.clone(), Arc::clone(&state.arguments.sources));
                let read = async move {
                    // Files may lie on a share that hangs; a thread may wait for it.
                    let loaded = tokio::task::spawn_blocking(move || load(&sources)).await;
                    let loaded = match loaded {
                        Ok(Ok(settings)) => Ok(Box::new(settings)),
                        Ok(Err(fault)) => Err(fault.to_string()),
                        Err(panic) => Err(panic.to_string()),
                    };
                    let _ = me.cast(ConfigMessage::Loaded(loaded));
                };
                task::spawn(myself.get_cell(), read).await?;
            }
            ConfigMessage::Loaded(Ok(settings)) => {
                for warning in &settings.warnings {
                    tracing::warn!(%warning, "configuration");
                }
                state.desired = desired(&settings);
                state.reconcile().await;
            }
            ConfigMessage::Loaded(Err(fault)) => {
                tracing::error!("the configuration is faulty, the last good one stays: {fault}");
            }
            ConfigMessage::Reconcile => state.reconcile().await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ConfigMessage>,
        _: ractor::SupervisionEvent,
        _: &mut ConfigState,
    ) -> Result<(), ActorProcessingErr> {
        // Only reading tasks are children; they report by message.
        Ok(())
    }
}

impl ConfigState {
    /// Brings the running hosts in line with the desired ones; doing it twice changes nothing.
    async fn reconcile(&self) {
        let ConfigArguments { directory, hosts, connector, policy, .. } = &self.arguments;
        let supervisor = hosts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(supervisor) = supervisor else { return };
        let running: BTreeSet<String> =
            supervisor.children().await.into_iter().map(|child| child.name).collect();
        let entered: BTreeMap<HostId, Arc<HostSpec>> =
            directory.specs().into_iter().map(|spec| (spec.id.clone(), spec)).collect();

        for id in entered.keys().filter(|id| !self.desired.contains_key(id)) {
            tracing::info!(host = %id, "host removed");
            supervisor.remove(id.as_str());
            directory.leave(id);
        }
        for (id, spec) in &self.desired {
            let before = entered.get(id);
            directory.enter(Arc::clone(spec));
            let child = || {
                let (connector, directory) = (Arc::clone(connector), directory.clone());
                child_spec(HostArguments { spec: Arc::clone(spec), connector, policy: *policy, directory })
            };
            match before {
                Some(before) if before.endpoint != spec.endpoint => supervisor.replace(child()),
                _ if !running.contains(id.as_str()) => supervisor.add(child()),
                Some(before) if before != spec => {
                    if let Ok(host) = directory.host(id.as_str()) {
                        host.retune(Arc::clone(spec));
                    }
                }
                _ => {}
            }
        }
    }
}
