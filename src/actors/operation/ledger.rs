//! The resource ledger: what an operation holds, and letting go of it in reverse.

use crate::actors::journal::JournalHandle;
use crate::domain::fault::Fault;
use crate::domain::operation::{HostResource, OperationContext, OperationId, OperationKind};
use crate::engine::{Engine, EngineError};
use crate::journal::record::{Entry as OnRecord, HeldRecord, Machine};
use crate::runtime::clock::age;
use crate::transport::mark::ProcessMark;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Closing something takes a round trip or two; one that takes longer must not keep the rest.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// A host that did not come back within this time has most likely been started anew, and no process of ours is left.
const PROCESS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Ending processes takes up to six polite and impolite rounds of a second.
const END_LIMIT: Duration = Duration::from_secs(15);

/// What one operation holds. It may outlive its operation, with whatever could not be let go of.
pub struct Ledger {
    context: Arc<OperationContext>,
    /// The machine that the operation ran on: nothing is let go of anywhere else.
    machine: Machine,
    journal: JournalHandle,
    /// The operation's name and a number: one that is gone on with by another service is another launch.
    launch: String,
    mark: ProcessMark,
    /// What this service's operations hold, this one's too.
    holdings: Holdings,
    /// Held while the first command waits for the record.
    telling: tokio::sync::Mutex<()>,
    /// Whether the record tells of processes.
    processes_told: AtomicBool,
    book: Mutex<Book>,
    /// Held while letting go, so that the order stays one order.
    releasing: tokio::sync::Mutex<()>,
}

/// What operations of this service hold on hosts, and what it took over: what is on record beside that was left by
/// a service before it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Holdings(Arc<Mutex<BTreeSet<HostResource>>>);

impl Holdings {
    /// `false` when it is held already.
    fn enter(&self, resource: &HostResource) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone())
    }

    fn leave(&self, resource: &HostResource) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
    }
}

#[derive(Default)]
struct Book {
    entries: Vec<(u64, Entry)>,
    numbers: u64,
    closed: bool,
    /// Why the last attempt to let go of something failed.
    trouble: Option<String>,
}

enum Entry {
    /// On the host; can be let go of over any line to it.
    Host(HostResource),
    /// In this process; closed once, whatever comes of it.
    Own { name: String, close: BoxFuture<'static, Result<(), String>> },
}

impl Ledger {
    pub(super) fn new(
        context: Arc<OperationContext>,
        machine: Machine,
        journal: JournalHandle,
        holdings: Holdings,
    ) -> Self {
        let launch = format!("{}-{:08x}", context.id, rand::random::<u32>());
        let mark = ProcessMark::new(&launch);
        let telling = tokio::sync::Mutex::new(());
        let releasing = tokio::sync::Mutex::new(());
        let processes_told = AtomicBool::new(false);
        Self {
            context,
            machine,
            journal,
            launch,
            mark,
            holdings,
            telling,
            processes_told,
            book: Mutex::default(),
            releasing,
        }
    }

    /// The ledgers of operations that a service before this one left, as far as they are on record: they have
    /// ended, and hold on.
    pub(in crate::actors) fn left(
        mut held: Vec<HeldRecord>,
        journal: &JournalHandle,
        holdings: &Holdings,
        now: Timestamp,
    ) -> Vec<Arc<Self>> {
        let mut ledgers: BTreeMap<OperationId, Arc<Self>> = BTreeMap::new();
        // Processes still act: they are entered last and ended first.
        held.sort_by_key(|held| matches!(held.resource, HostResource::Processes(_)));
        for HeldRecord { operation, name, machine, resource, at } in held {
            if matches!(resource, HostResource::Processes(_)) && age(now, at) > PROCESS_LIFE {
                journal.note(OnRecord::LetGo(operation, resource));
                continue;
            }
            if !holdings.enter(&resource) {
                continue;
            }
            let ledger = ledgers.entry(operation).or_insert_with(|| {
                let context = OperationContext {
                    id: operation,
                    name,
                    kind: OperationKind::Read,
                    host: machine.host.clone(),
                    docker_context: String::new(),
                    started: at,
                    limit: Duration::ZERO,
                };
                Arc::new(Self::new(Arc::new(context), machine, journal.clone(), holdings.clone()))
            });
            ledger.enter(resource);
            ledger.close();
        }
        ledgers.into_values().collect()
    }

    /// A name that no other ledger bears.
    pub(in crate::actors) fn launch(&self) -> &str {
        &self.launch
    }

    /// Whose ledger it is.
    pub fn context(&self) -> &OperationContext {
        &self.context
    }

    /// The machine that the operation ran on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What is still held, the last entry first, in words.
    pub fn held(&self) -> Vec<String> {
        let processes = self.mark.may_run().then(|| "processes".to_owned());
        let book = self.book();
        let entries = book.entries.iter().rev().map(|(_, entry)| match entry {
            Entry::Host(resource) => resource.to_string(),
            Entry::Own { name, .. } => name.clone(),
        });
        processes.into_iter().chain(entries).collect()
    }

    /// Why letting go failed last.
    pub fn trouble(&self) -> Option<String> {
        self.book().trouble.clone()
    }

    /// Whether everything has been let go of.
    pub fn is_empty(&self) -> bool {
        !self.mark.may_run() && !self.processes_told.load(Ordering::SeqCst) && self.book().entries.is_empty()
    }

    pub(super) fn mark(&self) -> &ProcessMark {
        &self.mark
    }

    pub(super) fn enter(&self, resource: HostResource) {
        self.book().push(Entry::Host(resource));
    }

    /// Enters what is about to be made, also on record: it is let go of after a crash too. Where it cannot be
    /// put on record, reading goes on without.
    pub(super) async fn hold(&self, resource: HostResource) {
        self.enter(resource.clone());
        self.holdings.enter(&resource);
        self.put_on_record(resource).await;
    }

    /// Puts on record that there may be processes, before the first command. A read does not wait for that: what is
    /// left of it does no harm, and it has to be quick.
    pub(super) async fn before_command(&self) {
        let _one_tells = self.telling.lock().await;
        if self.processes_told.load(Ordering::SeqCst) {
            return;
        }
        let processes = self.processes();
        self.holdings.enter(&processes);
        self.processes_told.store(true, Ordering::SeqCst);
        match self.context.kind {
            OperationKind::Read => self.journal.note(OnRecord::Hold(self.record(processes))),
            OperationKind::Change => self.put_on_record(processes).await,
        }
    }

    fn processes(&self) -> HostResource {
        HostResource::Processes(self.launch.clone())
    }

    fn let_go(&self, resource: HostResource) {
        self.holdings.leave(&resource);
        self.journal.note(OnRecord::LetGo(self.context.id, resource));
    }

    async fn put_on_record(&self, resource: HostResource) {
        if let Err(error) = self.journal.write("hold", vec![OnRecord::Hold(self.record(resource))]).await {
            tracing::debug!(operation = %self.context.id, %error, "what is held is not on record");
        }
    }

    fn record(&self, resource: HostResource) -> HeldRecord {
        let OperationContext { id, name, started, .. } = &*self.context;
        let (name, machine) = (name.clone(), self.machine.clone());
        HeldRecord { operation: *id, name, machine, resource, at: *started }
    }

    pub(super) fn enter_own(&self, name: String, close: BoxFuture<'static, Result<(), String>>) {
        self.book().push(Entry::Own { name, close });
    }

    pub(super) fn close(&self) {
        self.book().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.book().closed
    }

    /// Lets go of everything that can be: first of processes, which still act, then of the entries in
    /// reverse. One that fails is told in the log, stays in the ledger if it is on the host, and keeps
    /// nothing else from being let go of. Without an engine, or once its line breaks, what is on the
    /// host stays. May be dropped and made again.
    pub(in crate::actors) async fn release(&self, engine: Option<&Engine>) {
        let _one_at_a_time = self.releasing.lock().await;
        let mut engine = engine;
        if self.mark.may_run()
            && let Some(over) = engine
        {
            let ended = timeout(END_LIMIT, self.mark.end(over.link().as_ref())).await;
            let ended = ended.map_err(|_| late(END_LIMIT)).and_then(|ended| ended.map_err(Failure::from));
            self.note("processes", ended, &mut engine);
        }
        if !self.mark.may_run() && self.processes_told.swap(false, Ordering::SeqCst) {
            self.let_go(self.processes());
        }
        let mut below = u64::MAX;
        while let Some((number, next)) = self.take_below(below) {
            below = number;
            match (next, engine) {
                (Entry::Host(resource), Some(over)) => {
                    let limit = match resource {
                        HostResource::Processes(_) => END_LIMIT,
                        HostResource::File(_) | HostResource::Container(_) => CLOSE_LIMIT,
                    };
                    let released = timeout(limit, over.release(&resource)).await;
                    let released =
                        released.map_err(|_| late(limit)).and_then(|done| done.map_err(Failure::from));
                    if self.note(&resource.to_string(), released, &mut engine) {
                        self.book().entries.retain(|(other, _)| *other != number);
                        self.let_go(resource);
                    }
                }
                (Entry::Host(_), None) => {}
                (Entry::Own { name, close }, _) => {
                    let closed = timeout(CLOSE_LIMIT, AssertUnwindSafe(close).catch_unwind()).await;
                    let closed = match closed {
                        Ok(Ok(Ok(()))) => Ok(()),
                        Ok(Ok(Err(why))) => Err(Failure { why, line_broke: false }),
                        Ok(Err(_)) => Err(Failure { why: "closing it panicked".into(), line_broke: false }),
                        Err(_) => Err(Failure { line_broke: false, ..late(CLOSE_LIMIT) }),
                    };
                    self.note(&name, closed, &mut engine);
                }
            }
        }
    }

    /// Remembers a failure, and gives the line up with which it broke; `true` when there was none.
    fn note(&self, what: &str, outcome: Result<(), Failure>, engine: &mut Option<&Engine>) -> bool {
        let Err(failure) = outcome else { return true };
        let OperationContext { id, host, name, .. } = &*self.context;
        tracing::warn!(operation = %id, %host, name, what, why = failure.why, "could not be let go of");
        self.book().trouble = Some(format!("{what}: {}", failure.why));
        if failure.line_broke {
            *engine = None;
        }
        false
    }

    /// The next entry in reverse. What is ours is taken out: it can be closed once. What is on the host
    /// stays until it is known to be gone.
    fn take_below(&self, below: u64) -> Option<(u64, Entry)> {
        let mut book = self.book();
        let at = book.entries.iter().rposition(|(number, _)| *number < below)?;
        match &book.entries[at] {
            (number, Entry::Host(resource)) => Some((*number, Entry::Host(resource.clone()))),
            (_, Entry::Own { .. }) => Some(book.entries.remove(at)),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn push(&mut self, entry: Entry) {
        self.entries.push((self.numbers, entry));
        self.numbers += 1;
    }
}

/// Why something could not be let go of.
struct Failure {
    why: String,
    /// Whether the line is of no use for the rest either.
    line_broke: bool,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self { why: error.to_string(), line_broke: error.is_broken_line() }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        EngineError::from(fault).into()
    }
}

fn late(limit: Duration) -> Failure {
    Failure { why: format!("it took longer than {} s", limit.as_secs()), line_broke: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operation::{OperationId, OperationKind};
    use proptest::prelude::*;

    /// How closing something goes.
    #[derive(Debug, Clone, Copy)]
    enum Closing {
        Well,
        Fails,
        Panics,
        Hangs,
    }

    fn ledger() -> Ledger {
        let context = OperationContext {
            id: OperationId::fresh(),
            name: "test".into(),
            kind: OperationKind::Read,
            host: "nas".parse().unwrap(),
            docker_context: "docker-mcp-nas".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            limit: Duration::from_secs(30),
        };
        let machine = Machine {
            host: "nas".parse().unwrap(),
            endpoint: "unix:///x".into(),
            engine: None,
            host_key: None,
        };
        Ledger::new(Arc::new(context), machine, JournalHandle::none(), Holdings::default())
    }

    proptest! {
        #[test]
        fn s5_everything_is_closed_once_in_reverse_whatever_comes_of_each(
            closings in prop::collection::vec(
                prop_oneof![
                    4 => Just(Closing::Well),
                    1 => Just(Closing::Fails),
                    1 => Just(Closing::Panics),
                    1 => Just(Closing::Hangs),
                ],
                0..20,
            ),
        ) {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let order = Arc::new(Mutex::new(Vec::new()));
            let ledger = ledger();
            for (number, closing) in closings.iter().copied().enumerate() {
                let order = Arc::clone(&order);
                let close = async move {
                    order.lock().unwrap().push(number);
                    match closing {
                        Closing::Well => Ok(()),
                        Closing::Fails => Err("as planned".to_owned()),
                        Closing::Panics => panic!("as planned"),
                        Closing::Hangs => std::future::pending().await,
                    }
                };
                ledger.enter_own(number.to_string(), Box::pin(close));
            }
            prop_assert_eq!(ledger.held().len(), closings.len());
            runtime.block_on(ledger.release(None));
            prop_assert_eq!(&*order.lock().unwrap(), &(0..closings.len()).rev().collect::<Vec<_>>());
            prop_assert!(ledger.is_empty());
        }
    }

    #[tokio::test]
    async fn what_was_left_is_taken_over_once_and_processes_first() {
        let (operation, now) = (OperationId::fresh(), Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let held = |resource, at| HeldRecord {
            operation,
            name: "test".into(),
            machine: ledger().machine.clone(),
            resource,
            at,
        };
        let before = now - Duration::from_secs(60);
        let records = vec![
            held(HostResource::Processes("a-1".into()), before),
            held(HostResource::File("/tmp/x".into()), before),
            held(HostResource::Processes("a-0".into()), now - PROCESS_LIFE - Duration::from_secs(1)),
        ];
        let holdings = Holdings::default();
        let left = || Ledger::left(records.clone(), &JournalHandle::none(), &holdings, now);
        let taken = left();
        assert_eq!(
            taken.iter().map(|ledger| ledger.held()).collect::<Vec<_>>(),
            [["processes", "file /tmp/x"]]
        );
        assert!(left().is_empty(), "what is taken over is ours");
    }

    #[tokio::test(start_paused = true)]
    async fn s5_letting_go_that_is_cut_off_goes_on_where_it_was() {
        let ledger = ledger();
        ledger.enter(HostResource::File("/tmp/x".into()));
        ledger.enter_own("slow".into(), Box::pin(std::future::pending()));
        assert!(timeout(Duration::from_secs(1), ledger.release(None)).await.is_err());
        assert_eq!(ledger.held(), ["file /tmp/x"]);
        ledger.release(None).await;
        assert_eq!(ledger.held(), ["file /tmp/x"], "it is not forgotten for want of a line");
    }
}
