//! The agreement of a person: what is asked, how the answer comes, and how an agreement is bound to what it was
//! given for.
//!
//! What has to be agreed to is told with a token: a random word, sealed together with who asks for what and with the
//! identities of what it would be done to. A person's answer, or the repetition of the call, brings it back. It opens
//! only for the same, for ten minutes, and the journal takes the word in it once.

use super::error::{ErrorKind, ToolError};
use crate::domain::change::Asks;
use crate::domain::policy::ConfirmFallback;
use crate::journal::record::Agreement;
use rand::RngCore as _;
use rmcp::model::{RequestStateCodec, RequestStateError, SealOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an agreement holds.
const LIFE: Duration = Duration::from_secs(600);

/// Bytes of the word in a token.
const WORD_BYTES: usize = 16;

/// Bytes of a token's fingerprint, by which the audit tells plans apart.
const MARK_BYTES: usize = 6;

/// What the person behind a call has said to it.
#[derive(Debug, Clone, Default)]
pub enum Consent {
    /// Nothing, and the client cannot ask.
    #[default]
    Unaskable,
    /// Nothing yet; the client can ask.
    Askable,
    /// This.
    Answered(Response),
}

impl Consent {
    /// What a person did not agree to: the token of the question, and the refusal.
    pub(super) fn refusal(&self) -> Option<(&str, ToolError)> {
        match self {
            Self::Answered(Response { token, said: Said::No(why) }) => Some((token, unagreed(why))),
            _ => None,
        }
    }
}

fn unagreed(why: &str) -> ToolError {
    ToolError::new(ErrorKind::ConfirmationRequired, format!("{why}; nothing was changed"))
        .with_hint("Do not ask again unless the person wants it.")
}

/// A person's response to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The token that came with the question.
    pub token: String,
    /// What it is.
    pub said: Said,
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Yes,
    /// This name, typed.
    Name(String),
    /// Nothing that agrees: what, in words such as "the person said no".
    No(String),
}

impl Said {
    /// A plain no.
    pub fn no() -> Self {
        Self::No("the person said no".to_owned())
    }
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// In words, with what it would be done to.
    pub text: String,
    /// What counts as agreement.
    pub wants: Wants,
}

/// What counts as agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wants {
    /// A yes.
    Yes,
    /// This name, typed: what goes is lost for good.
    Name(String),
}

/// A question with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    /// For the person.
    pub question: Question,
    /// For the reply.
    pub token: String,
    /// The tool's own answer: what would be done.
    pub plan: Value,
}

/// What has to be done about a call before it is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Make it, by this agreement if there is one.
    Make(Option<Agreement>),
    /// Ask the person first.
    Ask,
    /// Tell the plan; the call is repeated with its token.
    Plan,
}

/// What people agree to; clones share the key that it is sealed with.
#[derive(Clone)]
pub(super) struct Agreements {
    codec: Arc<RequestStateCodec>,
    life: Duration,
    fallback: ConfirmFallback,
    /// The words of agreements that no journal has, while they could come again.
    spent: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Agreements {
    /// With a key of this process's own: an agreement does not outlive it.
    pub(super) fn new(fallback: ConfirmFallback) -> Self {
        let mut key = [0; RequestStateCodec::MIN_KEY_LENGTH];
        rand::rng().fill_bytes(&mut key);
        let codec = Arc::new(RequestStateCodec::new_unchecked(key));
        Self { codec, life: LIFE, fallback, spent: Arc::default() }
    }

    /// A token for an agreement to `deal`.
    pub(super) fn seal(&self, deal: &str) -> String {
        let mut bytes = [0; WORD_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let word = hex(&bytes);
        let options = SealOptions::new().associated_data(deal.as_bytes()).ttl(self.life);
        self.codec.seal_with(word.as_bytes(), &options)
    }

    /// The word in a token, if it was given for `deal`.
    fn open(&self, token: &str, deal: &str) -> Result<String, ToolError> {
        let opened = self.codec.open_with(token, deal.as_bytes());
        let word = opened.map_err(|error| {
            let why = match error {
                RequestStateError::Expired => "it is older than ten minutes",
                RequestStateError::IntegrityCheckFailed => {
                    "it is for another call, or what it would be done to is not the same any more, or Dockmaster was restarted"
                }
                _ => "it is no confirmation that Dockmaster gave",
            };
            ToolError::new(ErrorKind::ConfirmationRequired, format!("confirm: {why}; nothing was changed"))
                .with_hint("Call with dry_run to see what would be done now.")
        })?;
        Ok(String::from_utf8_lossy(&word).into_owned())
    }

    /// As [`Self::next`], for what is not on record as a job: an agreement that was used is remembered here.
    pub(super) fn once(
        &self,
        wants: &Wants,
        consent: &Consent,
        confirm: Option<&str>,
        deal: &str,
    ) -> Result<Next, ToolError> {
        let (asks, name) = match wants {
            Wants::Yes => (Asks::Agreement, ""),
            Wants::Name(name) => (Asks::Name, &**name),
        };
        let next = self.next(asks, consent, confirm, deal, name)?;
        if let Next::Make(Some(Agreement { word: Some(word), .. })) = &next {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.retain(|_, at| at.elapsed() < self.life);
            if spent.insert(word.clone(), Instant::now()).is_some() {
                let message = "what was agreed to has been done already; nothing more was changed";
                return Err(ToolError::new(ErrorKind::ConfirmationRequired, message));
            }
        }
        Ok(next)
    }

    /// What is next for a call that asks for so much: `confirm` is what it brought, `name` what would have to be
    /// typed.
    pub(super) fn next(
        &self,
        asks: Asks,
        consent: &Consent,
        confirm: Option<&str>,
        deal: &str,
        name: &str,
    ) -> Result<Next, ToolError> {
        if asks == Asks::Nothing {
            return Ok(Next::Make(None));
        }
        let agreed = |word: Option<String>, words: String| Ok(Next::Make(Some(Agreement { word, words })));
        match (consent, confirm) {
            (Consent::Answered(Response { token, said }), _) => {
                let word = self.open(token, deal)?;
                let words = match (asks, said) {
                    (Asks::Agreement, Said::Yes) => "a person said yes",
                    (Asks::Name, Said::Name(typed)) if typed.trim() == name => "a person typed the name",
                    (_, Said::No(why)) => return Err(unagreed(why)),
                    (Asks::Name, _) => {
                        let message = "the name that was typed is not the one of what would be lost; nothing was changed";
                        return Err(ToolError::new(ErrorKind::ConfirmationRequired, message));
                    }
                    (_, Said::Name(_)) | (Asks::Nothing, _) => {
                        return Err(unagreed("the person did not agree"));
                    }
                };
                agreed(Some(word), with_mark(words, token))
            }
            // A model may repeat what it was told. Who can be asked is.
            (Consent::Askable, _) => Ok(Next::Ask),
            (Consent::Unaskable, _) if self.fallback == ConfirmFallback::Allow => {
                agreed(None, "nobody was asked: confirm_fallback is allow".to_owned())
            }
            (Consent::Unaskable, _) if self.fallback == ConfirmFallback::Deny => {
                let message =
                    "a person has to agree to this, and this client cannot ask one; nothing was changed";
                Err(ToolError::new(ErrorKind::ConfirmationRequired, message).with_hint(
                    "A person can call it: dockmaster tool call; or set server.confirm_fallback to plan.",
                ))
            }
            (Consent::Unaskable, Some(token)) => {
                let word = self.open(token, deal)?;
                agreed(Some(word), with_mark("the call brought its plan's confirm", token))
            }
            (Consent::Unaskable, None) => Ok(Next::Plan),
        }
    }
}

/// Words for the audit, with the plan that they are about.
pub(super) fn with_mark(words: &str, token: &str) -> String {
    let digest = Sha256::digest(token);
    format!("{words} (plan {})", hex(&digest[..MARK_BYTES]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// A yes, or this name.
    fn given(token: &str, name: Option<&str>) -> Consent {
        let said = name.map_or(Said::Yes, |name| Said::Name(name.to_owned()));
        Consent::Answered(Response { token: token.to_owned(), said })
    }

    #[test]
    fn who_can_be_asked_is_asked_and_who_cannot_gets_what_the_owner_chose() {
        use Asks::{Agreement, Name, Nothing};
        use ConfirmFallback::{Allow, Deny, Plan};
        for (asks, fallback, askable, with_token, expected) in [
            (Nothing, Plan, true, false, "make"),
            (Nothing, Deny, false, false, "make"),
            (Agreement, Plan, true, false, "ask"),
            (Agreement, Plan, true, true, "ask"),
            (Agreement, Allow, true, true, "ask"),
            (Agreement, Deny, true, false, "ask"),
            (Agreement, Plan, false, false, "plan"),
            (Agreement, Plan, false, true, "make"),
            (Agreement, Allow, false, false, "make"),
            (Agreement, Deny, false, false, "refuse"),
            (Agreement, Deny, false, true, "refuse"),
            (Name, Plan, true, true, "ask"),
            (Name, Plan, false, false, "plan"),
            (Name, Plan, false, true, "make"),
            (Name, Allow, false, false, "make"),
            (Name, Deny, false, true, "refuse"),
        ] {
            let agreements = Agreements::new(fallback);
            let consent = if askable { Consent::Askable } else { Consent::Unaskable };
            let token = with_token.then(|| agreements.seal("deal"));
            let next = agreements.next(asks, &consent, token.as_deref(), "deal", "web");
            let found = match next {
                Ok(Next::Make(_)) => "make",
                Ok(Next::Ask) => "ask",
                Ok(Next::Plan) => "plan",
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::ConfirmationRequired);
                    "refuse"
                }
            };
            assert_eq!(found, expected, "{asks:?} {fallback:?} {askable} {with_token}");
        }
    }

    #[test]
    fn what_is_no_job_is_agreed_to_once_too() {
        let agreements = Agreements::new(ConfirmFallback::Plan);
        let given = given(&agreements.seal("forget nas"), None);
        let once = || agreements.once(&Wants::Yes, &given, None, "forget nas");
        assert!(matches!(once(), Ok(Next::Make(Some(_)))));
        assert!(once().unwrap_err().message.contains("done already"));
    }

    #[test]
    fn an_agreement_has_its_time() {
        let agreements =
            Agreements { life: Duration::from_millis(1), ..Agreements::new(ConfirmFallback::Plan) };
        let token = agreements.seal("deal");
        let sealed = SystemTime::now();
        while sealed.elapsed().is_ok_and(|age| age < Duration::from_millis(3)) {
            std::hint::spin_loop();
        }
        for (consent, confirm) in [(given(&token, None), None), (Consent::Unaskable, Some(&*token))] {
            let late = agreements.next(Asks::Agreement, &consent, confirm, "deal", "web").unwrap_err();
            assert_eq!(late.kind, ErrorKind::ConfirmationRequired);
            assert!(late.message.contains("older than ten minutes"), "{}", late.message);
        }
    }

    #[test]
    fn an_agreement_is_for_one_deal_and_one_name() {
        let agreements = Agreements::new(ConfirmFallback::Plan);
        let token = agreements.seal("remove web 1");
        let next = |asks, consent: &Consent, deal| agreements.next(asks, consent, None, deal, "web");
        let agreed = |asks, consent: &Consent| match next(asks, consent, "remove web 1") {
            Ok(Next::Make(Some(agreement))) => agreement,
            other => panic!("it was agreed to: {other:?}"),
        };
        let (yes, typed) = (
            agreed(Asks::Agreement, &given(&token, None)),
            agreed(Asks::Name, &given(&token, Some(" web "))),
        );
        assert!(yes.word.is_some());
        assert_eq!(yes.word, typed.word);
        assert_eq!(yes.words, with_mark("a person said yes", &token));
        assert_eq!(typed.words, with_mark("a person typed the name", &token));
        for name in [None, Some(""), Some("we"), Some("Web")] {
            assert!(next(Asks::Name, &given(&token, name), "remove web 1").is_err(), "{name:?}");
        }
        assert!(next(Asks::Agreement, &given(&token, None), "remove web 2").is_err(), "another container");
        for foreign in ["", "yes", "rs1.AA.AA", &Agreements::new(ConfirmFallback::Plan).seal("remove web 1")]
        {
            assert!(next(Asks::Agreement, &given(foreign, None), "remove web 1").is_err(), "{foreign}");
        }
        for (asks, said) in [
            (Asks::Agreement, Said::no()),
            (Asks::Name, Said::no()),
            (Asks::Agreement, Said::Name("web".to_owned())),
        ] {
            let answered = Consent::Answered(Response { token: token.clone(), said });
            assert!(next(asks, &answered, "remove web 1").is_err(), "{answered:?}");
        }
        let other = agreements.seal("remove web 1");
        let other = agreed(Asks::Agreement, &given(&other, None));
        assert_ne!((&other.word, &other.words), (&yes.word, &yes.words));
        let allows = Agreements::new(ConfirmFallback::Allow);
        let unasked = allows.next(Asks::Agreement, &Consent::Unaskable, None, "remove web 1", "web");
        let words = "nobody was asked: confirm_fallback is allow".to_owned();
        assert_eq!(unasked, Ok(Next::Make(Some(Agreement { word: None, words }))));
    }
}
