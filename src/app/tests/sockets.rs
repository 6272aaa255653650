//! Local sockets in the running tree: who is let through, and what they outlive.

use super::*;
use crate::actors::socket::SocketMessage;
use crate::actors::trip;
use std::path::PathBuf;
use strum::VariantNames as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Far beyond what any of it takes; the clock is the real one.
const LIMIT: Duration = Duration::from_secs(30);

struct Ground {
    lab: Lab,
    sockets: tempfile::TempDir,
}

impl Ground {
    async fn new(hosts: &[(&str, &[Scene])]) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let outside = |connector| Outside { sockets: Some(sockets.path().to_owned()), ..outside(connector) };
        let lab = Lab::with_outside(hosts, vec![], outside).await;
        Self { lab, sockets }
    }

    fn path(&self, host: &str) -> PathBuf {
        self.sockets.path().join(format!("{host}.sock"))
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let reached = async {
            while !is().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    async fn open(&self, host: &str) {
        self.until("the socket is open", async || UnixStream::connect(self.path(host)).await.is_ok()).await;
    }

    /// What the socket answers to one request.
    async fn ask(&self, host: &str, request: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.path(host)).await?;
        let text =
            format!("{request} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut head = vec![0; 4096];
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") {
            let read = tokio::time::timeout(LIMIT, stream.read(&mut head)).await??;
            if read == 0 {
                break;
            }
            answer.push_str(&String::from_utf8_lossy(&head[..read]));
        }
        Ok(answer)
    }

    async fn status(&self, host: &str, request: &str) -> u16 {
        let answer = self.ask(host, request).await.unwrap_or_default();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }
}

#[tokio::test]
async fn s5_a_socket_carries_other_tools_and_outlives_line_and_actor() {
    let ground = Ground::new(&[("nas", &[])]).await;
    ground.lab.fake.model("nas", |model| model.add("x", false));
    ground.open("nas").await;
    assert_eq!(ground.status("nas", "POST /v1.41/containers/x/start").await, 204);
    assert!(ground.lab.fake.deeds("nas").contains(&"POST /v1.41/containers/x/start".to_owned()));
    ground.lab.fake.cut("nas", FaultKind::LinkLost);
    assert_eq!(ground.status("nas", "GET /_ping").await, 200, "it waits for the reconnect");
    ground.lab.directory().kill("nas");
    assert_eq!(ground.status("nas", "GET /_ping").await, 200, "it waits for the next incarnation");
}

#[tokio::test]
async fn a_host_without_a_line_is_told_in_the_words_of_an_engine() {
    let ground = Ground::new(&[("nas", &[Scene::Fails(FaultKind::HostKeyChanged)])]).await;
    ground.open("nas").await;
    let answer = ground.ask("nas", "GET /_ping").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the host key has changed"), "{answer}");
}

#[tokio::test]
async fn a_host_that_is_held_back_has_no_socket_or_one_that_only_reads() {
    let ground = Ground::new(&[("nas", &[]), ("pi", &[])]).await;
    ground.open("nas").await;
    crashes::edit(&ground.lab, |text| text.replace("hostname: nas", "hostname: nas, policy: no_destructive"));
    ground.until("the socket is gone", async || !ground.path("nas").exists()).await;
    crashes::edit(&ground.lab, |text| text.replace("no_destructive", "ro, local_socket: true"));
    ground.open("nas").await;
    assert_eq!(ground.status("nas", "GET /_ping").await, 200);
    let deeds = ground.lab.fake.deeds("nas").len();
    for refused in ["POST /v1.41/containers/x/start", "DELETE /v1.41/containers/x", "PUT /v1.41/x"] {
        assert_eq!(ground.status("nas", refused).await, 403, "{refused}");
    }
    assert_eq!(ground.lab.fake.deeds("nas").len(), deeds, "nothing of it reached the engine");
    // another name of the same engine opens no way around
    crashes::edit(&ground.lab, |text| text.replace("hostname: pi", "hostname: NAS"));
    ground
        .until("the policy counts for both", async || {
            ground.lab.directory().policy(&"pi".parse().unwrap()) == crate::domain::policy::Policy::ReadOnly
        })
        .await;
    assert_eq!(ground.status("pi", "GET /_ping").await, 403);
}

#[tokio::test]
async fn s10_a_socket_goes_with_its_host() {
    let ground = Ground::new(&[("nas", &[]), ("pi", &[])]).await;
    ground.open("pi").await;
    crashes::edit(&ground.lab, |text| text.replace("  pi: {hostname: pi}\n", ""));
    ground.until("the socket is gone", async || !ground.path("pi").exists()).await;
    assert!(ground.path("nas").exists());
}

#[tokio::test]
async fn d1_a_panic_in_any_message_of_a_socket_is_its_own() {
    for kind in SocketMessage::VARIANTS {
        let ground = Ground::new(&[("nas", &[])]).await;
        ground.lab.until_ready("nas").await;
        ground.open("nas").await;
        let kind: &'static str = format!("SocketMessage::{kind}").leak();
        trip::set(kind);
        if kind.ends_with("Open") {
            crashes::edit(&ground.lab, |text| text.replace("hostname: nas", "hostname: nas, enabled: false"));
            ground.until("the socket is gone", async || !ground.path("nas").exists()).await;
            crashes::edit(&ground.lab, |text| text.replace(", enabled: false", ""));
        }
        ground
            .until("the crash", async || {
                ground.status("nas", "GET /_ping").await == 200 && trip::is_tripped()
            })
            .await;
        ground.lab.until_ready("nas").await;
    }
}

/// What reads may not carry another request in its body, or split one by a header.
#[tokio::test]
async fn nothing_is_smuggled_past_a_socket_that_only_reads() {
    let ground = Ground::new(&[("nas", &[])]).await;
    ground.open("nas").await;
    crashes::edit(&ground.lab, |text| {
        text.replace("hostname: nas", "hostname: nas, policy: ro, local_socket: true")
    });
    ground.until("the policy counts", async || ground.status("nas", "POST /x").await == 403).await;
    let hidden = "GET /_ping HTTP/1.1\r\nx: ";
    let text = format!(
        "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{}GET /_ping HTTP/1.1\r\nHost: d\r\nx: POST /containers/abc/kill HTTP/1.1\r\n\r\n",
        hidden.len(),
        "a".repeat(hidden.len())
    );
    let mut stream = UnixStream::connect(ground.path("nas")).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answers)).await.unwrap().unwrap();
    assert!(answers.starts_with("HTTP/1.1 403 "), "{answers}");
    let deeds = ground.lab.fake.deeds("nas");
    assert!(!deeds.iter().any(|deed| deed.contains("kill")), "{deeds:?}");
}

#[tokio::test]
async fn a_connection_ends_when_its_host_is_held_back() {
    let ground = Ground::new(&[("nas", &[])]).await;
    ground.open("nas").await;
    let mut open = UnixStream::connect(ground.path("nas")).await.unwrap();
    open.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'H');
    crashes::edit(&ground.lab, |text| {
        text.replace("hostname: nas", "hostname: nas, policy: ro, local_socket: true")
    });
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, open.read_to_end(&mut rest)).await.expect("it was left open").unwrap();
}
