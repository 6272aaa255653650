//! Steps that are made to volumes.

use super::container::{all_ours, unless_gone};
use super::{Found, Hands, Look, OPERATION_LABEL, copy};
use crate::domain::change::{Affected, AffectedKind, Before, Made, VolumeStep};
use crate::domain::thing::{VolumeName, VolumeSpec};
use crate::engine::volumes::VolumeDetail;
use crate::engine::{Engine, EngineError};
use std::collections::BTreeMap;

pub(super) async fn survey(engine: &Engine, step: &VolumeStep) -> Result<Vec<Affected>, EngineError> {
    match step {
        VolumeStep::Remove(name) => Ok(vec![affected(engine.volume(name).await?)]),
        VolumeStep::Prepare { volume, overwrite: true, .. } => {
            Ok(there(engine, volume).await?.map(affected).into_iter().collect())
        }
        _ => Ok(vec![]),
    }
}

/// A volume as what something would be made to.
pub(super) fn affected(found: VolumeDetail) -> Affected {
    let identity = found.identity();
    Affected { labels: found.labels, ..Affected::new(AffectedKind::Volume, identity, found.name) }
}

pub(super) async fn look(hands: &Hands<'_>, step: &VolumeStep) -> Result<Look, EngineError> {
    match step {
        VolumeStep::Create(spec) => Ok(match there(hands.engine, &spec.name).await? {
            Some(found) => Look::Already(Before::Nothing, named(&found)),
            None => Look::Todo(Before::Nothing),
        }),
        VolumeStep::Remove(name) => {
            Ok(Look::Todo(Before::Thing { id: hands.engine.volume(name).await?.identity() }))
        }
        VolumeStep::Prepare { volume, overwrite, .. } => match there(hands.engine, volume).await? {
            None => Ok(Look::Todo(Before::Nothing)),
            Some(found) if *overwrite => Ok(Look::Todo(Before::Thing { id: found.identity() })),
            Some(_) => {
                let words =
                    format!("there is a volume {volume} already; with overwrite what is in it is lost");
                Err(EngineError::Unfit(words))
            }
        },
        VolumeStep::Fill { .. } => Ok(Look::Todo(Before::Nothing)),
    }
}

pub(super) async fn act(hands: &Hands<'_>, step: &VolumeStep, before: &Before) -> Result<Made, EngineError> {
    match step {
        VolumeStep::Create(spec) => {
            hands.engine.create_volume(spec).await?;
            hands.engine.volume(&spec.name).await.map(|found| named(&found))
        }
        VolumeStep::Remove(name) => match hands.engine.remove_volume(name).await {
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(removed(name)),
            Err(error) => Err(error),
        },
        VolumeStep::Prepare { source, volume, .. } => prepare(hands, source, volume, before).await,
        VolumeStep::Fill { source, volume, .. } => copy::volume(hands, source, volume).await,
    }
}

/// Makes an empty volume, in place of the one that was there before. It bears the labels of that, or else of its
/// source: compose knows its volumes by them.
async fn prepare(
    hands: &Hands<'_>,
    source: &VolumeName,
    name: &VolumeName,
    before: &Before,
) -> Result<Made, EngineError> {
    let engine = hands.engine;
    let labels = match there(engine, name).await? {
        Some(found) if is_ours(hands, &found) => found.labels,
        Some(found) if Before::Thing { id: found.identity() } == *before => {
            if found.driver != "local" || found.has_options {
                let words = format!(
                    "{name} may lie elsewhere than among the engine's own volumes; it was left alone"
                );
                return Err(EngineError::Unfit(words));
            }
            // Asked first, for nothing is to be lost where nothing comes, or where it is the same.
            let from = copy::source(hands)?;
            let copied = from.volume(source).await?;
            let is_same = || copied.identity() == found.identity();
            if source == name && from.is_on(engine).await?.unwrap_or_else(is_same) {
                return Err(EngineError::Unfit(format!("{name} is the same volume on the same engine")));
            }
            engine.remove_volume(name).await?;
            found.labels
        }
        Some(_) => return Err(EngineError::Unfit(format!("there is another volume {name} by now"))),
        None => copy::source(hands)?.volume(source).await?.labels,
    };
    let mut labels: BTreeMap<String, String> = labels;
    labels.insert(OPERATION_LABEL.to_owned(), hands.operation.to_string());
    let spec = VolumeSpec { name: name.clone(), driver: None, options: BTreeMap::new(), labels };
    engine.create_volume(&spec).await.map_err(|error| match before {
        Before::Nothing => error,
        _ => EngineError::Failed(format!("{name} was removed, and could not be made anew: {error}")),
    })?;
    engine.volume(name).await.map(|found| prepared(&found, before))
}

/// An empty volume, in place of one that is gone with what was in it.
fn prepared(found: &VolumeDetail, before: &Before) -> Made {
    let gone = (*before != Before::Nothing).then(|| found.name.clone());
    Made { removed: gone.into_iter().collect(), ..named(found) }
}

/// Whether this operation made the volume.
fn is_ours(hands: &Hands<'_>, found: &VolumeDetail) -> bool {
    found.labels.get(OPERATION_LABEL) == Some(&hands.operation.to_string())
}

pub(super) async fn undo(hands: &Hands<'_>, step: &VolumeStep) -> Result<(), EngineError> {
    if let VolumeStep::Prepare { volume, .. } = step
        && there(hands.engine, volume).await?.is_some_and(|found| is_ours(hands, &found))
    {
        // What it was filled by.
        for helper in all_ours(hands).await? {
            unless_gone(hands.engine.remove(&helper, true, false).await)?;
        }
        unless_gone(hands.engine.remove_volume(volume).await)?;
    }
    Ok(())
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &VolumeStep,
    before: &Before,
) -> Result<Found, EngineError> {
    match step {
        VolumeStep::Create(spec) => {
            let found = there(hands.engine, &spec.name).await?;
            Ok(found.map_or(Found::NotYet, |found| Found::Made(named(&found))))
        }
        VolumeStep::Remove(name) => {
            Ok(match (there(hands.engine, name).await?, before) {
                (None, _) => Found::Made(removed(name)),
                (Some(found), Before::Thing { id }) if *id == found.identity() => Found::NotYet,
                // Older engines tell another time when the volume is written to: it may be the same.
                (Some(_), _) => Found::Gone(format!("there is another volume {name} by now")),
            })
        }
        VolumeStep::Prepare { volume, .. } => {
            let found = there(hands.engine, volume).await?.filter(|found| is_ours(hands, found));
            Ok(found.map_or(Found::NotYet, |found| Found::Made(prepared(&found, before))))
        }
        // Copied again it is the same.
        VolumeStep::Fill { .. } => Ok(Found::NotYet),
    }
}

async fn there(engine: &Engine, name: &VolumeName) -> Result<Option<VolumeDetail>, EngineError> {
    match engine.volume(name).await {
        Ok(found) => Ok(Some(found)),
        Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn named(found: &VolumeDetail) -> Made {
    Made { id: Some(found.name.clone()), after: Some(found.driver.clone()), ..Made::default() }
}

fn removed(name: &VolumeName) -> Made {
    Made { removed: vec![name.to_string()], ..Made::default() }
}
