//! The audit of calls that would change something: what is about to be done is on it before it is done, so that
//! no change goes without.

use super::consent::with_mark;
use super::error::{ErrorKind, ToolError};
use super::shape::told;
use super::tool::{ToolContext, ToolOutput};
use crate::journal::JournalError;
use crate::journal::record::{AuditEntry, Entry, Verdict};
use serde_json::Value;

/// A call as the audit has it: where, and its arguments without secrets.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) host: Option<String>,
    pub(super) arguments: Value,
}

/// Makes a call of a tool that begins no job: asked before it, and what became of it after.
pub(super) async fn around<F>(
    context: &ToolContext,
    called: &Called,
    call: F,
) -> Result<ToolOutput, ToolError>
where
    F: Future<Output = Result<ToolOutput, ToolError>>,
{
    write(context, called, Verdict::Asked, None).await?;
    match call.await {
        Ok(output @ (ToolOutput::Planned(_) | ToolOutput::Asks(_))) => {
            planned(context, called, &output).await;
            Ok(output)
        }
        Ok(output) => {
            made(context, called, Verdict::Accepted).await;
            Ok(output)
        }
        Err(error) => Err(refused(context, called, error).await),
    }
}

/// What is done already. One that cannot be written now is in the log; that it was asked for is on the audit.
pub(super) async fn made(context: &ToolContext, called: &Called, verdict: Verdict) {
    let words = context.agreed.get().cloned();
    if let Err(error) = write(context, called, verdict, words).await {
        tracing::warn!(%error, tool = context.tool, "what became of a call is not on the audit");
    }
}

/// What was not done yet: its plan was told, or a person is asked.
pub(super) async fn planned(context: &ToolContext, called: &Called, output: &ToolOutput) {
    let words = match output {
        ToolOutput::Asks(asking) => with_mark("a person is asked", &asking.token),
        ToolOutput::Planned(plan) => match plan.get("confirm").and_then(Value::as_str) {
            Some(token) => with_mark("it was told what it would do", token),
            None => "it was told what it would do".to_owned(),
        },
        ToolOutput::Structured(_) | ToolOutput::Text(_) => return,
    };
    let _ = write(context, called, Verdict::Planned, Some(words)).await;
}

/// What a person did not agree to, with the plan that they were asked about.
pub(super) async fn unagreed(
    context: &ToolContext,
    called: &Called,
    token: &str,
    error: ToolError,
) -> ToolError {
    let words = with_mark(&told(&error.message), token);
    let _ = write(context, called, Verdict::Refused, Some(words)).await;
    ToolError { is_on_audit: true, ..error }
}

/// What was not done, once.
pub(super) async fn refused(context: &ToolContext, called: &Called, error: ToolError) -> ToolError {
    // What failed because the audit cannot be written is in the log.
    if error.is_on_audit || error.kind == ErrorKind::JournalUnavailable {
        return error;
    }
    let _ = write(context, called, Verdict::Refused, Some(told(&error.message))).await;
    ToolError { is_on_audit: true, ..error }
}

/// Puts an entry about a call on the audit.
pub(super) async fn write(
    context: &ToolContext,
    called: &Called,
    verdict: Verdict,
    words: Option<String>,
) -> Result<(), JournalError> {
    let (asker, tool) = (context.asker.clone(), context.tool.to_owned());
    let Called { host, arguments } = called.clone();
    let entry = AuditEntry { asker, tool, host, arguments, verdict, words, operation: None };
    let journal = context.directory.changes().journal();
    journal.write("audit", vec![Entry::Audit(Box::new(entry))]).await.map(drop)
}
