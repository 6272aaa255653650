//! The fleet's unusual logins.

use crate::support::Fleet;
use crate::support::trials::Trial;
use crate::trials;

const PING: &str = "GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n";

pub fn trials() -> Vec<Trial> {
    trials![a_forced_command_gives_the_engine_and_no_shell, sudo_where_the_socket_is_closed]
}

async fn a_forced_command_gives_the_engine_and_no_shell(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.forced_command(true);
    let answer = host.ssh_with_input("ops", PING, "echo a shell");
    assert!(answer.stdout.starts_with("HTTP/1.1 200 ") && answer.stdout.ends_with("OK"), "{answer:?}");
    // a key that is taken away meanwhile comes back as it was
    host.wrong_key();
    host.right_key();
    assert_eq!(host.ssh("ops", &[], "echo a shell").stdout, "");
    fleet.heal_all();
    assert_eq!(host.ssh("ops", &[], "echo a shell").stdout, "a shell\n");
}

async fn sudo_where_the_socket_is_closed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let denied = host.ssh("guest", &[], "sudo -n docker ps");
    assert!(denied.stderr.contains("password is required"), "{denied:?}");
    host.sudo(true);
    assert!(!host.ssh("guest", &[], "docker ps").ok());
    let allowed = host.ssh("guest", &[], "sudo -n docker ps");
    assert!(allowed.ok() && allowed.stderr.is_empty(), "{allowed:?}");
    assert!(!host.ssh("guest", &[], "sudo -n true").ok(), "docker and nothing else");
    fleet.heal_all();
    assert!(!host.ssh("guest", &[], "sudo -n docker ps").ok());
}
