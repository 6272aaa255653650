//! The tools by name, and how each is called.

use super::audit::{self, Called};
use super::caller::Caller;
use super::consent::Agreements;
use super::error::ToolError;
use super::job::Terms;
use super::keys::Keys;
use super::offered::{Listed, NoCall, Offered, UnknownTool};
use super::outdated::Outdated;
use super::tool::{Kind, Object, Tool, ToolContext, ToolOutput};
use crate::actors::admin::HostAdmin;
use crate::actors::changes::ChangeDesk;
use crate::domain::policy::ConfirmFallback;
use crate::domain::toolset::Offer;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// All tools, by name.
#[derive(Clone)]
pub struct Registry {
    offered: Arc<Offered>,
    admin: HostAdmin,
    keys: Keys,
    agreements: Agreements,
    outdated: Outdated,
}

impl Registry {
    /// The tools that are offered, over the hosts of the directory that `admin` changes. What a person has to agree
    /// to and nobody can be asked about is dealt with by `fallback`.
    pub fn new(admin: HostAdmin, offer: &Offer, fallback: ConfirmFallback) -> Result<Self, UnknownTool> {
        let (offered, agreements) = (Arc::new(Offered::of(offer)?), Agreements::new(fallback));
        Ok(Self { offered, admin, keys: Keys::default(), agreements, outdated: Outdated::default() })
    }

    /// Only those of the tools that are offered here too.
    pub fn narrowed(&self, offer: &Offer) -> Result<Self, UnknownTool> {
        let both = Offered::clone(&self.offered).narrowed(&Offered::of(offer)?);
        Ok(Self { offered: Arc::new(both), ..self.clone() })
    }

    /// The tools in the order of their names, but for those that no host permits.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let directory = &self.admin.directory;
        let specs = directory.specs();
        let loosest = specs.iter().map(|spec| directory.policy(&spec.id)).min();
        self.offered.listed(|tool| match loosest {
            Some(loosest) if tool.needs_a_host() => tool.about.effect.is_permitted(loosest),
            _ => true,
        })
    }

    /// A tool as it is listed.
    pub(super) fn one(&self, name: &str) -> Option<Listed> {
        self.offered.one(name)
    }

    /// What is done to hosts on the record.
    pub(super) fn changes(&self) -> &ChangeDesk {
        self.admin.directory.changes()
    }

    /// The tool that is meant by a call of `name`, which may be an old one, and its arguments.
    pub(super) fn meant(&self, name: &str, arguments: Object) -> Result<(&Tool, Object), NoCall> {
        self.offered.meant(name, arguments)
    }

    /// Calls the tool of this name; an error is the text that a model would read.
    pub async fn call_by_name(
        &self,
        name: &str,
        arguments: Object,
        caller: Caller,
    ) -> Result<ToolOutput, String> {
        let (tool, arguments) = self.meant(name, arguments).map_err(|no| match no {
            NoCall::Unknown(unknown) => unknown.to_string(),
            NoCall::Refused(error) => error.text(),
        })?;
        self.call(tool, arguments, caller).await.map_err(|error| error.text())
    }

    /// Calls a tool with its arguments.
    pub(super) fn call(
        &self,
        tool: &Tool,
        arguments: Object,
        caller: Caller,
    ) -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
        let context = self.context(tool, caller);
        if tool.kind == Kind::Read {
            return (tool.call)(context, arguments);
        }
        let (call, kind, told) = (Arc::clone(&tool.call), tool.kind, called(tool, &arguments));
        let keys = self.keys.clone();
        Box::pin(async move {
            if let Some((token, refusal)) = context.consent.refusal() {
                return Err(audit::unagreed(&context, &told, token, refusal).await);
            }
            // What begins or ends a job is put on the audit with it.
            let outcome = if kind == Kind::Job {
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

    fn context(&self, tool: &Tool, caller: Caller) -> ToolContext {
        let Caller { asker, progress, consent, left, gone } = caller;
        ToolContext {
            tool: tool.about.name,
            directory: self.admin.directory.clone(),
            admin: self.admin.clone(),
            asker,
            progress,
            consent,
            left,
            gone,
            agreements: self.agreements.clone(),
            outdated: self.outdated.clone(),
            agreed: Arc::default(),
        }
    }
}

/// A call as the audit has it when it has not come to a change.
fn called(tool: &Tool, arguments: &Object) -> Called {
    let named = ["host", "name", "hosts"].into_iter().find_map(|key| arguments.get(key)?.as_str());
    let host = named.map(ToOwned::to_owned);
    let mut told = arguments.clone();
    Terms::drop_confirm(&mut told);
    Called { host, arguments: (tool.audited)(&told) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::config::ConfigHandle;
    use crate::actors::directory::HostDirectory;
    use crate::mcp::error::ErrorKind;
    use crate::runtime::clock::Clock;
    use crate::transport::fake::FakeConnector;
    use serde_json::Value;

    fn registry() -> Registry {
        let admin = HostAdmin {
            sources: Arc::default(),
            connector: Arc::new(FakeConnector::default()),
            directory: HostDirectory::new(Clock::start()),
            config: ConfigHandle::default(),
        };
        Registry::new(admin, &Offer::all(), ConfirmFallback::Plan).unwrap()
    }

    #[tokio::test]
    async fn every_tool_declares_itself_as_clients_need_it() {
        for tool in registry().listed() {
            let name = tool.about.name;
            assert!(
                name.len() <= 24 && (name.contains('_') || matches!(name, "prune" | "rollout")),
                "{name}"
            );
            assert!(
                !tool.about.title.is_empty()
                    && !tool.about.description.is_empty()
                    && tool.about.description.len() <= 200,
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
            let arguments = arguments.as_object().unwrap().clone();
            let (tool, arguments) = registry.meant("container_list", arguments).unwrap();
            registry.call(tool, arguments, Caller::default())
        };
        let error = call(serde_json::json!({"limit": "many"})).await.unwrap_err();
        assert!(error.text().starts_with("invalid_arguments: container_list: limit: "), "{}", error.text());
        let error = call(serde_json::json!({"host": "nas"})).await.unwrap_err();
        let words = error.text();
        assert!(
            words.contains("unknown field `host`, expected one of") && words.contains("`hosts`"),
            "{words}"
        );
        let error = call(serde_json::json!({"hosts": "nas"})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::HostUnknown);
    }
}
