//! Steps that are made to networks, and to what is attached to them.

use super::{Found, Hands, Look, OPERATION_LABEL, container};
use crate::domain::change::{Affected, AffectedKind, Before, Made, NetworkStep};
use crate::domain::thing::NetworkName;
use crate::engine::containers::ContainerDetail;
use crate::engine::networks::NetworkDetail;
use crate::engine::{Engine, EngineError};

pub(super) async fn survey(engine: &Engine, step: &NetworkStep) -> Result<Vec<Affected>, EngineError> {
    match step {
        NetworkStep::Create(_) => Ok(vec![]),
        NetworkStep::Connect { container, .. } | NetworkStep::Disconnect { container, .. } => {
            Ok(vec![container::affected(engine.container(container).await?)])
        }
        NetworkStep::Remove(name) => {
            let NetworkDetail { id, name, labels } = engine.network(name).await?;
            Ok(vec![Affected { labels, ..Affected::new(AffectedKind::Network, id, name) }])
        }
    }
}

pub(super) async fn look(hands: &Hands<'_>, step: &NetworkStep) -> Result<Look, EngineError> {
    let engine = hands.engine;
    match step {
        NetworkStep::Create(spec) => Ok(match named(engine, &spec.name).await? {
            Some(found) => Look::Already(Before::Nothing, made(found.id)),
            None => Look::Todo(Before::Nothing),
        }),
        NetworkStep::Connect { container, network, .. } | NetworkStep::Disconnect { container, network } => {
            let found = engine.container(container).await?;
            let network = engine.network(network).await?;
            let before = container::before(&found);
            Ok(if is_so(step, &found, &network) {
                Look::Already(before, attached(&found, &network))
            } else {
                Look::Todo(before)
            })
        }
        NetworkStep::Remove(name) => Ok(Look::Todo(Before::Thing { id: engine.network(name).await?.id })),
    }
}

pub(super) async fn act(
    hands: &Hands<'_>,
    step: &NetworkStep,
    before: &Before,
) -> Result<Option<Made>, EngineError> {
    let engine = hands.engine;
    match step {
        NetworkStep::Create(spec) => {
            // Engines make another one of the same name without a word.
            if let Found::Made(made) = probe(hands, step, before).await? {
                return Ok(Some(made));
            }
            let id = engine.create_network(spec, &hands.labels(&step.clone().into())).await?;
            Ok(Some(made(id)))
        }
        NetworkStep::Connect { network, aliases, .. } => {
            engine.attach(container::id_of(before), network, aliases).await.map(|()| None)
        }
        NetworkStep::Disconnect { network, .. } => {
            engine.detach(container::id_of(before), network).await.map(|()| None)
        }
        NetworkStep::Remove(name) => {
            let Before::Thing { id } = before else { return Ok(None) };
            match engine.remove_network(id).await {
                Ok(()) | Err(EngineError::NotFound(_)) => Ok(Some(removed(name))),
                Err(error) => Err(error),
            }
        }
    }
}

pub(super) async fn probe(
    hands: &Hands<'_>,
    step: &NetworkStep,
    before: &Before,
) -> Result<Found, EngineError> {
    let engine = hands.engine;
    match step {
        NetworkStep::Create(spec) => {
            let found = named(engine, &spec.name).await?;
            let ours = |found: &NetworkDetail| {
                found.labels.get(OPERATION_LABEL) == Some(&hands.operation.to_string())
            };
            Ok(found.filter(ours).map_or(Found::NotYet, |found| Found::Made(made(found.id))))
        }
        NetworkStep::Connect { network, .. } | NetworkStep::Disconnect { network, .. } => {
            let found = match engine.container(&super::name(container::id_of(before))?).await {
                Ok(found) => found,
                Err(EngineError::NotFound(words)) => return Ok(Found::Gone(words)),
                Err(error) => return Err(error),
            };
            Ok(match there(engine, network).await? {
                Some(network) if is_so(step, &found, &network) => Found::Made(attached(&found, &network)),
                Some(_) => Found::NotYet,
                None => Found::Gone(format!("there is no network {network}")),
            })
        }
        NetworkStep::Remove(name) => {
            let Before::Thing { id } = before else { return Ok(Found::NotYet) };
            let found = there(engine, name).await?;
            Ok(match found {
                Some(found) if found.id == *id => Found::NotYet,
                _ => Found::Made(removed(name)),
            })
        }
    }
}

pub(super) async fn after(
    hands: &Hands<'_>,
    step: &NetworkStep,
    before: &Before,
) -> Result<Made, EngineError> {
    match step {
        NetworkStep::Connect { network, .. } | NetworkStep::Disconnect { network, .. } => {
            let found = hands.engine.container(&super::name(container::id_of(before))?).await?;
            Ok(attached(&found, &hands.engine.network(network).await?))
        }
        NetworkStep::Create(_) | NetworkStep::Remove(_) => Ok(Made::default()),
    }
}

async fn there(engine: &Engine, name: &NetworkName) -> Result<Option<NetworkDetail>, EngineError> {
    match engine.network(name).await {
        Ok(found) => Ok(Some(found)),
        Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The network of this name; engines find one by the beginning of its identifier too.
async fn named(engine: &Engine, name: &NetworkName) -> Result<Option<NetworkDetail>, EngineError> {
    Ok(there(engine, name).await?.filter(|found| found.name == name.as_str()))
}

/// Whether the container stands to the network as it is wanted.
fn is_so(step: &NetworkStep, container: &ContainerDetail, network: &NetworkDetail) -> bool {
    let found = container.networks.iter().find(|known| known.name == network.name);
    match step {
        NetworkStep::Connect { aliases, .. } => {
            found.is_some_and(|found| aliases.iter().all(|alias| found.aliases.contains(alias)))
        }
        _ => found.is_none(),
    }
}

/// How a container stands to a network, with its address where it has one.
fn attached(container: &ContainerDetail, network: &NetworkDetail) -> Made {
    let found = container.networks.iter().find(|known| known.name == network.name);
    let after = match found {
        Some(found) if found.ip.is_empty() => format!("in {}", network.name),
        Some(found) => format!("in {} as {}", network.name, found.ip),
        None => format!("not in {}", network.name),
    };
    Made { id: Some(container.id.clone()), after: Some(after), ..Made::default() }
}

fn made(id: String) -> Made {
    Made { id: Some(id), ..Made::default() }
}

fn removed(name: &NetworkName) -> Made {
    Made { removed: vec![name.to_string()], ..Made::default() }
}
