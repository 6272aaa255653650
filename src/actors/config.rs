//! The configuration's actor: makes the hosts that run those that are configured.
//!
//! * owns: the desired hosts, the one reading that waits for its confirmation
//! * waits on: nothing; files are watched and read in tasks
//! * when it dies: hosts go on; the desired hosts lie in its handle, its successor reconciles with them

use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostArguments, child_spec};
use crate::actors::slot::Slot;
use crate::actors::socket;
use crate::actors::supervision::{ChildSpec, StartChild};
use crate::actors::task;
use crate::config::confirm::confirmed;
use crate::config::{Hosts, Origin, Settings, Sourced, Sources, Verdict, judge, load, stamp, watch};
use crate::contexts::{ContextError, Contexts};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::retry::ConnectPolicy;
use crate::transport::Connector;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// A reading that takes hosts away is confirmed by a second one after this long.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// The protocol of the configuration's actor.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum ConfigMessage {
    /// `ConfigHandle::reload`: read the files again and take what they say.
    Reload,
    /// `ConfigHandle::apply`: a file was changed by an edit; read them again.
    Edited {
        /// The host that the edit took away, whose going needs no second reading.
        removed: Option<HostId>,
        /// Told when that is done; dropped when this actor dies over it.
        done: oneshot::Sender<()>,
    },
    /// From the watch task, and a timer: read the files again, and take hosts away only when two
    /// readings agree.
    Look,
    /// From a read task: what the files say.
    Loaded {
        /// Who ordered the reading, if somebody did.
        order: Order,
        /// What was read; `None` when it is what was read before.
        reading: Option<Reading>,
    },
    /// `ConfigHandle::reconcile`, and after every reading: compare desired and actual hosts.
    Reconcile,
}

/// Why the files are read.
pub enum Order {
    /// They may have changed.
    None,
    /// Somebody says that what they say is to be taken.
    Reload,
    /// An edit changed them, and took this host away.
    Edited {
        /// The host that went.
        removed: Option<HostId>,
        /// Who waits.
        done: oneshot::Sender<()>,
    },
}

/// What the files said.
pub struct Reading {
    /// Their content, as a number.
    stamp: u64,
    /// Files that a person has confirmed as they are.
    confirmed: BTreeSet<PathBuf>,
    /// The settings, or what is wrong with the files.
    outcome: Result<Box<Settings>, String>,
}

/// The client side of the configuration's actor; reaches whichever incarnation lives.
#[derive(Clone, Default)]
pub struct ConfigHandle {
    actor: Slot<ActorRef<ConfigMessage>>,
    /// What survives the actor.
    kept: Kept,
}

/// What outlives an incarnation.
#[derive(Clone, Default)]
struct Kept {
    /// The hosts of the last reading that was taken; none before the first.
    taken: Slot<Hosts>,
    /// What is wrong with the last reading, or to be looked at.
    faults: Slot<Vec<String>>,
}

/// A reading takes no longer, unless the files lie on a share that hangs.
const APPLY_LIMIT: Duration = Duration::from_secs(10);

impl ConfigHandle {
    /// Reads the configuration again; a faulty one is told in the log and changes nothing.
    pub fn reload(&self) {
        self.actor.cast(ConfigMessage::Reload);
    }

    /// Reads the configuration again after an edit, which took the host `removed` away; returns once what
    /// the files say is taken, or told to be faulty. What takes too long is still done, a little later.
    pub async fn apply(&self, removed: Option<HostId>) {
        let (done, taken) = oneshot::channel();
        self.actor.cast(ConfigMessage::Edited { removed, done });
        if !matches!(timeout(APPLY_LIMIT, taken).await, Ok(Ok(()))) {
            tracing::warn!("a change of the hosts files is saved, and not yet taken");
        }
    }

    /// What is wrong with the files as they were read last, or is to be looked at; the hosts that run may
    /// be those of an earlier reading.
    pub fn faults(&self) -> Vec<String> {
        self.kept.faults.get().unwrap_or_default()
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
    /// The Docker contexts of this user.
    pub contexts: Contexts,
    /// Where the hosts' local sockets lie; `None` where there are none.
    pub sockets: Option<PathBuf>,
    /// The numbers of reconnecting.
    pub policy: ConnectPolicy,
}

/// The child specification of the configuration's actor.
pub fn config_spec(arguments: ConfigArguments, handle: ConfigHandle) -> ChildSpec {
    let start: StartChild = Arc::new(move |supervisor, _| {
        let (arguments, handle) = (arguments.clone(), handle.clone());
        Box::pin(async move {
            let arguments = (arguments, handle.kept.clone());
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
    kept: Kept,
    /// A reading that takes hosts away, and since when it waits for a second one to agree.
    unconfirmed: Option<(Hosts, Instant)>,
    /// What was read last, as a number: a look that finds the same reads no further. None while a reading
    /// waits for a word of a person, which may come at any time.
    stamp: Option<u64>,
    /// The task that reads. One at a time: what was read earlier must not be taken later, and files on a
    /// share that hangs must not hold one thread after the other.
    reading: bool,
    /// Why the files are to be read again as soon as that one has ended.
    orders: Vec<Order>,
}

fn desired(settings: &Settings) -> Hosts {
    let shared = |host: &Sourced<HostSpec>| Sourced {
        value: Arc::new(host.value.clone()),
        origin: host.origin.clone(),
    };
    settings.hosts.iter().map(|(id, host)| (id.clone(), shared(host))).collect()
}

impl Actor for ConfigActor {
    type Msg = ConfigMessage;
    type State = ConfigState;
    type Arguments = (ConfigArguments, Kept);

    async fn pre_start(
        &self,
        myself: ActorRef<ConfigMessage>,
        (arguments, kept): (ConfigArguments, Kept),
    ) -> Result<ConfigState, ActorProcessingErr> {
        myself.cast(ConfigMessage::Reconcile)?;
        let (me, sources) = (myself.clone(), Arc::clone(&arguments.sources));
        let mode = arguments.settings.watch.value;
        let watching = async move {
            // The actor is gone: so is this task in a moment.
            watch(&sources, mode, || drop(me.cast(ConfigMessage::Look))).await;
        };
        task::spawn(myself.get_cell(), watching).await?;
        let desired = kept.taken.get().unwrap_or_else(|| desired(&arguments.settings));
        Ok(ConfigState {
            arguments,
            desired,
            kept,
            unconfirmed: None,
            stamp: None,
            reading: false,
            orders: vec![],
        })
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
            ConfigMessage::Reload => state.read(&myself, Order::Reload).await?,
            ConfigMessage::Edited { removed, done } => {
                state.read(&myself, Order::Edited { removed, done }).await?;
            }
            ConfigMessage::Look => state.read(&myself, Order::None).await?,
            ConfigMessage::Loaded { order, reading } => {
                state.reading = false;
                if let Some(reading) = reading {
                    state.take_in(&myself, &order, reading);
                }
                state.reconcile(&myself).await?;
                if let Order::Edited { done, .. } = order {
                    // Whoever waited may have gone.
                    let _ = done.send(());
                }
                if !state.orders.is_empty() {
                    let next = state.orders.remove(0);
                    state.read(&myself, next).await?;
                }
            }
            ConfigMessage::Reconcile => state.reconcile(&myself).await?,
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
    let Settings { host, port, log_level, allowed_hosts, watch, confirm_fallback, hosts: _, warnings: _ } =
        settings;
    let allowed_hosts = allowed_hosts.value.clone();
    (host.value, port.value, log_level.value, allowed_hosts, watch.value, confirm_fallback.value)
}

impl ConfigState {
    async fn read(&mut self, myself: &ActorRef<ConfigMessage>, order: Order) -> Result<(), SpawnErr> {
        if std::mem::replace(&mut self.reading, true) {
            // A look that waits sees what another one would.
            if !matches!(order, Order::None) || !self.orders.iter().any(|order| matches!(order, Order::None))
            {
                self.orders.push(order);
            }
            return Ok(());
        }
        let (me, sources) = (myself.clone(), Arc::clone(&self.arguments.sources));
        // An order is obeyed, and a reading that waits for its confirmation gets it.
        let known = self.stamp.filter(|_| matches!(order, Order::None) && self.unconfirmed.is_none());
        let read = async move {
            // Files may lie on a share that hangs; a thread may wait for it.
            let read = tokio::task::spawn_blocking(move || {
                let stamp = stamp(&sources);
                (known != Some(stamp)).then(|| (stamp, confirmed(&sources), load(&sources)))
            });
            let reading = match read.await {
                Ok(read) => read.map(|(stamp, confirmed, loaded)| {
                    let outcome = loaded.map(Box::new).map_err(|fault| fault.to_string());
                    Reading { stamp, confirmed, outcome }
                }),
                Err(panic) => {
                    let outcome = Err(panic.to_string());
                    Some(Reading { stamp: 0, confirmed: BTreeSet::new(), outcome })
                }
            };
            let _ = me.cast(ConfigMessage::Loaded { order, reading });
        };
        task::spawn(myself.get_cell(), read).await?;
        Ok(())
    }

    /// Takes a reading in, and tells what is wrong with it.
    fn take_in(&mut self, myself: &ActorRef<ConfigMessage>, order: &Order, reading: Reading) {
        self.stamp = Some(reading.stamp);
        let faults = match reading.outcome {
            Ok(settings) => self.consider(myself, order, &settings, &reading.confirmed),
            Err(fault) => vec![format!("the configuration is faulty, the last good one stays: {fault}")],
        };
        self.tell(faults, !matches!(order, Order::None));
    }

    /// Makes what was read the desired state, as far as it is to be believed; returns what to tell. Only
    /// hosts that would go are kept: what else was said about them and others counts at once.
    fn consider(
        &mut self,
        myself: &ActorRef<ConfigMessage>,
        order: &Order,
        settings: &Settings,
        confirmed: &BTreeSet<PathBuf>,
    ) -> Vec<String> {
        let mut faults: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
        if fixed(settings) != fixed(&self.arguments.settings) {
            faults.push("settings under server: have changed; they take effect at the next start".to_owned());
        }
        let read = desired(settings);
        let before = self.unconfirmed.take();
        let mut current = self.desired.clone();
        if let Order::Edited { removed: Some(removed), .. } = order {
            current.remove(removed);
        }
        let verdict = match order {
            Order::Reload => Verdict::Take,
            Order::None | Order::Edited { .. } => {
                // One that comes too soon after the first may have met the same accident.
                let ripe = before.as_ref().filter(|(_, since)| since.elapsed() >= CONFIRM_AFTER);
                judge(&current, ripe.map(|(first, _)| first), &read, confirmed)
            }
        };
        let mut taken = read.clone();
        if verdict != Verdict::Take {
            // The engine of this machine stands in for hosts that nobody has named, and some are.
            taken.retain(|_, host| host.origin != Origin::Discovered);
            for (id, host) in current {
                taken.entry(id).or_insert(host);
            }
        }
        self.kept.taken.put(taken.clone());
        self.desired = taken;
        match verdict {
            Verdict::Take => {}
            Verdict::ReadAgain => {
                self.unconfirmed = match before {
                    // Its confirmation is on the way.
                    Some((first, since)) if first == read && since.elapsed() < CONFIRM_AFTER => {
                        Some((first, since))
                    }
                    _ => {
                        // Before the timer starts, so that its look is never a moment too soon.
                        let since = Instant::now();
                        myself.send_after(CONFIRM_AFTER, || ConfigMessage::Look);
                        Some((read, since))
                    }
                };
            }
            Verdict::Refuse(files) => {
                self.stamp = None;
                faults.extend(files.iter().map(|file| {
                    format!(
                        "{} names none of the running hosts any more; they stay until `dockmaster config confirm` or SIGHUP says that this is meant",
                        file.display()
                    )
                }));
            }
        }
        faults
    }

    /// Logs what is new, and shows everything where it can be asked for: a look every minute does not fill
    /// the log.
    fn tell(&mut self, faults: Vec<String>, ordered: bool) {
        let told = self.kept.faults.get().unwrap_or_default();
        for fault in faults.iter().filter(|fault| ordered || !told.contains(fault)) {
            tracing::warn!("{fault}");
        }
        self.kept.faults.put(faults);
    }

    /// Brings the running hosts in line with the desired ones; doing it twice changes nothing.
    async fn reconcile(&self, myself: &ActorRef<ConfigMessage>) -> Result<(), SpawnErr> {
        let ConfigArguments { directory, connector, contexts, sockets, policy, .. } = &self.arguments;
        let Some(supervisor) = directory.supervisor().get() else { return Ok(()) };
        let entered: BTreeMap<HostId, Arc<HostSpec>> =
            directory.specs().into_iter().map(|spec| (spec.id.clone(), spec)).collect();

        for id in entered.keys().filter(|id| !self.desired.contains_key(*id)) {
            tracing::info!(host = %id, "host removed");
            supervisor.remove(&socket::child_name(id));
            supervisor.remove(id.as_str());
            directory.leave(id);
        }
        let wanted: BTreeSet<String> = self.desired.values().map(|host| host.value.context_name()).collect();
        let unwanted = entered.values().map(|spec| spec.context_name()).filter(|name| !wanted.contains(name));
        let unwanted: BTreeSet<String> = unwanted.collect();
        // A reading without any host of a file may be that of a file that is not there yet.
        let of_files = self.desired.values().any(|host| matches!(host.origin, Origin::File(_)));
        let earlier = of_files.then_some(wanted);
        task::spawn(myself.get_cell(), remove_contexts(contexts.clone(), unwanted, earlier)).await?;
        for (id, Sourced { value: spec, .. }) in &self.desired {
            let before = entered.get(id);
            directory.enter(Arc::clone(spec));
            let child = || {
                let (connector, directory) = (Arc::clone(connector), directory.clone());
                let (id, contexts) = (id.clone(), contexts.clone());
                child_spec(HostArguments { id, connector, contexts, policy: *policy, directory })
            };
            match sockets {
                // One that is there stays as it is.
                Some(sockets) if socket::is_wanted(spec) => {
                    supervisor.add(socket::socket_spec(id.clone(), sockets.clone(), directory.clone()));
                }
                _ => supervisor.remove(&socket::child_name(id)),
            }
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
        Ok(())
    }
}

/// Takes away the contexts that no host has any more, where they are ours: those of hosts that left just
/// now, and, where it is known what is `wanted`, of such that left while no service ran.
async fn remove_contexts(contexts: Contexts, mut names: BTreeSet<String>, wanted: Option<BTreeSet<String>>) {
    if let Some(wanted) = wanted {
        names.extend(contexts.made_for_us().into_iter().filter(|name| !wanted.contains(name)));
    }
    for name in names {
        match contexts.remove(&name).await {
            Ok(true) => tracing::info!(context = name, "Docker context removed with its host"),
            Ok(false) | Err(ContextError::NoClient) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
