//! A connector for what real hosts cannot show: scripted outcomes, a log of attempts and of what was
//! done, an engine that answers from memory.

mod model;

pub(crate) use model::Model;

use super::{ByteStream, Carrier, Command, Connection, Connector, Link, Route, Sink, Source};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::HostSpec;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;
use tokio::time::Instant;

/// What an attempt meets.
#[derive(Debug, Clone)]
pub(crate) enum Scene {
    /// A link whose engine answers.
    Up,
    /// A failure.
    Fails(FaultKind),
    /// Nothing, ever.
    Hangs,
    /// A fault in our own code.
    Panics,
}

/// A connector that plays scenes.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeConnector(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
struct Stage {
    scripts: BTreeMap<String, VecDeque<Scene>>,
    /// The hosts that were connected to, as they were described then.
    attempts: Vec<(String, String)>,
    /// Host and deed, in the order of doing: requests as `GET /path`, commands as `exec words`.
    deeds: Vec<(String, String)>,
    cuts: BTreeMap<String, Cut>,
    /// When each attempt was made.
    times: Vec<(String, Instant)>,
    /// What could cure a held host, as a number, and when it was looked at.
    evidence: BTreeMap<String, (u64, Vec<Instant>)>,
    /// Hosts on which nothing is answered.
    frozen: watch::Sender<BTreeSet<String>>,
    /// Hosts whose engine ends each stream at once.
    broken: BTreeSet<String>,
    /// The engines that give themselves another name than their host's.
    engines: BTreeMap<String, &'static str>,
    /// What happened at the engines: host and event.
    events: watch::Sender<Vec<(String, &'static str)>>,
    /// What the engines have.
    models: BTreeMap<String, Model>,
    /// The program that is a fault of our own the next time it is run.
    trap: Option<&'static str>,
}

impl FakeConnector {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next attempts on a host meet; afterwards they succeed.
    pub(crate) fn script(&self, host: &str, scenes: impl IntoIterator<Item = Scene>) {
        self.stage().scripts.insert(host.to_owned(), scenes.into_iter().collect());
    }

    /// The temporary files that were made on any host, and those that were removed.
    pub(crate) fn made_and_removed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let stage = self.stage();
        let paths = |starts: &str, has: &str| {
            let deeds = stage.deeds.iter().filter(|(_, deed)| deed.starts_with(starts) && deed.contains(has));
            deeds.filter_map(|(_, deed)| deed.rsplit(' ').next().map(ToOwned::to_owned)).collect()
        };
        (paths("exec env ", "umask"), paths("exec rm ", "/tmp/"))
    }

    /// How many attempts there were on a host.
    pub(crate) fn attempts(&self, host: &str) -> usize {
        self.described(host).len()
    }

    /// How a host was described at each attempt.
    pub(crate) fn described(&self, host: &str) -> Vec<String> {
        let stage = self.stage();
        stage
            .attempts
            .iter()
            .filter(|(of, _)| of == host)
            .map(|(_, description)| description.clone())
            .collect()
    }

    /// What was done on a host, in order: requests as `GET /path`, commands as `exec words`, and what
    /// tests added themselves.
    pub(crate) fn deeds(&self, host: &str) -> Vec<String> {
        let stage = self.stage();
        stage.deeds.iter().filter(|(of, _)| of == host).map(|(_, deed)| deed.clone()).collect()
    }

    /// Adds a deed.
    pub(crate) fn note(&self, host: &str, deed: impl Into<String>) {
        self.stage().deeds.push((host.to_owned(), deed.into()));
    }

    /// When each attempt on a host was made.
    pub(crate) fn attempt_times(&self, host: &str) -> Vec<Instant> {
        self.stage().times.iter().filter(|(of, _)| of == host).map(|(_, at)| *at).collect()
    }

    /// When it was looked at what could cure a host.
    pub(crate) fn looks(&self, host: &str) -> Vec<Instant> {
        self.stage().evidence.get(host).map(|(_, looks)| looks.clone()).unwrap_or_default()
    }

    /// Changes what could cure a host.
    pub(crate) fn change_evidence(&self, host: &str) {
        self.stage().evidence.entry(host.to_owned()).or_default().0 += 1;
    }

    /// Gives the engine of a host a name.
    pub(crate) fn name_engine(&self, host: &str, name: &'static str) {
        self.stage().engines.insert(host.to_owned(), name);
    }

    /// The name the engine of a host gives itself.
    fn engine_of(&self, host: &str) -> String {
        self.stage().engines.get(host).map_or_else(|| host.to_owned(), ToString::to_string)
    }

    /// What the engine of a host has.
    pub(crate) fn model<T>(&self, host: &str, look: impl FnOnce(&mut Model) -> T) -> T {
        look(self.stage().models.entry(host.to_owned()).or_default())
    }

    /// Has the engine of a host tell an event; an empty one ends the stream.
    pub(crate) fn happen(&self, host: &str, event: &'static str) {
        self.stage().events.send_modify(|events| events.push((host.to_owned(), event)));
    }

    /// From now on the engine and the shell of a host answer nothing; the link stays.
    pub(crate) fn freeze(&self, host: &str) {
        self.stage().frozen.send_if_modified(|frozen| frozen.insert(host.to_owned()));
    }

    /// From now on the engine of a host ends its streams, answered or not; the link stays.
    pub(crate) fn break_engine(&self, host: &str) {
        self.stage().broken.insert(host.to_owned());
    }

    /// Makes the next run of this program panic, as a fault in our own code would.
    pub(crate) fn panic_on(&self, program: &'static str) {
        self.stage().trap = Some(program);
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self, host: &str) {
        self.stage().frozen.send_if_modified(|frozen| frozen.remove(host));
    }

    async fn thawed(&self, host: &str) {
        let mut frozen = self.stage().frozen.subscribe();
        let _ = frozen.wait_for(|frozen| !frozen.contains(host)).await;
    }

    /// Cuts the current link of a host.
    pub(crate) fn cut(&self, host: &str, kind: FaultKind) {
        if let Some(cut) = self.stage().cuts.get(host) {
            cut.0.send_replace(Some(kind));
        }
    }
}

/// Where a link is cut, for all that use it.
#[derive(Debug, Clone)]
struct Cut(Arc<watch::Sender<Option<FaultKind>>>);

impl Cut {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Waits for it.
    async fn fault(&self) -> Fault {
        let mut cut = self.0.subscribe();
        let kind = cut.wait_for(Option::is_some).await.ok().and_then(|kind| *kind);
        Fault::new(kind.unwrap_or(FaultKind::LinkLost), "as scripted")
    }
}

impl Connector for FakeConnector {
    fn connect(&self, host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>> {
        let id = host.id.to_string();
        let cut = Cut::new();
        let scene = {
            let mut stage = self.stage();
            stage.attempts.push((id.clone(), host.description.clone()));
            stage.times.push((id.clone(), Instant::now()));
            stage.cuts.insert(id.clone(), cut.clone());
            stage.scripts.get_mut(&id).and_then(VecDeque::pop_front).unwrap_or(Scene::Up)
        };
        let fake = self.clone();
        Box::pin(async move {
            match scene {
                Scene::Up => {}
                Scene::Fails(kind) => return Err(Fault::new(kind, "as scripted")),
                Scene::Hangs => std::future::pending::<()>().await,
                // Without the report of a panic: with a backtrace each costs a tenth of a second.
                Scene::Panics => std::panic::resume_unwind(Box::new("as scripted")),
            }
            let route =
                Route { socket: "/fake".into(), carrier: Carrier::Local, steps: vec![], host_key: None };
            let link = Arc::new(FakeLink { id, fake, route, cut: cut.clone() });
            Ok(Connection::direct(link, async move { cut.fault().await }))
        })
    }

    fn evidence(&self, host: Arc<HostSpec>) -> BoxFuture<'static, u64> {
        let mut stage = self.stage();
        let (stamp, looks) = stage.evidence.entry(host.id.to_string()).or_default();
        looks.push(Instant::now());
        let stamp = *stamp;
        Box::pin(async move { stamp })
    }
}

struct FakeLink {
    id: String,
    fake: FakeConnector,
    route: Route,
    cut: Cut,
}

impl Link for FakeLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (id, fake, cut) = (self.id.clone(), self.fake.clone(), self.cut.clone());
        let engine = async move {
            tokio::select! {
                () = engine(id, fake, theirs) => {}
                _ = cut.fault() => {}
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a fake engine is no part of the tree")]
        tokio::spawn(engine);
        Box::pin(async move {
            match *self.cut.0.borrow() {
                Some(kind) => Err(Fault::new(kind, "as scripted")),
                None => Ok(Box::new(ours) as Box<dyn ByteStream>),
            }
        })
    }

    /// Every command succeeds at once and says nothing; one with the word `hang` never ends.
    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        self.fake.note(&self.id, format!("exec {}", command.argv.join(" ")));
        let script = String::from_utf8_lossy(&command.stdin);
        if script.contains("docker build") {
            let built = self.fake.model(&self.id, |model| model.build(&script));
            sink(Source::Stdout, if built { b"built" } else { b"as scripted" });
            return Box::pin(std::future::ready(Ok(Some(i32::from(!built)))));
        }
        let trapped = self.fake.stage().trap.take_if(|program| command.argv[0] == *program).is_some();
        assert!(!trapped, "as planned");
        Box::pin(async {
            let hangs = command.argv.iter().any(|word| word == "hang");
            let end = async {
                self.fake.thawed(&self.id).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                fault = self.cut.fault() => Err(fault),
                () = end => Ok(Some(0)),
            }
        })
    }

    fn suspect(&self) {}

    fn route(&self) -> &Route {
        &self.route
    }
}

/// An engine with no containers, good for as many requests as come over one stream.
async fn engine(id: String, fake: FakeConnector, stream: tokio::io::DuplexStream) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {
        if !head.ends_with("\r\n\r\n") {
            continue;
        }
        let deed = head.split(" HTTP").next().unwrap_or_default().to_owned();
        let Ok(body) = body(&mut stream, &head).await else { return };
        let path = deed.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
        let is_events = path.ends_with("/events");
        let simple = match path.rsplit('/').next().unwrap_or_default() {
            "version" => r#"{"Version":"20.10.24","ApiVersion":"1.41","Os":"linux","Arch":"amd64"}"#,
            "_ping" => "OK",
            "volumes" => r#"{"Volumes":[]}"#,
            "info" => &format!(r#"{{"ID":"{}","SystemTime":"2026-01-01T00:00:00Z"}}"#, fake.engine_of(&id)),
            _ => "[]",
        };
        fake.note(&id, deed.clone());
        fake.thawed(&id).await;
        if fake.stage().broken.contains(&id) {
            return;
        }
        if fake.model(&id, |model| model.ignores(&deed)) {
            std::future::pending::<()>().await;
        }
        if is_events {
            return events(&id, &fake, stream.get_mut()).await;
        }
        let (status, body) = match fake.model(&id, |model| model.answer(&deed, &body)) {
            Some((status, serde_json::Value::Null)) => (status, String::new()),
            Some((status, serde_json::Value::String(bytes))) => (status, bytes),
            Some((status, body)) => (status, body.to_string()),
            None => (200, simple.to_owned()),
        };
        let answer = format!(
            "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        head.clear();
    }
}

/// What follows a head: as long as it says, or in chunks.
async fn body(stream: &mut BufReader<tokio::io::DuplexStream>, head: &str) -> std::io::Result<Vec<u8>> {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        let mut body = vec![0; content_length(head)];
        return stream.read_exact(&mut body).await.map(|_| body);
    }
    let mut body = vec![];
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        let at = body.len();
        // Each chunk ends with a line's end, also the last one, which is empty.
        body.resize(at + length + 2, 0);
        stream.read_exact(&mut body[at..]).await?;
        body.truncate(at + length);
        if length == 0 {
            return Ok(body);
        }
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, length)| length.trim().parse().ok()).unwrap_or_default()
}

/// The events of a host, until the stream is closed.
async fn events(id: &str, fake: &FakeConnector, stream: &mut tokio::io::DuplexStream) {
    let mut events = fake.stage().events.subscribe();
    let mut told = events.borrow().len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut text = head.to_owned();
    loop {
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        // A stream that says anything more has ended.
        tokio::select! {
            changed = events.changed() => if changed.is_err() { return },
            _ = stream.read_u8() => return,
        }
        text.clear();
        for (_, event) in events.borrow().iter().skip(told).filter(|(host, _)| host == id) {
            if event.is_empty() {
                return;
            }
            text.push_str(&format!("{:x}\r\n{event}\n\r\n", event.len() + 1));
        }
        told = events.borrow().len();
        fake.thawed(id).await;
    }
}
