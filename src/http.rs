//! Floor 5: HTTP. The routes, and who may use them.

mod auth;
mod guard;
mod peer;

pub use auth::{Token, TokenError};

use crate::actors::config::ConfigHandle;
use crate::actors::directory::HostDirectory;
use crate::actors::mcp::{Listener, McpHandle};
use crate::domain::phase::Phase;
use crate::mcp::{Registry, http_service};
use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the HTTP server works with.
#[derive(Clone)]
pub struct HttpServer {
    /// The address it is bound to.
    pub address: SocketAddr,
    /// Names, beside addresses, that requests may call this server by.
    pub allowed_hosts: Arc<[String]>,
    /// The token of clients that are not this user on this machine.
    pub token: Token,
    /// The tools.
    pub registry: Registry,
    /// Who runs their calls.
    pub front: McpHandle,
    /// The hosts, for readiness.
    pub directory: HostDirectory,
    /// Whether their files are as they should be, for the same.
    pub config: ConfigHandle,
    /// Ends the server.
    pub stop: CancellationToken,
}

impl HttpServer {
    /// The server on `socket`, as a listener of the front's actor: each incarnation serves on a
    /// duplicate, so that the port stays ours while it is restarted.
    pub fn listener(self, socket: std::net::TcpListener) -> Listener {
        let socket = Arc::new(socket);
        Listener {
            name: "http",
            serve: Arc::new(move || {
                let (server, socket) = (self.clone(), Arc::clone(&socket));
                Box::pin(async move {
                    let socket =
                        peer::PromptListener(tokio::net::TcpListener::from_std(socket.try_clone()?)?);
                    let stop = server.stop.clone();
                    let service = server.router().into_make_service_with_connect_info::<peer::Peer>();
                    axum::serve(socket, service).with_graceful_shutdown(stop.cancelled_owned()).await
                })
            }),
        }
    }

    fn router(self) -> Router {
        let mcp = http_service(self.registry.clone(), self.front.clone(), self.stop.clone());
        let guard = Arc::new(guard::Guard::new(self.address, &self.allowed_hosts, self.token.clone()));
        Router::new()
            .nest_service("/mcp", mcp)
            .route("/readyz", get(ready))
            .route("/healthz", get(async || Json(json!({"status": "ok"}))))
            .with_state((self.directory, self.config))
            .layer(axum::middleware::from_fn_with_state(guard, guard::check))
    }
}

/// Ready means that the service answers; a host that is down is told and does not make it unready.
async fn ready(State((directory, config)): State<(HostDirectory, ConfigHandle)>) -> Json<Value> {
    let specs = directory.specs();
    let phases =
        specs.iter().filter_map(|spec| directory.host(spec.id.as_str()).ok()).map(|host| host.status().phase);
    let ready = phases.filter(|phase| matches!(phase, Phase::Ready(_))).count();
    let faults = config.faults().len();
    Json(json!({"status": "ok", "hosts": specs.len(), "hosts_ready": ready, "configuration_faults": faults}))
}
