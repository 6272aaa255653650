//! Idempotency keys of the tools that begin no job: a call with a key is on record before it is made, and the same
//! call with it within a day is not made again. It has the same answer, as far as that is kept: of texts, which may be
//! anybody's secrets, the journal has no more than how they ended, and this process the last few. Jobs have their keys
//! in the journal's own hands.

use super::audit::{self, Called};
use super::error::{ErrorKind, ToolError};
use super::job::Terms;
use super::shape::rfc3339;
use super::tool::{Object, ToolContext, ToolOutput};
use crate::journal::record::{Entry, KeptAnswer, KeyedCall, Verdict};
use crate::journal::{JournalError, Recalled};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The parameter.
const KEY: &str = "idempotency_key";

/// A key is a word of the client's own, not a document.
const LONGEST: usize = 200;

/// So many answers are told again whole, of so many bytes at most.
const MOST_TEXTS: usize = 64;
const LONGEST_TEXT: usize = 64 * 1024;

/// What somebody does whose call is not made again.
const LOOK: &str = "Look what it did; if it is still wanted, call with another key.";

/// Declares the key in a tool's parameters, unless the tool declares it itself.
pub(super) fn declare(input: &mut Object) {
    if let Some(Value::Object(properties)) = input.get_mut("properties") {
        let about = "A word of yours: the same call with it within a day is made once.";
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

/// The keys of calls that are being made, and the last answers that were texts; clones share them.
#[derive(Clone, Default)]
pub(super) struct Keys {
    turns: Arc<Mutex<BTreeMap<Name, Weak<tokio::sync::Mutex<()>>>>>,
    texts: Arc<Mutex<VecDeque<(Name, String)>>>,
}

/// What becomes of a key when its call has come to an end.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The call was made, and this is kept of its answer.
    Answered(KeptAnswer),
    /// It was begun, and what became of it is not known.
    Unknown,
    /// It was not made.
    Free,
}

impl Outcome {
    fn of(told: &Result<ToolOutput, ToolError>) -> Self {
        match told {
            Ok(ToolOutput::Structured(answer)) => Self::Answered(KeptAnswer::Whole(answer.clone())),
            Ok(ToolOutput::Text(text)) => Self::Answered(KeptAnswer::Ending(ending(text))),
            Err(error) if error.may_be_made() => Self::Unknown,
            Ok(ToolOutput::Planned(_) | ToolOutput::Asks(_)) | Err(_) => Self::Free,
        }
    }
}

/// The line below a text, which is the tool's own.
fn ending(text: &str) -> Option<String> {
    let (_, ending) = text.trim_end().rsplit_once("--\n")?;
    (!ending.contains('\n')).then(|| ending.to_owned())
}

impl Keys {
    /// Makes the call with its arguments, unless it was begun before with the key that stands among them. Calls with
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
        let name: Name = (principal.clone(), tool.clone(), key.clone());
        let turn = self.turn(name.clone());
        let _alone = turn.lock().await;
        let mut told = arguments.clone();
        Terms::drop_confirm(&mut told);
        let keyed = KeyedCall { principal, tool, key, arguments: Value::Object(told).to_string() };
        let keyed = Box::new(keyed);
        let reader = context.directory.changes().journal().reader().await?;
        if let Some(recalled) = reader.recall(&keyed, context.directory.clock().now()).await? {
            let again = self.again(&name, recalled)?;
            audit::made(context, called, Verdict::Joined).await;
            return Ok(again);
        }
        self.forget(&name);
        write(context, "key", Entry::Call(keyed.clone())).await?;
        let told = call(arguments).await;
        if let Ok(ToolOutput::Text(text)) = &told {
            self.remember(name, text);
        }
        let entry = match Outcome::of(&told) {
            Outcome::Answered(answer) => Entry::Answer(keyed, answer),
            Outcome::Free => Entry::Free(keyed),
            // So it is on record.
            Outcome::Unknown => {
                let hinted = |error: ToolError| ToolError { hint: Some(LOOK.to_owned()), ..error };
                return told.map_err(hinted);
            }
        };
        // What was told is told all the same: without it the call counts as one that nobody knows the end of.
        if let Err(error) = write(context, "answer", entry).await {
            tracing::warn!(%error, tool = context.tool, "what became of a call is not remembered by its key");
        }
        told
    }

    /// What the same call is told again.
    fn again(&self, name: &Name, recalled: Recalled) -> Result<ToolOutput, ToolError> {
        let text = self.text(name).map(ToolOutput::Text);
        match recalled {
            Recalled::Other => {
                let words = format!("the {KEY} belongs to a call with other arguments; nothing was changed");
                Err(ToolError::new(ErrorKind::Conflict, words).with_hint("Take another key for another wish."))
            }
            Recalled::Answered(_, KeptAnswer::Whole(answer)) => Ok(ToolOutput::Structured(answer)),
            Recalled::Answered(at, KeptAnswer::Ending(ending)) => {
                Ok(text.unwrap_or_else(|| ToolOutput::Text(gone(at, ending))))
            }
            Recalled::Begun(at) => text.ok_or_else(|| {
                let words = format!(
                    "the call with this {KEY} was begun at {} and cut off or cancelled; nothing was done again",
                    rfc3339(at)
                );
                ToolError::new(ErrorKind::OutcomeUnknown, words).with_hint(LOOK)
            }),
        }
    }

    fn text(&self, name: &Name) -> Option<String> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone())
    }

    fn forget(&self, name: &Name) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != name);
    }

    fn remember(&self, name: Name, text: &str) {
        if text.len() > LONGEST_TEXT {
            return;
        }
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= MOST_TEXTS {
            texts.pop_front();
        }
        texts.push_back((name, text.to_owned()));
    }

    fn turn(&self, name: Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(&name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            turns.insert(name, Arc::downgrade(&turn));
            turn
        })
    }
}

/// What is told of a text that is told no more.
fn gone(at: Timestamp, ending: Option<String>) -> String {
    let ending = ending.map(|ending| format!("--\n{ending}\n")).unwrap_or_default();
    format!(
        "The call with this {KEY} was made and answered at {}, and was not made again. Its text was told once and is not kept.\n{ending}",
        rfc3339(at)
    )
}

async fn write(context: &ToolContext, point: &str, entry: Entry) -> Result<(), JournalError> {
    context.directory.changes().journal().write(point, vec![entry]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        ("owner".to_owned(), "container_exec".to_owned(), format!("k{number}"))
    }

    #[test]
    fn what_may_have_been_made_keeps_its_key_and_what_was_not_frees_it() {
        use ErrorKind::*;
        let failed = |kind| Outcome::of(&Err(ToolError::new(kind, "why")));
        for kind in [OutcomeUnknown, Cancelled, Internal] {
            assert_eq!(failed(kind), Outcome::Unknown, "{kind:?}");
        }
        for kind in [
            InvalidArguments,
            HostUnknown,
            HostDisabled,
            HostUnreachable,
            AuthFailed,
            HostKey,
            PolicyDenied,
            ConfirmationRequired,
            NotFound,
            Ambiguous,
            Conflict,
            Overloaded,
            JournalUnavailable,
            Timeout,
            DockerError,
        ] {
            assert_eq!(failed(kind), Outcome::Free, "{kind:?}");
        }
        let half = ToolError::new(Conflict, "half of it").made();
        assert_eq!(Outcome::of(&Err(half)), Outcome::Unknown);
        assert_eq!(Outcome::of(&Ok(ToolOutput::Planned(json!({})))), Outcome::Free);
        let whole = Outcome::of(&Ok(ToolOutput::Structured(json!({"bytes": 1}))));
        assert_eq!(whole, Outcome::Answered(KeptAnswer::Whole(json!({"bytes": 1}))));
    }

    #[test]
    fn of_a_text_its_last_line_is_kept() {
        let kept = |text: &str| Outcome::of(&Ok(ToolOutput::Text(text.to_owned())));
        let ending = |words: &str| Outcome::Answered(KeptAnswer::Ending(Some(words.to_owned())));
        assert_eq!(kept("Output\nhunter2\n--\nexit code: 0\n"), ending("exit code: 0"));
        assert_eq!(kept("Output\n--\nhunter2\n--\nexit code: 1\n"), ending("exit code: 1"));
        for odd in ["hunter2\n", "--\nhunter2\nhunter3\n"] {
            assert_eq!(kept(odd), Outcome::Answered(KeptAnswer::Ending(None)), "{odd}");
        }
    }

    #[test]
    fn the_last_texts_are_told_again_and_of_others_how_they_ended() {
        let keys = Keys::default();
        let again = |number| {
            let ending = KeptAnswer::Ending(Some("exit code: 0".to_owned()));
            let told = keys.again(&name(number), Recalled::Answered(Timestamp::UNIX_EPOCH, ending));
            let Ok(ToolOutput::Text(text)) = told else { panic!("{told:?}") };
            text
        };
        for number in 0..=MOST_TEXTS {
            keys.remember(name(number), &format!("text {number}"));
        }
        assert_eq!((again(1), again(MOST_TEXTS)), ("text 1".to_owned(), format!("text {MOST_TEXTS}")));
        let gone = again(0);
        assert!(gone.contains("not kept") && gone.ends_with("--\nexit code: 0\n"), "{gone}");
        keys.remember(name(0), &"x".repeat(LONGEST_TEXT + 1));
        assert!(again(0).contains("not kept"));
        keys.forget(&name(1));
        assert!(again(1).contains("not kept"));
        let unknown = keys.again(&name(1), Recalled::Begun(Timestamp::UNIX_EPOCH)).unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::OutcomeUnknown);
    }
}
