//! What of a host needs attention: pure judgements over what its engine and its line tell.

use super::shape::{short_id, told, words};
use crate::compose::Stack;
use crate::domain::host::HostSpec;
use crate::domain::phase::{HostStatus, Phase};
use crate::domain::text::cut;
use crate::engine::containers::ContainerDetail;
use crate::runtime::clock::age;
use crate::transport::files::Space;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What ended longer ago, and is not meant to run, is history.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// A container that runs again for so long has recovered.
const RECOVERED: Duration = Duration::from_secs(10 * 60);

/// So many restarts are no accident.
const MANY_RESTARTS: i64 = 3;

/// What a check or an engine said may be a whole page.
const LONGEST_WORDS: usize = 200;

/// Shares of a disk in use.
const NEARLY_FULL: u64 = 85;
const FULL: u64 = 95;

/// How urgent a finding is, the least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    #[default]
    Warning,
    Critical,
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// A stable word.
    pub(super) kind: &'static str,
    /// What it is about: a name or a path.
    pub(super) subject: String,
    pub(super) summary: String,
    pub(super) since: Option<Timestamp>,
    /// What to do.
    pub(super) suggest: String,
}

/// Of a host that gave no answer, by the state of its line; `None` where that knows of no trouble.
pub(super) fn of_line(spec: &HostSpec, status: &HostStatus) -> Option<Finding> {
    let (kind, summary) = match (&status.phase, status.phase.cause()) {
        (Phase::Held { .. }, Some(cause)) => {
            ("host_held", format!("not reachable, and not tried again until that is mended: {cause}"))
        }
        (Phase::Quarantined { .. }, _) => {
            ("host_quarantined", "its part of Dockmaster crashed too often and is kept down".to_owned())
        }
        (_, Some(cause)) => ("host_unreachable", format!("not reachable: {cause}")),
        _ => return None,
    };
    let suggest =
        status.phase.cause().map_or_else(|| format!("host_test {}", spec.id), |cause| cause.fix(spec));
    Some(Finding {
        severity: Severity::Critical,
        kind,
        subject: spec.id.to_string(),
        summary: told(&summary),
        since: Some(status.since),
        suggest: told(&suggest),
    })
}

/// Of a container.
pub(super) fn of_container(host: &str, container: &ContainerDetail, now: Timestamp) -> Option<Finding> {
    let (severity, kind, summary) = judge(container, now)?;
    let name = if container.name.is_empty() { short_id(&container.id) } else { told(&container.name) };
    let suggest = match kind {
        "container_stopped" => format!("container_start {name} on {host} when it is meant to run"),
        "container_unhealthy" => format!("container_inspect {name} on {host}, sections health"),
        "container_oom" => format!("container_inspect {name} on {host}, sections limits"),
        _ => format!("container_logs {name} on {host}"),
    };
    let since = match kind {
        // When a check began to fail stands nowhere.
        "container_unhealthy" => None,
        "container_restarting" if container.state == "running" => time(&container.started_at),
        _ => ended(container),
    };
    Some(Finding { severity, kind, subject: name, summary: told(&summary), since, suggest })
}

/// Whether a container that a list says is "Up 2 minutes (healthy)" may not have recovered yet. Engines write
/// a length of time in its largest unit, rounded down.
pub(super) fn is_young(status: &str) -> bool {
    let up = status.strip_prefix("Up ").unwrap_or_default();
    let minutes = up.split_once(" minutes").and_then(|(count, _)| count.parse::<u64>().ok());
    let has_second = up.split('(').next().is_some_and(|up| up.contains("second"));
    has_second
        || up.starts_with("About a minute")
        || minutes.is_some_and(|minutes| minutes < RECOVERED.as_secs() / 60)
}

fn judge(container: &ContainerDetail, now: Timestamp) -> Option<(Severity, &'static str, String)> {
    use Severity::{Critical, Info, Warning};
    let since = |time: Option<Timestamp>| time.map(|time| age(now, time));
    let restarts = container.restart_count;
    let code = container.exit_code.unwrap_or_default();
    match container.state.as_str() {
        "restarting" => {
            let summary = format!("keeps ending with exit code {code}; restarted {restarts} times");
            return Some((Critical, "container_restarting", summary));
        }
        "running" => {
            let health = container.health.as_ref().filter(|health| health.status == "unhealthy");
            if let Some(health) = health {
                let said = cut(health.last_output.trim(), LONGEST_WORDS).0;
                let streak = health.failing_streak;
                let summary = format!("its health check failed {streak} times in a row: {said}");
                return Some((Warning, "container_unhealthy", summary));
            }
            let young = since(time(&container.started_at)).filter(|age| *age < RECOVERED);
            let young = young.filter(|_| restarts >= MANY_RESTARTS)?;
            let summary = format!("restarted {restarts} times, the last time {} ago", words(young));
            return Some((Warning, "container_restarting", summary));
        }
        "dead" => {
            return Some((Critical, "container_dead", "the engine could not remove it".to_owned()));
        }
        "exited" | "created" => {}
        _ => return None,
    }
    let is_kept = !matches!(container.restart_policy.as_str(), "" | "no");
    let long = since(ended(container));
    if !is_kept && long.is_none_or(|long| long > RECENT) {
        return None;
    }
    let ago = long.map(|long| format!(" {} ago", words(long))).unwrap_or_default();
    if container.oom_killed {
        return Some((Critical, "container_oom", format!("killed{ago} because it ran out of memory")));
    }
    let severity = if is_kept { Critical } else { Warning };
    if !container.error.is_empty() {
        let said = cut(container.error.trim(), LONGEST_WORDS).0;
        return Some((severity, "container_failed", format!("could not be started{ago}: {said}")));
    }
    match (code, container.restart_policy.as_str()) {
        _ if container.state == "created" => None,
        (0, _) => None,
        // 128 and the signal: interrupted, killed, or asked to end. Nothing fails by itself so.
        (130 | 137 | 143, _) => {
            Some((Info, "container_stopped", format!("stopped{ago} by a signal, exit code {code}")))
        }
        (_, "on-failure") => {
            let summary =
                format!("ended{ago} with exit code {code} after {restarts} restarts; not tried again");
            Some((Critical, "container_failed", summary))
        }
        _ => Some((Warning, "container_failed", format!("ended{ago} with exit code {code}"))),
    }
}

/// When it ended; of one that never ran, when it was made.
fn ended(container: &ContainerDetail) -> Option<Timestamp> {
    time(&container.finished_at).or_else(|| time(&container.created))
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Of a stack, some of whose containers were found to have `failed`.
pub(super) fn of_stack(host: &str, stack: &Stack, failed: usize) -> Option<Finding> {
    let (running, all) = (stack.running, stack.containers);
    let (severity, kind) = match (running, failed) {
        (0, 1..) => (Severity::Critical, "stack_failed"),
        (1.., 1..) => (Severity::Warning, "stack_partial"),
        // Containers that do one thing and end are a part of many stacks.
        (1.., 0) if running < all => (Severity::Info, "stack_partial"),
        _ => return None,
    };
    let of_failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let name = told(&stack.name);
    Some(Finding {
        severity,
        kind,
        summary: format!("{running} of {all} containers run{of_failed}"),
        since: None,
        suggest: format!("container_list hosts={host} stack={name}"),
        subject: name,
    })
}

/// Of the file system that an engine keeps everything on.
pub(super) fn of_disk(host: &str, root_dir: &str, space: Space) -> Option<Finding> {
    // As df tells it: what is kept back for root counts as taken.
    let taken = space.size.saturating_sub(space.free);
    let share = taken.saturating_mul(100).checked_div(space.size)?;
    let severity = match share {
        FULL.. => Severity::Critical,
        NEARLY_FULL.. => Severity::Warning,
        _ => return None,
    };
    let free = space.free >> 20;
    Some(Finding {
        severity,
        kind: "disk_full",
        subject: told(root_dir),
        summary: format!("{share} % of the disk are taken, {free} MiB are free"),
        since: None,
        suggest: format!("disk_usage hosts={host}, then prune"),
    })
}

/// Of a fault of the configuration.
pub(super) fn of_configuration(fault: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        kind: "configuration",
        subject: "hosts file".to_owned(),
        summary: told(fault),
        since: None,
        suggest: "A person can mend the file; the hosts are those of the last good reading.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::Health;
    use std::collections::BTreeSet;

    fn now() -> Timestamp {
        "2026-01-10T12:00:00Z".parse().unwrap()
    }

    fn exited(code: i64, policy: &str, finished: &str) -> ContainerDetail {
        ContainerDetail {
            name: "web".into(),
            state: "exited".into(),
            exit_code: Some(code),
            restart_policy: policy.into(),
            finished_at: finished.into(),
            ..ContainerDetail::default()
        }
    }

    const HOUR_AGO: &str = "2026-01-10T11:00:00Z";
    const LONG_AGO: &str = "2026-01-01T00:00:00.123Z";

    fn told_of(container: &ContainerDetail) -> Option<(&'static str, Severity)> {
        of_container("nas", container, now()).map(|finding| (finding.kind, finding.severity))
    }

    #[test]
    fn what_ended_well_or_long_ago_is_no_finding() {
        use Severity::{Critical, Info, Warning};
        for (code, policy, finished, expected) in [
            (0, "no", HOUR_AGO, None),
            (0, "always", HOUR_AGO, None),
            (1, "no", LONG_AGO, None),
            (1, "no", HOUR_AGO, Some(("container_failed", Warning))),
            (1, "no", "2026-01-09T12:00:01Z", Some(("container_failed", Warning))),
            (1, "no", "2026-01-09T11:59:59Z", None),
            (1, "unless-stopped", LONG_AGO, Some(("container_failed", Warning))),
            (1, "on-failure", LONG_AGO, Some(("container_failed", Critical))),
            (137, "always", HOUR_AGO, Some(("container_stopped", Info))),
            (143, "no", HOUR_AGO, Some(("container_stopped", Info))),
            (143, "no", LONG_AGO, None),
            (139, "no", HOUR_AGO, Some(("container_failed", Warning))),
        ] {
            assert_eq!(told_of(&exited(code, policy, finished)), expected, "{code} {policy} {finished}");
        }
    }

    #[test]
    fn what_the_kernel_killed_or_never_started_is_told_as_such() {
        let oom = ContainerDetail { oom_killed: true, ..exited(137, "no", HOUR_AGO) };
        assert_eq!(told_of(&oom), Some(("container_oom", Severity::Critical)));
        let finding = of_container("nas", &oom, now()).unwrap();
        assert!(finding.summary.contains("60 min ago"), "{finding:?}");
        assert_eq!(finding.since, Some(HOUR_AGO.parse().unwrap()));
        let unstarted = |policy: &str, created: &str| ContainerDetail {
            state: "created".into(),
            error: "driver failed: password=hunter2".into(),
            created: created.into(),
            ..exited(128, policy, "")
        };
        let finding = of_container("nas", &unstarted("always", LONG_AGO), now()).unwrap();
        assert_eq!((finding.kind, finding.severity), ("container_failed", Severity::Critical));
        assert!(!finding.summary.contains("hunter2"), "{finding:?}");
        assert_eq!(told_of(&unstarted("no", LONG_AGO)), None);
        let made = ContainerDetail { error: String::new(), ..unstarted("always", HOUR_AGO) };
        assert_eq!(told_of(&made), None);
    }

    #[test]
    fn what_was_up_for_less_than_ten_minutes_may_not_have_recovered() {
        for status in [
            "Up Less than a second",
            "Up 1 second",
            "Up 59 seconds (health: starting)",
            "Up About a minute",
            "Up About a minute (unhealthy)",
            "Up 2 minutes",
            "Up 9 minutes (healthy)",
        ] {
            assert!(is_young(status), "{status}");
        }
        for status in [
            "Up 10 minutes",
            "Up 59 minutes (healthy)",
            "Up About an hour",
            "Up 3 hours (health: 2 seconds)",
            "Up 18446744073709551615 minutes",
            "Up 2 months",
            "Exited (0) 2 minutes ago",
            "",
        ] {
            assert!(!is_young(status), "{status}");
        }
    }

    #[test]
    fn what_runs_is_judged_by_its_health_and_its_restarts() {
        let running = |restarts: i64, started: &str| ContainerDetail {
            state: "running".into(),
            restart_count: restarts,
            started_at: started.into(),
            ..ContainerDetail::default()
        };
        let moment_ago = "2026-01-10T11:59:50Z";
        assert_eq!(told_of(&running(2, moment_ago)), None);
        assert_eq!(told_of(&running(3, moment_ago)), Some(("container_restarting", Severity::Warning)));
        assert_eq!(told_of(&running(300, HOUR_AGO)), None);
        let health = |status: &str| {
            let health =
                Health { status: status.into(), failing_streak: 4, last_output: "token=abc\n".into() };
            ContainerDetail { health: Some(health), ..running(0, HOUR_AGO) }
        };
        assert_eq!(told_of(&health("starting")), None);
        let sick = of_container("nas", &health("unhealthy"), now()).unwrap();
        assert_eq!((sick.kind, sick.severity), ("container_unhealthy", Severity::Warning));
        assert!(sick.summary.contains("4 times") && !sick.summary.contains("abc"), "{sick:?}");
        let looping = ContainerDetail { state: "restarting".into(), ..exited(1, "always", HOUR_AGO) };
        assert_eq!(told_of(&looping), Some(("container_restarting", Severity::Critical)));
        let dead = ContainerDetail { state: "dead".into(), ..exited(0, "no", LONG_AGO) };
        assert_eq!(told_of(&dead), Some(("container_dead", Severity::Critical)));
        let paused = ContainerDetail { state: "paused".into(), ..running(9, moment_ago) };
        assert_eq!(told_of(&paused), None);
    }

    #[test]
    fn stacks_and_disks_are_judged_by_their_shares() {
        use Severity::{Critical, Info, Warning};
        let stack = |running, containers| Stack {
            name: "shop".into(),
            services: BTreeSet::new(),
            containers,
            running,
            files: BTreeSet::new(),
            working_dirs: BTreeSet::new(),
        };
        for (running, failed, expected) in [
            (2, 0, None),
            (1, 0, Some(("stack_partial", Info))),
            (1, 1, Some(("stack_partial", Warning))),
            (2, 1, Some(("stack_partial", Warning))),
            (0, 0, None),
            (0, 1, Some(("stack_failed", Critical))),
        ] {
            let found = of_stack("nas", &stack(running, 2), failed);
            assert_eq!(found.map(|found| (found.kind, found.severity)), expected, "{running} {failed}");
        }
        for (free, expected) in [
            (100, None),
            (16, None),
            (15, Some(Warning)),
            (6, Some(Warning)),
            (5, Some(Critical)),
            (0, Some(Critical)),
        ] {
            let found = of_disk("nas", "/var/lib/docker", Space { size: 100, free });
            assert_eq!(found.map(|found| found.severity), expected, "{free}");
        }
        assert_eq!(of_disk("nas", "/", Space { size: 0, free: 0 }), None);
    }
}
