//! What tools declare of their answers, and whether an answer keeps to it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// All tools as they are listed; another test keeps this true.
const TOOLS: &str = include_str!("../../tools.json");

/// What is wrong about the answer of a tool by the schema it declares, and by the same where nothing may be that is
/// not declared. Nothing is, of a tool that declares none.
pub fn complaints(tool: &str, answer: &Value) -> Vec<String> {
    static VALIDATORS: OnceLock<BTreeMap<String, [Validator; 2]>> = OnceLock::new();
    let Some(validators) = VALIDATORS.get_or_init(validators).get(tool) else { return vec![] };
    let errors = validators.iter().flat_map(|validator| validator.iter_errors(answer));
    errors.map(|error| format!("{tool}: {error} at {}", error.instance_path())).collect()
}

fn validators() -> BTreeMap<String, [Validator; 2]> {
    let tools: Vec<Value> = serde_json::from_str(TOOLS).expect("a list of tools");
    let declared = tools.iter().filter_map(|tool| Some((tool["name"].as_str()?, tool.get("outputSchema")?)));
    let validator = |schema: &Value| jsonschema::validator_for(schema).expect("a schema");
    declared
        .map(|(name, schema)| (name.to_owned(), [validator(schema), validator(&closed(schema))]))
        .collect()
}

/// The schema with every object closed.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let mut copy: serde_json::Map<String, Value> =
                object.iter().map(|(key, value)| (key.clone(), closed(value))).collect();
            if object.get("properties").is_some_and(Value::is_object)
                && !object.contains_key("additionalProperties")
            {
                copy.insert("additionalProperties".to_owned(), false.into());
            }
            Value::Object(copy)
        }
        Value::Array(items) => items.iter().map(closed).collect(),
        other => other.clone(),
    }
}
