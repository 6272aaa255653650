//! What the steps of a change may use beside its host's engine.

use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use crate::changes::{Means, Source};
use crate::domain::change::{Bound, COPY};
use crate::domain::host::HostId;
use crate::domain::image::ImageName;
use crate::domain::thing::VolumeName;
use crate::engine::transfer::{Chunks, Naming};
use crate::engine::volumes::VolumeDetail;
use crate::engine::{Engine, EngineError};
use crate::transport::{BoxFuture, Link};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;
use tokio::sync::mpsc;

/// A question to the other host is given this long.
const ASKED: Duration = Duration::from_secs(30);

/// Pieces on their way from one host to the other.
const ON_THE_WAY: usize = 16;

/// What an operation has, and the host it takes something from.
pub(super) struct Bench {
    operation: Operation,
    source: Option<OtherHost>,
}

impl Bench {
    pub(super) fn new(
        operation: Operation,
        source: Option<&HostId>,
        bound: Option<Bound>,
        directory: &HostDirectory,
    ) -> Self {
        let host = |id: &HostId| directory.host(id.as_str()).ok();
        let source = source.and_then(host).map(|host| OtherHost { host, bound });
        Self { operation, source }
    }
}

impl Means for Bench {
    fn link(&self) -> &dyn Link {
        self.operation.link()
    }

    fn helper(&self) -> BoxFuture<'_, String> {
        Box::pin(self.operation.helper_container())
    }

    fn source(&self) -> Option<&dyn Source> {
        self.source.as_ref().map(|source| source as &dyn Source)
    }
}

/// A host that something is taken from, each time by an operation of its own.
pub(crate) struct OtherHost {
    pub(crate) host: HostHandle,
    /// Where that is so, it is the machine that this names, and no other.
    pub(crate) bound: Option<Bound>,
}

/// An error when the machine at the other end is not the one that was agreed to.
fn check(bound: Option<&Bound>, operation: &Operation) -> Result<(), EngineError> {
    if bound.is_none_or(|bound| bound.holds(&operation.machine().identity())) {
        return Ok(());
    }
    Err(EngineError::Unfit("it is another machine by now; nothing was taken from it".to_owned()))
}

/// Where what is sent goes.
type Sender = mpsc::Sender<Result<Bytes, EngineError>>;

impl OtherHost {
    fn told(id: &HostId, error: HostError) -> EngineError {
        match error {
            HostError::Engine(EngineError::NotFound(words)) => {
                EngineError::NotFound(format!("{id}: {words}"))
            }
            error => EngineError::Unfit(format!("{id}: {error}")),
        }
    }

    async fn ask<T, F>(&self, name: &str, call: impl Fn(Operation) -> F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        let asked = self.host.read(name, ASKED, |operation| {
            let answer = check(self.bound.as_ref(), &operation).map(|()| call(operation));
            async move { Ok(answer?.await?) }
        });
        asked.await.map_err(|error| Self::told(&self.host.spec().id, error))
    }

    /// What `open` finds to send. It ends with whoever takes it.
    fn send<F>(&self, name: &'static str, open: impl FnOnce(Operation) -> F + Send + 'static) -> Chunks
    where
        F: Future<Output = Result<Chunks, EngineError>> + Send + 'static,
    {
        let (host, bound) = (self.host.clone(), self.bound.clone());
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        let sent = async move {
            let work = |operation| {
                let opened = check(bound.as_ref(), &operation).map(|()| open(operation));
                async move {
                    pass_on(opened?.await?, sender).await;
                    Ok(())
                }
            };
            let sent = host.serve(name, COPY, work).await;
            sent.err().map(|error| Err(Self::told(&host.spec().id, error)))
        };
        let failed = stream::once(sent).filter_map(ready);
        let came = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        stream::select(came, failed).boxed()
    }
}

async fn pass_on(mut chunks: Chunks, sender: Sender) {
    while let Some(chunk) = chunks.next().await {
        if sender.send(chunk).await.is_err() {
            return;
        }
    }
}

/// Whether two engines are one. Clones of a machine share their engine's name, and not their ssh keys.
fn is_one(
    one: (&Option<String>, &Option<String>),
    other: (&Option<String>, &Option<String>),
) -> Option<bool> {
    let ((engine, key), (other_engine, other_key)) = (one, other);
    let (engine, other_engine) = (engine.as_ref()?, other_engine.as_ref()?);
    let keys_differ = key.as_ref().zip(other_key.as_ref()).is_some_and(|(key, other)| key != other);
    Some(engine == other_engine && !keys_differ)
}

fn identity(engine: &Engine) -> (&Option<String>, &Option<String>) {
    (&engine.info().id, &engine.link().route().host_key)
}

impl Source for OtherHost {
    fn image_id<'a>(&'a self, image: &'a ImageName) -> BoxFuture<'a, Result<Option<String>, EngineError>> {
        Box::pin(self.ask("image_copy", move |operation| {
            let image = image.clone();
            async move { operation.engine().image_id(&image).await }
        }))
    }

    fn image(&self, image: &ImageName) -> Chunks {
        let image = image.clone();
        self.send("image_copy", |operation| async move { Ok(operation.engine().export_image(&image)) })
    }

    fn volume<'a>(&'a self, volume: &'a VolumeName) -> BoxFuture<'a, Result<VolumeDetail, EngineError>> {
        Box::pin(self.ask("volume_copy", move |operation| {
            let volume = volume.clone();
            async move { operation.engine().volume(&volume).await }
        }))
    }

    fn is_on<'a>(&'a self, engine: &'a Engine) -> BoxFuture<'a, Result<Option<bool>, EngineError>> {
        let here = identity(engine);
        let here = (here.0.clone(), here.1.clone());
        Box::pin(self.ask("volume_copy", move |operation| {
            let here = here.clone();
            async move { Ok(is_one((&here.0, &here.1), identity(operation.engine()))) }
        }))
    }

    fn users<'a>(&'a self, volume: &'a VolumeName) -> BoxFuture<'a, Result<Vec<String>, EngineError>> {
        Box::pin(self.ask("volume_copy", move |operation| {
            let volume = volume.clone();
            async move { operation.engine().users(&volume).await }
        }))
    }

    fn volume_data(&self, volume: &VolumeName, naming: Naming) -> Chunks {
        let volume = volume.clone();
        self.send("volume_copy", move |operation| async move {
            if operation.engine().naming() == Naming::Bare {
                let words =
                    "Podman does not tell whose files are; take it from there by podman volume export";
                return Err(EngineError::Unfit(words.to_owned()));
            }
            let helper = operation.helper_container().await;
            operation.engine().hold_volume(&helper, &volume, false, BTreeMap::new()).await?;
            Ok(operation.engine().read_volume(&helper, naming))
        })
    }
}
