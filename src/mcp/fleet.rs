//! One call over several hosts: all at once, bounded, each host's failure beside the others' answers.

use super::error::{HostFailure, ToolError};
use super::page::{MOST_CHARACTERS, PAGE_CHARACTERS, length};
use super::tool::ToolContext;
use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use crate::domain::selector::HostSelector;
use crate::domain::text::cut;
use futures_util::future::join_all;
use std::time::Duration;

/// In a call over several hosts one that takes longer is reported, not waited for.
const FLEET_PATIENCE: Duration = Duration::from_secs(2);

/// A host in known trouble is given this long: time for a reconnect that is about to succeed.
const TROUBLE_PATIENCE: Duration = Duration::from_millis(300);

/// A call about one host waits through a reconnect.
const HOST_PATIENCE: Duration = Duration::from_secs(10);

/// Characters for the failures of hosts in an answer, and of the words of each at least. `host_list` has them whole.
const FAILURES: usize = MOST_CHARACTERS - PAGE_CHARACTERS;
const LEAST_WORDS: usize = 40;

/// Parses a selector argument and finds its hosts.
pub(super) fn select(directory: &HostDirectory, hosts: Option<&str>) -> Result<Vec<HostHandle>, ToolError> {
    let selector = hosts.map_or_else(|| Ok(HostSelector::all()), HostSelector::parse)?;
    Ok(directory.select(&selector)?)
}

/// How long hosts may take for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// As long as one from the engine's memory takes.
    Quick,
    /// So much longer.
    Longer(Duration),
    /// So long, whatever is usual.
    Within(Duration),
}

impl Patience {
    /// The time for a call over so many hosts.
    fn limit(self, hosts: usize) -> Duration {
        let usual = if hosts == 1 { HOST_PATIENCE } else { FLEET_PATIENCE };
        match self {
            Self::Quick => usual,
            Self::Longer(more) => usual + more,
            Self::Within(limit) => limit,
        }
    }
}

/// Runs `call` on every one of `hosts` at once, each as an operation of its own. Answers come in the order of the hosts, with the
/// failures of the others. When there is no answer at all, the failures are the call's own.
pub(super) async fn gather<T, F>(
    patience: Patience,
    context: &ToolContext,
    hosts: &[HostHandle],
    call: impl Fn(Operation) -> F,
) -> Result<(Vec<(HostHandle, T)>, Vec<HostFailure>), ToolError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, HostError>> + Send + 'static,
{
    let (answers, failures) = ask(patience, context, hosts, call).await;
    match failures.as_slice() {
        [first, rest @ ..] if answers.is_empty() => Err(all_failed(first, rest)),
        _ => Ok((answers, failures)),
    }
}

/// As [`gather`], where the failures of all are no failure of the call.
pub(super) async fn ask<T, F>(
    patience: Patience,
    context: &ToolContext,
    hosts: &[HostHandle],
    call: impl Fn(Operation) -> F,
) -> (Vec<(HostHandle, T)>, Vec<HostFailure>)
where
    T: Send + 'static,
    F: Future<Output = Result<T, HostError>> + Send + 'static,
{
    let limit = patience.limit(hosts.len());
    let limit_of = |host: &HostHandle| match hosts {
        [_] => limit,
        _ if host.status().phase.cause().is_some() => TROUBLE_PATIENCE,
        _ => limit,
    };
    let outcomes = join_all(hosts.iter().map(|host| host.read(context.tool, limit_of(host), &call))).await;
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (host, outcome) in hosts.iter().zip(outcomes) {
        match outcome {
            Ok(answer) => answers.push((host.clone(), answer)),
            Err(error) => failures.push(HostFailure::of(host, &error, context.directory.clock())),
        }
    }
    shorten(&mut failures);
    (answers, failures)
}

/// Leaves each of very many failures with few words, so that all of them and a page have room in one answer.
fn shorten(failures: &mut [HostFailure]) {
    if failures.iter().map(length).sum::<usize>() <= FAILURES {
        return;
    }
    let count = failures.len();
    for failure in failures {
        (failure.hint, failure.last_seen, failure.next_try) = (None, None, None);
        let frame = length(&HostFailure { message: String::new(), ..failure.clone() });
        let room = (FAILURES / count).saturating_sub(frame).max(LEAST_WORDS);
        failure.message.truncate(cut(&failure.message, room).0.len());
    }
}

/// The failures of every host of a call, as the call's own.
pub(super) fn all_failed(first: &HostFailure, rest: &[HostFailure]) -> ToolError {
    let mut error = ToolError::from(first.clone());
    for failure in rest {
        error.message.push('\n');
        error.message.push_str(&failure.message);
    }
    error
}

/// Runs `call` on one host, as an operation.
pub(super) async fn on_host<T, F>(
    patience: Patience,
    context: &ToolContext,
    host: &HostHandle,
    call: impl Fn(Operation) -> F,
) -> Result<T, ToolError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, HostError>> + Send + 'static,
{
    let outcome = host.read(context.tool, patience.limit(1), call).await;
    outcome.map_err(|error| HostFailure::of(host, &error, context.directory.clock()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::error::ErrorKind;

    fn failure(number: usize) -> HostFailure {
        let host = format!("host-{number}");
        let message = format!("{host} is down for 3 h: {}", "the network is unreachable, ".repeat(10));
        let time = Some("2026-01-01T00:00:00Z".to_owned());
        HostFailure {
            since: time.clone(),
            last_seen: time.clone(),
            next_try: time,
            ..HostFailure::plain(
                &host,
                ToolError::new(ErrorKind::HostUnreachable, message).with_hint("Look."),
            )
        }
    }

    #[test]
    fn many_failures_are_all_told_in_fewer_words() {
        let mut few: Vec<HostFailure> = (0..5).map(failure).collect();
        shorten(&mut few);
        assert_eq!(few, (0..5).map(failure).collect::<Vec<_>>(), "there is room for them");
        let mut many: Vec<HostFailure> = (0..50).map(failure).collect();
        shorten(&mut many);
        assert!(many.iter().map(length).sum::<usize>() <= FAILURES);
        for (number, failure) in many.iter().enumerate() {
            assert!(
                failure.message.starts_with(&format!("host-{number} is down for 3 h: the")),
                "{failure:?}"
            );
            assert!(failure.since.is_some() && failure.hint.is_none());
        }
    }
}
