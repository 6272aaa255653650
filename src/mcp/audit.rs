//! The audit of calls that would change something: what is about to be done is on it before it is done, so that
//! no change goes without.

use super::error::{ErrorKind, ToolError};
use super::tool::{ToolContext, ToolOutput};
use crate::domain::redact;
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
            let words = Some("it waits for a person's agreement".to_owned());
            let _ = write(context, called, Verdict::Refused, words).await;
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
    if let Err(error) = write(context, called, verdict, None).await {
        tracing::warn!(%error, tool = context.tool, "what became of a call is not on the audit");
    }
}

/// What was not done, once.
pub(super) async fn refused(context: &ToolContext, called: &Called, error: ToolError) -> ToolError {
    // What failed because the audit cannot be written is in the log.
    if error.is_on_audit || error.kind == ErrorKind::JournalUnavailable {
        return error;
    }
    let _ = write(context, called, Verdict::Refused, Some(redact::text(&error.message))).await;
    ToolError { is_on_audit: true, ..error }
}

async fn write(
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
