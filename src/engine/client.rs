//! bollard on a pooled HTTP client whose connections are streams of a link.

use super::{ApiVersion, EngineError};
use crate::domain::change::COPY;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::ByteStream;
use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use http_body_util::{BodyDataStream, BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::http::Uri;
use hyper::http::header::CONTENT_TYPE;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;

/// Idle connections kept per engine: enough for a person's and an assistant's calls in a row.
const IDLE_CONNECTIONS: usize = 4;

/// How long a connection may idle before it is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Requests waiting for their answer at once; ssh's listen queue holds 128 and more only queue.
const REQUESTS: usize = 16;

/// bollard's own limit on an answer's head, in seconds: above every deadline of ours, which are
/// the ones that count. The head of the answer to an upload comes after its last byte.
const HEAD_LIMIT_SECONDS: u64 = COPY.as_secs() + 600;

/// The body of a request as bollard builds it.
type Body =
    Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>>>;

/// Connections over a link; clients of one pool share them.
#[derive(Clone)]
pub(super) struct Pool {
    client: Client<Dialer, Body>,
    requests: Arc<Semaphore>,
}

impl Pool {
    /// A pool whose connections are streams that `dial` opens.
    pub(super) fn new(dial: impl Fn() -> Dialling + Send + Sync + 'static) -> Self {
        Self::keeping(IDLE_CONNECTIONS, dial)
    }

    /// A pool that keeps no connection: each is for one request.
    pub(super) fn of_one_use(dial: impl Fn() -> Dialling + Send + Sync + 'static) -> Self {
        Self::keeping(0, dial)
    }

    fn keeping(idle: usize, dial: impl Fn() -> Dialling + Send + Sync + 'static) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(idle)
            .build(Dialer(Arc::new(dial)));
        Self { client, requests: Arc::new(Semaphore::new(REQUESTS)) }
    }

    /// What the engine answers to a GET of `path`, for answers whose types bollard has for the newest API alone.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        api: ApiVersion,
        path: &str,
    ) -> Result<T, EngineError> {
        let body = self.ask(Method::GET, api, path, Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|error| EngineError::Garbled(error.to_string()))
    }

    /// What the engine answers to a POST of `body`, for requests that hold what bollard has no types for.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        api: ApiVersion,
        path: &str,
        body: &Value,
    ) -> Result<T, EngineError> {
        let body = self.ask(Method::POST, api, path, body.to_string().into()).await?;
        serde_json::from_slice(&body).map_err(|error| EngineError::Garbled(error.to_string()))
    }

    /// As [`Self::post`], where the answer says nothing.
    pub(super) async fn post_blind(
        &self,
        api: ApiVersion,
        path: &str,
        body: &Value,
    ) -> Result<(), EngineError> {
        self.ask(Method::POST, api, path, body.to_string().into()).await.map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        api: ApiVersion,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, EngineError> {
        let body = self.send(method, api, path, body).await?;
        Ok(body.collect().await.map_err(bollard::errors::Error::from)?.to_bytes())
    }

    /// What the engine answers to a GET of `path`, piece by piece as it comes.
    pub(super) fn read(
        &self,
        api: ApiVersion,
        path: String,
    ) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let pool = self.clone();
        let body = async move { pool.send(Method::GET, api, &path, Bytes::new()).await };
        let pieces = body.map_ok(|body| {
            BodyDataStream::new(body).map_err(|error| bollard::errors::Error::from(error).into())
        });
        pieces.try_flatten_stream().boxed()
    }

    /// The body of what the engine answers, unless it refuses.
    async fn send(
        &self,
        method: Method,
        api: ApiVersion,
        path: &str,
        body: Bytes,
    ) -> Result<Incoming, EngineError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://docker/v{api}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::Left(Full::new(body)));
        let request = request.map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
        let response = {
            let _permit = self.requests.acquire().await;
            self.client.request(request).await.map_err(bollard::errors::Error::from)?
        };
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let body = body.collect().await.map_err(bollard::errors::Error::from)?.to_bytes();
        let told: Option<Refusal> = serde_json::from_slice(&body).ok();
        let message = told.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), |told| told.message);
        Err(bollard::errors::Error::DockerResponseServerError { status_code: status.as_u16(), message }
            .into())
    }

    /// A bollard client that speaks `api`, or names no version when it is not known yet.
    pub(super) fn docker(&self, api: Option<ApiVersion>) -> Result<Docker, Fault> {
        let (client, requests) = (self.client.clone(), Arc::clone(&self.requests));
        let transport = move |request: BollardRequest| {
            let (client, requests) = (client.clone(), Arc::clone(&requests));
            Box::pin(async move {
                let request = with_version(request, api)?;
                // Held until the head of the answer: bodies may stream for hours.
                let _permit = requests.acquire_owned().await;
                client.request(request).await.map_err(bollard::errors::Error::from)
            }) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        let spoken = api.unwrap_or(super::OLDEST_API);
        let version = ClientVersion { major_version: spoken.major, minor_version: spoken.minor };
        Docker::connect_with_custom_transport(transport, Some("http://docker"), HEAD_LIMIT_SECONDS, &version)
            .map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))
    }
}

/// An engine's words about what it does not do.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// bollard 0.21 leaves the API version out of the path; without it the engine would answer in its
/// newest dialect.
fn with_version(
    mut request: BollardRequest,
    api: Option<ApiVersion>,
) -> Result<BollardRequest, bollard::errors::Error> {
    if let Some(api) = api {
        let mut parts = request.uri().clone().into_parts();
        let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
        let versioned = format!("/v{api}{path}");
        parts.path_and_query =
            Some(versioned.parse().map_err(|err| bollard::errors::Error::InvalidURIError { err })?);
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|err| bollard::errors::Error::InvalidURIPartsError { err })?;
    }
    Ok(request)
}

/// A stream that is being opened.
pub(super) type Dialling = BoxFuture<'static, Result<Box<dyn ByteStream>, Fault>>;

/// Opens streams for the pool.
#[derive(Clone)]
struct Dialer(Arc<dyn Fn() -> Dialling + Send + Sync>);

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Stretch>;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Self::Response, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialling = (self.0)();
        Box::pin(async move { Ok(TokioIo::new(Stretch(dialling.await?))) })
    }
}

/// A stream as the pool wants it.
struct Stretch(Box<dyn ByteStream>);

impl Connection for Stretch {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stretch {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stretch {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
