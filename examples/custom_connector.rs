//! A connector of one's own: engines that listen on plain TCP.
//!
//! Dockmaster reaches hosts through a [`Connector`], and all it knows about the way is in there. This
//! one suits engines behind a socket proxy in a trusted network: the hostname and port of a host are
//! where its engine listens. Supervision, retries, operations and tools are those of every host.
//!
//!     cargo run --example custom_connector

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example shows itself and plays an engine"
)]

use dockmaster::app::{App, Front};
use dockmaster::config::{Sources, load};
use dockmaster::domain::fault::{Fault, FaultKind};
use dockmaster::domain::host::{Endpoint, HostSpec};
use dockmaster::domain::phase::Phase;
use dockmaster::transport::{
    BoxFuture, ByteStream, Carrier, Command, Connection, Connector, Link, Route, Sink,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Makes connections over TCP. It has no state: what differs between hosts is in their specification.
struct TcpConnector;

impl Connector for TcpConnector {
    // Called by the host's actor for every attempt, in a task that is dropped when the attempt is given
    // up. Retrying is not a connector's business: it tries once and says why it failed.
    fn connect(&self, host: Arc<HostSpec>) -> BoxFuture<'static, Result<Connection, Fault>> {
        Box::pin(async move {
            let Endpoint::Ssh(target) = &host.endpoint else {
                // The kind of a fault decides what happens next: this one holds the host until its
                // configuration changes.
                return Err(Fault::new(FaultKind::SshConfig, "this connector needs hostname and port"));
            };
            let address = format!("{}:{}", target.hostname, target.port.unwrap_or(2375));
            // Trying the way once tells a refused port from an engine that answers nonsense.
            dial(&address).await?;
            let route =
                Route { socket: address.clone(), carrier: Carrier::Local, steps: vec![], host_key: None };
            // The connection's life. TCP to an engine has none between two requests, so this one never
            // ends by itself; a call that breaks makes Dockmaster look.
            let life = std::future::pending();
            Ok(Connection::direct(Arc::new(TcpLink { address, route }), life))
        })
    }

    // Asked while a host is held: a number that changes when something here changed that could cure it.
    fn evidence(&self, _host: Arc<HostSpec>) -> BoxFuture<'static, u64> {
        Box::pin(async { 0 })
    }
}

/// What can be done over a connection.
struct TcpLink {
    address: String,
    route: Route,
}

impl Link for TcpLink {
    // A byte stream to the engine. Dockmaster pools these and speaks HTTP over them.
    fn open_engine(&self) -> BoxFuture<'_, Result<Box<dyn ByteStream>, Fault>> {
        Box::pin(async { Ok(Box::new(dial(&self.address).await?) as Box<dyn ByteStream>) })
    }

    // A command on the host: there is no way to run one over the engine's port. What needs one, such as
    // reading a stack's file, fails with these words; everything else works.
    fn stream<'a>(&'a self, _: &'a Command, _: Sink<'a>) -> BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::NoShell, "the engine's port runs no commands")) })
    }

    // A call missed its deadline: a connection with a life of its own would be tested here.
    fn suspect(&self) {}

    fn route(&self) -> &Route {
        &self.route
    }
}

async fn dial(address: &str) -> Result<TcpStream, Fault> {
    TcpStream::connect(address).await.map_err(|error| Fault::new(FaultKind::Refused, error.to_string()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An engine on a port of this machine, in place of a real one.
    let engine = TcpListener::bind("127.0.0.1:0").await?;
    let port = engine.local_addr()?.port();
    tokio::spawn(play_engine(engine));

    // Two hosts: one where the engine listens, one where nobody does.
    let file = std::env::temp_dir().join(format!("custom-connector-{}.yml", std::process::id()));
    let hosts = format!(
        "hosts:\n  nas: {{hostname: 127.0.0.1, port: {port}}}\n  pi: {{hostname: 127.0.0.1, port: 1}}\n"
    );
    std::fs::write(&file, hosts)?;
    let sources = Sources { config: Some(file.clone()), ..Sources::default() };
    let settings = load(&sources)?;

    // All of Dockmaster but its front, over our connector.
    let app = App::with_connector(sources, settings, Arc::new(TcpConnector), Front::Embedded).await?;

    // Both hosts at once: the one that is down is nobody else's trouble.
    let hosts = [app.directory().host("nas")?, app.directory().host("pi")?];
    let sessions = app.directory().sessions(&hosts, Duration::from_secs(10)).await;
    for (host, session) in &sessions {
        match session {
            Ok(session) => {
                println!("{host}: {} {}", session.engine.info().product, session.engine.info().version);
            }
            Err(error) => println!("{host}: {error}"),
        }
    }

    // An operation: it has a name, a deadline and a ledger, and it ends with its caller.
    let containers = hosts[0].read("list", Duration::from_secs(10), async |operation| {
        // Whatever is tracked is closed when the operation ends, however it ends.
        operation.track("a note", async {
            println!("the operation has ended");
            Ok(())
        });
        Ok(operation.engine().containers().await?)
    });
    println!("nas: {} containers", containers.await?.len());

    if let Phase::Backoff { cause, .. } = hosts[1].status().phase {
        println!("pi: {}", cause.kind.meaning());
    }
    app.shutdown().await;
    std::fs::remove_file(file)?;
    Ok(())
}

/// The least of an engine: says who it is and has no containers.
async fn play_engine(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut head = vec![0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut head).await {
                let version = r#"{"Version":"28.0.0","ApiVersion":"1.48","Os":"linux","Arch":"arm64"}"#;
                let body = if head[..read].starts_with(b"GET /version") { version } else { "[]" };
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(reply.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}
