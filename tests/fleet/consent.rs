//! Who is asked before what is done, by the protocol itself: each way in, each era, with a person behind the client or
//! without, for each risk, policy and fallback; and what the engines had done to them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::service::Stdio;
use crate::support::trials::Trial;
use crate::support::wire::{Called, Wire};
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![who_is_asked_is_the_same_by_every_way_in => 120]
}

const ERAS: [&str; 3] = ["2025-06-18", "2025-11-25", "2026-07-28"];
const FALLBACKS: [&str; 3] = ["plan", "deny", "allow"];
const POLICIES: [(&str, &str); 3] = [("h1", "rw"), ("h2", "no_destructive"), ("h3", "ro")];

/// Whether a client can put a question to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Mute,
    /// It opens pages and shows no forms.
    Pages,
    Asks,
}

impl Client {
    fn capabilities(self, era: &str) -> Value {
        match self {
            Self::Mute => json!({}),
            Self::Pages => json!({"elicitation": {"url": {}}}),
            // before there were two ways none was named
            Self::Asks if era == ERAS[0] => json!({"elicitation": {}}),
            Self::Asks => json!({"elicitation": {"form": {}}}),
        }
    }
}

/// What a change may lose, and with it what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Risk {
    Nothing,
    Yes,
    Name,
}

const RISKS: [Risk; 3] = [Risk::Nothing, Risk::Yes, Risk::Name];

impl Risk {
    /// A change to a thing of this name that is so risky.
    fn call(self, host: &str, name: &str) -> (&'static str, Value) {
        match self {
            Self::Nothing => ("volume_create", json!({"host": host, "name": name})),
            Self::Yes => ("container_remove", json!({"host": host, "containers": [name]})),
            Self::Name => ("volume_remove", json!({"host": host, "volumes": [name]})),
        }
    }

    /// What to say to the question, which is the right one.
    fn agreement(self, name: &str, question: &Value) -> Value {
        let fields: Vec<&String> =
            question["requestedSchema"]["properties"].as_object().expect("a form").keys().collect();
        assert!(question["message"].as_str().is_some_and(|text| text.contains(name)), "{question}");
        match self {
            Self::Nothing => panic!("nothing is asked: {question}"),
            Self::Yes => {
                assert_eq!(fields, ["yes"], "{question}");
                json!({"action": "accept", "content": {"yes": true}})
            }
            Self::Name => {
                assert_eq!(fields, ["name"], "{question}");
                json!({"action": "accept", "content": {"name": name}})
            }
        }
    }

    /// Answers that are no agreement.
    fn refusals(self) -> [Value; 2] {
        let other = match self {
            Self::Name => json!({"action": "accept", "content": {"name": "another"}}),
            _ => json!({"action": "accept", "content": {"yes": false}}),
        };
        [json!({"action": "decline"}), other]
    }
}

/// What a client is answered that may do it, or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is done, and nobody is asked.
    Done,
    /// The person is asked first.
    Asked,
    /// It is told what would be done, and does it by the word that comes with that.
    Planned,
    /// It is told that a person has to agree.
    Unagreed,
    /// The host's policy does not permit it.
    Denied,
}

/// The rule that all of this is about.
fn expected(client: Client, risk: Risk, policy: &str, fallback: &str) -> Outcome {
    match (policy, risk) {
        ("ro", _) | ("no_destructive", Risk::Yes | Risk::Name) => return Outcome::Denied,
        (_, Risk::Nothing) => return Outcome::Done,
        _ => {}
    }
    match (client, fallback) {
        (Client::Asks, _) => Outcome::Asked,
        (_, "plan") => Outcome::Planned,
        (_, "deny") => Outcome::Unagreed,
        _ => Outcome::Done,
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    way: &'static str,
    era: &'static str,
    client: Client,
    risk: Risk,
    host: &'static str,
    policy: &'static str,
    fallback: &'static str,
}

impl Cell {
    fn outcome(&self) -> Outcome {
        expected(self.client, self.risk, self.policy, self.fallback)
    }

    /// The thing it is about; `left` is not to be touched, `done` is.
    fn thing(&self, which: &str) -> String {
        let Self { way, era, client, risk, fallback, .. } = self;
        format!("{way}-{era}-{client:?}-{fallback}-{risk:?}-{which}").to_lowercase()
    }

    /// Its things: those that stay as they are, and those that something is done to.
    fn things(&self) -> (Vec<String>, Vec<String>) {
        let (left, done) = (vec![self.thing("left")], vec![self.thing("done")]);
        match self.outcome() {
            Outcome::Done => (vec![], done),
            Outcome::Asked | Outcome::Planned => (left, done),
            Outcome::Unagreed | Outcome::Denied => (left, vec![]),
        }
    }

    /// What the audit has of the thing that is left and of the other: the verdicts, and how their reasons begin.
    fn audited(&self) -> [Vec<(&'static str, &'static str)>; 2] {
        let (asked, told) =
            (("planned", "a person is asked (plan "), ("planned", "it was told what it would do (plan "));
        match self.outcome() {
            Outcome::Done if self.risk == Risk::Nothing => [vec![], vec![("accepted", "")]],
            Outcome::Done => [vec![], vec![("accepted", "nobody was asked: confirm_fallback is allow")]],
            Outcome::Denied => [vec![("refused", self.host)], vec![]],
            Outcome::Unagreed => [vec![("refused", "a person has to agree to this")], vec![]],
            Outcome::Planned => [
                vec![told, ("refused", "confirm: it is for another call")],
                vec![told, ("accepted", "the call brought its plan's confirm (plan ")],
            ],
            Outcome::Asked => {
                let (other, agreed) = match self.risk {
                    Risk::Name => ("the name that was typed is not", "a person typed the name (plan "),
                    _ => ("the person did not agree; nothing was changed (plan ", "a person said yes (plan "),
                };
                let no = ("refused", "the person said no; nothing was changed (plan ");
                let nothing = ("refused", "the person did not answer; nothing was changed (plan ");
                [
                    vec![asked, no, asked, ("refused", other), told, asked, nothing],
                    vec![asked, ("accepted", agreed)],
                ]
            }
        }
    }

    /// Whether the audit, the newest first, has that.
    fn is_audited(&self, audit: &[Value]) {
        for (which, wanted) in ["left", "done"].into_iter().zip(self.audited()) {
            let name = format!("\"{}\"", self.thing(which));
            let is_mine =
                |entry: &&Value| entry["host"] == self.host && entry["arguments"].to_string().contains(&name);
            let found: Vec<(&str, &str)> = audit
                .iter()
                .rev()
                .filter(is_mine)
                .map(|entry| {
                    (entry["verdict"].as_str().unwrap(), entry["reason"].as_str().unwrap_or_default())
                })
                .collect();
            let fits = found.iter().zip(&wanted).all(|(found, wanted)| {
                found.0 == wanted.0
                    && found.1.starts_with(wanted.1)
                    && found.1.is_empty() == wanted.1.is_empty()
            });
            assert!(fits && found.len() == wanted.len(), "{self:?} {which}: {found:#?}, not {wanted:#?}");
            if let ([(_, plan), (_, agreed)], "done") = (&found[..], which) {
                let plan = plan.rsplit_once("(plan ").expect("a plan").1;
                assert!(agreed.ends_with(plan), "{self:?}: {found:?}");
            }
        }
    }

    async fn try_it(&self, wire: &mut Wire) {
        let (tool, kept) = self.risk.call(self.host, &self.thing("left"));
        let (_, taken) = self.risk.call(self.host, &self.thing("done"));
        let nobody = |question: &Value| -> Value { panic!("{self:?}: nobody is asked: {question}") };
        match self.outcome() {
            Outcome::Done => self.is_done(&wire.call(tool, &taken, nobody).await),
            Outcome::Denied => self.is_error(&wire.call(tool, &kept, nobody).await, "policy_denied"),
            Outcome::Unagreed => {
                self.is_error(&wire.call(tool, &kept, nobody).await, "confirmation_required");
            }
            Outcome::Planned => {
                self.confirm(wire, tool, &kept).await;
                let (arguments, plan) = (taken.clone(), self.confirm(wire, tool, &taken).await);
                self.is_done(&wire.call(tool, &confirmed(arguments, &plan), nobody).await);
                // once, and for nothing else
                let again = wire.call(tool, &confirmed(kept, &plan), nobody).await;
                self.is_error(&again, "confirmation_required");
            }
            Outcome::Asked => {
                for refusal in self.risk.refusals() {
                    let called = wire.call(tool, &kept, |_| refusal.clone()).await;
                    assert_eq!(called.asked.len(), 1, "{self:?}: {called:?}");
                    self.is_error(&called, "confirmation_required");
                }
                // a model that brings the word of a plan does not speak for the person
                let mut plan = kept.clone();
                plan["dry_run"] = json!(true);
                let plan = self.plan(&wire.call(tool, &plan, nobody).await);
                let called = wire.call(tool, &confirmed(kept, &plan), |_| json!({"action": "cancel"})).await;
                assert_eq!(called.asked.len(), 1, "{self:?}: {called:?}");
                self.is_error(&called, "confirmation_required");
                let name = self.thing("done");
                let called = wire.call(tool, &taken, |question| self.risk.agreement(&name, question)).await;
                assert_eq!(called.asked.len(), 1, "{self:?}: {called:?}");
                self.is_done(&called);
            }
        }
    }

    /// The word in the plan that a call is answered with.
    async fn confirm(&self, wire: &mut Wire, tool: &str, arguments: &Value) -> Value {
        let called = wire.call(tool, arguments, |question| panic!("{self:?}: {question}")).await;
        self.plan(&called)
    }

    fn plan(&self, called: &Called) -> Value {
        let told = &called.answer["result"]["structuredContent"];
        assert_eq!((&told["state"], told.get("job")), (&json!("planned"), None), "{self:?}: {called:?}");
        assert!(told["confirm"].is_string() && told["plan"][0]["name"].is_string(), "{self:?}: {told}");
        told["confirm"].clone()
    }

    fn is_done(&self, called: &Called) {
        let told = &called.answer["result"]["structuredContent"];
        assert_eq!((&told["state"], told["job"].is_string()), (&json!("done"), true), "{self:?}: {called:?}");
    }

    fn is_error(&self, called: &Called, kind: &str) {
        let result = &called.answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["isError"] == true && text.starts_with(kind), "{self:?}: {called:?}");
    }
}

/// The same call with the word of a plan.
fn confirmed(mut arguments: Value, word: &Value) -> Value {
    arguments["confirm"] = word.clone();
    arguments
}

/// All cells of one client.
fn cells(way: &'static str, era: &'static str, client: Client, fallback: &'static str) -> Vec<Cell> {
    let of = |risk| move |(host, policy)| Cell { way, era, client, risk, host, policy, fallback };
    RISKS.into_iter().flat_map(|risk| POLICIES.into_iter().map(of(risk))).collect()
}

/// The clients: one that opens pages is no other for a fallback than one that does nothing.
fn clients() -> Vec<(&'static str, Client)> {
    let of = |era| [Client::Mute, Client::Pages, Client::Asks].map(|client| (era, client));
    let all = ERAS.into_iter().flat_map(of);
    // the first era knew one way of asking
    all.filter(|(era, client)| *client != Client::Pages || *era != ERAS[0]).collect()
}

/// The names of a host's things of this kind.
fn listed(host: &Host, risk: Risk) -> BTreeSet<String> {
    let words: &[&str] = match risk {
        Risk::Yes => &["ps", "-a", "--format", "{{.Names}}"],
        Risk::Nothing | Risk::Name => &["volume", "ls", "-q"],
    };
    host.docker(words).lines().map(ToOwned::to_owned).collect()
}

async fn who_is_asked_is_the_same_by_every_way_in(fleet: &Fleet) {
    let mut all: Vec<Cell> = vec![];
    for way in ["http", "stdio"] {
        for (era, client) in clients() {
            all.extend(FALLBACKS.into_iter().flat_map(|fallback| cells(way, era, client, fallback)));
        }
    }
    std::thread::scope(|scope| {
        for (host, _) in POLICIES {
            let all = &all;
            scope.spawn(move || make_things(fleet.host(host), all));
        }
    });
    let before = POLICIES.map(|(host, _)| listed(fleet.host(host), Risk::Name));
    let services: Vec<Service> = FALLBACKS
        .into_iter()
        .map(|fallback| {
            let config = POLICIES.iter().fold(ServiceConfig::none(fleet), |config, (host, policy)| {
                config.with(fleet.host(host), &[&format!("policy: {policy}")])
            });
            Service::start(&config.server(&format!("confirm_fallback: {fallback}")))
        })
        .collect();
    let hosts = POLICIES.map(|(host, _)| host);
    join_all(services.iter().map(|service| service.wait_ready(&hosts))).await;
    let tried = services.iter().zip(FALLBACKS).map(|(service, fallback)| {
        let home = service.home();
        // with a service at work, this one leads to it
        let programs: Vec<_> = clients().iter().map(|_| home.command(&["stdio"])).collect();
        let address = service.address();
        tokio::spawn(async move {
            for (era, client) in clients() {
                let mut wire = Wire::http(address, era, client.capabilities(era)).await;
                for cell in cells("http", era, client, fallback) {
                    cell.try_it(&mut wire).await;
                }
            }
            for ((era, client), program) in clients().into_iter().zip(programs) {
                let stdio = Stdio::start_with(program);
                let mut wire = Wire::stdio(stdio, era, client.capabilities(era)).await;
                for cell in cells("stdio", era, client, fallback) {
                    cell.try_it(&mut wire).await;
                }
            }
        })
    });
    for tried in join_all(tried.collect::<Vec<_>>()).await {
        tried.expect("no cell fails");
    }
    for (service, fallback) in services.iter().zip(FALLBACKS) {
        let home = service.home();
        let told = home.command(&["audit", "--json", "--limit", "10000"]).output().expect("it runs").stdout;
        let audit: Vec<Value> = String::from_utf8_lossy(&told)
            .lines()
            .map(|line| serde_json::from_str(line).expect("an entry of JSON"))
            .collect();
        all.iter().filter(|cell| cell.fallback == fallback).for_each(|cell| cell.is_audited(&audit));
    }
    // what the engines have had done to them, cell by cell
    for ((host, _), before) in POLICIES.into_iter().zip(before) {
        let engine = fleet.host(host);
        let (containers, volumes) = (listed(engine, Risk::Yes), listed(engine, Risk::Name));
        for cell in all.iter().filter(|cell| cell.host == host) {
            let there = |name: &String| match cell.risk {
                Risk::Yes => containers.contains(name),
                Risk::Nothing | Risk::Name => volumes.contains(name),
            };
            let (left, done) = cell.things();
            let adds = cell.risk == Risk::Nothing;
            assert!(left.iter().all(|name| there(name) != adds), "{cell:?}: it was done");
            assert!(done.iter().all(|name| there(name) == adds), "{cell:?}: it was not done");
        }
        let new: Vec<&String> = volumes.difference(&before).collect();
        let made = all.iter().filter(|cell| cell.host == host && cell.risk == Risk::Nothing);
        assert_eq!(new.len(), made.map(|cell| cell.things().1.len()).sum::<usize>(), "{new:?}");
    }
    drop(services);
    for (host, _) in POLICIES {
        let script =
            "docker ps -aq | xargs -r docker rm -f && docker volume ls -q | xargs -r docker volume rm";
        fleet.host(host).exec(&["sh", "-c", script]);
    }
}

/// What the cells of a host would take away.
fn make_things(host: &Host, all: &[Cell]) {
    let mine = || all.iter().filter(|cell| cell.host == host.name());
    let of = |risk: Risk| {
        let things = mine().filter(move |cell| cell.risk == risk).map(Cell::things);
        things.flat_map(|(left, done)| left.into_iter().chain(done)).collect::<Vec<String>>()
    };
    for (risk, script) in [
        (Risk::Yes, "for name; do docker create --name $name $IMAGE true; done"),
        (Risk::Name, "for name; do docker volume create $name; done"),
    ] {
        let script = format!("IMAGE={IMAGE}; {script}");
        let names = of(risk);
        let words: Vec<&str> =
            ["sh", "-ec", &script, "sh"].into_iter().chain(names.iter().map(String::as_str)).collect();
        host.exec(&words);
    }
}
