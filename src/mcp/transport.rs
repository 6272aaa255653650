//! How the protocol comes in: over standard input and output, or over Streamable HTTP.

use super::registry::Registry;
use super::server::Server;
use super::stdio::relay;
use crate::actors::mcp::McpHandle;
use rmcp::service::{QuitReason, ServerInitializeError, ServiceExt as _};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio_util::sync::CancellationToken;

/// What may be on its way between standard input and the server.
const RELAY_BYTES: usize = 64 * 1024;

/// Serves one peer on standard input and output until the input ends.
pub async fn serve_stdio(registry: Registry, front: McpHandle) -> io::Result<()> {
    let (input, output) = rmcp::transport::io::stdio_pipes();
    serve_peer(registry, front, input, output).await
}

/// Serves one peer, which sends a message a line, until its input ends.
pub async fn serve_peer(
    registry: Registry,
    front: McpHandle,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (to_server, server_input) = tokio::io::duplex(RELAY_BYTES);
    let (server_output, from_server) = tokio::io::duplex(RELAY_BYTES);
    let left = CancellationToken::new();
    let (relayed, served) = tokio::join!(
        relay(input, output, to_server, from_server, &left),
        serve(Server::new(registry, front, left.clone()), server_input, server_output),
    );
    relayed.and(served)
}

async fn serve(server: Server, input: DuplexStream, output: DuplexStream) -> io::Result<()> {
    let running = match server.serve((input, output)).await {
        Ok(running) => running,
        // A client that looked and left before it said hello.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    match running.waiting().await {
        Ok(QuitReason::Closed | QuitReason::Cancelled) => Ok(()),
        Ok(reason) => Err(io::Error::other(format!("{reason:?}"))),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The service behind `/mcp`: both eras of the protocol on one endpoint. Host and Origin are checked
/// by the HTTP floor for all its routes, so the service does not check them again.
pub fn http_service(
    registry: Registry,
    front: McpHandle,
    stop: CancellationToken,
) -> StreamableHttpService<impl rmcp::ServerHandler, LocalSessionManager> {
    let config = StreamableHttpServerConfig::default().with_cancellation_token(stop).disable_allowed_hosts();
    let factory = move || Ok(Server::new(registry.clone(), front.clone(), CancellationToken::new()));
    StreamableHttpService::new(factory, Arc::default(), config)
}
