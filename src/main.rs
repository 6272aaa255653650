//! The `dockmaster` binary: parse, run, exit.

use clap::Parser as _;
use dockmaster::cli::Cli;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.run().await
}
