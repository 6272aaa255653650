//! The machine that figures were taken on.

use crate::site::Site;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use std::fs;
use tokio::process::Command;

/// It as a table: kernel, processor, versions, date.
pub(crate) async fn describe(site: &Site) -> Result<String> {
    let engine = format!("unix://{}", site.hosts.first().context("no hosts")?.socket.display());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rows = [
        ("taken on", Timestamp::now().to_string().chars().take("2000-01-01".len()).collect()),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()),
        ("processor", format!("{}, {cores} cores", processor())),
        ("ssh", said("ssh", &["-V"], &engine).await?),
        ("docker", said("docker", &["version", "--format", "{{.Client.Version}}"], &engine).await?),
        ("compose", said("docker", &["compose", "version", "--short"], &engine).await?),
        ("engine", said("docker", &["version", "--format", "{{.Server.Version}}"], &engine).await?),
    ];
    let mut table = "| | |\n|---|---|\n".to_owned();
    for (what, value) in rows {
        table.push_str(&format!("| {what} | {value} |\n"));
    }
    Ok(table)
}

fn processor() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

/// The first line that a program says, on whichever output.
async fn said(program: &str, words: &[&str], engine: &str) -> Result<String> {
    let ran = Command::new(program).args(words).env("DOCKER_HOST", engine).output().await;
    let ran = ran.with_context(|| format!("{program} does not run"))?;
    let text = [ran.stdout, ran.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}
