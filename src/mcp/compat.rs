//! Tools by the names of the predecessor: each of their actions is a call of a tool there is.
//!
//! What an action comes to is decided here, purely, and before anything else: from then on the call is one of that
//! tool, with its policy, its confirmation and its place on the audit.

mod compose;
mod container;
mod hosts;

use super::error::{ErrorKind, ToolError};
use super::tool::{About, Effect, Object, parse, unknown};
use crate::domain::suggest::did_you_mean;
use serde_json::{Value, json};
use std::sync::Arc;

/// The parameter that tells what is wanted.
const ACTION: &str = "action";

/// What every action of a kind takes beside its own, by the same names as the tools.
const KEY: (&str, &str) = ("idempotency_key", "idempotency_key");
const WAIT: (&str, &str) = ("wait", "wait");
const DRY_RUN: (&str, &str) = ("dry_run", "dry_run");
const CONFIRM: (&str, &str) = ("confirm", "confirm");

/// What an old tool does to the world, all its actions together.
const EFFECT: Effect = Effect { read_only: false, destructive: true, idempotent: false, open_world: true };

/// An action of an old tool.
pub(super) struct Action {
    word: &'static str,
    /// The tool it is a call of.
    pub(super) tool: &'static str,
    /// The parameters it takes, with what they are called there.
    takes: &'static [(&'static str, &'static str)],
    /// Those of them that it cannot do without.
    needs: &'static [&'static str],
    /// What more than a name changes.
    then: fn(&mut Object) -> Result<(), ToolError>,
}

/// A tool by an old name.
#[derive(Clone)]
pub(super) struct OldTool {
    pub(super) about: About,
    input: Arc<Object>,
    actions: &'static [Action],
    /// The action that is meant where none is named.
    usual: Option<&'static str>,
    /// Actions that no tool does yet.
    later: &'static [&'static str],
    /// Parameters that mean nothing any more; they are taken as long as they ask for nothing.
    gone: &'static [&'static str],
    check: fn(&'static str, Object) -> Result<(), ToolError>,
}

/// All of them.
pub(super) fn all() -> Vec<OldTool> {
    vec![hosts::tool(), container::tool(), compose::tool()]
}

impl OldTool {
    /// The actions whose tools `is_offered`.
    fn actions(&self, is_offered: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static Action> {
        self.actions.iter().filter(move |action| is_offered(action.tool))
    }

    /// Whether any of its actions is a call of a tool that `is_offered`.
    pub(super) fn is_for_something(&self, is_offered: impl Fn(&str) -> bool) -> bool {
        self.actions(is_offered).next().is_some()
    }

    /// Its parameters where only these tools are offered: what no action takes is left out.
    pub(super) fn input(&self, is_offered: impl Fn(&str) -> bool) -> Object {
        let actions: Vec<_> = self.actions(is_offered).collect();
        let mut input = Object::clone(&self.input);
        let words: Vec<&str> = actions.iter().map(|action| action.word).collect();
        let mut action = json!({"type": "string", "description": "What to do.", "enum": words});
        match self.usual.filter(|usual| words.contains(usual)) {
            Some(usual) => action["default"] = usual.into(),
            None => drop(input.insert("required".to_owned(), json!([ACTION]))),
        }
        if let Some(Value::Object(properties)) = input.get_mut("properties") {
            let is_taken = |name: &str| actions.iter().any(|action| action.takes(name));
            properties.retain(|name, _| is_taken(name));
            properties.insert(ACTION.to_owned(), action);
        }
        input
    }

    /// The tool that a call is one of, and its arguments there.
    pub(super) fn meant(
        &self,
        mut arguments: Object,
        is_offered: impl Fn(&str) -> bool,
    ) -> Result<(&'static str, Object), ToolError> {
        let name = self.about.name;
        let invalid = |words: String| ToolError::new(ErrorKind::InvalidArguments, format!("{name}: {words}"));
        // An empty text was the same as none.
        arguments.retain(|_, value| !value.is_null() && value != "");
        let action = self.action(arguments.remove(ACTION).as_ref(), &is_offered)?;
        let word = action.word;
        for gone in self.gone {
            if arguments.remove(*gone).is_some_and(|value| !asks_for_nothing(gone, &value)) {
                let words = format!("{word} takes no {gone} any more; nothing was done");
                return Err(invalid(words).with_hint(format!("See {}.", action.tool)));
            }
        }
        if let Some(words) = unknown(&self.input, &arguments) {
            return Err(invalid(words));
        }
        (self.check)(name, arguments.clone())?;
        if let Some(missing) = action.needs.iter().find(|needed| !arguments.contains_key(**needed)) {
            return Err(invalid(format!("{word} needs {missing}")));
        }
        let mut passed = Object::new();
        for (old, new) in action.takes {
            if let Some(value) = arguments.remove(*old) {
                passed.insert((*new).to_owned(), value);
            }
        }
        if let Some((left, _)) = arguments.iter().find(|(left, value)| !asks_for_nothing(left, value)) {
            return Err(invalid(format!("{word} takes no {left}; nothing was done")));
        }
        (action.then)(&mut passed)?;
        Ok((action.tool, passed))
    }

    fn action(
        &self,
        word: Option<&Value>,
        is_offered: impl Fn(&str) -> bool,
    ) -> Result<&'static Action, ToolError> {
        let name = self.about.name;
        let words: Vec<&str> = self.actions(&is_offered).map(|action| action.word).collect();
        let offered = format!("Its actions are: {}.", words.join(", "));
        let error = |kind, words: String| {
            Err(ToolError::new(kind, format!("{name}: {words}")).with_hint(offered.clone()))
        };
        let word = match (word, self.usual) {
            (Some(Value::String(word)), _) => word,
            (Some(_), _) => return error(ErrorKind::InvalidArguments, "action is a text".to_owned()),
            (None, Some(usual)) => usual,
            (None, None) => return error(ErrorKind::InvalidArguments, "action is missing".to_owned()),
        };
        let Some(action) = self.actions.iter().find(|action| action.word == word) else {
            if self.later.contains(&word) {
                let words = format!(
                    "{word} is not there yet: this version reads stacks and changes none; nothing was done"
                );
                return error(ErrorKind::InvalidArguments, words);
            }
            let near = did_you_mean(word, words.iter().copied());
            let word: String = word.chars().take(40).collect();
            return error(ErrorKind::InvalidArguments, format!("there is no action {word:?}.{near}"));
        };
        if is_offered(action.tool) {
            return Ok(action);
        }
        let words = format!("{word} is a call of {}, which is not offered; nothing was done", action.tool);
        error(ErrorKind::PolicyDenied, words)
    }
}

impl Action {
    fn takes(&self, name: &str) -> bool {
        self.takes.iter().any(|(old, _)| *old == name)
    }
}

/// Whether this value of an old parameter was its default, which clients may send with every action.
fn asks_for_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => *value == matches!(name, "enabled" | "pull_images" | "start_target"),
        Value::Number(value) => {
            let usual = match name {
                "ssh_port" => 22,
                "limit" => 20,
                "lines" => 100,
                "timeout" => 10,
                "offset" | "port" => 0,
                _ => return false,
            };
            value.as_u64() == Some(usual)
        }
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// For an action that is only called otherwise.
#[expect(clippy::unnecessary_wraps, reason = "one of several of this kind")]
fn as_it_is(_: &mut Object) -> Result<(), ToolError> {
    Ok(())
}

/// Whether the arguments are of the right types, by their old names.
fn check<P: serde::de::DeserializeOwned>(name: &'static str, arguments: Object) -> Result<(), ToolError> {
    parse::<P>(name, arguments).map(drop)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::least;
