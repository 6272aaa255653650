//! The configuration's actor: makes the hosts that run those that are configured.
//!
//! * owns: the desired hosts, the one reading that waits for its confirmation
//! * waits on: nothing; files are watched and read in tasks
//! * when it dies: hosts go on; the desired hosts lie in its handle, its successor reconciles with them

use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostArguments, child_spec};
use crate::actors::slot::Slot;
use crate::actors::supervision::{ChildSpec, StartChild};
use crate::actors::task;
use crate::config::{Hosts, Settings, Sources, Verdict, judge, load, stamp, watch};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::retry::ConnectPolicy;
use crate::transport::Connector;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A reading that takes hosts away is confirmed by a second one after this long.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// The protocol of the configuration's actor.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum ConfigMessage {
    /// `ConfigHandle::reload`: read the files again and take what they say.
    Reload,
    /// From the watch task, and a timer: read the files again, and take hosts away only when two
    /// readings agree.
    Look,
    /// From a read task: what the files say.
    Loaded {
        /// Whether somebody ordered the reading.
        ordered: bool,
        /// What was read, as a number.
        stamp: u64,
        /// The settings, or what is wrong with the files.
        outcome: Result<Box<Settings>, String>,
    },
    /// `ConfigHandle::reconcile`, and after every reading: compare desired and actual hosts.
    Reconcile,
}

/// The client side of the configuration's actor; reaches whichever incarnation lives.
#[derive(Clone, Default)]
pub struct ConfigHandle {
    actor: Slot<ActorRef<ConfigMessage>>,
    /// The hosts of the last reading that was taken; none before the first.
    taken: Slot<Hosts>,
}

impl ConfigHandle {
    /// Reads the configuration again; a faulty one is told in the log and changes nothing.
    pub fn reload(&self) {
        self.actor.cast(ConfigMessage::Reload);
    }

    /// Compares desired and actual hosts.
    pub fn reconcile(&self) {
        self.actor.cast(ConfigMessage::Reconcile);
    }
}

/// What the configuration's actor works with.
#[derive(Clone)]
pub struct ConfigArguments {
    /// Where to read again.
    pub sources: Arc<Sources>,
    /// The settings the process started with.
    pub settings: Arc<Settings>,
    /// Where hosts are entered.
    pub directory: HostDirectory,
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
            let arguments = (arguments, handle.taken.clone());
            let (actor, _) = Actor::spawn_linked(None, ConfigActor, arguments, supervisor).await?;
            handle.actor.put(actor.clone());
            Ok(actor.get_cell())
        })
    });
    ChildSpec::of_the_service("config", Duration::from_secs(1), start)
}

struct ConfigActor;

struct ConfigState {
    arguments: ConfigArguments,
    desired: Hosts,
    /// Where its successor finds them.
    taken: Slot<Hosts>,
    /// A reading that takes hosts away and waits for a second one to agree.
    unconfirmed: Option<Hosts>,
    /// What was read last, as a number: a look that finds the same reads no further.
    stamp: Option<u64>,
    /// What the last reading was told to be at fault in: a look every minute does not fill the log.
    told: Vec<String>,
}

fn desired(settings: &Settings) -> Hosts {
    settings.hosts.iter().map(|(id, host)| (id.clone(), Arc::new(host.value.clone()))).collect()
}

impl Actor for ConfigActor {
    type Msg = ConfigMessage;
    type State = ConfigState;
    type Arguments = (ConfigArguments, Slot<Hosts>);

    async fn pre_start(
        &self,
        myself: ActorRef<ConfigMessage>,
        (arguments, taken): (ConfigArguments, Slot<Hosts>),
    ) -> Result<ConfigState, ActorProcessingErr> {
        myself.cast(ConfigMessage::Reconcile)?;
        let (me, sources) = (myself.clone(), Arc::clone(&arguments.sources));
        let watching = async move {
            // The actor is gone: so is this task in a moment.
            watch(&sources, || drop(me.cast(ConfigMessage::Look))).await;
        };
        task::spawn(myself.get_cell(), watching).await?;
        let desired = taken.get().unwrap_or_else(|| desired(&arguments.settings));
        Ok(ConfigState { arguments, desired, taken, unconfirmed: None, stamp: None, told: vec![] })
    }

    async fn handle(
        &self,
        myself: ActorRef<ConfigMessage>,
        message: ConfigMessage,
        state: &mut ConfigState,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(test)]
        crate::actors::trip::over(&message);
        match message {
            ConfigMessage::Reload => state.read(&myself, true).await?,
            ConfigMessage::Look => state.read(&myself, false).await?,
            ConfigMessage::Loaded { ordered, stamp, outcome } => {
                state.stamp = Some(stamp);
                let faults = match outcome {
                    Ok(settings) => state.consider(&myself, ordered, &settings),
                    Err(fault) => {
                        vec![format!("the configuration is faulty, the last good one stays: {fault}")]
                    }
                };
                state.tell(faults, ordered);
                state.reconcile();
            }
            ConfigMessage::Reconcile => state.reconcile(),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ConfigMessage>,
        event: SupervisionEvent,
        _: &mut ConfigState,
    ) -> Result<(), ActorProcessingErr> {
        // Reading tasks report by message. Without its watch this actor would be deaf: start anew.
        match event {
            SupervisionEvent::ActorFailed(_, error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Settings of the server itself, which are fixed while it runs.
fn fixed(settings: &Settings) -> impl PartialEq {
    let Settings { host, port, log_level, allowed_hosts, .. } = settings;
    (host.value, port.value, log_level.value, allowed_hosts.value.clone())
}

impl ConfigState {
    async fn read(&self, myself: &ActorRef<ConfigMessage>, ordered: bool) -> Result<(), SpawnErr> {
        let (me, sources) = (myself.clone(), Arc::clone(&self.arguments.sources));
        // An order is obeyed, and a reading that waits for its confirmation gets it.
        let known = self.stamp.filter(|_| !ordered && self.unconfirmed.is_none());
        let read = async move {
            // Files may lie on a share that hangs; a thread may wait for it.
            let read = tokio::task::spawn_blocking(move || {
                let stamp = stamp(&sources);
                (known != Some(stamp)).then(|| (stamp, load(&sources)))
            });
            let _ = me.cast(match read.await {
                Ok(None) => ConfigMessage::Reconcile,
                Ok(Some((stamp, loaded))) => {
                    let outcome = loaded.map(Box::new).map_err(|fault| fault.to_string());
                    ConfigMessage::Loaded { ordered, stamp, outcome }
                }
                Err(panic) => ConfigMessage::Loaded { ordered, stamp: 0, outcome: Err(panic.to_string()) },
            });
        };
        task::spawn(myself.get_cell(), read).await?;
        Ok(())
    }

    /// Makes what was read the desired state, if it is to be believed; returns what to tell.
    fn consider(
        &mut self,
        myself: &ActorRef<ConfigMessage>,
        ordered: bool,
        settings: &Settings,
    ) -> Vec<String> {
        let mut faults: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
        if fixed(settings) != fixed(&self.arguments.settings) {
            faults.push("settings under server: have changed; they take effect at the next start".to_owned());
        }
        let read = desired(settings);
        let before = self.unconfirmed.take();
        match if ordered { Verdict::Take } else { judge(&self.desired, before.as_ref(), &read) } {
            Verdict::Take => {
                self.taken.put(read.clone());
                self.desired = read;
            }
            Verdict::ReadAgain => {
                self.unconfirmed = Some(read);
                myself.send_after(CONFIRM_AFTER, || ConfigMessage::Look);
            }
            Verdict::Refuse => faults.push(
                "the configuration names none of the running hosts any more; they stay until SIGHUP confirms it".to_owned(),
            ),
        }
        faults
    }

    fn tell(&mut self, faults: Vec<String>, ordered: bool) {
        for fault in faults.iter().filter(|fault| ordered || !self.told.contains(fault)) {
            tracing::warn!("{fault}");
        }
        self.told = faults;
    }

    /// Brings the running hosts in line with the desired ones; doing it twice changes nothing.
    fn reconcile(&self) {
        let ConfigArguments { directory, connector, policy, .. } = &self.arguments;
        let Some(supervisor) = directory.supervisor().get() else { return };
        let entered: BTreeMap<HostId, Arc<HostSpec>> =
            directory.specs().into_iter().map(|spec| (spec.id.clone(), spec)).collect();

        for id in entered.keys().filter(|id| !self.desired.contains_key(*id)) {
            tracing::info!(host = %id, "host removed");
            supervisor.remove(id.as_str());
            directory.leave(id);
        }
        for (id, spec) in &self.desired {
            let before = entered.get(id);
            directory.enter(Arc::clone(spec));
            let child = || {
                let (connector, directory) = (Arc::clone(connector), directory.clone());
                child_spec(HostArguments { id: id.clone(), connector, policy: *policy, directory })
            };
            match before {
                // Its operations end over the old line before the new one is made.
                Some(before) if before.endpoint != spec.endpoint || before.enabled != spec.enabled => {
                    supervisor.replace(child());
                }
                before => {
                    // One that is there stays as it is.
                    supervisor.add(child());
                    if before.is_some_and(|before| before != spec)
                        && let Ok(host) = directory.host(id.as_str())
                    {
                        host.retune(Arc::clone(spec));
                    }
                }
            }
        }
    }
}
