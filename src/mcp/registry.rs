//! The tools by name: what each declares, and how it is called.

use super::audit::{self, Called};
use super::error::{ErrorKind, ToolError};
use super::keys::{self, Keys};
use crate::actors::admin::HostAdmin;
use crate::actors::changes::ChangeDesk;
use crate::actors::directory::HostDirectory;
use crate::domain::change::{Asker, CHANGE_WORDS};
use crate::domain::redact;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// What a tool does to the world: the four hints of the protocol, all of them explicit, because
/// clients decide by them what to ask a person about.
#[expect(clippy::struct_excessive_bools, reason = "the protocol's four hints")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Changes nothing.
    pub read_only: bool,
    /// Loses data, configuration or availability.
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// Contacts a registry or the Internet, or runs foreign code.
    pub open_world: bool,
}

impl Effect {
    /// Reads from hosts and nothing else.
    pub const READ: Self = Self { read_only: true, destructive: false, idempotent: true, open_world: false };
}

/// What a tool's call works with.
#[derive(Clone)]
pub struct ToolContext {
    /// The tool's name, which its operations go by.
    pub tool: &'static str,
    /// The hosts.
    pub directory: HostDirectory,
    /// Changes of the configuration.
    pub admin: HostAdmin,
    /// Who calls.
    pub asker: Asker,
}

/// What a tool answers.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutput {
    /// A value that fits the tool's output schema.
    Structured(Value),
    /// Prose: logs, files.
    Text(String),
}

type Call =
    Arc<dyn Fn(ToolContext, Object) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send + Sync>;

/// A tool.
#[derive(Clone)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) effect: Effect,
    pub(super) input: Arc<Object>,
    pub(super) output: Option<Arc<Object>>,
    call: Call,
}

/// What a tool says about itself.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) effect: Effect,
}

impl Tool {
    /// A tool that answers with a value.
    pub(super) fn structured<P, O, F>(
        about: About,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        Self::new::<P, O, F>(about, Some(Arc::new(schema::<O>(Contract::Serialize))), run, |value| {
            let value = serde_json::to_value(value);
            value
                .map(ToolOutput::Structured)
                .map_err(|error| ToolError::new(ErrorKind::Internal, error.to_string()))
        })
    }

    /// A tool that answers with text.
    pub(super) fn text<P, F>(about: About, run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        F: Future<Output = Result<String, ToolError>> + Send + 'static,
    {
        Self::new::<P, String, F>(about, None, run, |text| Ok(ToolOutput::Text(text)))
    }

    fn new<P, O, F>(
        about: About,
        output: Option<Arc<Object>>,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
        render: fn(O) -> Result<ToolOutput, ToolError>,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        let About { name, title, description, effect } = about;
        let mut input = schema::<P>(Contract::Deserialize);
        if !effect.read_only {
            keys::declare(&mut input);
        }
        let run = Arc::new(run);
        let call: Call = Arc::new(move |context, arguments| {
            let run = Arc::clone(&run);
            Box::pin(async move {
                let parameters =
                    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
                        // A fault of the whole, such as a missing argument, has no path and names itself.
                        let path = error.path().to_string();
                        let at = if path == "." { String::new() } else { format!("{path}: ") };
                        ToolError::new(ErrorKind::InvalidArguments, format!("{name}: {at}{}", error.inner()))
                    })?;
                render(run(context, parameters).await?)
            })
        });
        Self { name, title, description, effect, input: Arc::new(input), output, call }
    }
}

/// The schema of a type as clients like it: self-contained, without `null` alternatives (an absent
/// field is left out), without Rust's number formats. By `contract` it tells what is read, or what is
/// written: a field that is left out when empty is then not required.
fn schema<T: JsonSchema>(contract: Contract) -> Object {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract;
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut value);
    match value {
        Value::Object(mut object) => {
            object.remove("title");
            object.remove("description");
            object.entry("type").or_insert_with(|| "object".into());
            object
        }
        _ => Object::new(),
    }
}

fn simplify(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|one| one != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(any)) = object.get_mut("anyOf") {
                any.retain(|one| one.get("type").is_none_or(|one| one != "null"));
                if let [Value::Object(only)] = any.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if object.get("format").and_then(Value::as_str).is_some_and(|format| format.contains("int")) {
                object.remove("format");
            }
            object.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// All tools, by name.
#[derive(Clone)]
pub struct Registry {
    tools: Arc<Vec<Tool>>,
    admin: HostAdmin,
    keys: Keys,
}

impl Registry {
    /// Every tool, over the hosts of the directory that `admin` changes.
    pub fn new(admin: HostAdmin) -> Self {
        let mut tools = super::tools::all();
        tools.sort_by_key(|tool| tool.name);
        Self { tools: Arc::new(tools), admin, keys: Keys::default() }
    }

    /// The tools in the order of their names.
    pub(super) fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// What is done to hosts on the record.
    pub(super) fn changes(&self) -> &ChangeDesk {
        self.admin.directory.changes()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Calls a tool with its arguments.
    pub(super) fn call(
        &self,
        tool: &Tool,
        arguments: Object,
        asker: Asker,
    ) -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
        let (directory, admin) = (self.admin.directory.clone(), self.admin.clone());
        let context = ToolContext { tool: tool.name, directory, admin, asker };
        if tool.effect.read_only {
            return (tool.call)(context, arguments);
        }
        let call = Arc::clone(&tool.call);
        let keys = self.keys.clone();
        Box::pin(async move {
            let named = ["host", "name", "hosts"].into_iter().find_map(|key| arguments.get(key)?.as_str());
            let host = named.map(ToOwned::to_owned);
            let called = Called { host, arguments: redact::json(&Value::Object(arguments.clone())) };
            // What begins or ends a job is put on the audit with it.
            let outcome = if CHANGE_WORDS.contains(&context.tool) {
                call(context.clone(), arguments).await
            } else if context.tool == "job_cancel" {
                keys.once(&context, &called, arguments, |arguments| call(context.clone(), arguments)).await
            } else {
                let call = |arguments| audit::around(&context, &called, call(context.clone(), arguments));
                keys.once(&context, &called, arguments, call).await
            };
            match outcome {
                Err(error) => Err(audit::refused(&context, &called, error).await),
                made => made,
            }
        })
    }
}

#[cfg(test)]
impl Registry {
    /// Calls the tool of this name; an error is the text a model would read.
    pub(crate) async fn call_by_name(&self, name: &str, arguments: Value) -> Result<ToolOutput, String> {
        let tool = self.get(name).ok_or("no such tool")?;
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        self.call(tool, arguments, Asker::default()).await.map_err(|error| error.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::config::ConfigHandle;
    use crate::runtime::clock::Clock;
    use crate::transport::fake::FakeConnector;

    fn registry() -> Registry {
        Registry::new(HostAdmin {
            sources: Arc::default(),
            connector: Arc::new(FakeConnector::default()),
            directory: HostDirectory::new(Clock::start()),
            config: ConfigHandle::default(),
        })
    }

    #[tokio::test]
    async fn every_tool_declares_itself_as_clients_need_it() {
        for tool in registry().tools() {
            let name = tool.name;
            assert!(name.len() <= 24 && (name.contains('_') || name == "prune"), "{name}");
            assert!(
                !tool.title.is_empty() && !tool.description.is_empty() && tool.description.len() <= 200,
                "{name}"
            );
            assert_eq!(tool.input.get("additionalProperties"), Some(&false.into()), "{name}");
            for (schema, text) in [(Some(&tool.input), "input"), (tool.output.as_ref(), "output")] {
                let text_of = serde_json::to_string(&schema).unwrap();
                for unwanted in ["\"null\"", "uint", "$ref", "$defs", "$schema"] {
                    assert!(!text_of.contains(unwanted), "{name} {text}: {unwanted} in {text_of}");
                }
            }
            if let Some(output) = &tool.output {
                let required = output.get("required").map(ToString::to_string).unwrap_or_default();
                for optional in ["next_cursor", "health", "hint"] {
                    assert!(
                        !required.contains(optional),
                        "{name} requires {optional}, which may be left out"
                    );
                }
            }
            for (parameter, schema) in tool.input["properties"].as_object().unwrap() {
                assert!(schema.get("description").is_some(), "{name}.{parameter} has no description");
            }
        }
    }

    #[tokio::test]
    async fn arguments_of_the_wrong_type_or_name_are_told() {
        let registry = registry();
        let call = |arguments: Value| {
            let tool = registry.get("container_list").unwrap();
            registry.call(tool, arguments.as_object().unwrap().clone(), Asker::default())
        };
        let error = call(serde_json::json!({"limit": "many"})).await.unwrap_err();
        assert!(error.text().starts_with("invalid_arguments: container_list: limit: "), "{}", error.text());
        let error = call(serde_json::json!({"host": "nas"})).await.unwrap_err();
        assert!(error.text().contains("unknown field `host`, expected one of `hosts`"), "{}", error.text());
        let error = call(serde_json::json!({"hosts": "nas"})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::HostUnknown);
    }
}
