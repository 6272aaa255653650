//! A command inside a container, as a part of an operation: run to its end, or ended when nobody waits for it any
//! more. An engine ends no such command, so it is found by the operation's mark in its environment: from inside the
//! container where that has a shell, else from the host where the login may see it.

use super::host::HostError;
use super::operation::Operation;
use crate::domain::output::Output;
use crate::engine::EngineError;
use crate::engine::exec::{ExecSpec, ExecState};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Ends what bears the mark `$1` in its environment: asked first, then made to. Reads what it may read, which is
/// the same user's. The small tools of small images read no lines with null characters in them.
const END_SCRIPT: &str = "command -v tr >/dev/null && command -v grep >/dev/null || exit 2; n=0; while :; do p=; \
    for f in /proc/[0-9]*/environ; do if { tr '\\0' '\\n' <\"$f\"; } 2>/dev/null | grep -qxF -- \"$1\"; then \
    f=${f#/proc/}; p=\"$p ${f%/environ}\"; fi; done; [ -z \"$p\" ] && exit 0; n=$((n+1)); [ $n -gt 5 ] && exit 1; \
    if [ $n -gt 2 ]; then kill -KILL $p; else kill -TERM $p; fi 2>/dev/null; sleep 1; done";

/// Six rounds of a second, and what a loaded host takes for them.
const END_LIMIT: Duration = Duration::from_secs(12);

/// How often it is looked whether a command that prints no more has ended.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long ending a command may take in all, by both ways and with the looks between.
pub const ENDING: Duration = Duration::from_secs(45);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecEnd {
    /// By itself.
    Exited(Option<i64>),
    /// Its time ran out.
    TimedOut {
        /// Whether it is known to have ended.
        ended: bool,
    },
    /// Nobody waits for it any more.
    Left {
        /// Whether it is known to have ended.
        ended: bool,
    },
}

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    /// What it printed.
    pub output: Output,
    /// How it ended.
    pub end: ExecEnd,
}

/// Runs a command in a container; it gets `limit`, and less when `gone` says that nobody waits any more.
pub async fn run(
    operation: Operation,
    container: String,
    spec: ExecSpec,
    limit: Duration,
    gone: CancellationToken,
) -> Result<Ran, HostError> {
    let engine = operation.engine();
    let user = spec.user.clone();
    let mark = operation.expect_processes().await;
    let env = spec.env.iter().cloned().chain([mark.clone()]).collect();
    let prepared = engine.prepare_exec(&container, ExecSpec { env, ..spec }).await;
    let exec = prepared.inspect_err(|_| operation.processes_ended())?;
    let until = Instant::now() + limit;
    let mut printed = match timeout_at(until, engine.start_exec(&exec)).await {
        Ok(Ok(printed)) => printed,
        // The engine looked at it and did not start it.
        Ok(Err(error @ (EngineError::NotFound(_) | EngineError::Refused { .. }))) => {
            operation.processes_ended();
            return Err(error.into());
        }
        Ok(Err(_)) => return Err(unknown(&operation, "the line broke")),
        Err(_) => return Err(unknown(&operation, "its time ran out before the engine answered")),
    };
    let mut output = Output::default();
    let stopped = loop {
        tokio::select! {
            biased;
            () = gone.cancelled() => break Some(true),
            () = operation.cancelled() => break Some(true),
            piece = timeout_at(until, printed.next()) => match piece {
                Ok(Some(Ok((stream, bytes)))) => output.push(stream, &bytes),
                Ok(Some(Err(_))) => return Err(unknown(&operation, "the line broke")),
                Ok(None) => break None,
                Err(_) => break Some(false),
            },
        }
    };
    let stopped = match stopped {
        None => match ended_by_itself(&operation, &exec, until, &gone).await? {
            Ok(state) => {
                operation.processes_ended();
                return Ok(Ran { output, end: ExecEnd::Exited(state.exit_code) });
            }
            Err(was_left) => was_left,
        },
        Some(was_left) => was_left,
    };
    drop(printed);
    let ended = end(&operation, &container, &exec, user, mark).await;
    let end = if stopped { ExecEnd::Left { ended } } else { ExecEnd::TimedOut { ended } };
    Ok(Ran { output, end })
}

fn unknown(operation: &Operation, why: &'static str) -> HostError {
    HostError::OutcomeUnknown { operation: operation.context().id, why }
}

/// Waits for the end of a command that prints no more; it may have closed its output and go on. Else tells whether
/// nobody waits any more.
async fn ended_by_itself(
    operation: &Operation,
    exec: &str,
    until: Instant,
    gone: &CancellationToken,
) -> Result<Result<ExecState, bool>, HostError> {
    loop {
        let state = operation.engine().exec_state(exec).await;
        let state = state.map_err(|_| unknown(operation, "the line broke"))?;
        if state.has_ended() {
            return Ok(Ok(state));
        }
        if Instant::now() >= until {
            return Ok(Err(false));
        }
        tokio::select! {
            () = gone.cancelled() => return Ok(Err(true)),
            () = operation.cancelled() => return Ok(Err(true)),
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Ends a command with what it started; whether it is known to have ended.
async fn end(operation: &Operation, container: &str, exec: &str, user: Option<String>, mark: String) -> bool {
    let has_run = runs(operation, exec).await;
    let inside = timeout(END_LIMIT, end_from_inside(operation, container, user, mark)).await;
    let mut ended = matches!(inside, Ok(Ok(true))) && has_ended(operation, exec).await;
    if !ended {
        let outside = operation.end_processes().await;
        if let Err(error) = &outside {
            tracing::debug!(%error, "a command in a container cannot be ended from its host");
        }
        // The login sees its own user's processes: what a command left behind may be another's.
        ended = has_run && has_ended(operation, exec).await;
    }
    if ended {
        operation.processes_ended();
    }
    ended
}

/// Whether it runs, as far as is known. An engine says a moment before it starts a command that it does, and what has yet
/// to begin cannot be found.
async fn runs(operation: &Operation, exec: &str) -> bool {
    let until = Instant::now() + END_LIMIT;
    loop {
        match operation.engine().exec_state(exec).await {
            Ok(state) if state.running || state.has_ended() || Instant::now() >= until => {
                return state.running;
            }
            Ok(_) => sleep(LOOK_EVERY).await,
            Err(_) => return true,
        }
    }
}

async fn has_ended(operation: &Operation, exec: &str) -> bool {
    // The engine learns of it a moment later.
    for _ in 0..5 {
        match operation.engine().exec_state(exec).await {
            Ok(state) if state.has_ended() => return true,
            Ok(_) => sleep(LOOK_EVERY).await,
            Err(_) => return false,
        }
    }
    false
}

async fn end_from_inside(
    operation: &Operation,
    container: &str,
    user: Option<String>,
    mark: String,
) -> Result<bool, EngineError> {
    let engine = operation.engine();
    let command = ["/bin/sh", "-c", END_SCRIPT, "sh", &mark].map(ToOwned::to_owned).into();
    let spec = ExecSpec { command, user, ..ExecSpec::default() };
    let exec = engine.prepare_exec(container, spec).await?;
    let mut printed = engine.start_exec(&exec).await?;
    while let Some(piece) = printed.next().await {
        piece?;
    }
    let state = engine.exec_state(&exec).await?;
    Ok(state.has_ended() && state.exit_code == Some(0))
}
