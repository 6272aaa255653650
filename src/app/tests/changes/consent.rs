//! Before a change begins: what is protected, what a person is asked, and what an agreement is good for.

use super::{LONG, Life, World};
use crate::actors::changes::Wish;
use crate::app::App;
use crate::domain::change::{Affected, AffectedKind, Asker, BEARER, Bound, Change, OWNER, StopMode};
use crate::journal::record::{ChangeState, Verdict};
use crate::mcp::{Asking, Caller, Consent, Response, Said, ToolOutput, Wants};
use serde_json::{Value, json};

impl World {
    /// A service that nothing crashes.
    pub(super) fn lives<T>(&self, work: impl AsyncFnOnce(&App) -> T) -> T {
        match self.live(|_| false, work) {
            Life::Lived(lived) => lived,
            Life::Crashed => panic!("it crashed"),
        }
    }

    /// Another container takes a name.
    fn replace(&self, name: &str) {
        self.fake.model("nas", |model| model.replace(name));
    }
}

pub(super) async fn call(
    app: &App,
    tool: &str,
    arguments: Value,
    consent: Consent,
) -> Result<ToolOutput, String> {
    call_as(OWNER, app, tool, arguments, consent).await
}

async fn call_as(
    principal: &str,
    app: &App,
    tool: &str,
    arguments: Value,
    consent: Consent,
) -> Result<ToolOutput, String> {
    let Value::Object(arguments) = arguments else { panic!() };
    let asker = Asker { principal: principal.into(), client: "test".into() };
    app.registry().call_by_name(tool, arguments, Caller { consent, ..Caller::from(asker) }).await
}

pub(super) async fn asked(app: &App, tool: &str, arguments: &Value) -> Asking {
    match call(app, tool, arguments.clone(), Consent::Askable).await {
        Ok(ToolOutput::Asks(asking)) => *asking,
        other => panic!("{other:?}"),
    }
}

/// The answer of a call whose client can ask nobody.
pub(super) async fn told(app: &App, tool: &str, arguments: Value) -> Value {
    match call(app, tool, arguments, Consent::Unaskable).await {
        Ok(ToolOutput::Structured(answer) | ToolOutput::Planned(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

pub(super) fn yes(asking: &Asking) -> Consent {
    Consent::Answered(Response { token: asking.token.clone(), said: Said::Yes })
}

fn remove(containers: &[&str]) -> Value {
    json!({"host": "nas", "containers": containers, "force": true})
}

#[test]
fn a_removal_is_made_once_it_is_agreed_to_and_once_only() {
    let world = World::new();
    world.lives(async |app| {
        let arguments = remove(&["a"]);
        let asking = asked(app, "container_remove", &arguments).await;
        assert_eq!(asking.question.wants, Wants::Yes);
        assert!(asking.question.text.contains("container a"), "{}", asking.question.text);
        assert_eq!(asking.plan["state"], "planned");
        assert!(world.effects().is_empty(), "nothing was done");
        let done = call(app, "container_remove", arguments.clone(), yes(&asking)).await;
        let Ok(ToolOutput::Structured(done)) = done else { panic!("{done:?}") };
        assert_eq!((&done["state"], world.effects()), (&json!("done"), vec!["remove a".to_owned()]));
        // One that came back under the name, and the same container: neither by the same agreement.
        world.fake.model("nas", |model| model.add("a", true));
        let again = call(app, "container_remove", arguments, yes(&asking)).await.unwrap_err();
        assert!(again.starts_with("confirmation_required"), "{again}");
    });
}

#[test]
fn an_agreement_counts_once_whatever_became_of_the_first() {
    let world = World::new();
    world.fake.model("nas", |model| model.refuse("DELETE"));
    world.lives(async |app| {
        let arguments = remove(&["a"]);
        let asking = asked(app, "container_remove", &arguments).await;
        let failed = call(app, "container_remove", arguments.clone(), yes(&asking)).await;
        let Ok(ToolOutput::Structured(failed)) = failed else { panic!("{failed:?}") };
        assert_eq!(failed["state"], "failed");
        let again = call(app, "container_remove", arguments, yes(&asking)).await.unwrap_err();
        assert!(again.contains("has been begun already"), "{again}");
    });
}

#[test]
fn an_agreement_is_for_these_arguments_and_these_containers() {
    let world = World::new();
    world.lives(async |app| {
        let asking = asked(app, "container_remove", &remove(&["a"])).await;
        for other in [remove(&["b"]), remove(&["a", "b"]), json!({"host": "nas", "containers": ["a"]})] {
            let refused = call(app, "container_remove", other, yes(&asking)).await.unwrap_err();
            assert!(refused.contains("it is for another call"), "{refused}");
        }
        world.replace("a");
        let refused = call(app, "container_remove", remove(&["a"]), yes(&asking)).await.unwrap_err();
        assert!(refused.contains("not the same any more"), "{refused}");
        assert!(world.effects().is_empty());
    });
}

#[test]
fn what_comes_under_a_name_after_it_was_permitted_is_left_alone() {
    let world = World::new();
    let seen = [Affected::new(AffectedKind::Container, "seen before", "a")];
    let record = world.lives(async |app| {
        let host = app.directory().host("nas").unwrap();
        let wish = Wish {
            change: Change::ContainerStop {
                containers: vec!["a".parse().unwrap()],
                grace: None,
                mode: StopMode::Stop,
            },
            bound: Some(Bound::to(&seen)),
            agreement: None,
            asker: Asker::default(),
            key: None,
            arguments: Value::Null,
        };
        let session = host.session(LONG).await.unwrap();
        let (id, _) = app.directory().changes().begin(&host, &session, wish).await.unwrap();
        app.directory().changes().wait(id, LONG).await.unwrap().unwrap()
    });
    assert_eq!(record.state, ChangeState::Failed);
    assert!(record.words.unwrap().contains("another one of that name"));
    assert!(world.effects().is_empty() && world.containers()["a"]);
}

#[test]
fn who_cannot_be_asked_gets_a_plan_and_repeats_the_call_with_its_word() {
    let world = World::new();
    world.lives(async |app| {
        let mut arguments = remove(&["a"]);
        let plan = told(app, "container_remove", arguments.clone()).await;
        assert_eq!((&plan["state"], &plan["plan"][0]["name"]), (&json!("planned"), &json!("a")));
        assert!(plan.get("job").is_none() && world.effects().is_empty());
        arguments["confirm"] = plan["confirm"].clone();
        // Who can be asked is asked, whatever the model brings along.
        let asking = asked(app, "container_remove", &arguments).await;
        assert_ne!(asking.token, plan["confirm"]);
        assert_eq!(told(app, "container_remove", arguments).await["state"], "done");
    });
}

#[test]
fn the_loss_of_volumes_wants_the_name_typed() {
    let world = World::new();
    world.lives(async |app| {
        let mut arguments = remove(&["a"]);
        arguments["volumes"] = true.into();
        let asking = asked(app, "container_remove", &arguments).await;
        assert_eq!(asking.question.wants, Wants::Name("a".into()));
        let typed = |name: &str| {
            Consent::Answered(Response { token: asking.token.clone(), said: Said::Name(name.into()) })
        };
        for wrong in [yes(&asking), typed("b"), typed("")] {
            call(app, "container_remove", arguments.clone(), wrong).await.unwrap_err();
        }
        assert!(world.effects().is_empty());
        call(app, "container_remove", arguments.clone(), typed("a")).await.unwrap();
        assert_eq!(world.effects(), ["remove a"]);
    });
}

#[test]
fn a_repeated_call_finds_its_job_without_another_question() {
    let world = World::new();
    world.lives(async |app| {
        let mut arguments = remove(&["a"]);
        arguments["idempotency_key"] = "k".into();
        let asking = asked(app, "container_remove", &arguments).await;
        let first = call(app, "container_remove", arguments.clone(), yes(&asking)).await;
        let Ok(ToolOutput::Structured(first)) = first else { panic!("{first:?}") };
        let again = told(app, "container_remove", arguments.clone()).await;
        assert_eq!((&again["job"], &again["joined"]), (&first["job"], &json!(true)));
        arguments["containers"] = json!(["b"]);
        let taken = call(app, "container_remove", arguments, Consent::Askable).await.unwrap_err();
        assert!(taken.starts_with("conflict"), "{taken}");
        assert_eq!(world.effects(), ["remove a"]);
    });
}

#[test]
fn protected_containers_are_refused_and_left_out_of_what_is_swept() {
    let world = World::new();
    world.fake.model("nas", |model| {
        model.label("a", "dockmaster.protected", "true");
        model.label("ended", "mcp.protected", "yes");
        model.add("other", false);
        model.add("gate", true);
        model.publish("gate", 22);
    });
    let file = "  nas: {hostname: nas, protected: [b*]}\n  again: {hostname: NAS}\n";
    std::fs::write(world.data.path().join("hosts.yml"), format!("hosts:\n{file}")).unwrap();
    world.lives(async |app| {
        for (tool, container, why) in [
            ("container_stop", "a", "its label dockmaster.protected protects it"),
            ("container_restart", "a", "its label dockmaster.protected protects it"),
            ("container_remove", "b", "the hosts file protects b*"),
            ("container_stop", "gate", "line to the host goes through its port 22"),
            ("container_remove", "gate", "line to the host goes through its port 22"),
        ] {
            let arguments = json!({"host": "nas", "containers": ["other", container]});
            let refused = call(app, tool, arguments, Consent::Askable).await.unwrap_err();
            assert!(refused.starts_with("policy_denied") && refused.contains(why), "{tool}: {refused}");
            assert!(refused.contains("A person can"), "{refused}");
        }
        assert!(world.effects().is_empty());
        // What does no harm is done to them too.
        let started = told(app, "container_start", json!({"host": "nas", "containers": ["ended"]})).await;
        assert_eq!(started["state"], "done");
        told(app, "container_stop", json!({"host": "nas", "containers": ["other"]})).await;
        world.fake.model("nas", |model| model.add("rest", false));
        world.fake.model("nas", |model| model.add("bygone", false));
        let asking =
            asked(app, "prune", &json!({"host": "nas", "what": ["containers"], "dry_run": false})).await;
        let kept = asking.plan["plan"].as_array().unwrap().iter().filter(|thing| thing.get("kept").is_some());
        assert_eq!(kept.map(|thing| thing["name"].as_str().unwrap()).collect::<Vec<_>>(), ["bygone"]);
        let arguments = json!({"host": "nas", "what": ["containers"], "dry_run": false});
        call(app, "prune", arguments, yes(&asking)).await.unwrap();
        let left = world.containers();
        assert!(
            left.contains_key("bygone") && !left.contains_key("rest") && !left.contains_key("other"),
            "{left:?}"
        );
    });
}

#[test]
fn a_host_is_forgotten_when_a_person_agrees_and_a_key_remembers_only_that() {
    let world = World::new();
    let file = "  nas: {hostname: nas}\n  pi: {hostname: pi}\n";
    std::fs::write(world.data.path().join("hosts.yml"), format!("hosts:\n{file}")).unwrap();
    world.lives(async |app| {
        let mut arguments = json!({"host": "pi", "idempotency_key": "k"});
        let asking = asked(app, "host_remove", &arguments).await;
        assert!(asking.question.text.contains("host pi"), "{}", asking.question.text);
        let plan = told(app, "host_remove", arguments.clone()).await;
        assert_eq!(plan["removed"], false);
        assert!(app.directory().host("pi").is_ok());
        arguments["confirm"] = plan["confirm"].clone();
        assert_eq!(told(app, "host_remove", arguments).await["removed"], true);
        assert!(app.directory().host("pi").is_err());
        let again = told(app, "host_remove", json!({"host": "pi", "idempotency_key": "k"})).await;
        assert_eq!(again["removed"], true, "its key is remembered with what was done");
    });
}

/// The audit of `tool`, the oldest first.
async fn audit(app: &App, tool: &str) -> Vec<(Verdict, String)> {
    let journal = app.directory().changes().journal().reader().await.unwrap();
    let audit = journal.audit(50, None).await.unwrap().into_iter().rev().map(|record| record.entry);
    let of_tool = audit.filter(|entry| entry.tool == tool);
    of_tool.map(|entry| (entry.verdict, entry.words.unwrap_or_default())).collect()
}

/// Words with the plan that they are about.
fn about(words: &str, plan: &str) -> String {
    format!("{words} (plan {plan})")
}

/// The plan that words are about.
fn plan_of((_, words): &(Verdict, String)) -> String {
    words.rsplit_once("(plan ").unwrap().1.trim_end_matches(')').to_owned()
}

#[test]
fn an_agreement_is_good_for_who_was_asked_and_for_nobody_else() {
    let world = World::new();
    world.lives(async |app| {
        let rollout = json!({"operation": "restart", "selector": "a", "hosts": "nas", "dry_run": false});
        for (tool, arguments) in [
            ("container_remove", remove(&["a"])),
            ("host_remove", json!({"host": "pi"})),
            ("rollout", rollout),
        ] {
            let mut planned = arguments.clone();
            planned["confirm"] = told(app, tool, arguments.clone()).await["confirm"].clone();
            let asking = asked(app, tool, &arguments).await;
            for (arguments, consent) in [(planned, Consent::Unaskable), (arguments, yes(&asking))] {
                let refused = call_as(BEARER, app, tool, arguments, consent).await.unwrap_err();
                assert!(refused.starts_with("confirmation_required"), "{tool}: {refused}");
            }
        }
        assert!(world.effects().is_empty());
    });
}

#[test]
fn the_audit_tells_who_was_asked_and_how_it_was_agreed_to() {
    let world = World::new();
    world.lives(async |app| {
        let asking = asked(app, "container_remove", &remove(&["a"])).await;
        call(app, "container_remove", remove(&["a"]), yes(&asking)).await.unwrap();
        let mut arguments = remove(&["b"]);
        arguments["confirm"] = told(app, "container_remove", arguments.clone()).await["confirm"].clone();
        assert_eq!(told(app, "container_remove", arguments).await["state"], "done");
        let audit_of_jobs = audit(app, "container_remove").await;
        let (first, second) = (plan_of(&audit_of_jobs[0]), plan_of(&audit_of_jobs[2]));
        assert_ne!(first, second);
        assert_eq!(
            audit_of_jobs,
            [
                (Verdict::Planned, about("a person is asked", &first)),
                (Verdict::Accepted, about("a person said yes", &first)),
                (Verdict::Planned, about("it was told what it would do", &second)),
                (Verdict::Accepted, about("the call brought its plan's confirm", &second)),
            ]
        );
        let volumes = json!({"host": "nas", "volumes": ["data"]});
        let asking = asked(app, "volume_remove", &volumes).await;
        let typed = |name: &str| {
            Consent::Answered(Response { token: asking.token.clone(), said: Said::Name(name.into()) })
        };
        call(app, "volume_remove", volumes.clone(), typed("other")).await.unwrap_err();
        call(app, "volume_remove", volumes, typed("data")).await.unwrap();
        let audit_of_volumes = audit(app, "volume_remove").await;
        assert_eq!(audit_of_volumes[1].0, Verdict::Refused);
        assert!(audit_of_volumes[1].1.contains("the name that was typed is not"), "{audit_of_volumes:?}");
        let typed = about("a person typed the name", &plan_of(&audit_of_volumes[0]));
        assert_eq!(audit_of_volumes[2..], [(Verdict::Accepted, typed)]);
        // What is no job has its agreement there too.
        let asking = asked(app, "host_remove", &json!({"host": "pi"})).await;
        call(app, "host_remove", json!({"host": "pi"}), yes(&asking)).await.unwrap();
        let audit_of_hosts = audit(app, "host_remove").await;
        let plan = plan_of(&audit_of_hosts[1]);
        let asked = (Verdict::Asked, String::new());
        let planned = (Verdict::Planned, about("a person is asked", &plan));
        let accepted = (Verdict::Accepted, about("a person said yes", &plan));
        assert_eq!(audit_of_hosts, [asked.clone(), planned, asked, accepted]);
    });
}

#[test]
fn a_confirm_that_is_no_text_is_refused() {
    let world = World::new();
    world.lives(async |app| {
        let wrong =
            call(app, "host_remove", json!({"host": "pi", "confirm": true}), Consent::Unaskable).await;
        let wrong = wrong.unwrap_err();
        assert!(wrong.starts_with("invalid_arguments: host_remove: confirm: invalid type"), "{wrong}");
    });
}

#[test]
fn a_refusal_names_the_host_that_holds_the_engine_to_its_policy() {
    let world = World::new();
    let file = "  nas: {hostname: nas}\n  again: {hostname: NAS, policy: no_destructive}\n  pi: {hostname: pi, policy: ro}\n";
    std::fs::write(world.data.path().join("hosts.yml"), format!("hosts:\n{file}")).unwrap();
    world.lives(async |app| {
        let refused = call(app, "container_remove", remove(&["a"]), Consent::Askable).await.unwrap_err();
        assert!(
            refused.contains("nas is held to no_destructive by again, another name of its engine"),
            "{refused}"
        );
        assert!(refused.contains("dockmaster hosts edit again --policy rw."), "{refused}");
        let mut own = remove(&["a"]);
        own["host"] = "pi".into();
        let refused = call(app, "container_remove", own, Consent::Askable).await.unwrap_err();
        assert!(refused.contains("pi is held to ro, which"), "{refused}");
        assert!(refused.contains("dockmaster hosts edit pi --policy rw."), "{refused}");
    });
}

#[test]
fn other_names_of_an_engine_protect_what_they_name() {
    let world = World::new();
    let file = "  nas: {hostname: nas}\n  again: {hostname: NAS, protected: [label=keep]}\n";
    std::fs::write(world.data.path().join("hosts.yml"), format!("hosts:\n{file}")).unwrap();
    world.fake.model("nas", |model| model.label("a", "keep", ""));
    world.lives(async |app| {
        let arguments = json!({"host": "nas", "containers": ["a"]});
        let refused = call(app, "container_stop", arguments, Consent::Askable).await.unwrap_err();
        assert!(refused.contains("the hosts file protects label=keep"), "{refused}");
        assert_eq!(
            told(app, "container_stop", json!({"host": "nas", "containers": ["b"]})).await["state"],
            "done"
        );
    });
}
