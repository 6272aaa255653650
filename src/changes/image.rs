//! Steps that are made to images.

use super::{Found, Hands, Look};
use crate::domain::change::{Before, ImageStep, Made};
use crate::engine::EngineError;

pub(super) async fn look(hands: &Hands<'_>, step: &ImageStep) -> Result<Look, EngineError> {
    Ok(match step {
        ImageStep::Fetch(image) => match hands.engine.image_id(image).await? {
            Some(id) => {
                let made = Made { id: Some(id.clone()), ..Made::default() };
                Look::Already(Before::Image { id: Some(id) }, made)
            }
            None => Look::Todo(Before::Image { id: None }),
        },
        ImageStep::Pull(image, _) => Look::Todo(Before::Image { id: hands.engine.image_id(image).await? }),
    })
}

pub(super) async fn act(hands: &Hands<'_>, step: &ImageStep) -> Result<(), EngineError> {
    match step {
        ImageStep::Fetch(image) => hands.engine.pull(image, None).await,
        ImageStep::Pull(image, platform) => hands.engine.pull(image, platform.as_deref()).await,
    }
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &ImageStep,
    before: &Before,
) -> Result<Found, EngineError> {
    match step {
        ImageStep::Fetch(image) => Ok(match hands.engine.image_id(image).await? {
            Some(id) => Found::Made(Made { id: Some(id), ..Made::default() }),
            None => Found::NotYet,
        }),
        ImageStep::Pull(image, _) => {
            let id = hands.engine.image_id(image).await?;
            let Before::Image { id: old } = before else { return Ok(Found::NotYet) };
            // The same image may have been pulled again: pulling once more does no harm.
            Ok(if id.is_some() && id != *old { Found::Made(pulled(old.clone(), id)) } else { Found::NotYet })
        }
    }
}

pub(super) async fn after(hands: &Hands<'_>, step: &ImageStep, before: &Before) -> Result<Made, EngineError> {
    match (step, before) {
        (ImageStep::Fetch(image) | ImageStep::Pull(image, _), Before::Image { id }) => {
            Ok(pulled(id.clone(), hands.engine.image_id(image).await?))
        }
        _ => Ok(Made::default()),
    }
}

fn pulled(before: Option<String>, after: Option<String>) -> Made {
    Made { id: after.clone(), before, after, ..Made::default() }
}
