//! Steps that are made to images.

use super::{Found, Hands, Look, build, copy};
use crate::domain::change::{Affected, AffectedKind, Before, ImageStep, Made, Step};
use crate::domain::image::ImageName;
use crate::engine::{Engine, EngineError};

/// The image that the step would take away.
pub(super) async fn survey(engine: &Engine, step: &ImageStep) -> Result<Vec<Affected>, EngineError> {
    let ImageStep::Remove(image, _) = step else { return Ok(vec![]) };
    let found = engine.image(image).await?;
    let thing = Affected::new(AffectedKind::Image, found.id, image.as_str());
    let bytes = i64::try_from(found.size).ok();
    Ok(vec![Affected { bytes, labels: found.labels, other_names: found.tags, ..thing }])
}

pub(super) async fn look(hands: &Hands<'_>, step: &ImageStep) -> Result<Look, EngineError> {
    let engine = hands.engine;
    Ok(match step {
        ImageStep::Fetch(image) => match engine.image_id(image).await? {
            Some(id) => {
                let made = Made { id: Some(id.clone()), ..Made::default() };
                Look::Already(Before::Image { id: Some(id) }, made)
            }
            None => Look::Todo(Before::Image { id: None }),
        },
        ImageStep::Pull(image, _) => Look::Todo(Before::Image { id: engine.image_id(image).await? }),
        ImageStep::Build(_) => Look::Todo(Before::Nothing),
        ImageStep::Copy(image, from) => copy::look_at_image(hands, image, from).await?,
        ImageStep::Push(image) => Look::Todo(Before::Image { id: Some(id_of(engine, image).await?) }),
        ImageStep::Tag(image, name) => {
            let id = id_of(engine, image).await?;
            let before = Before::Image { id: Some(id.clone()) };
            let has_it = engine.image_id(name).await?.as_ref() == Some(&id);
            if has_it { Look::Already(before, named(id, name)) } else { Look::Todo(before) }
        }
        ImageStep::Remove(image, _) => Look::Todo(Before::Thing { id: id_of(engine, image).await? }),
    })
}

pub(super) async fn act(
    hands: &Hands<'_>,
    step: &ImageStep,
    before: &Before,
) -> Result<Option<Made>, EngineError> {
    let engine = hands.engine;
    match step {
        ImageStep::Fetch(image) => engine.pull(image, None).await.map(|()| None),
        ImageStep::Pull(image, platform) => engine.pull(image, platform.as_ref()).await.map(|()| None),
        ImageStep::Build(spec) => {
            build::build(hands, spec, Step::from(step.clone()).limit(before)).await.map(Some)
        }
        ImageStep::Copy(image, _) => copy::image(hands, image).await.map(Some),
        ImageStep::Push(image) => {
            if engine.image_id(image).await? != was(before) {
                let message = format!("{image} is another image by now");
                return Err(EngineError::Refused { status: 409, message });
            }
            let after = engine.push(image).await?;
            Ok(Some(Made { id: was(before), after, ..Made::default() }))
        }
        ImageStep::Tag(_, name) => {
            let id = was(before).unwrap_or_default();
            engine.tag(&id, name).await?;
            Ok(Some(named(id, name)))
        }
        ImageStep::Remove(image, force) => match engine.remove_image(image, *force).await {
            Ok(gone) => Ok(Some(Made { removed: gone, ..Made::default() })),
            Err(EngineError::NotFound(_)) => Ok(Some(removed(image))),
            Err(error) => Err(error),
        },
    }
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &ImageStep,
    before: &Before,
) -> Result<Found, EngineError> {
    let found = match step {
        // Sent or built again it does no harm: the registry has what it has, and so has the builder.
        ImageStep::Push(_) | ImageStep::Build(_) => return Ok(Found::NotYet),
        ImageStep::Fetch(image)
        | ImageStep::Pull(image, _)
        | ImageStep::Copy(image, _)
        | ImageStep::Tag(_, image)
        | ImageStep::Remove(image, _) => hands.engine.image_id(image).await?,
    };
    let made = match (step, before, found) {
        (ImageStep::Fetch(_), _, Some(id)) => Some(Made { id: Some(id), ..Made::default() }),
        // The same image may have been pulled again: pulling once more does no harm.
        (ImageStep::Pull(..), Before::Image { id: old }, Some(id)) if old.as_ref() != Some(&id) => {
            Some(pulled(old.clone(), Some(id)))
        }
        (ImageStep::Tag(_, name), Before::Image { id: Some(was) }, Some(id)) if *was == id => {
            Some(named(id, name))
        }
        (ImageStep::Copy(..), Before::Thing { id: wanted }, Some(id)) if *wanted == id => {
            Some(Made { id: Some(id), ..Made::default() })
        }
        (ImageStep::Remove(image, _), Before::Thing { id: was }, id) if id.as_ref() != Some(was) => {
            Some(removed(image))
        }
        _ => None,
    };
    Ok(made.map_or(Found::NotYet, Found::Made))
}

pub(super) async fn after(hands: &Hands<'_>, step: &ImageStep, before: &Before) -> Result<Made, EngineError> {
    match (step, before) {
        (ImageStep::Fetch(image) | ImageStep::Pull(image, _), Before::Image { id }) => {
            Ok(pulled(id.clone(), hands.engine.image_id(image).await?))
        }
        _ => Ok(Made::default()),
    }
}

async fn id_of(engine: &Engine, image: &ImageName) -> Result<String, EngineError> {
    let found = engine.image_id(image).await?;
    found.ok_or_else(|| EngineError::NotFound(format!("there is no image {image}")))
}

fn was(before: &Before) -> Option<String> {
    if let Before::Image { id } = before { id.clone() } else { None }
}

fn named(id: String, name: &ImageName) -> Made {
    Made { id: Some(id), after: Some(name.to_string()), ..Made::default() }
}

fn removed(image: &ImageName) -> Made {
    Made { removed: vec![image.to_string()], ..Made::default() }
}

fn pulled(before: Option<String>, after: Option<String>) -> Made {
    Made { id: after.clone(), before, after, ..Made::default() }
}
