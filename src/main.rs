//! The `dockmaster` binary: parse, run, exit.

use clap::Parser as _;
use dockmaster::cli::Cli;
use std::process::ExitCode;
use std::time::Duration;

/// Reading a terminal cannot be interrupted; whatever still reads one at the end is left behind.
const LEFTOVERS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return dockmaster::cli::refuse(&error, 1),
    };
    let code = runtime.block_on(cli.run());
    runtime.shutdown_timeout(LEFTOVERS);
    code
}
