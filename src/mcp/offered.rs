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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn offered(change: impl FnOnce(&mut Offer)) -> Offered {
        let mut offer = Offer { toolsets: "compat".parse().ok(), ..Offer::default() };
        change(&mut offer);
        Offered::of(&offer).unwrap()
    }

    fn names(offered: &Offered) -> Vec<&'static str> {
        offered.listed(|_| true).iter().map(|tool| tool.about.name).collect()
    }

    /// The actions that an old tool is listed with, and its effect.
    fn actions(listed: &[Listed], name: &str) -> Option<(Vec<String>, Effect)> {
        let tool = listed.iter().find(|tool| tool.about.name == name)?;
        let words = tool.input["properties"]["action"]["enum"].as_array().unwrap().iter();
        let words = words.map(|word| word.as_str().unwrap().to_owned());
        Some((words.collect(), tool.about.effect))
    }

    #[test]
    fn old_names_are_offered_to_who_asks_for_them() {
        assert_eq!(names(&offered(|_| {})), ["docker_compose", "docker_container", "docker_hosts"]);
        for offer in [Offer::default(), Offer { read_only: true, ..Offer::default() }] {
            let offered = Offered::of(&offer).unwrap();
            assert!(names(&offered).iter().all(|name| !name.starts_with("docker_")));
            let arguments = json!({"action": "list"}).as_object().unwrap().clone();
            let called = offered.meant("docker_container", arguments);
            assert!(matches!(called, Err(NoCall::Unknown(_))), "{:?}", called.err());
        }
        let one = Offer { tools: ["docker_hosts".to_owned()].into(), ..Offer::default() };
        assert_eq!(names(&Offered::of(&one).unwrap()), ["docker_hosts"]);
        let less = offered(|offer| offer.exclude.extend(["docker_hosts".to_owned()]));
        assert_eq!(names(&less), ["docker_compose", "docker_container"]);
        let wrong = Offer { tools: ["docker_host".to_owned()].into(), ..Offer::default() };
        assert!(Offered::of(&wrong).err().unwrap().to_string().contains("\"docker_hosts\""));
    }

    #[test]
    fn an_old_tool_says_what_is_left_of_it() {
        let listed = |change: fn(&mut Offer)| offered(change).listed(|_| true);
        let (all, effect) = actions(&listed(|_| {}), "docker_container").unwrap();
        assert_eq!(all, ["list", "info", "logs", "start", "stop", "restart", "remove", "pull"]);
        assert!(!effect.read_only && effect.destructive && effect.open_world);
        let (reading, effect) = actions(&listed(|offer| offer.read_only = true), "docker_container").unwrap();
        assert_eq!((reading, effect), (vec!["list".into(), "info".into(), "logs".into()], Effect::READ));
        let (kept, effect) =
            actions(&listed(|offer| offer.no_destructive = true), "docker_container").unwrap();
        assert_eq!(kept, ["list", "info", "logs", "start", "pull"]);
        assert!(!effect.read_only && !effect.destructive);
        let (less, _) = actions(
            &listed(|offer| offer.exclude.extend(["container_remove".to_owned()])),
            "docker_container",
        )
        .unwrap();
        assert_eq!(less, ["list", "info", "logs", "start", "stop", "restart", "pull"]);
        // What no host permits is not listed.
        let reads = offered(|_| {}).listed(|tool| !tool.needs_a_host());
        assert_eq!(actions(&reads, "docker_container").unwrap().0, ["list", "info", "logs"]);
        let nothing = listed(|offer| {
            let stacks = ["stack_list", "stack_inspect", "stack_file_read", "stack_logs"];
            offer.exclude.extend(stacks.map(String::from));
        });
        let nothing_of_stacks = actions(&nothing, "docker_compose");
        assert!(nothing_of_stacks.is_none(), "{nothing_of_stacks:?}");
    }

    /// Whatever is offered by an old name is of what may be offered.
    #[test]
    fn no_old_action_does_more_to_the_world_than_is_offered() {
        for (read_only, no_destructive) in [(true, false), (false, true), (true, true)] {
            let offered = offered(|offer| {
                (offer.read_only, offer.no_destructive) = (read_only, no_destructive);
            });
            let mut tried = 0;
            for old in compat::all() {
                for (action, arguments) in compat::least(&old) {
                    let Ok((tool, _)) = offered.meant(old.about.name, arguments) else { continue };
                    let Effect { read_only: reads, destructive, .. } = tool.about.effect;
                    assert!(reads || !read_only, "{action}");
                    assert!(!destructive || !no_destructive, "{action}");
                    tried += 1;
                }
            }
            assert!(tried >= 10, "{tried}");
        }
    }

    #[test]
    fn two_offers_leave_what_is_in_both_and_no_old_name_brings_it_back() {
        let meant = |offered: &Offered, arguments: Value| {
            let arguments = arguments.as_object().unwrap().clone();
            offered.meant("docker_container", arguments).map(|(tool, _)| tool.about.name).ok()
        };
        let remove = json!({"action": "remove", "host_id": "h", "container_id": "a"});
        let list = json!({"action": "list"});
        let (wide, narrow) =
            (offered(|_| {}), offered(|offer| offer.exclude.extend(["container_remove".to_owned()])));
        assert_eq!(meant(&wide, remove.clone()), Some("container_remove"));
        for both in [wide.clone().narrowed(&narrow), narrow.clone().narrowed(&wide)] {
            assert_eq!(
                (meant(&both, remove.clone()), meant(&both, list.clone())),
                (None, Some("container_list"))
            );
        }
        let reads = offered(|offer| offer.read_only = true);
        for both in [wide.clone().narrowed(&reads), reads.narrowed(&wide)] {
            assert_eq!(meant(&both, remove.clone()), None);
            assert_eq!(both.one("docker_container").unwrap().about.effect, Effect::READ);
        }
        let usual = Offered::of(&Offer::default()).unwrap();
        assert_eq!(names(&wide.narrowed(&usual)), [""; 0]);
    }

    /// A caller that leaves ends what a read does, and not what a deed does: by the tool that is called.
    #[test]
    fn an_old_name_ends_with_its_caller_as_the_tool_does() {
        let offered = offered(|_| {});
        let goes_on = |name: &str, arguments: Value| {
            offered.meant(name, arguments.as_object().unwrap().clone()).unwrap().0.goes_on()
        };
        assert!(goes_on("docker_hosts", json!({"action": "edit", "host_id": "h", "description": "d"})));
        assert!(!goes_on("docker_hosts", json!({"action": "list"})));
        assert!(!goes_on(
            "docker_container",
            json!({"action": "start", "host_id": "h", "container_id": "a"})
        ));
    }
}
