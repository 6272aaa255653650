//! Times the ways of reaching Docker engines side by side, and writes the results. Started by `bench.sh`,
//! which makes the hosts: see there.

mod bollard_ssh;
mod cli;
mod contestant;
mod goals;
mod library;
mod machine;
mod measure;
mod proxy;
mod report;
mod service;
mod site;

use anyhow::{Context as _, Result, bail};
use bollard_ssh::BollardSsh;
use cli::Cli;
use contestant::{Contestant, names};
use library::Library;
use measure::Figures;
use service::Service;
use site::{Line, Site};
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, program, fleet_ssh, results, rounds, hosts @ ..] = words.as_slice() else {
        bail!("usage: dockmaster-bench DIR PROGRAM SSH_CONFIG RESULTS ROUNDS NAME=ADDRESS=SOCKET...");
    };
    let rounds: usize = rounds.parse().with_context(|| format!("{rounds:?} rounds"))?;
    let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<_>>()?;
    let site = Site::prepare(dir.into(), program.into(), fleet_ssh.as_ref(), hosts)?;
    let machine = machine::describe(&site).await?;
    let near = measured(&site, Line::Loopback, rounds).await.context("on loopback")?;
    let far = measured(&site, Line::Far, rounds).await.context("through the proxy")?;
    let page = report::page(&machine, &near, &far, &goals::all(&near, &far), rounds);
    // What a failed call said may name a file of this run's home.
    let page = page.replace(dir.as_str(), "~");
    say(&page);
    std::fs::write(PathBuf::from(results), page).with_context(|| format!("{results} cannot be written"))
}

/// Sets all contestants up on a line, runs them, and ends what they have started.
async fn measured(site: &Site, line: Line, rounds: usize) -> Result<Figures> {
    let (local, remote) = (Service::local(site).await?, Service::by_ssh(site, line).await?);
    let docker_ours = Cli::through(site, &remote).await?;
    let (local, remote) = (Arc::new(local), Arc::new(remote));
    let contestants: Vec<Arc<dyn Contestant>> = vec![
        Arc::new(Library::direct(site).await?),
        Arc::new(Library::link(site, line).await?),
        Arc::new(BollardSsh::new(site, line)?),
        Arc::clone(&local) as _,
        Arc::clone(&remote) as _,
        Arc::new(Cli::direct(site)),
        Arc::new(docker_ours),
        Arc::new(Cli::multiplexed(site, line).await?),
        Arc::new(Cli::ssh(site, line)),
    ];
    let echo = (line == Line::Far).then_some(site.echo);
    let figures = measure::run(&contestants, &[names::LINK, names::MCP], rounds, echo).await?;
    drop(contestants);
    for service in [local, remote] {
        Arc::into_inner(service).context("a service is still in use")?.stop().await?;
    }
    site.end_masters(line).await?;
    Ok(figures)
}

#[expect(clippy::print_stdout, reason = "the answer")]
fn say(page: &str) {
    println!("{page}");
}
