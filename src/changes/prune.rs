//! The removal of what is unused: object by object, what was seen and nothing else.

use super::{Found, Hands, Look};
use crate::domain::change::{Affected, AffectedKind, Before, Made, PruneKind, Sieve, Thing};
use crate::engine::{Engine, EngineError, Unused};
use jiff::Timestamp;

/// What would be removed. The build cache tells no things.
pub(super) async fn survey(
    engine: &Engine,
    kind: PruneKind,
    sieve: &Sieve,
    now: Timestamp,
) -> Result<Vec<Affected>, EngineError> {
    let is = match kind {
        PruneKind::Containers => AffectedKind::Container,
        PruneKind::Networks => AffectedKind::Network,
        PruneKind::Images => AffectedKind::Image,
        PruneKind::Volumes => AffectedKind::Volume,
        PruneKind::BuildCache => return Ok(vec![]),
    };
    let unused = sifted(engine, kind, sieve, now).await?;
    let affected = unused.into_iter().map(|unused| Affected {
        bytes: unused.thing.bytes,
        labels: unused.labels,
        ..Affected::new(is, unused.thing.id, unused.thing.name)
    });
    Ok(affected.collect())
}

pub(super) async fn look(hands: &Hands<'_>, kind: PruneKind, sieve: &Sieve) -> Result<Look, EngineError> {
    let unused = sifted(hands.engine, kind, sieve, hands.now).await?;
    let things = unused.into_iter().map(|unused| unused.thing).collect();
    Ok(Look::Todo(Before::Things { things }))
}

pub(super) async fn act(
    hands: &Hands<'_>,
    kind: PruneKind,
    sieve: &Sieve,
    before: &Before,
) -> Result<Made, EngineError> {
    if kind == PruneKind::BuildCache {
        let freed = hands.engine.prune_build_cache(sieve.older_than).await?;
        return Ok(Made { freed: Some(freed), ..Made::default() });
    }
    let Before::Things { things } = before else { return Ok(Made::default()) };
    let (mut gone, mut left) = (vec![], vec![]);
    for thing in things {
        match hands.engine.remove_unused(kind, &thing.id).await {
            Ok(()) | Err(EngineError::NotFound(_)) => gone.push(thing),
            Err(error @ EngineError::Refused { .. }) => left.push(format!("{}: {error}", thing.name)),
            Err(error) => return Err(error),
        }
    }
    Ok(Made { left, ..swept(gone.into_iter()) })
}

pub(super) async fn probe(hands: &Hands<'_>, kind: PruneKind, before: &Before) -> Result<Found, EngineError> {
    if kind == PruneKind::BuildCache {
        return Ok(Found::NotYet);
    }
    let Before::Things { things } = before else { return Ok(Found::NotYet) };
    for thing in things {
        // One that is used by now has not gone either.
        if hands.engine.has(kind, &thing.id).await? {
            return Ok(Found::NotYet);
        }
    }
    Ok(Found::Made(swept(things.iter())))
}

/// What nothing uses, without what stays.
async fn sifted(
    engine: &Engine,
    kind: PruneKind,
    sieve: &Sieve,
    now: Timestamp,
) -> Result<Vec<Unused>, EngineError> {
    let mut unused = engine.unused(kind).await?;
    unused.retain(|Unused { thing, labels, created }| {
        sieve.passes(&thing.name, labels, *created, now.as_second())
    });
    Ok(unused)
}

fn swept<'a>(things: impl Iterator<Item = &'a Thing> + Clone) -> Made {
    // Old engines do not tell what images have alone.
    let known = things.clone().filter_map(|thing| thing.bytes);
    let freed = known.reduce(i64::saturating_add);
    Made { removed: things.map(|thing| thing.name.clone()).collect(), freed, ..Made::default() }
}
