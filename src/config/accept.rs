//! Whether what was just read is to be believed.
//!
//! A file caught between truncation and writing is valid YAML and names fewer hosts, or none. Hosts
//! are therefore taken away only when two readings a second apart agree, and never all those of a file
//! without an order.

use super::load::{Origin, Sourced};
use crate::domain::host::{HostId, HostSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Hosts by id, with the file each is defined in.
pub type Hosts = BTreeMap<HostId, Sourced<Arc<HostSpec>>>;

/// What to do with a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// Read once more in a second.
    ReadAgain,
    /// Keep the last good one until somebody confirms: these files lost all their hosts.
    Refuse(BTreeSet<PathBuf>),
}

/// Judges `read` against the `current` hosts and the reading `before` that was to be confirmed. Of the
/// files in `confirmed` a person has said that they are meant as they are.
pub fn judge(
    current: &Hosts,
    before: Option<&Hosts>,
    read: &Hosts,
    confirmed: &BTreeSet<PathBuf>,
) -> Verdict {
    let (mut lost, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for (id, host) in current {
        // The engine of this machine stands in for hosts that nobody has named yet.
        let Origin::File(path) = &host.origin else { continue };
        if read.contains_key(id) {
            kept.insert(path)
        } else {
            lost.insert(path)
        };
    }
    if lost.is_empty() {
        return Verdict::Take;
    }
    let emptied: BTreeSet<PathBuf> = lost
        .difference(&kept)
        .filter(|path| !confirmed.contains(**path))
        .map(|path| (*path).clone())
        .collect();
    if !emptied.is_empty() {
        return Verdict::Refuse(emptied);
    }
    if before == Some(read) { Verdict::Take } else { Verdict::ReadAgain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::Endpoint;

    /// Hosts as `FILE/ID`; those of no file were found.
    fn hosts(ids: &[&str]) -> Hosts {
        let host = |word: &&str| {
            let (file, id) = word.split_once('/').unwrap_or(("", word));
            let spec = Arc::new(HostSpec::new(id.parse().unwrap(), Endpoint::Unix("/x".into())));
            let origin = if file.is_empty() { Origin::Discovered } else { Origin::File(file.into()) };
            (spec.id.clone(), Sourced { value: spec, origin })
        };
        ids.iter().map(host).collect()
    }

    #[test]
    fn s10_hosts_go_only_when_two_readings_agree_and_never_all_of_a_file_at_once() {
        let current = hosts(&["f/a", "f/b"]);
        let judge = |before: Option<&[&str]>, read: &[&str]| {
            judge(&current, before.map(hosts).as_ref(), &hosts(read), &BTreeSet::new())
        };
        assert_eq!(judge(None, &["f/a", "f/b", "f/c"]), Verdict::Take);
        assert_eq!(judge(None, &["f/a"]), Verdict::ReadAgain);
        assert_eq!(judge(Some(&["f/a"]), &["f/a"]), Verdict::Take);
        assert_eq!(judge(Some(&["f/b"]), &["f/a"]), Verdict::ReadAgain);
        for gone in [&[][..], &["local"], &["f/other"]] {
            assert_eq!(judge(Some(gone), gone), Verdict::Refuse(["f".into()].into()), "{gone:?}");
        }
    }

    #[test]
    fn s10_the_engine_of_this_machine_gives_way_to_hosts_at_once() {
        assert_eq!(judge(&hosts(&["local"]), None, &hosts(&["f/a"]), &BTreeSet::new()), Verdict::Take);
    }

    #[test]
    fn s10_each_file_is_looked_at_by_itself_and_a_person_may_confirm_one() {
        let (current, read) = (hosts(&["f/a", "g/b"]), hosts(&["g/b"]));
        assert_eq!(
            judge(&current, Some(&read), &read, &BTreeSet::new()),
            Verdict::Refuse(["f".into()].into())
        );
        let confirmed = BTreeSet::from(["f".into()]);
        assert_eq!(judge(&current, Some(&read), &read, &confirmed), Verdict::Take);
        // a host that another file defines now is not lost
        assert_eq!(judge(&current, None, &hosts(&["g/a", "g/b"]), &BTreeSet::new()), Verdict::Take);
    }
}
