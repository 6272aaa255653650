//! Steps that are made to volumes.

use super::{Found, Hands, Look};
use crate::domain::change::{Affected, AffectedKind, Before, Made, VolumeStep};
use crate::domain::thing::VolumeName;
use crate::engine::volumes::VolumeDetail;
use crate::engine::{Engine, EngineError};

pub(super) async fn survey(engine: &Engine, step: &VolumeStep) -> Result<Vec<Affected>, EngineError> {
    let VolumeStep::Remove(name) = step else { return Ok(vec![]) };
    Ok(vec![affected(engine.volume(name).await?)])
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
    }
}

pub(super) async fn act(hands: &Hands<'_>, step: &VolumeStep) -> Result<Made, EngineError> {
    match step {
        VolumeStep::Create(spec) => {
            hands.engine.create_volume(spec).await?;
            hands.engine.volume(&spec.name).await.map(|found| named(&found))
        }
        VolumeStep::Remove(name) => match hands.engine.remove_volume(name).await {
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(removed(name)),
            Err(error) => Err(error),
        },
    }
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
