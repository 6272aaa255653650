//! The tools that somebody offers: by their names, and by old ones.

use super::compat::{self, OldTool};
use super::error::ToolError;
use super::tool::{About, Effect, Object, Tool};
use crate::domain::suggest::did_you_mean;
use crate::domain::toolset::Offer;
use std::sync::Arc;

/// A name that is offered, or not, and is no tool's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tool {name:?}.{near}")]
pub struct UnknownTool {
    name: String,
    near: String,
}

/// Why a call is none.
#[derive(Debug)]
pub(super) enum NoCall {
    /// There is no tool of that name.
    Unknown(UnknownTool),
    /// The tool by an old name does not do that.
    Refused(ToolError),
}

/// A tool as it is listed.
pub(super) struct Listed {
    pub(super) about: About,
    pub(super) input: Arc<Object>,
    pub(super) output: Option<Arc<Object>>,
}

/// What somebody offers.
#[derive(Clone)]
pub(super) struct Offered {
    /// In the order of their names.
    tools: Vec<Tool>,
    old: Vec<OldTool>,
    /// What may be called by an old name: whatever group it belongs to, it is neither excluded nor does more to the
    /// world than is offered.
    allowed: Vec<Tool>,
    read_only: bool,
    no_destructive: bool,
}

impl Offered {
    /// The tools of an offer.
    pub(super) fn of(offer: &Offer) -> Result<Self, UnknownTool> {
        let (mut tools, mut old) = (super::tools::all(), compat::all());
        let names = || tools.iter().map(|tool| tool.about.name).chain(old.iter().map(|tool| tool.about.name));
        if let Some(name) = offer.names().find(|name| !names().any(|known| known == *name)) {
            return Err(UnknownTool { name: name.to_owned(), near: did_you_mean(name, names()) });
        }
        tools.sort_by_key(|tool| tool.about.name);
        let mut allowed = tools.clone();
        allowed.retain(|tool| {
            let Effect { read_only, destructive, .. } = tool.about.effect;
            offer.allows(tool.about.name, read_only, destructive)
        });
        tools.retain(|tool| {
            let About { name, toolset, effect: Effect { read_only, destructive, .. }, .. } = tool.about;
            offer.has(name, toolset, read_only, destructive)
        });
        // What one does to the world is told by its actions.
        old.retain(|tool| offer.has(tool.about.name, tool.about.toolset, true, false));
        let Offer { read_only, no_destructive, .. } = *offer;
        Ok(Self { tools, old, allowed, read_only, no_destructive })
    }

    /// Only what is offered by `other` too.
    pub(super) fn narrowed(mut self, other: &Self) -> Self {
        let has = |tools: &[Tool], tool: &Tool| tools.iter().any(|other| other.about.name == tool.about.name);
        self.tools.retain(|tool| has(&other.tools, tool));
        self.allowed.retain(|tool| has(&other.allowed, tool));
        self.old.retain(|tool| other.old.iter().any(|other| other.about.name == tool.about.name));
        self.read_only |= other.read_only;
        self.no_destructive |= other.no_destructive;
        self
    }

    fn allowed(&self, name: &str) -> Option<&Tool> {
        self.allowed.iter().find(|tool| tool.about.name == name)
    }

    /// As they are listed, in the order of their names, where this much is permitted.
    pub(super) fn listed(&self, is_permitted: impl Fn(&Tool) -> bool) -> Vec<Listed> {
        let tools = self.tools.iter().filter(|tool| is_permitted(tool));
        let old = self.old.iter().filter_map(|tool| self.old_listed(tool, &is_permitted));
        let mut listed: Vec<Listed> = tools.map(Listed::of).chain(old).collect();
        listed.sort_by_key(|tool| tool.about.name);
        listed
    }

    /// One as it is listed where everything is permitted.
    pub(super) fn one(&self, name: &str) -> Option<Listed> {
        let tool = self.tools.iter().find(|tool| tool.about.name == name).map(Listed::of);
        tool.or_else(|| {
            let old = self.old.iter().find(|tool| tool.about.name == name)?;
            self.old_listed(old, |_| true)
        })
    }

    fn old_listed(&self, tool: &OldTool, is_permitted: impl Fn(&Tool) -> bool) -> Option<Listed> {
        let is_offered = |name: &str| self.allowed(name).is_some_and(&is_permitted);
        if !tool.is_for_something(is_offered) {
            return None;
        }
        let effect = match tool.about.effect {
            _ if self.read_only => Effect::READ,
            effect => Effect { destructive: effect.destructive && !self.no_destructive, ..effect },
        };
        let about = About { effect, ..tool.about };
        Some(Listed { about, input: Arc::new(tool.input(is_offered)), output: None })
    }

    /// The tool that is meant by a call of `name`, and its arguments.
    pub(super) fn meant(&self, name: &str, arguments: Object) -> Result<(&Tool, Object), NoCall> {
        if let Some(tool) = self.tools.iter().find(|tool| tool.about.name == name) {
            return Ok((tool, arguments));
        }
        let unknown = || {
            let names = self.tools.iter().map(|tool| tool.about.name);
            let names = names.chain(self.old.iter().map(|tool| tool.about.name));
            NoCall::Unknown(UnknownTool { name: name.to_owned(), near: did_you_mean(name, names) })
        };
        let old = self.old.iter().find(|tool| tool.about.name == name).ok_or_else(unknown)?;
        let is_offered = |name: &str| self.allowed(name).is_some();
        let (name, arguments) = old.meant(arguments, is_offered).map_err(NoCall::Refused)?;
        self.allowed(name).map(|tool| (tool, arguments)).ok_or_else(unknown)
    }
}

impl Listed {
    fn of(tool: &Tool) -> Self {
        Self { about: tool.about, input: Arc::clone(&tool.input), output: tool.output.clone() }
    }
}
