//! What every tool takes that begins a job on a host, declared and read in one place.

use crate::mcp::tool::{Gate, Object};
use serde::Deserialize;
use serde_json::{Value, json};

/// What every tool takes that begins a job.
#[derive(Debug, Default, Deserialize)]
pub(in crate::mcp) struct Terms {
    pub(super) host: String,
    pub(super) idempotency_key: Option<String>,
    /// In seconds.
    pub(super) wait: Option<u64>,
    dry_run: Option<bool>,
    pub(super) confirm: Option<String>,
    /// Whether it is planned first when the call does not say.
    #[serde(skip)]
    plans_first: bool,
}

const HOST: &str = "host";
const KEY: &str = "idempotency_key";
const WAIT: &str = "wait";
const DRY_RUN: &str = "dry_run";
const CONFIRM: &str = "confirm";

/// What is wrong with arguments, and where.
type Fault = serde_path_to_error::Error<serde_json::Error>;

impl Terms {
    /// Those of a call that begins a job without asking anybody.
    pub(in crate::mcp) fn plain(host: String, idempotency_key: Option<String>, wait: Option<u64>) -> Self {
        Self { host, idempotency_key, wait, ..Self::default() }
    }

    /// Declares them among a tool's own parameters.
    pub(in crate::mcp) fn declare(input: &mut Object, gate: Gate) {
        let mut terms = vec![
            (HOST, json!({"type": "string", "description": "Host name."})),
            (
                KEY,
                json!({"type": "string", "description": "A word of yours: the same call with it within a day is the same job."}),
            ),
            (
                WAIT,
                json!({"type": "integer", "minimum": 0, "description": "Seconds to wait for the end (default 45)."}),
            ),
        ];
        if gate != Gate::Open {
            Self::declare_confirm(input);
            let dry_run = match gate {
                Gate::PlansFirst => "Only tell what would be done (default true, without confirm).",
                _ => "Only tell what would be done.",
            };
            terms.push((DRY_RUN, json!({"type": "boolean", "description": dry_run})));
        }
        let properties = input.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.extend(terms.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        }
        if let Value::Array(required) = input.entry("required").or_insert_with(|| json!([])) {
            required.insert(0, HOST.into());
        }
    }

    /// Declares what a call brings that a person has agreed to.
    pub(in crate::mcp) fn declare_confirm(input: &mut Object) {
        let schema = json!({"type": "string", "description": "confirm of the plan that a person agreed to."});
        if let Value::Object(properties) = input.entry("properties").or_insert_with(|| json!({})) {
            properties.insert(CONFIRM.to_owned(), schema);
        }
    }

    /// Takes that out of a call's arguments.
    pub(in crate::mcp) fn take_confirm(arguments: &mut Object) -> Result<Option<String>, Fault> {
        #[derive(Deserialize)]
        struct Confirm {
            confirm: Option<String>,
        }
        let taken: Object = arguments.remove_entry(CONFIRM).into_iter().collect();
        let taken: Confirm = serde_path_to_error::deserialize(Value::Object(taken))?;
        Ok(taken.confirm)
    }

    /// Leaves it out of what is told of a call.
    pub(in crate::mcp) fn drop_confirm(arguments: &mut Object) {
        arguments.remove(CONFIRM);
    }

    /// Takes them out of a call's arguments.
    pub(in crate::mcp) fn take(arguments: &mut Object, gate: Gate) -> Result<Self, Fault> {
        let names = [HOST, KEY, WAIT, DRY_RUN, CONFIRM];
        let taken: Object = names.iter().filter_map(|name| arguments.remove_entry(*name)).collect();
        let terms: Self = serde_path_to_error::deserialize(Value::Object(taken))?;
        Ok(Self { plans_first: gate == Gate::PlansFirst, ..terms })
    }

    /// The host it was called with.
    pub(in crate::mcp) fn host(&self) -> &str {
        &self.host
    }

    /// The same on another host.
    pub(in crate::mcp) fn on(self, host: String) -> Self {
        Self { host, ..self }
    }

    /// Whether only the plan is wanted.
    pub(in crate::mcp) fn plans_only(&self) -> bool {
        self.dry_run.unwrap_or(self.plans_first && self.confirm.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_plans_first_acts_when_it_is_told_to_or_confirmed() {
        let plans = |gate, arguments: Value| {
            let Value::Object(mut arguments) = arguments else { panic!() };
            Terms::take(&mut arguments, gate).unwrap().plans_only()
        };
        assert!(plans(Gate::PlansFirst, json!({"host": "a"})));
        assert!(!plans(Gate::PlansFirst, json!({"host": "a", "confirm": "x"})));
        assert!(!plans(Gate::PlansFirst, json!({"host": "a", "dry_run": false})));
        assert!(plans(Gate::Asks, json!({"host": "a", "dry_run": true, "confirm": "x"})));
        assert!(!plans(Gate::Asks, json!({"host": "a"})));
    }

    #[test]
    fn a_confirm_is_a_text_or_is_not_there() {
        let take = |arguments: Value| {
            let Value::Object(mut arguments) = arguments else { panic!() };
            let taken = Terms::take_confirm(&mut arguments).map_err(|error| error.to_string());
            (taken, arguments.len())
        };
        assert_eq!(take(json!({"host": "a"})), (Ok(None), 1));
        assert_eq!(take(json!({"host": "a", "confirm": "x"})), (Ok(Some("x".to_owned())), 1));
        for wrong in [json!(true), json!(1), json!({})] {
            let words = take(json!({"confirm": wrong})).0.unwrap_err();
            assert!(words.starts_with("confirm: invalid type"), "{words}");
        }
    }
}
