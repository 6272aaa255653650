//! One connection to a local socket: bytes to the engine and back, or only requests that read.

use crate::actors::directory::HostDirectory;
use crate::actors::host::HostHandle;
use crate::domain::policy::Policy;
use crate::transport::ByteStream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, UPGRADE, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;

/// A tool waits for a reconnect this long, then it is told the cause.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that was let through ends this soon after its host is held back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves one connection to its end; it holds its `place` meanwhile.
pub(super) async fn serve(
    mut client: UnixStream,
    host: HostHandle,
    directory: HostDirectory,
    place: Option<OwnedSemaphorePermit>,
) {
    let id = &host.spec().id;
    let peer = client.peer_cred().ok().and_then(|peer| peer.pid());
    let policy = directory.policy(id);
    let only_reads = policy != Policy::ReadWrite;
    tracing::info!(host = %id, pid = peer, only_reads, "connection to the local socket");
    if place.is_none() {
        let words =
            format!("{id} has as many connections through Dockmaster as it takes; try again in a moment");
        return refuse(&mut client, StatusCode::SERVICE_UNAVAILABLE, &words).await;
    }
    let refusal = if only_reads && host.spec().local_socket != Some(true) {
        Some(format!(
            "{id} is held to {policy}, and this socket goes past that; local_socket: true in the hosts file opens it for what only reads"
        ))
    } else {
        None
    };
    if let Some(words) = refusal {
        return refuse(&mut client, StatusCode::FORBIDDEN, &words).await;
    }
    let session = match host.session(PATIENCE).await {
        Ok(session) => session,
        Err(error) => {
            let cause = host.status().phase.cause().map_or_else(|| error.to_string(), ToString::to_string);
            return refuse(&mut client, StatusCode::SERVICE_UNAVAILABLE, &format!("{id}: {cause}")).await;
        }
    };
    let mut engine = match session.engine.link().open_stream().await {
        Ok(engine) => engine,
        Err(fault) => {
            return refuse(&mut client, StatusCode::SERVICE_UNAVAILABLE, &format!("{id}: {fault}")).await;
        }
    };
    if only_reads {
        return pass_reads(client, engine).await;
    }
    let held_back = async {
        while directory.policy(id) == Policy::ReadWrite {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        // Either side's end is the other's; a broken one is no news to anybody.
        _ = copy_bidirectional(&mut client, &mut engine) => {}
        () = held_back => tracing::info!(host = %id, "connection to the local socket ended: the host is held back now"),
    }
}

/// Answers the first request in the words of an engine, so that any tool shows them.
async fn refuse(client: &mut UnixStream, status: StatusCode, words: &str) {
    let body = message(words);
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len()
    );
    // Whoever asked may have gone.
    let _ = client.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = client.shutdown().await;
    // A tool that still writes its request must not see a reset before the answer.
    let _ = tokio::time::timeout(PATIENCE, tokio::io::copy(client, &mut tokio::io::sink())).await;
}

fn message(words: &str) -> Vec<u8> {
    serde_json::json!({"message": format!("Dockmaster: {words}")}).to_string().into_bytes()
}

/// All that an engine needs of a request that reads; nothing that frames or upgrades it.
const PASSED_HEADERS: [HeaderName; 4] =
    [ACCEPT, HOST, USER_AGENT, HeaderName::from_static("x-registry-auth")];

type Body = BoxBody<Bytes, hyper::Error>;

/// Passes GET and HEAD without an upgrade, one after the other; refuses everything else itself.
async fn pass_reads(client: UnixStream, engine: Box<dyn ByteStream>) {
    let Ok((sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(engine)).await else {
        return;
    };
    let sender = tokio::sync::Mutex::new(sender);
    let pass = service_fn(async |request: Request<Incoming>| -> Result<Response<Body>, hyper::Error> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // What reads has no body: one could be taken for another request behind it.
        if !reads || !request.body().is_end_stream() || request.headers().contains_key(UPGRADE) {
            let method = request.method().clone();
            // A tool that still sends must not find a closed connection in place of the words.
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            return Ok(forbidden(&method));
        }
        let (head, _) = request.into_parts();
        let mut plain = Request::new(Full::<Bytes>::default());
        (*plain.method_mut(), *plain.uri_mut()) = (head.method, head.uri);
        for name in PASSED_HEADERS {
            if let Some(value) = head.headers.get(&name) {
                plain.headers_mut().insert(name, value.clone());
            }
        }
        let answer = sender.lock().await.send_request(plain).await?;
        Ok(answer.map(BodyExt::boxed))
    });
    let mut served =
        pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), pass));
    // The engine's side may end first: what it has said is still on its way.
    tokio::select! {
        _ = &mut served => return,
        _ = connection => {}
    }
    let _ = served.await;
}

fn forbidden(method: &Method) -> Response<Body> {
    let words =
        format!("the host is held to reading, and {method} is refused; its owner can change its policy");
    let body = Full::new(Bytes::from(message(&words))).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::FORBIDDEN;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}
