//! A host's life, and a connector of one's own.
//!
//! Dockmaster reaches hosts through a [`Connector`]. This one plays a host that refuses at first,
//! comes up, breaks and comes back; the printed phases are what `host_list` shows.
//!
//!     cargo run --example host_lifecycle

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example shows itself and plays an engine"
)]

use dockmaster::app::{App, Front};
use dockmaster::config::{Sources, load};
use dockmaster::domain::fault::{Fault, FaultKind};
use dockmaster::domain::host::HostSpec;
use dockmaster::domain::phase::Phase;
use dockmaster::transport::{
    BoxFuture, ByteStream, Carrier, Command, Connection, Connector, Link, Route, Sink,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;

/// Makes "connections" to an engine inside this process.
#[derive(Default)]
struct PlayedHost {
    attempts: AtomicUsize,
    pulled: Arc<Notify>,
}

impl Connector for PlayedHost {
    fn connect(&self, _host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        let pulled = Arc::clone(&self.pulled);
        Box::pin(async move {
            // A typed cause decides what happens next: this one is worth another try.
            if attempt == 1 {
                return Err(Fault::new(FaultKind::Refused, "port 22: Connection refused"));
            }
            let route =
                Route { socket: "memory".into(), carrier: Carrier::Local, steps: vec![], host_key: None };
            // The connection's life: it ends when this future does.
            let life = async move {
                pulled.notified().await;
                Fault::new(FaultKind::LinkLost, "somebody pulled the cable")
            };
            Ok(Connection::direct(Arc::new(PlayedLink(route)), life))
        })
    }

    fn evidence(&self, _host: Arc<HostSpec>) -> BoxFuture<'static, u64> {
        Box::pin(async { 0 })
    }
}

struct PlayedLink(Route);

impl Link for PlayedLink {
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        tokio::spawn(answer(theirs));
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn ByteStream>) })
    }
    fn stream<'a>(&'a self, _: &'a Command, _: Sink<'a>) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::NoShell, "a played host runs nothing")) })
    }
    fn suspect(&self) {}
    fn route(&self) -> &Route {
        &self.0
    }
}

/// The least of an engine: says who it is and has no containers.
async fn answer(mut stream: DuplexStream) {
    let mut head = vec![0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut head).await {
        let version = head[..read].starts_with(b"GET /version");
        let body = if version {
            r#"{"Version":"28.0.0","ApiVersion":"1.48","Os":"linux","Arch":"arm64"}"#
        } else {
            "[]"
        };
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A configuration with one host, as hosts.yml would have it.
    let file = std::env::temp_dir().join(format!("host-lifecycle-{}.yml", std::process::id()));
    std::fs::write(&file, "hosts:\n  nas: {hostname: nas.lan, user: ops}\n")?;
    let sources = Sources { config: Some(file.clone()), ..Sources::default() };
    let settings = load(&sources)?;

    let played = Arc::new(PlayedHost::default());
    let app =
        App::with_connector(sources, settings, Arc::clone(&played) as Arc<dyn Connector>, Front::Embedded)
            .await?;

    // The actor of the host enters the directory when the configuration is reconciled.
    let mut host = loop {
        match app.directory().host("nas") {
            Ok(host) => break host,
            Err(_) => tokio::task::yield_now().await,
        }
    };

    let refused = host.wait_for(|status| matches!(status.phase, Phase::Backoff { .. })).await;
    println!("{}", told(refused.map(|status| status.phase)));
    let ready = host.wait_for(|status| matches!(status.phase, Phase::Ready(_))).await;
    println!("{}", told(ready.map(|status| status.phase)));

    // A call takes the line that is there; a hundred at once share it.
    let containers = host
        .read("list", Duration::from_secs(10), async |operation| Ok(operation.engine().containers().await?))
        .await?;
    println!("{} containers", containers.len());

    played.pulled.notify_one();
    let broken = host.wait_for(|status| status.phase.cause().is_some()).await;
    println!("{}", told(broken.map(|status| status.phase)));
    let back = host.wait_for(|status| matches!(status.phase, Phase::Ready(_))).await;
    println!("{}", told(back.map(|status| status.phase)));
    println!("{} attempts", played.attempts.load(Ordering::SeqCst));

    app.shutdown().await;
    std::fs::remove_file(file)?;
    Ok(())
}

fn told(phase: Option<Phase>) -> String {
    match phase {
        Some(Phase::Ready(engine)) => {
            format!("ready: {} {}, API {}", engine.product, engine.version, engine.api)
        }
        Some(phase) => {
            // Printed whole, a cause also tells how long it took.
            let words = phase.cause().map(|cause| format!("{}: {}", cause.kind.meaning(), cause.detail));
            format!("{}: {}", phase.word(), words.unwrap_or_default())
        }
        None => "removed".to_owned(),
    }
}
