//! What running containers use.

use super::{Engine, EngineError};
use bollard::models::{ContainerBlkioStats, ContainerCpuStats, ContainerMemoryStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use std::time::Duration;

/// Between the two readings that tell the use of processors.
const APART: Duration = Duration::from_secs(1);

/// Requests at once.
const AT_ONCE: usize = 8;

/// What a container uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Hundredths of one processor; two busy ones are 200.
    pub cpu_pct: f64,
    /// Bytes, without what is only a cache of files.
    pub mem: u64,
    /// Bytes it may use; the host's memory when it has no limit of its own.
    pub mem_limit: u64,
    /// Bytes received since it started.
    pub net_rx: u64,
    /// Bytes sent since it started.
    pub net_tx: u64,
    /// Bytes read from block devices since it started.
    pub io_r: u64,
    /// Bytes written to block devices since it started.
    pub io_w: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Engine {
    /// What each of the running containers `ids` uses, in their order; nothing for one that does not run any
    /// more.
    ///
    /// Two `one-shot` readings with a pause of our own between them. A single reading that is not `one-shot`
    /// has the engine wait up to two seconds for its next tick, each in a request that is held open
    /// meanwhile; this way any number of containers share one pause.
    pub async fn usage(&self, ids: &[String]) -> Result<Vec<Option<Usage>>, EngineError> {
        let before = self.readings(ids).await?;
        tokio::time::sleep(APART).await;
        let after = self.readings(ids).await?;
        let both = before.into_iter().zip(after);
        Ok(both.map(|(before, after)| Some(usage(&before?, &after?))).collect())
    }

    async fn readings(&self, ids: &[String]) -> Result<Vec<Option<ContainerStatsResponse>>, EngineError> {
        let each = stream::iter(ids.to_vec()).map(|id| async move { self.reading(&id).await });
        each.buffered(AT_ONCE).try_collect().await
    }

    async fn reading(&self, id: &str) -> Result<Option<ContainerStatsResponse>, EngineError> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let reading = self.docker.stats(id, Some(options)).next().await;
        match reading.transpose().map_err(EngineError::from) {
            // One that has ended meanwhile is answered with zeros, or told as a conflict by Podman.
            Ok(reading) => Ok(reading.filter(|reading| cpu(reading).is_some())),
            Err(EngineError::NotFound(_) | EngineError::Refused { status: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn cpu(reading: &ContainerStatsResponse) -> Option<(&ContainerCpuStats, u64)> {
    let stats = reading.cpu_stats.as_ref()?;
    let total = stats.cpu_usage.as_ref()?.total_usage.filter(|total| *total > 0)?;
    Some((stats, total))
}

fn usage(before: &ContainerStatsResponse, after: &ContainerStatsResponse) -> Usage {
    let networks = after.networks.iter().flatten().map(|(_, network)| network);
    let (net_rx, net_tx) = networks.fold((0, 0), |(rx, tx), network| {
        (rx + network.rx_bytes.unwrap_or_default(), tx + network.tx_bytes.unwrap_or_default())
    });
    let io = after.blkio_stats.as_ref();
    let memory = after.memory_stats.as_ref();
    Usage {
        cpu_pct: cpu_pct(before, after),
        mem: memory.map(used_memory).unwrap_or_default(),
        mem_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
        net_rx,
        net_tx,
        io_r: io.map(|io| bytes_of(io, "read")).unwrap_or_default(),
        io_w: io.map(|io| bytes_of(io, "write")).unwrap_or_default(),
        pids: after.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default(),
    }
}

/// The share of one processor between two readings: of what all processors of the host did meanwhile, or
/// of the time that passed where the engine does not tell that.
#[expect(clippy::cast_precision_loss, reason = "a share, shown to people")]
fn cpu_pct(before: &ContainerStatsResponse, after: &ContainerStatsResponse) -> f64 {
    let (Some((earlier, from)), Some((later, to))) = (cpu(before), cpu(after)) else { return 0.0 };
    let used = to.saturating_sub(from) as f64;
    // cgroup v1 of old engines names each processor and not how many there are.
    let each = later.cpu_usage.as_ref().and_then(|usage| usage.percpu_usage.as_ref()).map(Vec::len);
    let processors = later.online_cpus.map(|count| count as usize).filter(|count| *count > 0).or(each);
    let system = later.system_cpu_usage.zip(earlier.system_cpu_usage);
    let system = system.map_or(0, |(to, from)| to.saturating_sub(from));
    let passed = if let Some(count) = processors.filter(|count| *count > 0 && system > 0) {
        system as f64 / count as f64
    } else {
        let time = |reading: &ContainerStatsResponse| reading.read.as_ref()?.parse::<Timestamp>().ok();
        let passed = time(after).zip(time(before)).map(|(to, from)| to.duration_since(from).as_secs_f64());
        passed.unwrap_or_default() * 1e9
    };
    if passed > 0.0 { used / passed * 100.0 } else { 0.0 }
}

/// What is used without the files that are only cached: they are given back when memory is short.
fn used_memory(memory: &ContainerMemoryStats) -> u64 {
    let usage = memory.usage.unwrap_or_default();
    let named = |name: &str| memory.stats.as_ref().and_then(|stats| stats.get(name)).copied();
    // cgroup v1 counts its children under another name.
    let cached = named("total_inactive_file").or_else(|| named("inactive_file")).unwrap_or_default();
    if cached < usage { usage - cached } else { usage }
}

/// cgroup v1 writes `Read`, v2 `read`.
fn bytes_of(io: &ContainerBlkioStats, word: &str) -> u64 {
    let entries = io.io_service_bytes_recursive.iter().flatten();
    let matching = entries.filter(|entry| entry.op.as_ref().is_some_and(|op| op.eq_ignore_ascii_case(word)));
    matching.filter_map(|entry| entry.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(value: serde_json::Value) -> ContainerStatsResponse {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn both_kinds_of_control_groups_are_read() {
        // version 2: half a processor of two
        let second = |total: u64, system: u64| {
            reading(json!({
                "read": "2026-01-01T00:00:01Z",
                "cpu_stats": {"cpu_usage": {"total_usage": total}, "system_cpu_usage": system, "online_cpus": 2},
                "memory_stats": {"usage": 1000, "limit": 5000, "stats": {"inactive_file": 300}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
                "blkio_stats": {"io_service_bytes_recursive": [
                    {"major": 8, "minor": 0, "op": "read", "value": 4096},
                    {"major": 8, "minor": 0, "op": "write", "value": 8192},
                    {"major": 8, "minor": 16, "op": "read", "value": 4},
                ]},
                "pids_stats": {"current": 3, "limit": 100},
            }))
        };
        let told = usage(&second(1_000_000_000, 10_000_000_000), &second(1_500_000_000, 12_000_000_000));
        let expected = Usage {
            cpu_pct: 50.0,
            mem: 700,
            mem_limit: 5000,
            net_rx: 11,
            net_tx: 22,
            io_r: 4100,
            io_w: 8192,
            pids: 3,
        };
        assert_eq!(told, expected);
        // version 1: each processor by itself, totals under their own names, capitals
        let first = |total: u64, system: u64| {
            reading(json!({
                "read": "2026-01-01T00:00:01Z",
                "cpu_stats": {
                    "cpu_usage": {"total_usage": total, "percpu_usage": [1, 2, 3, 4]},
                    "system_cpu_usage": system,
                },
                "memory_stats": {"usage": 1000, "stats": {"total_inactive_file": 400, "inactive_file": 1}},
                "blkio_stats": {"io_service_bytes_recursive": [
                    {"op": "Read", "value": 1}, {"op": "Write", "value": 2}, {"op": "Total", "value": 3},
                ]},
            }))
        };
        let told = usage(&first(1, 10), &first(2_000_001, 4_000_010));
        assert_eq!((told.cpu_pct, told.mem, told.io_r, told.io_w), (200.0, 600, 1, 2));
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn without_the_hosts_time_that_of_the_clock_counts() {
        let at = |second: u8, total: u64| {
            reading(json!({
                "read": format!("2026-01-01T00:00:0{second}Z"),
                "cpu_stats": {"cpu_usage": {"total_usage": total}},
            }))
        };
        assert_eq!(cpu_pct(&at(1, 1_000_000_000), &at(3, 2_000_000_000)), 50.0);
        // nothing passed, or the container started anew meanwhile
        assert_eq!(cpu_pct(&at(1, 5), &at(1, 6)), 0.0);
        assert_eq!(cpu_pct(&at(1, 5_000), &at(2, 1)), 0.0);
        assert_eq!(cpu_pct(&reading(json!({})), &at(2, 1)), 0.0);
    }
}
