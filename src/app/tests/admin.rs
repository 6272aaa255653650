//! Changes of hosts over MCP: what is saved, what the running service makes of it, and what an assistant
//! cannot talk it into.

use super::*;
use crate::actors::admin::AdminError;
use crate::config::{EditError, FieldValue, Fields, HostKey};
use crate::domain::policy::Policy;
use crate::domain::target::HostTarget;
use crate::transport::fake::Scene;
use crate::transport::ssh::SshSettings;

/// A service on these hosts, whose file and directory it has for itself.
struct Ground {
    app: App,
    fake: FakeConnector,
    dir: tempfile::TempDir,
}

impl Ground {
    async fn new(yaml: &str) -> Self {
        let (dir, fake) = (tempfile::tempdir().unwrap(), FakeConnector::default());
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("hosts.yml"), yaml).unwrap();
        std::fs::write(
            path("ssh_config"),
            "Host edge\n  HostName 10.0.0.8\nHost down\n  HostName 10.0.0.9\n",
        )
        .unwrap();
        let sources = Sources {
            config: Some(path("hosts.yml")),
            ssh: SshSettings { config: Some(path("ssh_config")) },
            data_dir: Some(path("")),
            ..Sources::default()
        };
        let settings = load(&sources).unwrap();
        let outside = outside(Arc::new(fake.clone()));
        let app = App::with_listeners(sources, settings, outside, |_, _| Ok((vec![], None)));
        Self { app: app.await.unwrap(), fake, dir }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("hosts.yml")).unwrap()
    }

    fn policy(&self, id: &str) -> Policy {
        self.app.directory().policy(&id.parse().unwrap())
    }

    async fn ready(&self, id: &str) {
        let mut host = self.app.directory().host(id).unwrap();
        host.wait_for(|status| matches!(status.phase, Phase::Ready(_))).await.unwrap();
    }

    async fn add(&self, id: &str, target: &str, policy: Option<Policy>) -> Result<Policy, AdminError> {
        let target: HostTarget = target.parse().unwrap();
        let saved = self.app.admin().add(id.parse().unwrap(), &target, asked(policy)).await?;
        Ok(saved.spec.policy)
    }

    async fn update(&self, id: &str, target: Option<&str>, policy: Option<Policy>) -> Result<(), AdminError> {
        let target: Option<HostTarget> = target.map(|target| target.parse().unwrap());
        self.app.admin().update(id.parse().unwrap(), target.as_ref(), asked(policy)).await.map(drop)
    }
}

fn asked(policy: Option<Policy>) -> Fields {
    let field = |policy: Policy| (HostKey::POLICY, Some(FieldValue::Text(policy.word().to_owned())));
    policy.map(field).into_iter().collect()
}

#[tokio::test]
async fn s10_an_added_host_is_tried_saved_and_there_when_the_call_returns() {
    let ground = Ground::new("# mine\nhosts:\n  nas: {hostname: nas, user: a} # the big one\n").await;
    ground.ready("nas").await;
    assert_eq!(ground.add("pi", "ops@pi.lan", None).await.unwrap(), Policy::NoDestructive);
    assert_eq!(
        ground.text(),
        "# mine\nhosts:\n  nas: {hostname: nas, user: a} # the big one\n  pi:\n    hostname: pi.lan\n    user: ops\n    policy: no_destructive\n"
    );
    ground.ready("pi").await;
    assert_eq!(ground.policy("pi"), Policy::NoDestructive);
    assert_eq!(ground.fake.attempts("nas"), 1, "the other host did not notice");
    // once more is nothing new
    assert!(
        !ground
            .app
            .admin()
            .add("pi".parse().unwrap(), &"ops@pi.lan".parse().unwrap(), Fields::new())
            .await
            .unwrap()
            .edited
            .changed
    );
    let other = ground.add("pi", "ops@elsewhere", None).await;
    assert!(matches!(other, Err(AdminError::Edit(EditError::Exists { .. }))), "{other:?}");
}

#[tokio::test]
async fn s10_a_host_that_does_not_answer_is_not_saved() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas}\n").await;
    ground.fake.script("pi", [Scene::Fails(FaultKind::AuthRefused)]);
    let before = ground.text();
    let refused = ground.add("pi", "pi.lan", None).await;
    assert!(matches!(refused, Err(AdminError::Unreachable { .. })), "{refused:?}");
    assert_eq!(ground.text(), before);
    assert!(ground.app.directory().host("pi").is_err());
}

#[tokio::test]
async fn over_mcp_a_policy_is_tightened_and_never_loosened() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas, policy: ro}\n  pi: {hostname: pi}\n").await;
    ground.update("pi", None, Some(Policy::NoDestructive)).await.unwrap();
    assert_eq!(ground.policy("pi"), Policy::NoDestructive);
    for (host, policy) in [("pi", Policy::ReadWrite), ("nas", Policy::NoDestructive)] {
        let refused = ground.update(host, None, Some(policy)).await;
        assert!(matches!(refused, Err(AdminError::Loosens { .. })), "{refused:?}");
    }
    let refused = ground.add("new", "new.lan", Some(Policy::ReadWrite)).await;
    assert!(matches!(refused, Err(AdminError::Loosens { .. })), "{refused:?}");
    assert!(!ground.text().contains("rw"), "{}", ground.text());
}

#[tokio::test]
async fn a_removed_host_comes_back_no_looser_under_any_name() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas.lan, policy: ro}\n  pi: {hostname: pi}\n").await;
    for name in ["nas", "again", "alias", "moved"] {
        ground.fake.name_engine(name, "ENGINE");
    }
    ground.ready("nas").await;
    ground.app.admin().remove("nas".parse().unwrap()).await.unwrap();
    assert!(ground.app.directory().host("nas").is_err());
    assert_eq!(ground.add("again", "NAS.lan", None).await.unwrap(), Policy::ReadOnly, "the same place");
    ground.ready("again").await;
    assert_eq!(ground.add("alias", "10.0.0.2", None).await.unwrap(), Policy::ReadOnly, "the same engine");
    // pointed elsewhere, the engine that is left keeps what it was held to
    ground.update("again", Some("other.lan"), None).await.unwrap();
    ground.app.admin().remove("alias".parse().unwrap()).await.unwrap();
    assert_eq!(ground.add("moved", "10.0.0.3", None).await.unwrap(), Policy::ReadOnly);
}

#[tokio::test]
async fn a_host_that_is_pointed_elsewhere_starts_there_as_a_new_one() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas, port: 2201, tags: [a]} # mine\n").await;
    ground.ready("nas").await;
    assert_eq!(ground.policy("nas"), Policy::ReadWrite);
    ground.update("nas", Some("ops@other"), None).await.unwrap();
    assert_eq!(ground.policy("nas"), Policy::NoDestructive);
    assert_eq!(
        ground.text(),
        "hosts:\n  nas: {hostname: other, tags: [a], user: ops, policy: no_destructive} # mine\n"
    );
    let host = ground.app.directory().host("nas").unwrap();
    assert_eq!(host.spec().endpoint.url(), "ssh://ops@other");
}

#[tokio::test]
async fn several_names_of_one_engine_are_held_to_the_strictest() {
    let ground = Ground::new(
        "hosts:\n  a: {hostname: x}\n  b: {hostname: y, policy: ro}\n  c: {hostname: X, enabled: false}\n",
    )
    .await;
    assert_eq!(ground.policy("a"), Policy::ReadWrite);
    for name in ["a", "b"] {
        ground.fake.name_engine(name, "ENGINE");
    }
    for name in ["a", "b"] {
        ground.ready(name).await;
        ground.fake.cut(name, FaultKind::LinkLost);
        let mut host = ground.app.directory().host(name).unwrap();
        host.wait_for(|status| status.engine_id.as_deref() == Some("ENGINE")).await.unwrap();
    }
    assert_eq!([ground.policy("a"), ground.policy("c")], [Policy::ReadOnly; 2]);
}

#[tokio::test]
async fn s11_an_import_adds_what_answers_and_tells_why_not() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas}\n").await;
    ground.fake.script("down", [Scene::Fails(FaultKind::Timeout)]);
    let everything = globset::Glob::new("*").unwrap().compile_matcher();
    let plan = ground.app.admin().import(&everything, true).await.unwrap();
    assert_eq!(plan.added.len(), 2);
    assert_eq!(ground.fake.attempts("edge"), 0, "a plan connects to nothing");
    let done = ground.app.admin().import(&everything, false).await.unwrap();
    let added: Vec<String> =
        done.added.iter().map(|spec| format!("{} {}", spec.id, spec.endpoint.url())).collect();
    assert_eq!(added, ["edge ssh://edge"]);
    assert!(done.skipped[0].alias == "down" && !done.skipped[0].reason.is_empty(), "{:?}", done.skipped);
    ground.ready("edge").await;
    let again =
        ground.app.admin().import(&globset::Glob::new("e*").unwrap().compile_matcher(), false).await.unwrap();
    assert_eq!(again.skipped[0].reason, "it is the host edge already");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_changes_nothing_in_memory_either() {
    use std::os::unix::fs::PermissionsExt as _;
    let ground = Ground::new("hosts:\n  nas: {hostname: nas}\n  pi: {hostname: pi}\n").await;
    let file = ground.dir.path().join("hosts.yml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let removed = ground.app.admin().remove("nas".parse().unwrap()).await.unwrap_err();
    assert!(removed.to_string().contains("read-only"), "{removed}");
    let updated = ground.update("pi", None, Some(Policy::ReadOnly)).await.unwrap_err();
    assert!(updated.to_string().contains("read-only"), "{updated}");
    assert_eq!(ground.policy("pi"), Policy::ReadWrite);
    assert!(ground.app.directory().host("nas").is_ok());
}

#[tokio::test]
async fn the_last_host_is_a_persons_to_remove_and_no_engine_appears_in_its_place() {
    let ground = Ground::new("hosts:\n  nas: {hostname: nas}\n").await;
    let refused = ground.app.admin().remove("nas".parse().unwrap()).await;
    assert!(matches!(refused, Err(AdminError::Last { .. })), "{refused:?}");
    assert_eq!(ground.text(), "hosts:\n  nas: {hostname: nas}\n");
}

#[tokio::test]
async fn no_other_name_of_an_engine_is_loosened_by_a_removal_or_a_move() {
    let ground =
        Ground::new("hosts:\n  a: {hostname: x, policy: ro}\n  b: {hostname: X}\n  c: {hostname: c}\n").await;
    assert_eq!(ground.policy("b"), Policy::ReadOnly);
    let removed = ground.app.admin().remove("a".parse().unwrap()).await;
    assert!(
        matches!(&removed, Err(AdminError::LoosensOther { other, .. }) if other.as_str() == "b"),
        "{removed:?}"
    );
    let moved = ground.update("a", Some("elsewhere"), None).await;
    assert!(matches!(moved, Err(AdminError::LoosensOther { .. })), "{moved:?}");
    assert_eq!(ground.policy("b"), Policy::ReadOnly);
    ground.update("b", None, Some(Policy::ReadOnly)).await.unwrap();
    ground.app.admin().remove("a".parse().unwrap()).await.unwrap();
    assert_eq!(ground.policy("b"), Policy::ReadOnly);
}

#[tokio::test]
async fn what_cannot_be_told_apart_from_a_host_that_is_held_back_is_held_back() {
    let ground =
        Ground::new("hosts:\n  dark: {hostname: x, policy: ro, enabled: false}\n  nas: {hostname: nas}\n")
            .await;
    ground.ready("nas").await;
    // `dark` was never connected to: it may be anybody
    assert_eq!(ground.add("new", "10.0.0.7", None).await.unwrap(), Policy::ReadOnly);
    std::fs::write(ground.dir.path().join("removed-hosts.json"), "not what it was").unwrap();
    let removed = ground.app.admin().remove("new".parse().unwrap()).await;
    assert!(matches!(removed, Err(AdminError::Bury { .. })), "{removed:?}");
}

#[tokio::test]
async fn an_edit_confirms_nothing_but_itself() {
    let ground = Ground::new("hosts:\n  a: {hostname: a}\n  b: {hostname: b}\n  c: {hostname: c}\n").await;
    // a person is in the middle of something: a and b are missing from the file for a moment
    std::fs::write(ground.dir.path().join("hosts.yml"), "hosts:\n  c: {hostname: c}\n  d: {hostname: d}\n")
        .unwrap();
    ground.update("c", None, Some(Policy::ReadOnly)).await.unwrap();
    assert!(ground.app.directory().host("a").is_ok(), "an edit of c takes no other host away at once");
    assert_eq!(ground.policy("c"), Policy::ReadOnly, "what else was said counts at once");
    assert!(ground.app.directory().host("d").is_ok());
}

#[tokio::test]
async fn what_the_file_says_counts_more_than_what_the_service_knows_yet() {
    let ground = Ground::new("hosts:\n  a: {hostname: a}\n  b: {hostname: b}\n").await;
    std::fs::write(
        ground.dir.path().join("hosts.yml"),
        "hosts:\n  a: {hostname: a, policy: ro}\n  b: {hostname: b}\n",
    )
    .unwrap();
    let edit = crate::config::HostEdit::Update {
        id: "a".parse().unwrap(),
        fields: asked(Some(Policy::NoDestructive)),
    };
    let refused =
        crate::config::edit_host(&ground.app.admin().sources, &edit, crate::config::Authority::Assistant);
    assert!(matches!(refused, Err(EditError::Loosens { held: Policy::ReadOnly, .. })), "{refused:?}");
    crate::config::edit_host(&ground.app.admin().sources, &edit, crate::config::Authority::Person).unwrap();
}

#[tokio::test]
async fn a_host_that_is_there_is_given_what_is_asked_for() {
    let ground = Ground::new("hosts:\n  a: {hostname: a}\n").await;
    ground.ready("a").await;
    assert_eq!(ground.add("a", "a", Some(Policy::ReadOnly)).await.unwrap(), Policy::ReadOnly);
    assert_eq!(ground.fake.attempts("a"), 1, "it is the same place");
}
