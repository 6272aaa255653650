//! Asking the person behind a client, in either era of the protocol: from 2026-07-28 on a call is answered with the
//! question and made again with the reply; before, the client is asked while the call waits.

use super::consent::{Asking, Assent, Question, Wants};
use super::error::{ErrorKind, ToolError};
use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, InputRequest, InputRequiredResult,
    InputResponses, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::{Peer, RoleServer};
use serde_json::{Value, json};
use std::time::Duration;

/// The question's name among those of a call.
const QUESTION: &str = "consent";

/// The parameters of a reply.
const YES: &str = "yes";
const NAME: &str = "name";

/// A person who has not answered by then is not there; agreements hold no longer either.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a client's person can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By answering the call with the question.
    Rounds,
    /// By a request of ours.
    Request,
}

/// How the client of a call can ask its person, if it can.
pub(super) fn way(context: &RequestContext<RoleServer>) -> Option<Way> {
    let elicitation = context.client_capabilities()?.elicitation?;
    // Naming neither means forms: so it was before there were two.
    if elicitation.form.is_none() && elicitation.url.is_some() {
        return None;
    }
    let version = context.protocol_version()?;
    Some(if version >= ProtocolVersion::V_2026_07_28 { Way::Rounds } else { Way::Request })
}

/// The question as an answer of its call.
pub(super) fn round(asking: &Asking) -> Result<InputRequiredResult, ToolError> {
    let request = InputRequest::Elicitation(ElicitRequest::new(form(&asking.question)?));
    Ok(InputRequiredResult::new(Some([(QUESTION.to_owned(), request)].into()), Some(asking.token.clone())))
}

/// The reply that came back with a call, if it is the second round of one.
pub(super) fn second_round(
    state: Option<String>,
    responses: Option<InputResponses>,
) -> Result<Option<Assent>, ToolError> {
    let (Some(token), Some(mut responses)) = (state, responses) else { return Ok(None) };
    let Some(response) = responses.remove(QUESTION) else { return Ok(None) };
    let result: ElicitResult = serde_json::from_value(response).map_err(|error| {
        ToolError::new(
            ErrorKind::InvalidArguments,
            format!("the reply of the person cannot be read: {error}"),
        )
    })?;
    assent(token, result).map(Some)
}

/// Asks while the call waits.
pub(super) async fn ask(peer: &Peer<RoleServer>, asking: &Asking) -> Result<Assent, ToolError> {
    let asked = peer.create_elicitation_with_timeout(form(&asking.question)?, Some(PATIENCE)).await;
    let result = asked.map_err(|error| {
        let message = format!("the client did not ask its person ({error}); nothing was changed");
        ToolError::new(ErrorKind::ConfirmationRequired, message)
    })?;
    assent(asking.token.clone(), result)
}

fn form(question: &Question) -> Result<ElicitRequestParams, ToolError> {
    let (field, schema) = match &question.wants {
        Wants::Yes => (YES, json!({"type": "boolean", "title": "Do it"})),
        Wants::Name(_) => (NAME, json!({"type": "string", "title": "The name of what is lost"})),
    };
    let schema = json!({"type": "object", "properties": {field: schema}, "required": [field]});
    let requested_schema = serde_json::from_value(schema)
        .map_err(|error| ToolError::new(ErrorKind::Internal, error.to_string()))?;
    let message = question.text.clone();
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema })
}

/// What a person said, as agreement; a no is an error that says so.
fn assent(token: String, result: ElicitResult) -> Result<Assent, ToolError> {
    let refused = |words: &str| {
        Err(ToolError::new(ErrorKind::ConfirmationRequired, format!("{words}; nothing was changed"))
            .with_hint("Do not ask again unless the person wants it."))
    };
    let content = match result.action {
        ElicitationAction::Accept => result.content.unwrap_or_default(),
        ElicitationAction::Decline => return refused("the person said no"),
        _ => return refused("the person did not answer"),
    };
    let name = content.get(NAME).and_then(Value::as_str).map(ToOwned::to_owned);
    match content.get(YES) {
        Some(Value::Bool(true)) => Ok(Assent { token, name }),
        None if name.is_some() => Ok(Assent { token, name }),
        _ => refused("the person did not agree"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replied(reply: Value) -> Result<Option<Assent>, ToolError> {
        second_round(Some("token".to_owned()), Some([(QUESTION.to_owned(), reply)].into()))
    }

    #[test]
    fn only_a_clear_yes_or_a_name_is_agreement() {
        let token = || "token".to_owned();
        let agreed = replied(json!({"action": "accept", "content": {"yes": true}}));
        assert_eq!(agreed, Ok(Some(Assent { token: token(), name: None })));
        let typed = replied(json!({"action": "accept", "content": {"name": "data"}}));
        assert_eq!(typed, Ok(Some(Assent { token: token(), name: Some("data".into()) })));
        for no in [
            json!({"action": "decline"}),
            json!({"action": "cancel"}),
            json!({"action": "accept"}),
            json!({"action": "accept", "content": {}}),
            json!({"action": "accept", "content": {"yes": false}}),
            json!({"action": "accept", "content": {"yes": false, "name": ""}}),
            json!({"action": "accept", "content": {"yes": "true"}}),
            json!({"action": "decline", "content": {"yes": true}}),
            json!("accept"),
        ] {
            assert!(replied(no.clone()).is_err(), "{no}");
        }
        assert_eq!(second_round(None, None), Ok(None));
        assert_eq!(second_round(Some(token()), None), Ok(None));
    }
}
