//! One call over several hosts: all at once, bounded, each host's failure beside the others' answers.

use super::error::{HostFailure, ToolError};
use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostHandle, Session};
use crate::domain::selector::HostSelector;
use crate::engine::EngineError;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// In a call over several hosts one that takes longer is reported, not waited for.
const FLEET_PATIENCE: Duration = Duration::from_secs(2);

/// A host in known trouble is given this long: time for a reconnect that is about to succeed.
const TROUBLE_PATIENCE: Duration = Duration::from_millis(300);

/// A call about one host waits through a reconnect.
pub(super) const HOST_PATIENCE: Duration = Duration::from_secs(10);

/// Parses a selector argument and finds its hosts.
pub(super) fn select(directory: &HostDirectory, hosts: Option<&str>) -> Result<Vec<HostHandle>, ToolError> {
    let selector = hosts.map_or_else(|| Ok(HostSelector::all()), HostSelector::parse)?;
    Ok(directory.select(&selector)?)
}

/// Runs `call` on every one of `hosts` at once. Answers come in the order of the hosts, with the
/// failures of the others. When there is no answer at all, the failures are the call's own.
pub(super) async fn gather<T, F>(
    directory: &HostDirectory,
    hosts: &[HostHandle],
    call: impl Fn(Arc<Session>) -> F,
) -> Result<(Vec<(HostHandle, T)>, Vec<HostFailure>), ToolError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let patience = |host: &HostHandle| match hosts {
        [_] => HOST_PATIENCE,
        _ if host.status().phase.cause().is_some() => TROUBLE_PATIENCE,
        _ => FLEET_PATIENCE,
    };
    let outcomes = join_all(hosts.iter().map(|host| host.read(patience(host), &call))).await;
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (host, outcome) in hosts.iter().zip(outcomes) {
        match outcome {
            Ok(answer) => answers.push((host.clone(), answer)),
            Err(error) => failures.push(HostFailure::of(host, &error, directory.clock())),
        }
    }
    match failures.as_slice() {
        [first, rest @ ..] if answers.is_empty() => Err(all_failed(first, rest)),
        _ => Ok((answers, failures)),
    }
}

fn all_failed(first: &HostFailure, rest: &[HostFailure]) -> ToolError {
    let mut error = ToolError::from(first.clone());
    for failure in rest {
        error.message.push('\n');
        error.message.push_str(&failure.message);
    }
    error
}

/// Runs `call` on one host.
pub(super) async fn on_host<T, F>(
    directory: &HostDirectory,
    host: &HostHandle,
    call: impl FnMut(Arc<Session>) -> F,
) -> Result<T, ToolError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let outcome = host.read(HOST_PATIENCE, call).await;
    outcome.map_err(|error| HostFailure::of(host, &error, directory.clock()).into())
}
