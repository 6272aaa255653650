//! Images that were found outdated when registries were asked last: `image_updates` asks, `fleet_status` only tells.

use super::attention::{Finding, Severity};
use crate::domain::change::list;
use crate::runtime::clock::age;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What was found longer ago has to be found anew.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The images of all hosts that were found outdated, by identifier and name; clones share them.
#[derive(Clone, Default)]
pub(super) struct Outdated(Arc<Mutex<BTreeMap<Key, Found>>>);

/// Which: host, identifier and name.
type Key = (String, String, String);

struct Found {
    containers: Vec<String>,
    at: Timestamp,
}

impl Outdated {
    /// What a registry said of the image of this identifier on a host, by its name, and of the containers that run it.
    pub(super) fn learn(
        &self,
        (host, id): (&str, &str),
        (image, containers): (&str, &[String]),
        outdated: bool,
        now: Timestamp,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, found| age(now, found.at) < KNOWN_FOR);
        let key = (host.to_owned(), id.to_owned(), image.to_owned());
        if outdated {
            known.insert(key, Found { containers: containers.to_vec(), at: now });
        } else {
            known.remove(&key);
        }
    }

    /// What is to be known of a host whose running containers have these images, by name and identifier; each with the
    /// identifier of its image.
    pub(super) fn findings(
        &self,
        host: &str,
        run: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Vec<(String, Finding)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let finding = |((of, id, image), found): (&Key, &Found)| {
            let runs_it = |name: &&String| run.get(*name) == Some(id);
            let containers: Vec<&String> = found.containers.iter().filter(runs_it).collect();
            if of != host || containers.is_empty() || age(now, found.at) >= KNOWN_FOR {
                return None;
            }
            let finding = Finding {
                severity: Severity::Info,
                kind: "image_outdated",
                subject: image.clone(),
                summary: format!("its registry has another image of the name than {} run", list(&containers)),
                since: Some(found.at),
                suggest: format!("container_recreate {} on {host}", list(&containers)),
            };
            Some((id.clone(), finding))
        };
        known.iter().filter_map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn what_is_run_and_was_found_lately_is_told() {
        let (outdated, now) = (Outdated::default(), Timestamp::UNIX_EPOCH);
        let containers = ["web".to_owned()];
        let named = |id, image, is| outdated.learn(("nas", id), (image, &containers), is, now);
        let learn = |id, is| named(id, "nginx", is);
        learn("1", true);
        learn("2", false);
        let told = |host: &str, (name, id): (&str, &str), at: Timestamp| {
            let run = BTreeMap::from([(name.to_owned(), id.to_owned())]);
            outdated.findings(host, &run, at).len()
        };
        assert_eq!(told("nas", ("web", "1"), now), 1);
        assert_eq!(told("pi", ("web", "1"), now), 0, "another host");
        assert_eq!(told("nas", ("web", "3"), now), 0, "it was made anew since");
        assert_eq!(told("nas", ("db", "1"), now), 0, "another container, of whose image nobody asked");
        assert_eq!(
            told("nas", ("web", "1"), now + SignedDuration::from_hours(24 * 8)),
            0,
            "that is long ago"
        );
        named("1", "nginx:1.27.4", false);
        assert_eq!(told("nas", ("web", "1"), now), 1, "under another name it is what it was");
        learn("1", false);
        assert_eq!(told("nas", ("web", "1"), now), 0, "the registry has it no longer");
    }
}
