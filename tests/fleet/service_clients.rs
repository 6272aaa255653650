//! Clients in another language, as people have them: the Python SDK, current and 1.x, over stdio and
//! HTTP. What they check is in `tests/clients/`.

use std::path::Path;
use std::time::Duration;

use crate::support::Fleet;
use crate::support::trials::Trial;
use crate::trials;

/// The whole suite, both versions and both transports, takes about 20 s.
const LIMIT: Duration = Duration::from_secs(150);

/// What this file tries.
pub fn trials() -> Vec<Trial> {
    trials![python_clients_of_both_eras_get_what_they_ask => 180]
}

async fn python_clients_of_both_eras_get_what_they_ask(fleet: &Fleet) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.sh");
    let env = [("DOCKMASTER_BIN", env!("CARGO_BIN_EXE_dockmaster"))];
    let ran = fleet.script().run(&program, &[], &env, LIMIT);
    let failed: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(ran.ok(), "ended with {}\n{}\n{}", ran.code, failed.join("\n"), ran.stderr);
}
