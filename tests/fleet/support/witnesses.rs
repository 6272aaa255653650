//! The recorders of hosts that are well, and what has been asked of them.

use std::time::Instant;

use serde_json::{Value, json};

use super::mcp_client::ToolAnswer;
use super::recorder::EngineRecorder;
use super::{Host, Service};

/// Hosts that are well while others are not.
pub struct Witnesses<'a> {
    hosts: Vec<(&'a Host, EngineRecorder)>,
    logins: Vec<usize>,
    calls: usize,
}

impl<'a> Witnesses<'a> {
    /// Puts a recorder on each.
    pub fn install(well: impl IntoIterator<Item = &'a Host>) -> Self {
        let hosts: Vec<_> = well.into_iter().map(|host| (host, host.record_engine())).collect();
        let logins = hosts.iter().map(|(host, _)| host.ssh_logins()).collect();
        Self { hosts, logins, calls: 0 }
    }

    /// Counts anew.
    pub fn clear(&mut self) {
        self.calls = 0;
        self.hosts.iter().for_each(|(_, recorder)| recorder.clear());
        self.logins = self.hosts.iter().map(|(host, _)| host.ssh_logins()).collect();
    }

    /// Lists the containers of all hosts.
    pub async fn list(&mut self, service: &Service) -> ToolAnswer {
        self.list_of(service, "*").await
    }

    /// Lists the containers of these hosts, the witnesses among them: their rows must come from a
    /// request made after the call began.
    pub async fn list_of(&mut self, service: &Service, selected: &str) -> ToolAnswer {
        let started = Instant::now();
        let answer = service.call("container_list", json!({"hosts": selected})).await;
        assert!(!answer.is_error, "{}", answer.text);
        self.calls += 1;
        for (host, recorder) in &self.hosts {
            assert_eq!(answer.failure(host.name()), Value::Null, "{}", answer.structured);
            let last = recorder.requests().last().cloned();
            assert!(last.is_some_and(|last| last.at > started), "{} was not asked", host.name());
        }
        answer
    }

    /// They were asked exactly as often as the service was, over the lines they had.
    pub fn assert_counts(&self) {
        for ((host, recorder), logins) in self.hosts.iter().zip(&self.logins) {
            let lists = recorder.requests();
            assert!(lists.iter().all(|request| request.path.contains("/containers/json")), "{lists:?}");
            assert_eq!(lists.len(), self.calls, "{}", host.name());
            assert_eq!(host.ssh_logins(), *logins, "{}", host.name());
        }
    }
}

/// A failure as every reader needs it: which host, what, why, when last seen, what to do.
pub fn assert_told(failure: &Value, host: &str) {
    assert_eq!(failure["host"], host, "{failure}");
    let message = failure["message"].as_str().unwrap_or_default();
    assert!(message.contains(host), "{failure}");
    assert!(failure["last_seen"].is_string(), "{failure}");
    assert!(failure["hint"].as_str().is_some_and(|hint| hint.len() > 20), "{failure}");
}

/// The host is told to be down, with its age.
pub fn is_down(failure: &Value) -> bool {
    let text = failure["message"].as_str().unwrap_or_default();
    failure["kind"] == "host_unreachable" && failure["since"].is_string() && text.contains("is down for")
}

/// Nothing crashed on the way: the supervisors had nothing to do.
pub fn assert_nothing_was_restarted(service: &Service) {
    let log = service.log();
    let bad = ["child failed", "restarting", "panicked", "outlived", "quarantine"];
    let found: Vec<&String> = log.iter().filter(|line| bad.iter().any(|word| line.contains(word))).collect();
    assert!(found.is_empty(), "{found:#?}");
}
