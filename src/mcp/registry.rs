//! The tools by name: what each declares, and how it is called.

use super::audit::{self, Called};
use super::caller::{Caller, Progress};
use super::error::{ErrorKind, ToolError};
use super::keys::{self, Keys};
use crate::actors::admin::HostAdmin;
use crate::actors::changes::ChangeDesk;
use crate::actors::directory::HostDirectory;
use crate::domain::change::{Asker, CHANGE_WORDS};
use crate::domain::policy::Policy;
use crate::domain::redact;
use crate::domain::suggest::did_you_mean;
use crate::domain::toolset::{Offer, Toolset};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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
    /// Whether a host that is held to `policy` may permit it.
    fn is_permitted(self, policy: Policy) -> bool {
        match policy {
            Policy::ReadWrite => true,
            Policy::NoDestructive => !self.destructive,
            Policy::ReadOnly => self.read_only,
        }
    }

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
    /// Hears how far the call is.
    pub progress: Progress,
    /// Cancelled when whoever calls will say no more.
    pub left: CancellationToken,
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
    pub(super) toolset: Toolset,
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
    /// The group it is offered with.
    pub(super) toolset: Toolset,
    pub(super) effect: Effect,
}

impl Tool {
    /// Whether a call is made to its end although its caller has gone: a change that is no job.
    pub(super) fn goes_on(&self) -> bool {
        !self.effect.read_only && !CHANGE_WORDS.contains(&self.name)
    }

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
        let About { name, title, description, toolset, effect } = about;
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
        Self { name, title, description, toolset, effect, input: Arc::new(input), output, call }
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

/// A name that is offered, or not, and is no tool's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tool {name:?}.{near}")]
pub struct UnknownTool {
    name: String,
    near: String,
}

impl UnknownTool {
    fn of<'a>(name: &str, tools: impl Iterator<Item = &'a Tool>) -> Self {
        Self { name: name.to_owned(), near: did_you_mean(name, tools.map(|tool| tool.name)) }
    }
}

/// The tools of an offer, in the order of their names.
pub(super) fn offered(offer: &Offer) -> Result<Vec<Tool>, UnknownTool> {
    let mut tools = super::tools::all();
    if let Some(name) = offer.names().find(|name| tools.iter().all(|tool| tool.name != *name)) {
        return Err(UnknownTool::of(name, tools.iter()));
    }
    tools.retain(|tool| {
        let Effect { read_only, destructive, .. } = tool.effect;
        offer.has(tool.name, tool.toolset, read_only, destructive)
    });
    tools.sort_by_key(|tool| tool.name);
    Ok(tools)
}

/// All tools, by name.
#[derive(Clone)]
pub struct Registry {
    tools: Arc<Vec<Tool>>,
    admin: HostAdmin,
    keys: Keys,
}

impl Registry {
    /// The tools that are offered, over the hosts of the directory that `admin` changes.
    pub fn new(admin: HostAdmin, offer: &Offer) -> Result<Self, UnknownTool> {
        Ok(Self { tools: Arc::new(offered(offer)?), admin, keys: Keys::default() })
    }

    /// Only those of the tools that are offered here too.
    pub fn narrowed(&self, offer: &Offer) -> Result<Self, UnknownTool> {
        let theirs = offered(offer)?;
        let both = self.tools.iter().filter(|tool| theirs.iter().any(|other| other.name == tool.name));
        Ok(Self { tools: Arc::new(both.cloned().collect()), ..self.clone() })
    }

    /// The tools in the order of their names, but for those that no host permits.
    pub(super) fn tools(&self) -> impl Iterator<Item = &Tool> {
        let directory = &self.admin.directory;
        let specs = directory.specs();
        let loosest = specs.iter().map(|spec| directory.policy(&spec.id)).min();
        self.tools.iter().filter(move |tool| match loosest {
            Some(loosest) if CHANGE_WORDS.contains(&tool.name) => tool.effect.is_permitted(loosest),
            _ => true,
        })
    }

    /// What is done to hosts on the record.
    pub(super) fn changes(&self) -> &ChangeDesk {
        self.admin.directory.changes()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Tool, UnknownTool> {
        self.get(name).ok_or_else(|| UnknownTool::of(name, self.tools.iter()))
    }

    /// Calls the tool of this name; an error is the text that a model would read.
    pub async fn call_by_name(
        &self,
        name: &str,
        arguments: Object,
        caller: Caller,
    ) -> Result<ToolOutput, String> {
        let tool = self.find(name).map_err(|unknown| unknown.to_string())?;
        self.call(tool, arguments, caller).await.map_err(|error| error.text())
    }

    /// Calls a tool with its arguments.
    pub(super) fn call(
        &self,
        tool: &Tool,
        arguments: Object,
        caller: Caller,
    ) -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
        let (directory, admin) = (self.admin.directory.clone(), self.admin.clone());
        let Caller { asker, progress, left } = caller;
        let context = ToolContext { tool: tool.name, directory, admin, asker, progress, left };
        if tool.effect.read_only {
            return (tool.call)(context, arguments);
        }
        let call = Arc::clone(&tool.call);
        let keys = self.keys.clone();
        Box::pin(async move {
            let named = ["host", "name", "hosts"].into_iter().find_map(|key| arguments.get(key)?.as_str());
            let host = named.map(ToOwned::to_owned);
            let told = Called { host, arguments: redact::json(&Value::Object(arguments.clone())) };
            // What begins or ends a job is put on the audit with it.
            let outcome = if CHANGE_WORDS.contains(&context.tool) {
                call(context.clone(), arguments).await
            } else if context.tool == "job_cancel" {
                keys.once(&context, &told, arguments, |arguments| call(context.clone(), arguments)).await
            } else {
                let call = |arguments| audit::around(&context, &told, call(context.clone(), arguments));
                keys.once(&context, &told, arguments, call).await
            };
            match outcome {
                Err(error) => Err(audit::refused(&context, &told, error).await),
                made => made,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::config::ConfigHandle;
    use crate::runtime::clock::Clock;
    use crate::transport::fake::FakeConnector;

    fn registry() -> Registry {
        let admin = HostAdmin {
            sources: Arc::default(),
            connector: Arc::new(FakeConnector::default()),
            directory: HostDirectory::new(Clock::start()),
            config: ConfigHandle::default(),
        };
        Registry::new(admin, &Offer::all()).unwrap()
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
            registry.call(tool, arguments.as_object().unwrap().clone(), Caller::default())
        };
        let error = call(serde_json::json!({"limit": "many"})).await.unwrap_err();
        assert!(error.text().starts_with("invalid_arguments: container_list: limit: "), "{}", error.text());
        let error = call(serde_json::json!({"host": "nas"})).await.unwrap_err();
        assert!(error.text().contains("unknown field `host`, expected one of `hosts`"), "{}", error.text());
        let error = call(serde_json::json!({"hosts": "nas"})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::HostUnknown);
    }
}
