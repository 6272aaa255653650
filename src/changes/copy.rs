//! Copying from another host: what comes from there goes on to this one piece by piece, and is never all here.

use super::container::unless_gone;
use super::{Hands, Look, OPERATION_LABEL, Source};
use crate::domain::change::{Before, Copied, Made};
use crate::domain::host::HostId;
use crate::domain::image::ImageName;
use crate::domain::thing::VolumeName;
use crate::engine::fingerprint::Fingerprint;
use crate::engine::transfer::Chunks;
use crate::engine::{Engine, EngineError};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Pieces that wait to be looked at.
const WAITING: usize = 16;

/// The host that the change takes something from.
pub(super) fn source<'a>(hands: &'a Hands<'_>) -> Result<&'a dyn Source, EngineError> {
    hands
        .means
        .source()
        .ok_or_else(|| EngineError::Unfit("the host it comes from is not configured".to_owned()))
}

/// What an image's name means on both hosts.
pub(super) async fn look_at_image(
    hands: &Hands<'_>,
    image: &ImageName,
    from: &HostId,
) -> Result<Look, EngineError> {
    let wanted = source(hands)?.image_id(image).await?;
    let wanted =
        wanted.ok_or_else(|| EngineError::NotFound(format!("there is no image {image} on {from}")))?;
    let before = Before::Thing { id: wanted.clone() };
    if hands.engine.image_id(image).await?.as_ref() == Some(&wanted) {
        return Ok(Look::Already(before, Made { id: Some(wanted), ..Made::default() }));
    }
    Ok(Look::Todo(before))
}

/// Has the engine take in the image, and no other of its repository.
pub(super) async fn image(hands: &Hands<'_>, image: &ImageName) -> Result<Made, EngineError> {
    let (flow, source) = (Flow::default(), source(hands)?);
    let mut named = image.clone();
    if let Some(latest) = image.latest()
        && source.image_id(&latest).await?.is_some()
    {
        named = latest;
    }
    let archive = flow.through(source.image(&named), None);
    flow.told(hands.engine.load_image(archive).await)?;
    let id = hands.engine.image_id(image).await?;
    let id = id.ok_or_else(|| EngineError::Failed(format!("what came is not called {image}")))?;
    let copied = Copied { bytes: flow.bytes(), files: None, sha256: None };
    Ok(Made { id: Some(id), copied: Some(copied), ..Made::default() })
}

/// Fills a volume, and compares what is in it then with what was sent.
pub(super) async fn volume(
    hands: &Hands<'_>,
    from: &VolumeName,
    into: &VolumeName,
) -> Result<Made, EngineError> {
    let helper = hands.means.helper().await;
    let filled = fill(hands, from, into, &helper).await;
    // Now rather than with the operation: while it is there the volume is in use.
    unless_gone(hands.engine.remove(&helper, true, false).await)?;
    filled
}

async fn fill(
    hands: &Hands<'_>,
    from: &VolumeName,
    into: &VolumeName,
    helper: &str,
) -> Result<Made, EngineError> {
    let (source, engine) = (source(hands)?, hands.engine);
    let label = BTreeMap::from([(OPERATION_LABEL.to_owned(), hands.operation.to_string())]);
    engine.hold_volume(helper, into, true, label).await?;
    let mut users = source.users(from).await?;
    let (flow, (chunks, seen)) = (Flow::default(), mpsc::channel(WAITING));
    let archive = flow.through(source.volume_data(from, engine.naming()), Some(chunks));
    let (sent, written) =
        futures_util::join!(Fingerprint::of(seen, engine.naming()), engine.write_volume(helper, archive));
    flow.told(written)?;
    let (sent, found) = (sent?, in_volume(engine, helper).await?);
    if found != sent {
        let words = format!(
            "{} files with {} bytes were sent, and others arrived: {} with {}",
            sent.files, sent.bytes, found.files, found.bytes
        );
        return Err(EngineError::Failed(words));
    }
    users.extend(source.users(from).await?);
    users.sort_unstable();
    users.dedup();
    let left =
        users.into_iter().map(|name| format!("{name} ran meanwhile: what it wrote may be there in part"));
    let copied = Copied { bytes: sent.bytes, files: Some(sent.files), sha256: Some(sent.sha256) };
    Ok(Made { copied: Some(copied), left: left.collect(), ..Made::default() })
}

async fn in_volume(engine: &Engine, helper: &str) -> Result<Fingerprint, EngineError> {
    let (flow, (chunks, seen)) = (Flow::default(), mpsc::channel(WAITING));
    let read = flow
        .through(engine.read_volume(helper, engine.naming()), Some(chunks))
        .for_each(|_| std::future::ready(()));
    let (found, ()) = futures_util::join!(Fingerprint::of(seen, engine.naming()), read);
    flow.told(found)
}

/// What flows from one host to another.
#[derive(Clone, Default)]
struct Flow(Arc<(AtomicU64, Mutex<Option<EngineError>>)>);

impl Flow {
    /// Chunks as the body of a request, each also for whoever looks at them.
    fn through(
        &self,
        chunks: Chunks,
        seen: Option<mpsc::Sender<Bytes>>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let flow = self.clone();
        chunks.then(move |chunk| {
            let (flow, seen) = (flow.clone(), seen.clone());
            async move {
                match chunk {
                    Ok(chunk) => {
                        flow.0.0.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                        if let Some(seen) = seen {
                            // Behind an archive's end nobody looks any more.
                            let _ = seen.send(chunk.clone()).await;
                        }
                        Ok(chunk)
                    }
                    Err(error) => {
                        let told = io::Error::other(error.to_string());
                        *flow.fault() = Some(error);
                        Err(told)
                    }
                }
            }
        })
    }

    /// The outcome of what it flowed into: what broke at its beginning is its cause.
    fn told<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        match self.fault().take() {
            Some(error) => Err(error),
            None => outcome,
        }
    }

    fn bytes(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<EngineError>> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
