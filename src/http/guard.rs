//! The check in front of every route: the name the client used, the page it came from, and who it is.

use super::auth::Token;
use super::peer::Peer;
use crate::domain::change::{BEARER, OWNER};
use crate::mcp::Principal;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What requests are checked against.
pub(super) struct Guard {
    address: SocketAddr,
    names: Vec<String>,
    token: Token,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, allowed_hosts: &[String], token: Token) -> Self {
        let names = allowed_hosts.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { address, names, token }
    }

    /// Whether a name may be used for this server. A page of a foreign name that was made to resolve
    /// to this machine (DNS rebinding) gives itself away by that name; an address cannot be rebound.
    fn knows(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match ip {
            // Bound to loopback, only loopback can have been meant.
            Some(ip) => ip.is_loopback() || !self.address.ip().is_loopback(),
            None => name == "localhost" || self.names.contains(&name),
        }
    }

    fn admits_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.knows(without_port(host)))
    }

    /// A browser names the page a request comes from; other clients send no `Origin`.
    fn admits_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        host.is_some_and(|host| self.knows(without_port(host)))
    }

    /// Who the client is, when it may use this server.
    fn admits_client(&self, headers: &HeaderMap, peer: &Peer) -> Option<Principal> {
        let authorization = headers.get(header::AUTHORIZATION).map(hyper::http::HeaderValue::as_bytes);
        if self.token.is_presented_by(authorization) {
            return Some(Principal(BEARER));
        }
        peer.is_own_process(self.address).then_some(Principal(OWNER))
    }
}

/// The host of an authority, an IPv6 address with its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !host.is_empty() => {
            if host.contains(':') && !host.ends_with(']') { authority } else { host }
        }
        _ => authority,
    }
}

/// Refuses with 403 a wrong name or page, with 401 an unknown client.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if !guard.admits_host(headers) {
        let why = "this server is not known by that Host; name it under server.allowed_hosts\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    if !guard.admits_origin(headers) {
        return (StatusCode::FORBIDDEN, "pages of that Origin may not use this server\n").into_response();
    }
    let Some(principal) = guard.admits_client(headers, &peer) else {
        let why = "send Authorization: Bearer TOKEN with the token from Dockmaster's data directory\n";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response();
    };
    request.extensions_mut().insert(principal);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str, names: &[&str]) -> Guard {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(&dir.path().join("token")).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Guard::new(address.parse().unwrap(), &names, token)
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_that_mean_this_server_are_known() {
        let local = guard("127.0.0.1:8000", &[]);
        let host = |guard: &Guard, host: &str| guard.admits_host(&headers(&[(header::HOST, host)]));
        for good in ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.2"] {
            assert!(host(&local, good), "{good}");
        }
        for evil in [
            "evil.example",
            "evil.example:8000",
            "127.0.0.1.evil.example",
            "192.168.1.5:8000",
            "",
            "localhost.evil",
        ] {
            assert!(!host(&local, evil), "{evil}");
        }
        let open = guard("0.0.0.0:8000", &["Nas.Lan"]);
        assert!(
            host(&open, "192.168.1.5:8000") && host(&open, "nas.lan:8000") && !host(&open, "evil.example")
        );
        assert!(!local.admits_host(&HeaderMap::new()));
    }

    #[test]
    fn a_page_of_a_foreign_origin_is_refused_and_no_origin_is_fine() {
        let local = guard("127.0.0.1:8000", &[]);
        let origin = |origin: &str| local.admits_origin(&headers(&[(header::ORIGIN, origin)]));
        assert!(
            origin("http://localhost:3000")
                && origin("http://[::1]:3000")
                && local.admits_origin(&HeaderMap::new())
        );
        for evil in ["https://evil.example", "null", "http://localhost.evil.example", "file://"] {
            assert!(!origin(evil), "{evil}");
        }
    }
}
