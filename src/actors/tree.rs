//! The live tree as data: who there is, in which phase, in which life. Read without a message, so
//! that a stuck actor is shown like any other.

use super::directory::HostDirectory;
use super::host::HostHandle;
use super::mcp::McpHandle;
use super::operation::Stage;
use super::supervision::{ChildInfo, ChildPhase, SupervisorHandle};
use crate::runtime::clock::age;
use std::fmt;
use std::time::Duration;

/// What a node of the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// It starts its children again.
    Supervisor,
    /// It is started again by its supervisor.
    Actor,
    /// It runs once: an operation, a request, a ledger that is seen to.
    Task,
}

/// An actor as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name among its siblings.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// What it is doing, as a stable word.
    pub phase: &'static str,
    /// Which life this is, from 1.
    pub incarnation: u64,
    /// How often it was restarted within its supervisor's period.
    pub restarts: usize,
    /// How long until its supervisor starts it, where it is down.
    pub starts_in: Option<Duration>,
    /// For how long a task has been at it.
    pub running_for: Option<Duration>,
    /// What lives below it.
    pub children: Vec<Node>,
}

/// Where the tree is read from; clones read the same one.
#[derive(Clone)]
pub struct Tree {
    root: SupervisorHandle,
    directory: HostDirectory,
    mcp: McpHandle,
}

impl Tree {
    /// The tree below `root`.
    pub fn new(root: SupervisorHandle, directory: HostDirectory, mcp: McpHandle) -> Self {
        Self { root, directory, mcp }
    }

    /// The whole tree as it is now.
    pub fn look(&self) -> Node {
        let root = Node { kind: NodeKind::Supervisor, ..task("root".to_owned(), "running", None) };
        let children = self.root.children().into_iter().map(|child| {
            let below = match child.name.as_str() {
                "hosts" => self.hosts(),
                "mcp" => self.requests(),
                "reaper" => self.seen_to(),
                _ => vec![],
            };
            let kind = if child.name == "hosts" { NodeKind::Supervisor } else { NodeKind::Actor };
            Node { kind, children: below, ..node(child) }
        });
        Node { children: children.collect(), ..root }
    }

    fn hosts(&self) -> Vec<Node> {
        let Some(supervisor) = self.directory.supervisor().get() else { return vec![] };
        let hosts = supervisor.children().into_iter().map(|child| match self.directory.host(&child.name) {
            Ok(host) if child.phase == ChildPhase::Running => {
                let phase = host.status().phase.word();
                Node { phase, children: self.operations(&host), ..node(child) }
            }
            _ => node(child),
        });
        hosts.collect()
    }

    fn operations(&self, host: &HostHandle) -> Vec<Node> {
        let now = self.directory.clock().now();
        let running = host.operations().running().into_iter().map(|operation| {
            let phase = match operation.stage {
                Stage::Working => "working",
                Stage::Releasing => "releasing",
            };
            let context = operation.context;
            let name = format!("{} {}", context.name, context.id);
            task(name, phase, Some(age(now, context.started)))
        });
        running.collect()
    }

    fn requests(&self) -> Vec<Node> {
        let requests = self.mcp.in_flight().into_iter();
        requests.map(|request| task(request.tool, "working", Some(request.running_for))).collect()
    }

    /// What the Reaper sees to.
    fn seen_to(&self) -> Vec<Node> {
        let now = self.directory.clock().now();
        let ledgers = self.directory.reaper().leftovers().into_iter().map(|ledger| {
            let context = ledger.context();
            let name = format!("{} {} on {}", context.name, context.id, context.host);
            task(name, "releasing", Some(age(now, context.started)))
        });
        let changes = self.directory.changes().open().into_iter().map(|live| {
            let record = live.record();
            let name = format!("{} {} on {}", record.change.word(), record.id, record.machine.host);
            task(name, record.state.word(), Some(age(now, record.started)))
        });
        ledgers.chain(changes).collect()
    }
}

fn node(child: ChildInfo) -> Node {
    let ChildInfo { name, phase, incarnation, restarts, starts_in } = child;
    let phase = phase.word();
    Node {
        name,
        kind: NodeKind::Actor,
        phase,
        incarnation,
        restarts,
        starts_in,
        running_for: None,
        children: vec![],
    }
}

fn task(name: String, phase: &'static str, running_for: Option<Duration>) -> Node {
    Node {
        name,
        kind: NodeKind::Task,
        phase,
        incarnation: 1,
        restarts: 0,
        starts_in: None,
        running_for,
        children: vec![],
    }
}

impl Node {
    /// The node at a path of names below this one.
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [first, rest @ ..] => self.children.iter().find(|child| child.name == *first)?.find(rest),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:indent$}{}: {}", "", self.name, self.phase, indent = depth * 2)?;
        if self.incarnation > 1 {
            write!(f, ", life {}, {} restarts in its period", self.incarnation, self.restarts)?;
        }
        if let Some(starts_in) = self.starts_in {
            write!(f, ", starts in {} s", starts_in.as_secs())?;
        }
        writeln!(f)?;
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

/// One line per node, indented by its depth.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
