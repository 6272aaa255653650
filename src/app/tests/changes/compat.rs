//! Calls by the predecessor's names: nothing that the tools they are calls of would not do, or not without asking.

use super::World;
use super::consent::{asked, call, told, yes};
use crate::app::App;
use crate::domain::toolset::Offer;
use crate::journal::record::Verdict;
use crate::mcp::{Caller, Consent, ToolOutput, Wants};
use serde_json::{Value, json};

fn remove(container: &str) -> Value {
    json!({"action": "remove", "host_id": "nas", "container_id": container, "force": true})
}

fn hosts(world: &World, lines: &str) {
    std::fs::write(world.data.path().join("hosts.yml"), format!("hosts:\n{lines}")).unwrap();
}

/// The audit, the oldest first.
async fn audit(app: &App) -> Vec<(String, Verdict)> {
    let journal = app.directory().changes().journal().reader().await.unwrap();
    let audit = journal.audit(50, None).await.unwrap();
    audit.into_iter().rev().map(|entry| (entry.entry.tool, entry.entry.verdict)).collect()
}

#[test]
fn a_removal_by_its_old_name_is_asked_about_as_by_its_own() {
    let world = World::new();
    world.lives(async |app| {
        let asking = asked(app, "docker_container", &remove("a")).await;
        assert_eq!(asking.question.wants, Wants::Yes);
        assert_eq!(
            (&asking.plan["state"], &asking.plan["tool"]),
            (&json!("planned"), &json!("container_remove"))
        );
        // The agreement is to this container and to no other.
        let other = call(app, "docker_container", remove("b"), yes(&asking)).await.unwrap_err();
        assert!(other.contains("it is for another call"), "{other}");
        assert!(world.effects().is_empty());
        let done = call(app, "docker_container", remove("a"), yes(&asking)).await;
        let Ok(ToolOutput::Structured(done)) = done else { panic!("{done:?}") };
        assert_eq!((&done["state"], &done["tool"]), (&json!("done"), &json!("container_remove")));
        assert_eq!(world.effects(), ["remove a"]);
        // Once.
        world.fake.model("nas", |model| model.add("a", true));
        call(app, "docker_container", remove("a"), yes(&asking)).await.unwrap_err();
        assert_eq!(world.effects(), ["remove a"]);
        // Who cannot be asked has a plan, whose word counts by either name.
        let plan = told(app, "docker_container", remove("b")).await;
        assert_eq!(plan["state"], "planned");
        let own = json!({"host": "nas", "containers": ["b"], "force": true, "confirm": plan["confirm"]});
        assert_eq!(told(app, "container_remove", own).await["state"], "done");
        let audit = audit(app).await;
        assert!(audit.iter().all(|(tool, _)| tool == "container_remove"), "{audit:?}");
        assert!(audit.iter().any(|(_, verdict)| *verdict == Verdict::Refused), "{audit:?}");
    });
}

#[test]
fn a_cleanup_is_planned_first_and_a_check_removes_nothing_whatever_it_brings() {
    let world = World::new();
    world.lives(async |app| {
        let cleanup = |level: &str| json!({"action": "cleanup", "host_id": "nas", "cleanup_type": level});
        let mut check = cleanup("check");
        check["dry_run"] = false.into();
        assert_eq!(told(app, "docker_hosts", check).await["state"], "planned");
        let mut safe = cleanup("safe");
        assert_eq!(told(app, "docker_hosts", safe.clone()).await["state"], "planned");
        safe["dry_run"] = false.into();
        let asking = asked(app, "docker_hosts", &safe).await;
        assert!(world.effects().is_empty());
        call(app, "docker_hosts", safe, yes(&asking)).await.unwrap();
        assert!(!world.containers().contains_key("ended"), "{:?}", world.containers());
    });
}

#[test]
fn one_key_is_one_job_by_whatever_name() {
    let world = World::new();
    world.lives(async |app| {
        let old = json!({"action": "restart", "host_id": "nas", "container_id": "a", "idempotency_key": "k"});
        let new = json!({"host": "nas", "containers": ["a"], "idempotency_key": "k"});
        let first = told(app, "docker_container", old).await;
        let again = told(app, "container_restart", new).await;
        assert_eq!((&again["job"], &again["joined"]), (&first["job"], &json!(true)));
        assert_eq!(world.effects().len(), 1);
    });
}

#[test]
fn what_is_protected_or_not_permitted_is_so_by_old_names_too() {
    let world = World::new();
    world.fake.model("nas", |model| model.label("a", "dockmaster.protected", "true"));
    let one = |action: &str, container: &str| json!({"action": action, "host_id": "nas", "container_id": container});
    world.lives(async |app| {
        for action in ["stop", "restart", "remove"] {
            let refused =
                call(app, "docker_container", one(action, "a"), Consent::Askable).await.unwrap_err();
            assert!(refused.starts_with("policy_denied"), "{action}: {refused}");
        }
    });
    for (policy, refused_ones) in [
        ("ro", &["start", "stop", "restart", "remove", "pull"][..]),
        ("no_destructive", &["stop", "restart", "remove"]),
    ] {
        hosts(&world, &format!("  nas: {{hostname: nas, policy: {policy}}}\n"));
        world.lives(async |app| {
            for action in refused_ones {
                // A pull tells what became of it host by host.
                let words = match call(app, "docker_container", one(action, "b"), Consent::Askable).await {
                    Ok(answer) => format!("{answer:?}"),
                    Err(words) => words,
                };
                assert!(words.contains("policy_denied"), "{policy} {action}: {words}");
            }
            let cleanup =
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "safe", "dry_run": false});
            let refused = call(app, "docker_hosts", cleanup, Consent::Askable).await.unwrap_err();
            assert!(refused.starts_with("policy_denied"), "{policy}: {refused}");
        });
    }
    assert!(world.effects().is_empty(), "{:?}", world.effects());
}

#[test]
fn a_host_is_forgotten_by_its_old_name_when_a_person_agrees() {
    let world = World::new();
    hosts(&world, "  nas: {hostname: nas}\n  pi: {hostname: pi}\n");
    world.lives(async |app| {
        let mut arguments = json!({"action": "remove", "host_id": "pi", "idempotency_key": "k"});
        let plan = told(app, "docker_hosts", arguments.clone()).await;
        assert_eq!(plan["removed"], false);
        assert!(app.directory().host("pi").is_ok());
        arguments["confirm"] = plan["confirm"].clone();
        assert_eq!(told(app, "docker_hosts", arguments).await["removed"], true);
        assert!(app.directory().host("pi").is_err());
        // Policy is only ever tightened, and by no old name at all.
        let edit = json!({"action": "edit", "host_id": "nas", "policy": "rw"});
        let refused = call(app, "docker_hosts", edit, Consent::Askable).await.unwrap_err();
        assert!(refused.contains("unknown field `policy`"), "{refused}");
        let audit = audit(app).await;
        assert!(audit.iter().all(|(tool, _)| tool == "host_remove"), "{audit:?}");
        assert_eq!(audit.last().unwrap().1, Verdict::Accepted);
    });
}

#[test]
fn what_somebody_does_not_offer_is_reached_by_no_old_name() {
    let world = World::new();
    world.lives(async |app| {
        let offer = |change: &dyn Fn(&mut Offer)| {
            let mut offer = Offer { toolsets: "compat".parse().ok(), ..Offer::default() };
            change(&mut offer);
            offer
        };
        let start = json!({"action": "start", "host_id": "nas", "container_id": "ended"});
        for (offer, tool, arguments) in [
            (
                offer(&|offer| offer.exclude.extend(["container_remove".to_owned()])),
                "docker_container",
                remove("a"),
            ),
            (offer(&|offer| offer.no_destructive = true), "docker_container", remove("a")),
            (offer(&|offer| offer.read_only = true), "docker_container", remove("a")),
            (offer(&|offer| offer.read_only = true), "docker_container", start.clone()),
            (
                offer(&|offer| offer.exclude.extend(["prune".to_owned()])),
                "docker_hosts",
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "safe", "dry_run": false}),
            ),
        ] {
            let narrow = app.registry().narrowed(&offer).unwrap();
            let called = |name: &'static str, arguments: Value| {
                narrow.call_by_name(name, arguments.as_object().unwrap().clone(), Caller::default())
            };
            let refused = called(tool, arguments.clone()).await.unwrap_err();
            assert!(
                refused.starts_with("policy_denied: ") && refused.contains("is not offered"),
                "{refused}"
            );
            // Nor by its own: it was not asked for.
            let own =
                called("container_remove", json!({"host": "nas", "containers": ["a"]})).await.unwrap_err();
            assert!(own.contains("there is no tool"), "{own}");
            let listed = called("docker_container", json!({"action": "list"})).await.unwrap();
            assert!(matches!(listed, ToolOutput::Structured(_)));
            // A narrower offer of somebody else's takes nothing back.
            let again = narrow.narrowed(&Offer::all()).unwrap();
            let arguments = arguments.as_object().unwrap().clone();
            again.call_by_name(tool, arguments, Caller::default()).await.unwrap_err();
        }
        let kept = app.registry().narrowed(&offer(&|offer| offer.no_destructive = true)).unwrap();
        let arguments = start.as_object().unwrap().clone();
        kept.call_by_name("docker_container", arguments, Caller::default()).await.unwrap();
        assert_eq!(world.effects(), ["start ended"]);
    });
}

/// Two names in one, options, paths: what is passed on is a name there too, or none.
#[test]
fn a_name_that_is_none_reaches_no_engine_by_old_names() {
    let world = World::new();
    world.lives(async |app| {
        for bad in ["c14 c15", "--help", "-v", "a\nb", "../images", "a/../../b", "$(id)", "\u{202e}a", "a\0b"]
        {
            for action in ["info", "logs", "start", "stop", "restart", "remove", "pull"] {
                let arguments = json!({"action": action, "host_id": "nas", "container_id": bad});
                let answer = call(app, "docker_container", arguments, Consent::Unaskable).await;
                assert!(answer.is_err(), "{action} {bad:?}: {answer:?}");
            }
            for (tool, arguments) in [
                ("docker_container", json!({"action": "stop", "host_id": bad, "container_id": "a"})),
                ("docker_compose", json!({"action": "view", "host_id": "nas", "stack_name": bad})),
                ("docker_hosts", json!({"action": "add", "host_id": bad, "ssh_host": "pi"})),
                (
                    "docker_hosts",
                    json!({"action": "add", "host_id": "pi", "ssh_host": bad, "ssh_user": "ops"}),
                ),
                (
                    "docker_hosts",
                    json!({"action": "add", "host_id": "pi", "ssh_host": "pi", "ssh_user": bad}),
                ),
            ] {
                call(app, tool, arguments, Consent::Unaskable).await.unwrap_err();
            }
        }
        let asked = world.fake.deeds("nas");
        assert_eq!(asked.iter().find(|deed| !deed.starts_with("GET ") && !deed.starts_with("exec ")), None);
        assert!(world.effects().is_empty());
    });
}
