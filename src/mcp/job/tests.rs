use super::*;
use crate::domain::change::{Asker, Before, PruneKind, Sieve};
use crate::domain::saga::Course;
use crate::journal::record::{Machine, StepRecord};
use crate::mcp::page::MOST_CHARACTERS;
use jiff::Timestamp;

#[test]
fn a_prune_of_thousands_is_told_with_what_is_not() {
    let things: Vec<String> = (0..5_000).map(|n| format!("{n:04}{}", "x".repeat(60))).collect();
    let kinds = [
        PruneKind::Containers,
        PruneKind::Networks,
        PruneKind::Images,
        PruneKind::Volumes,
        PruneKind::BuildCache,
    ];
    let step = |_: &PruneKind| StepRecord {
        name: "prune".to_owned(),
        state: StepState::Done,
        before: Before::default(),
        made: Made { removed: things.clone(), left: things.clone(), ..Made::default() },
        words: None,
        began: Timestamp::UNIX_EPOCH,
        ended: None,
    };
    let record = ChangeRecord {
        id: OperationId::fresh(),
        change: Change::Prune { what: kinds.to_vec(), sieve: Sieve::default() },
        whole: true,
        machine: Machine {
            host: "nas".parse().unwrap(),
            endpoint: "nas".to_owned(),
            engine: None,
            host_key: None,
        },
        bound: None,
        asker: Asker { principal: "owner".into(), client: "claude".into() },
        key: None,
        limit: Duration::from_secs(60),
        state: ChangeState::Done,
        course: Course::Forward,
        words: None,
        started: Timestamp::UNIX_EPOCH,
        ended: None,
        steps: kinds.iter().map(step).collect(),
    };
    let job = Job::of(&record, false);
    for step in &job.results {
        assert_eq!(step.removed[..2], things[..2]);
        assert_eq!(step.removed.len() + step.left.len() + step.more, 10_000);
    }
    assert!(serde_json::to_string(&job).unwrap().len() < MOST_CHARACTERS);
}
