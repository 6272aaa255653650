//! Who may ask, and by which name.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::mcp_client::HEADERS;
use crate::support::script;
use crate::support::service::mode;
use crate::support::trials::Trial;
use crate::support::{Fleet, Service, ServiceConfig};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

/// Somebody who is not the one who runs the tests.
const STRANGER: &str = "65534";

pub fn trials() -> Vec<Trial> {
    trials![
        only_its_own_names_and_pages_are_admitted,
        a_stranger_on_this_machine_needs_the_token,
        health_and_readiness_tell_the_truth,
        the_token_is_private_and_in_no_log,
    ]
}

async fn only_its_own_names_and_pages_are_admitted(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    let port = service.address().port();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "trial", "version": "1"}}}})
    .to_string();
    for (name, value, status) in [
        ("host", "evil.example".to_owned(), 403),
        ("host", format!("evil.example:{port}"), 403),
        ("host", format!("127.0.0.1.evil.example:{port}"), 403),
        ("host", format!("localhost:{port}"), 200),
        ("host", format!("[::1]:{port}"), 200),
        ("origin", "https://evil.example".to_owned(), 403),
        ("origin", "http://localhost.evil.example".to_owned(), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", "http://localhost:3000".to_owned(), 200),
        ("origin", format!("http://127.0.0.1:{port}"), 200),
    ] {
        let mut headers = vec![("mcp-method", "tools/list"), (name, value.as_str())];
        headers.extend(HEADERS);
        let reply = service.raw_http("POST", "/mcp", &headers, &list).await;
        assert_eq!(reply.status, status, "{name}: {value}: {reply:?}");
        assert_eq!(reply.body.contains("container_list"), status == 200, "{name}: {value}: {reply:?}");
        for path in ["/healthz", "/readyz"] {
            let reply = service.raw_http("GET", path, &[(name, &value)], "").await;
            assert_eq!(reply.status, status, "{path} {name}: {value}: {reply:?}");
        }
    }
    // both at once: the worse counts
    let evil = [("host", "localhost"), ("origin", "https://evil.example")];
    assert_eq!(service.raw_http("GET", "/healthz", &evil, "").await.status, 403);
    assert_eq!(service.raw_http("GET", "/nowhere", &[], "").await.status, 404);
}

/// The status another user of this machine gets, who speaks HTTP with nothing but a shell.
fn status_for_stranger(to: SocketAddr, authorization: Option<&str>) -> String {
    let header = authorization.map(|value| format!("Authorization: {value}\\r\\n")).unwrap_or_default();
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; \
         printf 'GET /healthz HTTP/1.1\\r\\nHost: {to}\\r\\nConnection: close\\r\\n{header}\\r\\n' >&3; cat <&3",
        to.ip(),
        to.port()
    );
    let args =
        ["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "--", "bash", "-c", script.as_str()];
    let ran = script::run("setpriv", &args, SOON);
    assert!(ran.ok(), "{ran:?}");
    ran.stdout.lines().next().unwrap_or_default().to_owned()
}

async fn a_stranger_on_this_machine_needs_the_token(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    let token = std::fs::read_to_string(service.home().token_file()).unwrap();
    let ask = |authorization: Option<&str>| status_for_stranger(service.address(), authorization);
    let refused = "HTTP/1.1 401 Unauthorized";
    assert_eq!(ask(None), refused);
    assert_eq!(ask(Some("Bearer")), refused);
    assert_eq!(ask(Some(&format!("Bearer {}", "0".repeat(token.len())))), refused);
    assert_eq!(ask(Some(&format!("Bearer {}", &token[..token.len() - 1]))), refused);
    assert_eq!(ask(Some(&format!("Basic {token}"))), refused);
    assert_eq!(ask(Some(&format!("Bearer {token}"))), "HTTP/1.1 200 OK");
    // the owner needs none, and a wrong one does not harm
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        assert_eq!(service.raw_http("GET", "/healthz", headers, "").await.status, 200);
    }
}

async fn health_and_readiness_tell_the_truth(fleet: &Fleet) {
    fleet.host("h3").refuse();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    let get = async |path: &str| -> Value {
        let reply = service.raw_http("GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    };
    assert_eq!(get("/healthz").await, json!({"status": "ok"}));
    // a host that is down is told, and makes nothing unready
    assert_eq!(
        get("/readyz").await,
        json!({"status": "ok", "hosts": 3, "hosts_ready": 2, "configuration_faults": 0})
    );
    fleet.host("h3").accept();
    service.wait_ready(&["h3"]).await;
    assert_eq!(
        get("/readyz").await,
        json!({"status": "ok", "hosts": 3, "hosts_ready": 3, "configuration_faults": 0})
    );
}

async fn the_token_is_private_and_in_no_log(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    let file = service.home().token_file();
    let token = std::fs::read_to_string(&file).unwrap();
    assert!(token.len() >= 32, "a secret nobody guesses");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let bearer = format!("Bearer {token}");
    for headers in [[("authorization", bearer.as_str())], [("authorization", "Bearer wrong")]] {
        service.raw_http("GET", "/healthz", &headers, "").await;
    }
    status_for_stranger(service.address(), Some(&bearer));
    service.wait_ready(&["h1"]).await;
    for tool in ["host_list", "container_list", "stack_list"] {
        assert!(!service.call(tool, json!({})).await.everything().contains(&token), "{tool}");
    }
    assert!(service.log().len() >= 3);
    assert!(service.log().iter().all(|line| !line.contains(&token)), "{:#?}", service.log());
    // the next service goes by the same token, and does not take one that others could read
    let (status, home) = service.stop();
    assert_eq!(status.code(), Some(0));
    let again = Service::start_in(home);
    assert_eq!(std::fs::read_to_string(again.home().token_file()).unwrap(), token);
    let (_, home) = again.stop();
    script::run("chmod", &["644", &home.token_file().display().to_string()], SOON);
    let ended = home.run(&home.hosts_file(), &["serve", "--port", "0"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("chmod 600") && !ended.stderr.contains(&token), "{ended:?}");
}
