//! Idempotency keys of the tools that begin no job: what they change is a file of the owner's, and the same call
//! with the same key within a day has the same answer. Jobs have their keys in the journal's own hands.

use super::audit::{self, Called};
use super::error::{ErrorKind, ToolError};
use super::job::Terms;
use super::tool::{Object, ToolContext, ToolOutput};
use crate::journal::Recalled;
use crate::journal::record::{AnswerRecord, Entry, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The parameter.
const KEY: &str = "idempotency_key";

/// A key is a word of the client's own, not a document.
const LONGEST: usize = 200;

/// Declares the key in a tool's parameters, unless the tool declares it itself.
pub(super) fn declare(input: &mut Object) {
    if let Some(Value::Object(properties)) = input.get_mut("properties") {
        let about = "A word of yours: the same call with it within a day has the same answer.";
        properties.entry(KEY).or_insert_with(|| json!({"type": "string", "description": about}));
    }
}

/// Whether a key can be one.
pub(super) fn check(key: Option<&str>) -> Result<(), ToolError> {
    let wrong = |words: &str| Err(ToolError::new(ErrorKind::InvalidArguments, format!("{KEY}: {words}")));
    match key {
        Some("") => wrong("an empty one tells no calls apart; leave it out"),
        Some(key) if key.len() > LONGEST => wrong(&format!("at most {LONGEST} bytes")),
        _ => Ok(()),
    }
}

/// Whose key, of which tool, which.
type Name = (String, String, String);

/// The keys of calls that are being made; clones share them.
#[derive(Clone, Default)]
pub(super) struct Keys(Arc<Mutex<BTreeMap<Name, Weak<tokio::sync::Mutex<()>>>>>);

impl Keys {
    /// Makes the call with its arguments, unless it was made before with the key that stands among them. Calls with
    /// one key are made one after the other.
    pub(super) async fn once<F>(
        &self,
        context: &ToolContext,
        called: &Called,
        mut arguments: Object,
        call: impl FnOnce(Object) -> F,
    ) -> Result<ToolOutput, ToolError>
    where
        F: Future<Output = Result<ToolOutput, ToolError>>,
    {
        let key = match arguments.remove(KEY) {
            None => return call(arguments).await,
            Some(Value::String(key)) => key,
            Some(_) => return Err(ToolError::new(ErrorKind::InvalidArguments, format!("{KEY}: a text"))),
        };
        check(Some(&key))?;
        let (principal, tool) = (context.asker.principal.clone(), context.tool.to_owned());
        let turn = self.turn((principal.clone(), tool.clone(), key.clone()));
        let _alone = turn.lock().await;
        let journal = context.directory.changes().journal().clone();
        let mut told = arguments.clone();
        Terms::drop_confirm(&mut told);
        let told = Value::Object(told).to_string();
        let mut record = AnswerRecord { principal, tool, key, arguments: told, answer: Value::Null };
        match journal.reader().await?.answer(&record, context.directory.clock().now()).await? {
            Some(Recalled::Same(answer)) => {
                audit::made(context, called, Verdict::Joined).await;
                return Ok(match answer {
                    Value::String(text) => ToolOutput::Text(text),
                    answer => ToolOutput::Structured(answer),
                });
            }
            Some(Recalled::Other) => {
                let words = format!("the {KEY} belongs to a call with other arguments; nothing was changed");
                return Err(ToolError::new(ErrorKind::Conflict, words)
                    .with_hint("Take another key for another wish."));
            }
            None => {}
        }
        let output = call(arguments).await?;
        let answer = match &output {
            ToolOutput::Structured(answer) => Some(answer.clone()),
            ToolOutput::Text(text) => Some(text.clone().into()),
            ToolOutput::Planned(_) | ToolOutput::Asks(_) => None,
        };
        if let Some(answer) = answer {
            record.answer = answer;
            // It was made: an answer that cannot be remembered is one all the same.
            if let Err(error) = journal.write("answer", vec![Entry::Answer(Box::new(record))]).await {
                tracing::warn!(%error, tool = context.tool, "the answer is not remembered by its key");
            }
        }
        Ok(output)
    }

    fn turn(&self, name: Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(&name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            turns.insert(name, Arc::downgrade(&turn));
            turn
        })
    }
}
