//! Asking the person behind a client, in either era of the protocol: from 2026-07-28 on a call is answered with the
//! question and made again with the reply; before, the client is asked while the call waits.

use super::consent::{Asking, Question, Response, Said, Wants};
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

/// The response that came back with a call, if it is the second round of one.
pub(super) fn second_round(state: Option<String>, responses: Option<InputResponses>) -> Option<Response> {
    let (token, response) = (state?, responses?.remove(QUESTION)?);
    let said = match serde_json::from_value(response) {
        Ok(result) => said(result),
        Err(error) => Said::No(format!("the reply of the person cannot be read: {error}")),
    };
    Some(Response { token, said })
}

/// Asks while the call waits.
pub(super) async fn ask(peer: &Peer<RoleServer>, asking: &Asking) -> Result<Response, ToolError> {
    let said = match peer.create_elicitation_with_timeout(form(&asking.question)?, Some(PATIENCE)).await {
        Ok(result) => said(result),
        Err(error) => Said::No(format!("the client did not ask its person ({error})")),
    };
    Ok(Response { token: asking.token.clone(), said })
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

/// What a person said: only a clear yes or a name is one.
fn said(result: ElicitResult) -> Said {
    let content = match result.action {
        ElicitationAction::Accept => result.content.unwrap_or_default(),
        ElicitationAction::Decline => return Said::no(),
        _ => return Said::No("the person did not answer".to_owned()),
    };
    match (content.get(YES), content.get(NAME)) {
        (Some(Value::Bool(true)), None) => Said::Yes,
        (None, Some(Value::String(name))) => Said::Name(name.clone()),
        _ => Said::No("the person did not agree".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replied(reply: Value) -> Said {
        let response = second_round(Some("token".to_owned()), Some([(QUESTION.to_owned(), reply)].into()));
        let Response { token, said } = response.unwrap();
        assert_eq!(token, "token");
        said
    }

    #[test]
    fn only_a_clear_yes_or_a_name_is_agreement() {
        assert_eq!(replied(json!({"action": "accept", "content": {"yes": true}})), Said::Yes);
        let typed = replied(json!({"action": "accept", "content": {"name": "data"}}));
        assert_eq!(typed, Said::Name("data".into()));
        for no in [
            json!({"action": "decline"}),
            json!({"action": "cancel"}),
            json!({"action": "accept"}),
            json!({"action": "accept", "content": {}}),
            json!({"action": "accept", "content": {"yes": false}}),
            json!({"action": "accept", "content": {"yes": false, "name": ""}}),
            json!({"action": "accept", "content": {"yes": true, "name": "data"}}),
            json!({"action": "accept", "content": {"yes": "true"}}),
            json!({"action": "decline", "content": {"yes": true}}),
            json!("accept"),
        ] {
            assert!(matches!(replied(no.clone()), Said::No(_)), "{no}");
        }
        assert_eq!(second_round(None, None), None);
        assert_eq!(second_round(Some("token".to_owned()), None), None);
    }
}
