//! Docker contexts in the running tree: one look at a time, for any number of callers, and gone with the
//! host. The docker client is real, its configuration a directory of the test's own.

use super::*;
use crate::contexts::{Contexts, Wanted};

struct Ground {
    lab: Lab,
    contexts: Contexts,
    _dir: tempfile::TempDir,
}

impl Ground {
    async fn new(hosts: &[(&str, &[Scene])]) -> Self {
        Self::after(hosts, &[]).await
    }

    /// The same, after a service of the same files had made contexts of these names.
    async fn after(hosts: &[(&str, &[Scene])], made: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client =
            ["docker", "--config", dir.path().join("docker").to_str().unwrap()].map(ToOwned::to_owned);
        let contexts =
            Contexts::with_client(&dir.path().join("data"), client.to_vec(), Some("hosts.yml".into()));
        for name in made {
            let wanted =
                Wanted { name: (*name).to_owned(), host: "ssh://gone".into(), description: String::new() };
            contexts.ensure(&wanted).await.unwrap();
        }
        let outside = |connector| Outside { contexts: contexts.clone(), ..outside(connector) };
        let lab = Lab::with_outside(hosts, vec![], outside).await;
        Self { lab, contexts, _dir: dir }
    }

    /// The endpoint of a context, if it is there.
    async fn endpoint(&self, name: &str) -> Option<String> {
        let listed = self.contexts.list().await.unwrap();
        listed.into_iter().find(|context| context.name == name).map(|context| context.host)
    }

    async fn until_endpoint(&self, name: &str, wanted: Option<&str>) {
        let reached = async {
            while self.endpoint(name).await.as_deref() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached)
            .await
            .expect("the context never became as wanted");
    }
}

#[tokio::test]
async fn s3_s6_contexts_of_many_hosts_are_made_at_once_and_one_failure_disturbs_no_other() {
    let ground =
        Ground::new(&[("nas", &[]), ("pi", &[]), ("down", &[Scene::Fails(FaultKind::HostKeyChanged)])]).await;
    let directory = ground.lab.directory();
    let taken = Wanted {
        name: "docker-mcp-pi".into(),
        host: "ssh://somebody@else".into(),
        description: String::new(),
    };
    ground.lab.until_ready("nas").await;
    ground.lab.until_ready("pi").await;
    // as if somebody had made it before us
    ground.until_endpoint("docker-mcp-pi", Some("ssh://pi")).await;
    ground.contexts.foreign(&taken).await;
    let hosts = ["nas", "pi", "down"].map(|name| directory.host(name).unwrap());
    let outcomes = directory.ensure_contexts(&hosts, LONG).await;
    let of = |name: &str| &outcomes[name];
    assert_eq!(*of("nas"), Ok("docker-mcp-nas".to_owned()));
    assert!(
        matches!(of("pi"), Err(HostError::Context(crate::contexts::ContextError::Foreign { .. }))),
        "{:?}",
        of("pi")
    );
    assert!(matches!(of("down"), Err(HostError::Unavailable(_))), "{:?}", of("down"));
    assert_eq!(ground.endpoint("docker-mcp-pi").await.unwrap(), "ssh://somebody@else");
}

#[tokio::test]
async fn s3_a_context_that_somebody_removed_is_made_again_for_the_next_caller() {
    let ground = Ground::new(&[("nas", &[])]).await;
    let nas = ground.lab.directory().host("nas").unwrap();
    let calls = (0..50).map(|_| nas.ensure_context(LONG));
    for name in futures_util::future::join_all(calls).await {
        assert_eq!(name, Ok("docker-mcp-nas".to_owned()));
    }
    ground.contexts.remove("docker-mcp-nas").await.unwrap();
    assert_eq!(nas.ensure_context(LONG).await, Ok("docker-mcp-nas".to_owned()));
    assert_eq!(ground.endpoint("docker-mcp-nas").await.unwrap(), "ssh://nas");
}

#[tokio::test]
async fn s10_a_context_whose_host_left_while_no_service_ran_goes_at_the_next_start() {
    let ground = Ground::after(&[("nas", &[])], &["docker-mcp-nas", "docker-mcp-gone"]).await;
    ground.until_endpoint("docker-mcp-gone", None).await;
    ground.until_endpoint("docker-mcp-nas", Some("ssh://nas")).await;
}

#[tokio::test]
async fn s10_a_context_goes_with_its_host_and_follows_it_elsewhere() {
    let ground = Ground::new(&[("nas", &[]), ("pi", &[])]).await;
    ground.until_endpoint("docker-mcp-nas", Some("ssh://nas")).await;
    ground.until_endpoint("docker-mcp-pi", Some("ssh://pi")).await;
    crashes::edit(&ground.lab, |text| {
        text.replace("  pi: {hostname: pi}\n", "").replace("hostname: nas", "hostname: other")
    });
    ground.until_endpoint("docker-mcp-pi", None).await;
    ground.until_endpoint("docker-mcp-nas", Some("ssh://other")).await;
}
