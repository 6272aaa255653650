//! A connector for what real hosts cannot show: scripted outcomes, a log of attempts, an engine that
//! answers from memory.

use super::{ByteStream, Carrier, Command, Connection, Connector, FoundFile, Link, Output, Route};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::HostSpec;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;

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
    attempts: Vec<String>,
    requests: Vec<(String, String)>,
    cuts: BTreeMap<String, watch::Sender<Option<FaultKind>>>,
}

impl FakeConnector {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next attempts on a host meet; afterwards they succeed.
    pub(crate) fn script(&self, host: &str, scenes: impl IntoIterator<Item = Scene>) {
        self.stage().scripts.insert(host.to_owned(), scenes.into_iter().collect());
    }

    /// How many attempts there were on a host.
    pub(crate) fn attempts(&self, host: &str) -> usize {
        self.stage().attempts.iter().filter(|attempt| *attempt == host).count()
    }

    /// The paths asked of a host's engine.
    pub(crate) fn requests(&self, host: &str) -> Vec<String> {
        let stage = self.stage();
        stage.requests.iter().filter(|(of, _)| of == host).map(|(_, path)| path.clone()).collect()
    }

    /// Cuts the current link of a host.
    pub(crate) fn cut(&self, host: &str, kind: FaultKind) {
        if let Some(cut) = self.stage().cuts.get(host) {
            cut.send_replace(Some(kind));
        }
    }
}

impl Connector for FakeConnector {
    fn connect(&self, host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>> {
        let id = host.id.to_string();
        let (cut, mut is_cut) = watch::channel(None);
        let scene = {
            let mut stage = self.stage();
            stage.attempts.push(id.clone());
            stage.cuts.insert(id.clone(), cut);
            stage.scripts.get_mut(&id).and_then(VecDeque::pop_front).unwrap_or(Scene::Up)
        };
        let fake = self.clone();
        Box::pin(async move {
            match scene {
                Scene::Up => {}
                Scene::Fails(kind) => return Err(Fault::new(kind, "as scripted")),
                Scene::Hangs => std::future::pending::<()>().await,
                Scene::Panics => panic!("as scripted"),
            }
            let route = Route { socket: "/fake".into(), carrier: Carrier::Local, steps: vec![] };
            let lifeline = async move {
                match is_cut.wait_for(Option::is_some).await.map(|kind| *kind) {
                    Ok(Some(kind)) => Fault::new(kind, "as scripted"),
                    _ => std::future::pending().await,
                }
            };
            Ok(Connection { link: Arc::new(FakeLink { id, fake, route }), lifeline: Box::pin(lifeline) })
        })
    }

    fn evidence(&self, _: Arc<HostSpec>) -> BoxFuture<'static, u64> {
        Box::pin(async { 0 })
    }
}

struct FakeLink {
    id: String,
    fake: FakeConnector,
    route: Route,
}

impl Link for FakeLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (id, fake) = (self.id.clone(), self.fake.clone());
        #[expect(clippy::disallowed_methods, reason = "a fake engine is no part of the tree")]
        tokio::spawn(engine(id, fake, theirs));
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn ByteStream>) })
    }

    fn exec<'a>(&'a self, _: &'a Command) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async { Ok(Output { status: Some(0), stdout: vec![], stderr: vec![] }) })
    }

    fn find_files<'a>(&'a self, paths: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<FoundFile>>, Fault>> {
        Box::pin(async { Ok(vec![None; paths.len()]) })
    }

    fn read_file<'a>(&'a self, _: &'a str, _: usize) -> BoxFuture<'a, Result<Vec<u8>, Fault>> {
        Box::pin(async { Ok(vec![]) })
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
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = match path.rsplit('/').next().unwrap_or_default() {
            "version" => r#"{"Version":"20.10.24","ApiVersion":"1.41","Os":"linux","Arch":"amd64"}"#,
            "_ping" => "OK",
            _ => "[]",
        };
        fake.stage().requests.push((id.clone(), path));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        head.clear();
    }
}
