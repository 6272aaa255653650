//! Tests on real hosts: each has its own sshd, its own engine and its own faults.
//!
//! `fleet.sh` makes the hosts, `support` gives them to Rust, and every other module here
//! is a list of trials. Without root, or where namespaces are refused, the trials are
//! counted as ignored and one line says why; `DOCKMASTER_REQUIRE_FLEET=1` forbids that.

// A test speaks by panicking, and nothing outside this binary can reach its items. The methods
// that actors may not use are what drives them from outside: processes, threads, the real clock.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    unreachable_pub
)]

mod changes;
mod changes_killed;
mod changes_record;
mod consent;
mod events;
mod exec;
mod fleet_engines;
mod fleet_itself;
mod fleet_logins;
mod injection;
mod operations;
mod recreate;
mod rollout;
mod secrets;
mod service_admin;
mod service_bad_input;
mod service_causes;
mod service_clients;
mod service_config;
mod service_contexts;
mod service_crowd;
mod service_doctor;
mod service_engines;
mod service_front;
mod service_hosts;
mod service_import;
mod service_isolation;
mod service_leaks;
mod service_lines;
mod service_logins;
mod service_reload;
mod service_socket_life;
mod service_sockets;
mod service_stacks;
mod service_tools;
mod support;
mod support_itself;
mod tools_build;
mod tools_changes;
mod tools_compat;
mod tools_copy;
mod tools_fleet;
mod tools_logs;
mod tools_offer;
mod tools_stacks;
mod tools_stale;
mod tools_status;
mod tools_storage;
mod tools_updates;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut trials = Vec::new();
    if support::trials::are_long() {
        trials.extend(changes_killed::long_trials());
        trials.extend(service_bad_input::long_trials());
        trials.extend(service_reload::long_trials());
        return support::trials::run(3, trials);
    }
    trials.extend(fleet_itself::trials());
    trials.extend(fleet_engines::trials());
    trials.extend(fleet_logins::trials());
    trials.extend(support_itself::trials());
    trials.extend(operations::trials());
    trials.extend(events::trials());
    trials.extend(changes::trials());
    trials.extend(changes_killed::trials());
    trials.extend(changes_record::trials());
    trials.extend(consent::trials());
    trials.extend(recreate::trials());
    trials.extend(rollout::trials());
    trials.extend(secrets::trials());
    trials.extend(exec::trials());
    trials.extend(injection::trials());
    trials.extend(service_lines::trials());
    trials.extend(service_logins::trials());
    trials.extend(service_isolation::trials());
    trials.extend(service_crowd::trials());
    trials.extend(service_leaks::trials());
    trials.extend(service_bad_input::trials());
    trials.extend(service_causes::trials());
    trials.extend(service_engines::trials());
    trials.extend(service_doctor::trials());
    trials.extend(service_front::trials());
    trials.extend(service_stacks::trials());
    trials.extend(service_tools::trials());
    trials.extend(tools_offer::trials());
    trials.extend(tools_stacks::trials());
    trials.extend(tools_stale::trials());
    trials.extend(tools_status::trials());
    trials.extend(tools_storage::trials());
    trials.extend(tools_build::trials());
    trials.extend(tools_changes::trials());
    trials.extend(tools_compat::trials());
    trials.extend(tools_copy::trials());
    trials.extend(tools_fleet::trials());
    trials.extend(tools_logs::trials());
    trials.extend(tools_updates::trials());
    trials.extend(service_config::trials());
    trials.extend(service_reload::trials());
    trials.extend(service_hosts::trials());
    trials.extend(service_import::trials());
    trials.extend(service_admin::trials());
    trials.extend(service_sockets::trials());
    trials.extend(service_socket_life::trials());
    trials.extend(service_contexts::trials());
    trials.extend(service_clients::trials());
    support::trials::run(3, trials)
}
